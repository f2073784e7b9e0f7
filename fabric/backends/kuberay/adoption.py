"""An object that somebody made himself becomes a workload's spec: what its pods ask for, who pays, how urgent it is.

Knows nothing of a Kubernetes or of records: values in, values out.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError

from fabric.backends.kuberay import names
from fabric.backends.kuberay.asked import Asked, asked_by
from fabric.backends.kuberay.foreign import Foreign
from fabric.backends.kuberay.identity import name_of
from fabric.config.site import Site, Tier
from fabric.core.errors import BadInput
from fabric.workloads.spec import HEAD_GROUP, AdoptedSpec, Group, Priority, WorkloadSpec

MOST_LETTERS = {"RayCluster": 53, "RayJob": 47}
"""Longest names that KubeRay 1.6.2 takes (its MaxRayClusterNameLength and MaxRayJobNameLength)."""
UNBOUNDED = 2**31 - 1
"""What the API server writes for a `maxReplicas` that nobody gave."""
AUTOSCALER = {"requests": {"cpu": "500m", "memory": "512Mi"}}
"""What KubeRay 1.6.2 gives Ray's autoscaler beside the head (its BuildAutoscalerContainer)."""
_DNS_1035 = re.compile(r"[a-z]([a-z0-9-]*[a-z0-9])?")
_OPERATOR = "ray.io/kuberay-operator"


def spec_of(foreign: Foreign, site: Site) -> WorkloadSpec:
    """The workload that an object asks to be.

    Its name holds a digest of the object's number and of what its owner asks for, so that the same object asks for the
    same workload after any restart, and for another one once its owner has changed it.

    Raises:
        BadInput: If the fabric cannot take it; with what to write instead.
    """
    _check_name(foreign)
    if foreign.kind == "RayJob":
        _check_job(foreign)
    _check_cluster(foreign)
    fields: dict[str, Any] = {
        "project": foreign.labels[names.PROJECT],
        "entrypoint": foreign.spec.get("entrypoint") or f"stays until {foreign} is deleted",
        "priority": _priority(foreign),
        "groups": (_head(foreign, site), *_workers(foreign, site)),
        "walltime_s": _walltime_s(foreign, site),
        "max_failures": _number(foreign, names.MAX_FAILURES, int, site.defaults.max_failures),
        "adopted": AdoptedSpec(
            kind=foreign.kind, name=foreign.name, uid=foreign.uid, autoscaled=_is_autoscaled(foreign)
        ),
    }
    try:
        nameless = WorkloadSpec(**fields)
    except ValidationError as error:
        raise BadInput(f"{foreign}: {error.errors()[0]['msg'].removeprefix('Value error, ')}") from None
    return nameless.model_copy(update={"name": name_of(foreign, nameless)})


def _check_name(foreign: Foreign) -> None:
    """Refuse a name that KubeRay would refuse once it has been granted.

    Raises:
        BadInput: With the limit.
    """
    most = MOST_LETTERS[foreign.kind]
    if len(foreign.name) > most or not _DNS_1035.fullmatch(foreign.name):
        raise BadInput(
            f"{foreign}: KubeRay takes names of at most {most} lower-case letters, digits and '-' that begin with a "
            "letter. Make it anew under another name."
        )


def _check_job(foreign: Foreign) -> None:
    """Refuse a RayJob that cannot be suspended, or that counts its losses itself.

    Raises:
        BadInput: Naming the field.
    """
    spec, status = foreign.spec, foreign.status
    if status.get("jobDeploymentStatus") == "ValidationFailed":
        raise BadInput(f"{foreign}: KubeRay refused it: {status.get('message')}. Delete it and make it anew.")
    problems = {
        "set shutdownAfterJobFinishes: true; KubeRay suspends no other": not spec.get("shutdownAfterJobFinishes"),
        "give it a rayClusterSpec instead of a clusterSelector": not spec.get("rayClusterSpec"),
        "leave out deletionStrategy.deletionRules, which KubeRay takes in place of shutdownAfterJobFinishes": bool(
            (spec.get("deletionStrategy") or {}).get("deletionRules")
        ),
        f"leave out backoffLimit; the fabric counts lost attempts (annotation {names.MAX_FAILURES})": bool(
            spec.get("backoffLimit")
        ),
        "choose another submissionMode than InteractiveMode, which KubeRay cannot suspend": (
            spec.get("submissionMode") == "InteractiveMode"
        ),
        "give it an entrypoint": not str(spec.get("entrypoint") or "").strip(),
    }
    _refuse_first(foreign, problems)


def _check_cluster(foreign: Foreign) -> None:
    """Refuse a cluster whose pods somebody else makes or counts.

    Raises:
        BadInput: Naming the field.
    """
    problems = {
        f"leave out managedBy, or set it to {_OPERATOR}": foreign.spec.get("managedBy") not in {None, _OPERATOR},
    }
    _refuse_first(foreign, problems)


def _refuse_first(foreign: Foreign, problems: Mapping[str, bool]) -> None:
    """Refuse it for the first problem that it has.

    Raises:
        BadInput: If it has one.
    """
    for remedy, applies in problems.items():
        if applies:
            raise BadInput(f"{foreign}: {remedy}")


def _head(foreign: Foreign, site: Site) -> Group:
    template = (foreign.cluster.get("headGroupSpec") or {}).get("template")
    beside = [_autoscaler(foreign)] if _is_autoscaled(foreign) else []
    asked = asked_by(template, f"{foreign}: its head", site, beside=beside)
    return _group(HEAD_GROUP, 1, asked, _tier_of_head(asked, site).name)


def _workers(foreign: Foreign, site: Site) -> list[Group]:
    found = []
    for number, group in enumerate(foreign.cluster.get("workerGroupSpecs") or ()):
        name = str(group.get("groupName") or f"number {number}")
        where = f"{foreign}: worker group {name}"
        if name == HEAD_GROUP:
            raise BadInput(f"{where}: call it otherwise; that is the Ray head's name")
        if group.get("numOfHosts", 1) != 1 or group.get("suspend"):
            raise BadInput(f"{where}: leave out suspend, and numOfHosts other than 1")
        asked, count = asked_by(group.get("template"), where, site), _replicas(group, where, _is_autoscaled(foreign))
        if count:
            found.append(_group(name, count, asked, _tier_of_workers(asked, site)))
    return found


def _is_autoscaled(foreign: Foreign) -> bool:
    return bool(foreign.cluster.get("enableInTreeAutoscaling"))


def _autoscaler(foreign: Foreign) -> dict[str, Any]:
    """The container that KubeRay puts beside the head where Ray's autoscaler is on."""
    given = (foreign.cluster.get("autoscalerOptions") or {}).get("resources") or AUTOSCALER
    return {"name": "autoscaler", "resources": given}


def _replicas(group: Mapping[str, Any], where: str, autoscaled: bool) -> int:
    """Most pods that a worker group may have: as many as KubeRay makes, or as Ray's autoscaler may ask for.

    Raises:
        BadInput: If there can be none, or there is no end to them.
    """
    least, most = group.get("minReplicas") or 0, group.get("maxReplicas")
    if autoscaled and most in {None, UNBOUNDED}:
        raise BadInput(f"{where}: set maxReplicas; as many pods as Ray's autoscaler may ask for are granted at once")
    most = UNBOUNDED if most is None else most
    if not 0 <= least <= most:
        raise BadInput(f"{where}: minReplicas must be from 0 to maxReplicas, got {least} and {most}")
    # As KubeRay does it (its GetWorkerGroupDesiredReplicas); the API server writes 0 for replicas that nobody gave.
    return int(most if autoscaled else min(max(group.get("replicas") or 0, least), most))


def _group(name: str, count: int, asked: Asked, tier: str | None) -> Group:
    held = asked.resources
    try:
        return Group(
            name=name, count=count, tier=tier, cpus=held.cpus.whole(), gpus=held.gpus.whole(),
            memory=f"{held.memory.count} B",
        )  # fmt: skip
    except ValidationError as error:
        raise BadInput(f"{asked.where}: {error.errors()[0]['msg'].removeprefix('Value error, ')}") from None


def _tier_of_head(asked: Asked, site: Site) -> Tier:
    """Where a head goes: a tier that holds heads if it may go there, and the first that takes it."""
    takes = [tier for tier in asked.tiers if asked.resources.fits(tier.capacity.resources)] or list(asked.tiers)
    return next((tier for tier in takes if tier.heads), takes[0])


def _tier_of_workers(asked: Asked, site: Site) -> str | None:
    """The tier that workers name; none where they may go wherever such work may."""
    anywhere = [tier for tier in site.tiers if tier.capacity.gpus or not asked.resources.gpus]
    if len(asked.tiers) > 1 and len(asked.tiers) == len(anywhere):
        return None
    takes = [tier for tier in asked.tiers if asked.resources.fits(tier.capacity.resources)]
    return (takes or list(asked.tiers))[0].name


def _priority(foreign: Foreign) -> Priority:
    named = foreign.labels.get(names.PRIORITY, Priority.BATCH.value)
    # What serves is watched by the fabric itself, which sees nothing of how an object of somebody's answers.
    known = [priority.value for priority in Priority if priority is not Priority.SERVING]
    if named not in known:
        raise BadInput(f"{foreign}: label {names.PRIORITY} must be one of {', '.join(known)}, got {named!r}")
    return Priority(named)


def _walltime_s(foreign: Foreign, site: Site) -> float | None:
    usual = site.defaults.walltime_s if foreign.kind == "RayJob" else None
    found: float | None = _number(foreign, names.WALLTIME, float, usual)
    return found


def _number(foreign: Foreign, key: str, read: Callable[[str], Any], otherwise: Any) -> Any:
    """An annotation that is a number.

    Raises:
        BadInput: If it is none.
    """
    if key not in foreign.annotations:
        return otherwise
    try:
        return read(foreign.annotations[key])
    except ValueError:
        raise BadInput(
            f"{foreign}: annotation {key} must be a number{' of seconds' if read is float else ''}, "
            f"got {foreign.annotations[key]!r}"
        ) from None
