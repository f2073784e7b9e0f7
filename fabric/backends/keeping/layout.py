"""What a cluster is made of, as far as it does not matter what its Ray nodes are.

Knows nothing of processes or pods: values in, values out, kept where an adopting fabric finds them.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Self, TypeVar

from fabric.config.settings import Settings
from fabric.core.quantity import Bytes, MilliCpus, MilliGpus
from fabric.core.resources import Resources
from fabric.scheduler.ports import WantedCluster
from fabric.workloads.record import Slice

START_LABEL = "fabric/start"
"""Label of a Ray node that tells it from an earlier one of the same slice, which Ray shows as alive for a while."""


class Layout(Settings):
    """Everything about a cluster that must survive the process that started it."""

    name: str
    """Of the cluster: workload and attempt."""

    workload: str
    """Name of the workload."""

    attempt: int
    """Number of the attempt."""

    slices: tuple[str, ...]
    """Names, head first."""

    nodes: dict[str, str]
    """Node of each slice."""

    amounts: dict[str, tuple[int, int, int]]
    """Thousandths of CPUs, thousandths of accelerators and bytes of memory of each slice."""

    joining: tuple[str, ...] = ()
    """Slices that were added while the cluster ran and have not joined yet."""

    leaving: tuple[str, ...] = ()
    """Slices that are being ended while the others stay."""

    born: float = 0.0
    """When the workload was submitted, in seconds since the epoch."""

    service: bool = False
    """Whether it serves instead of running an entrypoint."""

    warm: bool = False
    """Whether nobody has asked for it yet; it is shown to nobody, and leaves when the fabric ends."""

    made_as: str = ""
    """Its name while it was warm, by which its processes and objects are found; empty if it never was."""

    late: dict[str, str] = {}
    """Variables that its work is told with the entrypoint, as its processes were started before it was known."""

    @property
    def mark(self) -> str:
        """The name by which its processes and objects are found."""
        return self.made_as or self.name

    def as_made(self, wanted: WantedCluster | None) -> WantedCluster | None:
        """What is wanted of this cluster, under the name by which it is found, which all that joins must carry."""
        return wanted and replace(wanted, name=self.mark)

    def leased(self, wanted: WantedCluster, late: Mapping[str, str]) -> Self:
        """The same cluster as that of work which gets it.

        Args:
            wanted: The work.
            late: What it must be told besides what the processes were told at their start.
        """
        changes = {"name": wanted.name, "workload": wanted.workload, "attempt": wanted.attempt, "born": wanted.born}
        return self.model_copy(update={**changes, "warm": False, "made_as": self.mark, "late": dict(late)})

    def taken_back(self) -> Self:
        """The same cluster as it was before it was leased: nobody's."""
        changes = {"name": self.mark, "workload": self.mark, "attempt": 1}
        return self.model_copy(update={**changes, "warm": True, "made_as": "", "late": {}})

    def start_of(self, name: str) -> str:
        """What tells the present Ray node of a slice from earlier ones; empty where nothing does."""
        return ""

    @property
    def staying(self) -> tuple[str, ...]:
        """Slices that are to be there, head first."""
        return tuple(name for name in self.slices if name not in self.leaving)

    def joined_by(self, added: Sequence[Slice]) -> Self:
        """The same cluster and more slices, which have yet to join."""
        names = tuple(part.name for part in added)
        changes = {
            "slices": (*self.slices, *names),
            "joining": (*self.joining, *names),
            "nodes": self.nodes | {part.name: part.node for part in added},
            "amounts": self.amounts | {part.name: amounts_of(part.resources) for part in added},
        }
        return self.model_copy(update=changes)

    def without(self, names: Collection[str]) -> Self:
        """The same cluster after some of its slices have gone."""
        kept = tuple(name for name in self.slices if name not in names)
        changes = {
            "slices": kept,
            "joining": tuple(name for name in self.joining if name in kept),
            "leaving": tuple(name for name in self.leaving if name in kept),
            "nodes": {name: self.nodes[name] for name in kept},
            "amounts": {name: self.amounts[name] for name in kept},
        }
        return self.model_copy(update=changes)

    def is_as_granted(self, part: Slice) -> bool:
        """Whether it has exactly this slice, be it there or still joining."""
        same = self.nodes.get(part.name) == part.node and self.amounts.get(part.name) == amounts_of(part.resources)
        return same and part.name not in self.leaving

    @property
    def held(self) -> tuple[Slice, ...]:
        """What it occupies."""
        return tuple(
            Slice(name, "", self.nodes[name], "", 1, Resources(MilliCpus(cpus), MilliGpus(gpus), Bytes(memory)))
            for name, (cpus, gpus, memory) in self.amounts.items()
        )


L = TypeVar("L", bound=Layout)


def one_of_a_name(found: Sequence[L]) -> Iterator[L]:
    """Clusters that an earlier fabric left, of which only one is any work's.

    Where that fabric was not told that a lease was written down, its work got another cluster, which was made for it:
    then what was leased is nobody's.
    """
    theirs = {layout.name for layout in found if not layout.made_as}
    for layout in found:
        if not layout.made_as:
            yield layout
        else:
            yield layout.taken_back() if layout.name in theirs else layout
            theirs.add(layout.name)


def amounts_of(resources: Resources) -> tuple[int, int, int]:
    """Thousandths of CPUs, thousandths of accelerators and bytes of memory."""
    return resources.cpus.count, resources.gpus.count, resources.memory.count


def head_first(slices: tuple[Slice, ...]) -> tuple[Slice, ...]:
    """Slices with the head at the front."""
    return tuple(sorted(slices, key=lambda part: not part.head))
