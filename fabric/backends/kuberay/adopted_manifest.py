"""What is written on an object that somebody made himself: its grant, its end, how it stands, and what its pods hear.

Knows nothing of a Kubernetes that would take it: values in, values out.
"""

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any

from fabric.backends.kuberay import names
from fabric.backends.kuberay.foreign import Foreign, pod_labels
from fabric.backends.kuberay.layout import AdoptedLayout
from fabric.backends.kuberay.pods import Home, toleration
from fabric.config import env
from fabric.scheduler.ports import WantedCluster

GRANTED = "granted"
"""State that an object carries from the patch which starts it."""
_OURS = (names.ADOPTED, names.SITE, names.WORKLOAD, names.ATTEMPT)
_TOLD = "fabric-told-"
"""How the name of the secret begins in which the pods of an object find where control is, and who they are."""


def told_name(wanted: WantedCluster) -> str:
    """Name of the secret with what the pods of an attempt are told; another one for other contents.

    Nodes may remember for a while what a secret held, so none is ever written anew.
    """
    digest = hashlib.sha256(json.dumps(sorted(wanted.env.items())).encode()).hexdigest()[:8]
    return names.object_name(f"{_TOLD}{wanted.name}-{digest}")


def told_secret(foreign: Foreign, wanted: WantedCluster, home: Home) -> dict[str, Any]:
    """The secret with what the pods of an attempt are told; it goes with the object."""
    told = {**wanted.env, env.CLUSTER: wanted.name}
    owner = {"apiVersion": "ray.io/v1", "kind": foreign.kind, "name": foreign.name, "uid": foreign.uid}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "metadata": {
            "name": told_name(wanted),
            "namespace": home.kubernetes.namespace,
            "labels": names.object_labels(wanted, home.site.name),
            "ownerReferences": [owner],
        },
        "data": {name: base64.b64encode(value.encode()).decode() for name, value in sorted(told.items())},
    }


def is_told(secret: Mapping[str, Any], foreign: Foreign) -> bool:
    """Whether a secret holds what the pods of an object were told: what people write on it may name any secret."""
    meta = secret["metadata"]
    owners = {owner.get("uid") for owner in meta.get("ownerReferences") or ()}
    return str(meta["name"]).startswith(_TOLD) and foreign.uid in owners


def grant_patch(foreign: Foreign, wanted: WantedCluster, layout: AdoptedLayout, home: Home) -> dict[str, Any]:
    """The one patch that starts an object: every pod at the gate, found by our labels, told what all work is told.

    What its owner says himself of a variable holds; ours come from a secret, which Kubernetes lets `env` overrule.

    Args:
        foreign: As it is now; if it has changed meanwhile, the patch is refused.
        wanted: The recorded grant.
        layout: The same, as it is read after a restart.
        home: The site; pods accept the taints of the tiers that they go to.
    """
    labels = pod_labels(layout.uid, layout.workload, layout.attempt, home.site.name)
    tolerations = _tolerations(wanted, home)

    def template(given: Mapping[str, Any], group: str) -> dict[str, Any]:
        return _telling(_gated(given, labels, tolerations.get(group, [])), told_name(wanted))

    cluster = foreign.cluster
    head = {"template": template(cluster["headGroupSpec"]["template"], "head")}
    groups = [
        {**group, "template": template(group["template"], str(group["groupName"]))}
        for group in cluster.get("workerGroupSpecs") or ()
    ]
    told = {names.STATE: GRANTED, names.MESSAGE: f"granted {wanted.grant.reason}", names.TOLD: told_name(wanted)}
    annotations = {names.LAYOUT: layout.written(), names.WORKLOAD: layout.workload, **told}
    return _patch(foreign, annotations, {"headGroupSpec": head, "workerGroupSpecs": groups}, suspend=False)


def suspend_patch(foreign: Foreign) -> dict[str, Any]:
    """The one patch that ends an object's pods and leaves its templates without anything of ours."""
    cluster = foreign.cluster
    head = cluster["headGroupSpec"]["template"]
    without = {
        "metadata": {"labels": dict.fromkeys(_OURS)},
        "spec": {
            "schedulingGates": _other_gates(head["spec"]) or None,
            "containers": _ungated(head)["spec"]["containers"],
        },
    }
    groups = [{**group, "template": _ungated(group["template"])} for group in cluster.get("workerGroupSpecs") or ()]
    wanted = {"headGroupSpec": {"template": without}, "workerGroupSpecs": groups}
    return _patch(foreign, {}, wanted, suspend=True)


def told_patch(workload: str, state: str, message: str) -> dict[str, Any]:
    """What an object says of its workload."""
    annotations = {names.WORKLOAD: workload or None, names.STATE: state, names.MESSAGE: message}
    return {"metadata": {"annotations": annotations}}


def about(foreign: Foreign) -> dict[str, str]:
    """The object as events name it."""
    meta = foreign.object["metadata"]
    named = {"apiVersion": "ray.io/v1", "kind": foreign.kind, "name": foreign.name, "uid": foreign.uid}
    return named | ({"namespace": meta["namespace"]} if "namespace" in meta else {})


def _patch(foreign: Foreign, annotations: Mapping[str, str], cluster: Any, *, suspend: bool) -> dict[str, Any]:
    meta: dict[str, Any] = {"resourceVersion": foreign.version}
    if annotations:
        meta["annotations"] = dict(annotations)
    inside = {"rayClusterSpec": cluster} if foreign.kind == "RayJob" else cluster
    return {"metadata": meta, "spec": {"suspend": suspend, **inside}}


def _gated(
    template: Mapping[str, Any], labels: Mapping[str, str], tolerations: Iterable[Mapping[str, str]]
) -> dict[str, Any]:
    meta, spec = template.get("metadata") or {}, template["spec"]
    given = list(spec.get("tolerations") or ())
    accepted = [*given, *(dict(one) for one in tolerations if one not in given)]
    return {
        **template,
        "metadata": {**meta, "labels": {**(meta.get("labels") or {}), **labels}},
        "spec": {
            **spec,
            "schedulingGates": [*_other_gates(spec), {"name": names.GATE}],
            **({"tolerations": accepted} if accepted else {}),
        },
    }


def _ungated(template: Mapping[str, Any]) -> dict[str, Any]:
    meta, spec = template.get("metadata") or {}, dict(template["spec"])
    labels = {key: value for key, value in (meta.get("labels") or {}).items() if key not in _OURS}
    spec.pop("schedulingGates", None)
    gates = _other_gates(template["spec"])
    kept = {"schedulingGates": gates} if gates else {}
    first, *others = spec["containers"]
    left = [source for source in first.get("envFrom") or () if not _is_told(source)]
    first = {**{key: value for key, value in first.items() if key != "envFrom"}, **({"envFrom": left} if left else {})}
    spec["containers"] = [first, *others]
    return {**template, "metadata": {**meta, "labels": labels}, "spec": {**spec, **kept}}


def _telling(template: Mapping[str, Any], secret: str) -> dict[str, Any]:
    """The template with the secret's variables in its first container, which is Ray's."""
    spec = template["spec"]
    first, *others = spec["containers"]
    sources = [source for source in first.get("envFrom") or () if not _is_told(source)]
    first = {**first, "envFrom": [{"secretRef": {"name": secret}}, *sources]}
    return {**template, "spec": {**spec, "containers": [first, *others]}}


def _is_told(source: Mapping[str, Any]) -> bool:
    """Whether variables come from a secret of ours."""
    return str((source.get("secretRef") or {}).get("name", "")).startswith(_TOLD)


def _other_gates(spec: Mapping[str, Any]) -> list[Mapping[str, str]]:
    return [gate for gate in spec.get("schedulingGates") or () if gate["name"] != names.GATE]


def _tolerations(wanted: WantedCluster, home: Home) -> dict[str, list[dict[str, str]]]:
    """Taints that the pods of each group meet where they go."""
    found: dict[str, list[dict[str, str]]] = {}
    for part in wanted.grant.slices:
        _, group = home.tier(part)
        accepted = found.setdefault(part.group, [])
        for item in group.tolerations:
            one = toleration(item.model_dump(exclude_none=True))
            if one not in accepted:
                accepted.append(one)
    return found
