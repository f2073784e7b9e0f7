"""What the slices of local clusters use: processor time and memory of their processes, and what accelerators count.

Knows nothing of Ray's own view. A process is on the slice whose marks its environment carries, or else on that of the
nearest process above it. Ray's own processes of a Ray node are not counted, as they are not against the memory limit.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from fabric.backends.local import processes
from fabric.backends.local.layout import Layout
from fabric.backends.local.processes import Process, Sample
from fabric.backends.local.slices import RAY_PARTS
from fabric.config import env
from fabric.core.errors import Unavailable
from fabric.core.quantity import Bytes, MilliCpus, MilliGpus
from fabric.scheduler.metering import Reading, Readings

PRETEND = "accelerators of tier {tier} are only counted (pretend), so nothing says how busy they are"
"""Why accelerators are not measured that are none."""
SHARED = "slice {slice} has a part of a device, whose counter is that of all who share it"
"""Why a part of an accelerator is not measured."""

_WHOLE = 1000


class Accelerators(Protocol):
    """Counters of this machine's accelerators."""

    def busy(self) -> Mapping[int, MilliGpus]:
        """The share of the time since the last call for which each was busy, by its number.

        Raises:
            Unavailable: If nothing here counts it.
        """
        ...


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a process is."""

    cluster: str
    """The mark of the cluster."""
    slice: str
    rays: bool
    """Whether it is one of Ray's own."""


class ProcessMeter:
    """Counts between one look and the next; for one thread. A look reads `/proc` once, however many clusters run.

    What a process did between the last look and its end is counted if a process of the slice waited for it. Memory that
    processes share, as that of the object store, is not counted, as it is not against the limit.
    """

    def __init__(self, state: str, accelerators: Accelerators, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Count nothing yet.

        Args:
            state: Folder of the fabric whose processes count.
            accelerators: Of this machine.
            monotonic: Seconds that never go back.
        """
        self._state, self._accelerators, self._monotonic = state.encode(), accelerators, monotonic
        self._census = processes.Census(self._place)
        self._before: dict[Process, Sample] = {}
        self._looked: float | None = None

    def read(self, layouts: Iterable[Layout], now: float, pretend: Mapping[str, str]) -> dict[str, Readings]:
        """What the slices of some clusters used since the last call, by the cluster's name; the first tells nothing.

        Args:
            layouts: What the clusters are made of.
            now: Seconds since the epoch, which the readings carry.
            pretend: Tier of each node whose accelerators are only counted.

        Raises:
            OSError: If processes cannot be looked at now; what they do meanwhile is in the next reading.
        """
        at, present = self._monotonic(), {sample.process: sample for sample in processes.samples()}
        places = self._placed(present)
        ticks, memory = self._ticks(present, places), _memory(places)
        over_s, self._before, self._looked = at - (at if self._looked is None else self._looked), present, at
        if over_s <= 0:
            return {}
        spans = _Spans(now, over_s, ticks, memory)
        devices = _Devices(self._accelerators, pretend)
        return {layout.name: spans.of(layout, devices) for layout in layouts}

    def _place(self, process: Process, environment: Mapping[bytes, bytes]) -> _Place | None:
        if environment.get(env.STATE.encode()) != self._state:
            return None
        # A process may have written anything there, and must not hide all others.
        cluster, part = (
            environment.get(name.encode(), b"").decode(errors="replace") for name in (env.CLUSTER, env.SLICE)
        )
        return _Place(cluster, part, _is_rays(process)) if cluster and part else None

    def _placed(self, present: Mapping[Process, Sample]) -> dict[Process, _Place]:
        """Where each process is; those of no slice are left out."""
        known = {process.pid: place for process, place in self._census.of(present).items()}
        above = {sample.process.pid: sample.parent for sample in present.values()}
        found: dict[Process, _Place] = {}
        for process in present:
            place, pid = known[process.pid], process.pid
            while place is None and pid in above:
                pid = above[pid]
                place = known.get(pid)
            if place is not None:
                hidden = pid != process.pid
                found[process] = _Place(place.cluster, place.slice, _is_rays(process)) if hidden else place
        return found

    def _ticks(self, present: Mapping[Process, Sample], places: Mapping[Process, _Place]) -> dict[tuple[str, str], int]:
        """Processor time since the last look, in clock ticks, by cluster and slice."""
        passed_on: dict[int, int] = defaultdict(int)
        for process in self._before.keys() - present.keys():
            gone = self._before[process]
            passed_on[gone.parent] += gone.own_ticks + gone.ended_ticks
        spent: dict[tuple[str, str], int] = defaultdict(int)
        for process, place in places.items():
            if not place.rays:
                spent[place.cluster, place.slice] += self._since(present[process], passed_on)
        return spent

    def _since(self, sample: Sample, passed_on: Mapping[int, int]) -> int:
        """What one process and those that it waited for did since the last look."""
        before = self._before.get(sample.process)
        if before is None:
            return sample.own_ticks + sample.ended_ticks
        # What has ended since is in its parent's count as a whole, also what was counted before while it lived.
        ended = sample.ended_ticks - before.ended_ticks - passed_on.get(sample.process.pid, 0)
        return max(0, sample.own_ticks - before.own_ticks) + max(0, ended)


@dataclass(frozen=True, slots=True)
class _Spans:
    """What was counted over one span of time."""

    now: float
    over_s: float
    ticks: Mapping[tuple[str, str], int]
    memory: Mapping[tuple[str, str], int]

    def of(self, layout: Layout, devices: "_Devices") -> Readings:
        """The readings of one cluster; a slice that nothing of a user has run on used nothing."""
        readings, why = {}, dict[str, None]()
        for name in layout.slices:
            gpus, unmeasured = devices.of(layout, name)
            why |= dict.fromkeys(filter(None, (unmeasured,)))
            key = (layout.mark, name)
            cpus = MilliCpus(round(1000 * self.ticks.get(key, 0) / processes.TICKS_PER_S / self.over_s))
            readings[name] = Reading(self.now, self.over_s, cpus, Bytes(self.memory.get(key, 0)), gpus)
        return Readings(readings, tuple(why))


class _Devices:
    """The accelerators of one look, asked once if any slice holds some that are real."""

    def __init__(self, accelerators: Accelerators, pretend: Mapping[str, str]) -> None:
        self._accelerators, self._pretend = accelerators, pretend
        self._busy: Mapping[int, MilliGpus] | None = None
        self._why = ""

    def of(self, layout: Layout, name: str) -> tuple[tuple[MilliGpus, ...] | None, str]:
        """How busy those of a slice were; None, and the reason, where that is not known."""
        milli_gpus = layout.amounts[name][1]
        if not milli_gpus:
            return (), ""
        node = layout.nodes[name]
        if node in self._pretend:
            return None, PRETEND.format(tier=self._pretend[node])
        if milli_gpus % _WHOLE:
            return None, SHARED.format(slice=name)
        if self._busy is None:
            self._ask()
        busy, numbers = self._busy or {}, layout.gpu_ids[name]
        if self._why or not busy.keys() >= set(numbers):
            return None, self._why or f"accelerators {', '.join(map(str, numbers))} have no counter here"
        return tuple(busy[number] for number in numbers), ""

    def _ask(self) -> None:
        try:
            self._busy = self._accelerators.busy()
        except Unavailable as error:
            self._busy, self._why = {}, f"accelerators are not measured: {error.message}"


def _memory(places: Mapping[Process, _Place]) -> dict[tuple[str, str], int]:
    """What is resident of each slice's processes, in bytes, by cluster and slice."""
    held: dict[tuple[str, str], int] = defaultdict(int)
    for process, place in places.items():
        if not place.rays:
            held[place.cluster, place.slice] += processes.own_memory_bytes(process)
    return held


def _is_rays(process: Process) -> bool:
    return any(part in processes.command(process) for part in RAY_PARTS)
