"""Whether a node takes work, by what it showed of itself in a preflight.

Knows nothing of API servers or clocks: objects and instants in, standings out.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pydantic import ValidationError

from fabric.backends.kuberay import names
from fabric.backends.kuberay.manifest import RAY_VERSION
from fabric.backends.kuberay.network import fallbacks
from fabric.backends.kuberay.nodes import Standing, allocatable, tier_of
from fabric.config.kubernetes import NodeGroup
from fabric.config.settings import Settings
from fabric.config.site import Site, Tier
from fabric.config.vet import Vet
from fabric.core.numa import Numa, NumaNode
from fabric.core.quantity import Bytes
from fabric.scheduler.snapshot import NodeState

MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
"""Architectures in Kubernetes' words, by the kernel's."""
_NVIDIA = "nvidia.com/"
"""What begins the names of resources whose devices a pod sees as /dev/nvidia0 and so on."""
_NOT_ASKED = "its preflight has not begun"


class Report(Settings):
    """What a node showed; `preflight.py` writes it."""

    at: float
    """The node's clock, in seconds since the epoch."""
    python: str
    """Version of Python in the image."""
    ray: str
    """Version of Ray in the image; empty where it has none."""
    machine: str
    """Instruction set, in the kernel's words."""
    cpus: int
    """Cores."""
    memory: int
    """Memory in bytes."""
    memory_free: int
    """Available memory in bytes."""
    shm: int
    """Size of /dev/shm in bytes."""
    gpus: int
    """Accelerators of NVIDIA that the pod saw, which was given all of the node's."""
    bad: tuple[str, ...]
    """What is wrong with devices and folders."""
    numa: tuple[tuple[int, int, int], ...]
    """Number, cores and bytes of each NUMA node."""
    network: tuple[str, ...] = ()
    """What NCCL and libfabric said of the network that they chose, if they were asked."""


class Record(Settings):
    """What the last preflight on a node came to, as an annotation of the node keeps it."""

    job: str
    """Name of the Job."""
    boot: str
    """The start of the node during which it ran, by the number that its kernel gives."""
    ask: str
    """What was asked, as a digest."""
    asked_at: float
    """When the Job was made by control's clock, in seconds since the epoch."""
    heard_at: float
    """When control heard of its end."""
    report: Report | None = None
    """What the node showed; None if it showed nothing."""
    failure: str = ""
    """Why it showed nothing."""


@dataclass(frozen=True, slots=True)
class Vetted:
    """A node of a tier that vets, and what is known of it."""

    item: Mapping[str, Any]
    tier: Tier
    group: NodeGroup
    vet: Vet
    ask: str
    """What is asked of such nodes now, as a digest."""

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.item["metadata"]["name"])

    @property
    def record(self) -> Record | None:
        """What its last preflight came to, if that was during this start of the node and asked what is asked now."""
        record = record_of(self.item)
        current = record is not None and (record.boot, record.ask) == (boot_of(self.item), self.ask)
        return record if current else None

    @property
    def missing_gpus(self) -> str:
        """What Kubernetes does not offer of the accelerators; no preflight can have all of them then."""
        wanted, offered = self.tier.capacity.resources.gpus, allocatable(self.item, self.group).gpus
        if offered >= wanted:
            return ""
        return f"Kubernetes offers {offered.whole():g} {self.group.gpu_resource} of {wanted.whole():g}"


def vetted(site: Site, objects: Iterable[Mapping[str, Any]], asks: Mapping[str, str]) -> list[Vetted]:
    """The nodes that are vetted, by name.

    Args:
        site: Its tiers say who vets.
        objects: Nodes.
        asks: What is asked of each tier that vets, as a digest.
    """
    found = []
    for item in sorted(objects, key=lambda item: str(item["metadata"]["name"])):
        tier = tier_of(site, item)
        group = tier.kubernetes if tier else None
        if tier and group and group.vet:
            found.append(Vetted(item, tier, group, group.vet, asks[tier.name]))
    return found


def boot_of(item: Mapping[str, Any]) -> str:
    """The number of a node's present start; empty before its kubelet said so."""
    return str(item.get("status", {}).get("nodeInfo", {}).get("bootID", ""))


def record_of(item: Mapping[str, Any]) -> Record | None:
    """What a node carries of its last preflight; None if nothing, or nothing that can be read."""
    return _read((item["metadata"].get("annotations") or {}).get(names.PREFLIGHT, ""))


@lru_cache(maxsize=8192)
def _read(text: str) -> Record | None:
    """What an annotation holds; kept, as all nodes are looked at whenever one has changed."""
    try:
        return Record.model_validate_json(text)
    except ValidationError:
        return None


def standings(nodes: Iterable[Vetted], waits: Mapping[str, str]) -> dict[str, Standing]:
    """How each node stands that is vetted, by name.

    Args:
        nodes: All of a site.
        waits: Why preflights that run, or cannot, have not ended.
    """
    every = list(nodes)
    python = _python_of_heads(every)
    return {node.name: _standing(node, python, waits.get(node.name, _NOT_ASKED)) for node in every}


def is_due(node: Vetted, standing: Standing, now: float) -> bool:
    """Whether a preflight should begin.

    Args:
        node: One on which none runs.
        standing: Its own.
        now: Seconds since the epoch.
    """
    if node.missing_gpus:
        return False
    if node.record is None:
        return True
    return standing.state is NodeState.REFUSED and now >= node.record.heard_at + node.vet.again_s


def shortcomings(node: Vetted) -> Iterator[str]:
    """What a node lacks of what its tier says and asks, versions of Python apart."""
    record = node.record
    if record is None:
        return
    if record.report is None:
        yield record.failure
        return
    report, capacity = record.report, node.tier.capacity
    yield from report.bad
    architecture = MACHINES.get(report.machine, report.machine)
    if architecture != node.tier.architecture:
        yield f"it is {architecture}, its tier {node.tier.architecture}"
    if report.cpus < capacity.cpus:
        yield f"{report.cpus} cores of {capacity.cpus:g}"
    yield from _short("memory", report.memory, capacity.resources.memory)
    yield from _short("memory available", report.memory_free, node.vet.least_free)
    yield from _short("/dev/shm", report.shm, node.vet.least_shm)  # noqa: S108
    counts = node.group.gpu_resource.startswith(_NVIDIA) and not node.tier.pretend
    if counts and report.gpus < capacity.gpus:
        yield f"a pod with all accelerators sees {report.gpus} of {capacity.gpus:g}"
    if report.ray != RAY_VERSION:
        yield f"its image has {f'Ray {report.ray}' if report.ray else 'no Ray'}, the fabric {RAY_VERSION}"
    if node.vet.network and node.group.profile:
        yield from fallbacks(report.network, node.group.profile.env)
    yield from _skew(record, report, node.vet.clock_skew_s)


def _short(what: str, found: int, least: Bytes | None) -> Iterator[str]:
    if least is not None and found < least.count:
        yield f"{Bytes(found)} of {what}, at least {least} are asked"


def _skew(record: Record, report: Report, most_s: float) -> Iterator[str]:
    """What is sure of the clocks: the node looked after it was asked and before that was heard."""
    behind_s, ahead_s = record.asked_at - report.at, report.at - record.heard_at
    for off_s, how in ((behind_s, "behind"), (ahead_s, "ahead of")):
        if off_s > most_s:
            yield f"its clock is at least {off_s:.0f} s {how} control's ({most_s:g} s are allowed)"


def numa_of(node: Vetted) -> Numa | None:
    """The NUMA nodes that a node showed."""
    report = node.record.report if node.record else None
    if report is None:
        return None
    return Numa(tuple(NumaNode(*each) for each in report.numa), coherent=node.tier.superchip is not None)


def _standing(node: Vetted, python: str | None, waits: str) -> Standing:
    state, said = _state(node, python, waits)
    return Standing(state, said, numa_of(node))


def _state(node: Vetted, python: str | None, waits: str) -> tuple[NodeState, str]:
    record = node.record
    if record is None:
        return NodeState.VETTING, node.missing_gpus or waits
    lacks = [*filter(None, [node.missing_gpus]), *shortcomings(node)]
    if lacks:
        return NodeState.REFUSED, "; ".join(lacks)
    if python is None and not node.tier.heads:
        said = "no node that may hold heads has been admitted, whose version of Python it must have"
        return NodeState.VETTING, said
    if python and record.report and record.report.python != python:
        return NodeState.REFUSED, f"its image has Python {record.report.python}, that of heads {python}"
    return NodeState.READY, ""


def _python_of_heads(nodes: Iterable[Vetted]) -> str | None:
    """Version of Python that all must have: that of the first sound node for heads.

    None while none of them is known to be sound; empty where they are not vetted.
    """
    heads = [node for node in nodes if node.tier.heads]
    sound = (n.record.report for n in heads if n.record and n.record.report and not list(shortcomings(n)))
    return next((report.python for report in sound), None if heads else "")
