"""What a pod template of somebody's asks for: amounts, and the tiers of the site that it may run on.

Knows nothing of the object that it is a part of.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fabric.backends.kuberay import names
from fabric.backends.kuberay.nodes import quantity
from fabric.config.kubernetes import NodeGroup
from fabric.config.site import Site, Tier
from fabric.core.errors import BadInput
from fabric.core.quantity import Bytes, MilliCpus, MilliGpus
from fabric.core.resources import Resources

_UNCOUNTED = ("ephemeral-storage", "hugepages-")
"""What nodes give that the fabric does not count; Kubernetes has the last word."""
_SYSTEM = {"kubernetes.io/os": "linux"}
_MILLI = 1000


@dataclass(frozen=True, slots=True)
class Asked:
    """What one pod needs."""

    where: str
    """The template, for messages."""
    resources: Resources
    tiers: tuple[Tier, ...]
    """Those on which it may run, in the site's order; at least one."""


def asked_by(
    template: Mapping[str, Any] | None, where: str, site: Site, *, beside: Sequence[Mapping[str, Any]] = ()
) -> Asked:
    """What a pod of this template needs.

    Args:
        template: As the object has it.
        where: The template, for messages.
        site: Its tiers are the places to go.
        beside: Containers that KubeRay will add.

    Raises:
        BadInput: If the fabric could not say where such a pod fits.
    """
    spec = (template or {}).get("spec") or {}
    if not spec.get("containers"):
        raise BadInput(f"{where} has no containers")
    _check_free(spec, where)
    amounts = _amounts({**spec, "containers": [*spec["containers"], *beside]}, where)
    tiers = _tiers(spec.get("nodeSelector") or {}, where, site)
    devices = sorted({tier.kubernetes.gpu_resource for tier in site.tiers if tier.kubernetes and tier.capacity.gpus})
    named = [name for name in amounts if name not in {"cpu", "memory"} and amounts[name]]
    if unknown := [name for name in named if name not in devices]:
        raise BadInput(
            f"{where} asks for {unknown[0]}, which the fabric does not count; it knows cpu, memory"
            f"{''.join(f', {device}' for device in devices)}"
        )
    if named:
        tiers = [tier for tier in tiers if _gives(tier, named)]
        if not tiers:
            raise BadInput(f"{where} asks for {' and '.join(named)}, which no tier has that its nodeSelector allows")
    gpus = int(sum(amounts[name] for name in named))
    held = Resources(MilliCpus(round(amounts["cpu"] * _MILLI)), MilliGpus(gpus * _MILLI), Bytes(int(amounts["memory"])))
    if not held.cpus or not held.memory:
        raise BadInput(f"{where}: say with resources.requests how many CPUs and how much memory its pod needs")
    return Asked(where, held, tuple(tiers))


def _check_free(spec: Mapping[str, Any], where: str) -> None:
    """Refuse a template that chooses nodes itself.

    Raises:
        BadInput: Naming what it chooses by.
    """
    required = "requiredDuringSchedulingIgnoredDuringExecution"
    chosen = [kind for kind, rule in (spec.get("affinity") or {}).items() if (rule or {}).get(required)]
    chosen += [key for key in ("nodeName", "schedulerName") if spec.get(key) not in {None, "", "default-scheduler"}]
    if any(rule.get("whenUnsatisfiable") == "DoNotSchedule" for rule in spec.get("topologySpreadConstraints") or ()):
        chosen.append("topologySpreadConstraints")
    if chosen:
        raise BadInput(f"{where}: leave out {chosen[0]}; the fabric chooses the nodes, and a nodeSelector the tier")


def _amounts(spec: Mapping[str, Any], where: str) -> dict[str, float]:
    """What Kubernetes' scheduler counts of a pod: its containers together, or the largest of those that come first."""
    together: dict[str, float] = {"cpu": 0.0, "memory": 0.0}
    for container in spec["containers"]:
        for name, amount in _requests(container, where).items():
            together[name] = together.get(name, 0.0) + amount
    for container in spec.get("initContainers") or ():
        for name, amount in _requests(container, where).items():
            together[name] = max(together.get(name, 0.0), amount)
    return together


def _requests(container: Mapping[str, Any], where: str) -> dict[str, float]:
    """What one container asks for; what it is limited to where it says nothing.

    Raises:
        BadInput: If an amount is none.
    """
    given = container.get("resources") or {}
    asked = {**(given.get("limits") or {}), **(given.get("requests") or {})}
    try:
        return {name: quantity(str(value)) for name, value in asked.items() if not name.startswith(_UNCOUNTED)}
    except BadInput as error:
        raise BadInput(f"{where}, container {container.get('name')}: {error.message}") from None


def _tiers(selector: Mapping[str, str], where: str, site: Site) -> list[Tier]:
    """Tiers whose nodes surely have the labels of a selector.

    Raises:
        BadInput: If there are none.
    """
    wishes = selector.items() - _SYSTEM.items()
    found = [tier for tier in site.tiers if tier.kubernetes and wishes <= _labels(tier, tier.kubernetes).items()]
    if not found:
        known = "; ".join(f"{tier.name}: {_listed(tier.kubernetes.selector)}" for tier in site.tiers if tier.kubernetes)
        raise BadInput(f"{where}: no tier has all labels of its nodeSelector ({_listed(selector)}); they have {known}")
    return found


def _labels(tier: Tier, group: NodeGroup) -> dict[str, str]:
    return {names.ARCHITECTURE: tier.architecture, **group.selector}


def _gives(tier: Tier, devices: Iterable[str]) -> bool:
    group = tier.kubernetes
    return bool(tier.capacity.gpus) and group is not None and all(device == group.gpu_resource for device in devices)


def _listed(labels: Mapping[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in sorted(labels.items())) or "none"
