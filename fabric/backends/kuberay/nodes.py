"""Kubernetes' nodes as the scheduler sees them: tier, capacity and state.

Knows nothing of pods.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from fabric.backends.kuberay import names
from fabric.backends.kuberay.pod_state import readiness
from fabric.config.kubernetes import NodeGroup
from fabric.config.site import Site, Tier
from fabric.core.errors import BadInput
from fabric.core.numa import Note, Numa
from fabric.core.quantity import Bytes, MilliCpus, MilliGpus
from fabric.core.resources import Resources
from fabric.scheduler.machines import nodes_of
from fabric.scheduler.snapshot import Node, NodeState

_BINARY = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50}
_DECIMAL = {"k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15}
_STATED = frozenset(f"node.kubernetes.io/{what}" for what in ("unschedulable", "not-ready", "unreachable"))
"""Taints that say what the node's state says already, a moment later."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How a node stands that must show itself before it takes work."""

    state: NodeState
    """vetting, refused or ready."""
    said: str = ""
    """Why it is not ready."""
    numa: Numa | None = None
    """Its NUMA nodes, where it showed them."""


@dataclass(frozen=True, slots=True)
class Seen:
    """The nodes of a site, and what is to be said of them."""

    nodes: tuple[Node, ...] = ()
    """By name."""
    notes: Mapping[str, Note] = field(default_factory=dict)
    """What Kubernetes and preflights say of nodes, by name; of others nothing is to be said."""


def nodes_seen(
    site: Site, objects: Iterable[Mapping[str, Any]], standings: Mapping[str, Standing] | None = None
) -> Seen:
    """The nodes that belong to a tier.

    A node has what the site says of its tier, and no more than Kubernetes lets pods have. One that is cordoned drains,
    and so does one with a taint that its tier does not tolerate. One that is not ready, or has another architecture
    than its tier, is down.

    Args:
        site: Its tiers.
        objects: Nodes as Kubernetes has them.
        standings: How those stand that are vetted.
    """
    samples = {tier.name: nodes_of([tier.model_copy(update={"nodes": 1})])[0] for tier in site.tiers}
    found, notes = [], {}
    for item in sorted(objects, key=lambda item: str(item["metadata"]["name"])):
        tier, name = tier_of(site, item), item["metadata"]["name"]
        if tier is None or tier.kubernetes is None:
            continue
        capacity = _least(samples[tier.name].capacity, allocatable(item, tier.kubernetes))
        standing = (standings or {}).get(name)
        state, said = _state(item, tier, standing)
        found.append(replace(samples[tier.name], name=name, capacity=capacity, state=state))
        note = Note(said, standing.numa if standing else None)
        if note != Note():
            notes[name] = note
    return Seen(tuple(found), notes)


def tier_of(site: Site, item: Mapping[str, Any]) -> Tier | None:
    """The tier that a node belongs to: the first whose labels it has."""
    labels = item["metadata"].get("labels", {})
    for tier in site.tiers:
        group = tier.kubernetes
        if group and all(labels.get(key) == value for key, value in group.selector.items()):
            return tier
    return None


def node_facts(item: Mapping[str, Any]) -> object:
    """What of a node is worth a look; kubelets write much else every few minutes."""
    metadata, status = item["metadata"], item.get("status", {})
    told = (metadata.get("annotations") or {}).get(names.PREFLIGHT), status.get("nodeInfo", {}).get("bootID")
    spec = item.get("spec", {})
    held_back = spec.get("unschedulable", False), spec.get("taints")
    return metadata.get("labels", {}), held_back, status.get("allocatable"), readiness(item), told


def _state(item: Mapping[str, Any], tier: Tier, standing: Standing | None) -> tuple[NodeState, str]:
    architecture = item["metadata"].get("labels", {}).get(names.ARCHITECTURE, tier.architecture)
    if architecture != tier.architecture:
        return NodeState.DOWN, f"it is {architecture}, its tier {tier.architecture}"
    cordoned, (ready, said) = item.get("spec", {}).get("unschedulable"), readiness(item)
    if ready != "True":
        # A kubelet that says nothing more has lost its node; one that says no has not come so far yet.
        boots = ready == "False" and not cordoned and standing and standing.state is NodeState.VETTING
        return (NodeState.BOOTING if boots else NodeState.DOWN), said or "Kubernetes does not call it ready"
    if cordoned:
        return NodeState.DRAINING, standing.said if standing and standing.state is NodeState.REFUSED else ""
    if taint := _untolerated(item, tier):
        return NodeState.DRAINING, f"its taint {taint} is not among the tolerations of tier {tier.name}"
    if standing is None and tier.kubernetes and tier.kubernetes.vet:
        return NodeState.VETTING, ""
    return (standing.state, standing.said) if standing else (NodeState.READY, "")


def _untolerated(item: Mapping[str, Any], tier: Tier) -> str:
    """The first taint that keeps the fabric's pods off a ready node, as people write it; empty where none does."""
    for taint in item.get("spec", {}).get("taints") or ():
        key, value, effect = taint["key"], taint.get("value", ""), taint["effect"]
        if effect != "PreferNoSchedule" and key not in _STATED and not _tolerates(tier, key, value, effect):
            return f"{key}{f'={value}' if value else ''}:{effect}"
    return ""


def _tolerates(tier: Tier, key: str, value: str, effect: str) -> bool:
    """Whether pods that go to a tier accept a taint."""
    group = tier.kubernetes
    if group is None:
        return False
    if (key, effect) == (group.gpu_resource, "NoSchedule") and tier.capacity.gpus:
        return True  # Kubernetes' ExtendedResourceToleration lets through what asks for them, unasked, on many clusters
    return any(
        one.key == key and one.value in {None, value} and one.effect in {None, effect} for one in group.tolerations
    )


def allocatable(item: Mapping[str, Any], group: NodeGroup) -> Resources:
    """What Kubernetes lets the pods of a node have."""
    offered = item.get("status", {}).get("allocatable", {})
    gpus = int(quantity(str(offered.get(group.gpu_resource, "0"))))
    return Resources(
        MilliCpus(int(quantity(str(offered.get("cpu", "0"))) * 1000)),
        MilliGpus(gpus * 1000),
        Bytes(int(quantity(str(offered.get("memory", "0"))))),
    )


def _least(one: Resources, other: Resources) -> Resources:
    return Resources(min(one.cpus, other.cpus), min(one.gpus, other.gpus), min(one.memory, other.memory))


def quantity(text: str) -> float:
    """A Kubernetes quantity such as `2`, `1500m` or `16Gi` as a number.

    Raises:
        BadInput: If it is none.
    """
    try:
        for suffix, factor in (*_BINARY.items(), *_DECIMAL.items()):
            if text.endswith(suffix):
                return float(text[: -len(suffix)]) * factor
        return float(text[:-1]) / 1000 if text.endswith("m") else float(text)
    except ValueError:
        raise BadInput(f"{text!r} is no quantity of Kubernetes") from None
