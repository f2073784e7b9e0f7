"""Kubernetes' nodes as the scheduler sees them: tier, capacity and state.

Knows nothing of pods.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fabric.backends.kuberay import names
from fabric.backends.kuberay.pod_state import node_is_ready
from fabric.config.kubernetes import NodeGroup
from fabric.config.site import Site, Tier
from fabric.core.errors import BadInput
from fabric.core.quantity import Bytes, MilliCpus, MilliGpus
from fabric.core.resources import Resources
from fabric.scheduler.machines import nodes_of
from fabric.scheduler.snapshot import Node, NodeState

_BINARY = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40, "Pi": 2**50}
_DECIMAL = {"k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15}


@dataclass(frozen=True, slots=True)
class _Class:
    """A tier, and one of its nodes as the site describes it."""

    tier: Tier
    group: NodeGroup
    sample: Node


def nodes_seen(site: Site, objects: Iterable[Mapping[str, Any]]) -> tuple[Node, ...]:
    """The nodes that belong to a tier, by name.

    A node has what the site says of its tier, and no more than Kubernetes lets pods have. One that is cordoned drains;
    one that is not ready, or has another architecture than its tier, is down.
    """
    classes = [
        _Class(tier, tier.kubernetes, nodes_of([tier.model_copy(update={"nodes": 1})])[0])
        for tier in site.tiers
        if tier.kubernetes is not None
    ]
    found = [node for item in objects if (node := _node(item, classes)) is not None]
    return tuple(sorted(found, key=lambda node: node.name))


def node_facts(item: Mapping[str, Any]) -> object:
    """What of a node the scheduler hears of; kubelets write much else every few minutes."""
    labels, status = item["metadata"].get("labels", {}), item.get("status", {})
    return labels, item.get("spec", {}).get("unschedulable", False), status.get("allocatable"), node_is_ready(item)


def _node(item: Mapping[str, Any], classes: Sequence[_Class]) -> Node | None:
    labels = item["metadata"].get("labels", {})
    for one in classes:
        if all(labels.get(key) == value for key, value in one.group.selector.items()):
            capacity = _least(one.sample.capacity, _allocatable(item, one.group))
            state = _state(item, labels.get(names.ARCHITECTURE, one.tier.architecture) == one.tier.architecture)
            return replace(one.sample, name=item["metadata"]["name"], capacity=capacity, state=state)
    return None


def _state(item: Mapping[str, Any], fits: bool) -> NodeState:
    if not fits or not node_is_ready(item):
        return NodeState.DOWN
    return NodeState.DRAINING if item.get("spec", {}).get("unschedulable") else NodeState.READY


def _allocatable(item: Mapping[str, Any], group: NodeGroup) -> Resources:
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
