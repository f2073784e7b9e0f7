"""Work at the size that the fabric says: at another one the ranks save and leave, and the run goes on from there.

Knows nothing of Ray, nor of what is trained. The batch stays the same, so every size learns from the same samples.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

from fabric.api.admin import SizeView
from fabric.core.errors import ClusterLost
from fabric.train.checkpoint import Checkpoint, Checkpoints
from fabric.train.report import Reporter, Say
from fabric.train.settings import TrainerSettings
from fabric.train.task import StopFile, resume

_LOOK_EVERY_S = 1.0
_LOOKS_WITHOUT_ANSWER = 30
"""After so many looks without any answer the ranks start as the settings say: work does not wait for a lost control."""


class Sized(Protocol):
    """A run that may go on from any of its checkpoints on any number of ranks."""

    @property
    def folder(self) -> Path:
        """Its output."""
        ...

    @property
    def num_steps(self) -> int:
        """Steps in all."""
        ...

    @property
    def run(self) -> dict[str, object]:
        """What decides the result."""
        ...

    @property
    def checkpoints(self) -> Checkpoints:
        """Its checkpoints."""
        ...

    @property
    def reporter(self) -> Reporter:
        """Who says the size, and hears of it."""
        ...

    def going_on_from(self, start: Checkpoint | None) -> Self:
        """The same run from another point on."""
        ...

    def ranks_for(self, workers: int) -> int:
        """How many of `workers` ranks can share a batch equally."""
        ...


T = TypeVar("T", bound=Sized)
R = TypeVar("R")

Start = Callable[[T, TrainerSettings, tuple[str, ...]], R]
"""Runs the ranks of a task in the slices named (all, if none is) until they end; what rank 0 returned."""


def at_every_size(start: Start[T, R], task: T, trainers: TrainerSettings, *, stopping: threading.Event, say: Say) -> R:
    """Run ranks at the size of the moment, one group after the other, until the run ends or is asked to stop.

    Under plain Ray, and where the group of `trainers` is not elastic, there is one group of `trainers.count` ranks.

    Args:
        start: Starts a group of ranks and waits for its end; what it returns says in `left_because` why it left early.
        task: The run.
        trainers: The ranks; their number is taken where the fabric says none.
        stopping: Set once the run was asked to stop, which no other size may undo.
        say: Told of every other size.

    Raises:
        ClusterLost: If a rank was lost, unless its slice was to be given back.
    """
    size = _first(task.reporter, trainers, stopping)
    while True:
        watch = _Watch(task, trainers, size)
        outcome, lost = _group(start, task, watch)
        following = watch.following()
        if following is None or stopping.is_set() or (outcome is not None and not outcome.left_because):
            result: R = _ended(outcome, lost)
            return result
        workers = f"{size.workers} to " if size else ""
        why = f" ({lost.message})" if lost else ""
        say(f"the ranks have left{why}: it goes on with {workers}{following.workers} workers")
        size, task = following, task.going_on_from(resume(task, say))
        # A notice that came while the folder was made ready for the next group was taken away with the older one.
        if stopping.is_set():
            result = _ended(outcome, lost)
            return result


def _group(start: Start[T, Any], task: T, watch: "_Watch") -> tuple[Any, ClusterLost | None]:
    """Run one group of ranks; what it returned, or how it was lost."""
    watch.tell()
    with watch.watching():
        try:
            return start(task, watch.trainers, watch.slices), None
        except ClusterLost as error:
            return None, error


def _ended(outcome: Any, lost: ClusterLost | None) -> Any:
    """What the last group returned.

    Raises:
        ClusterLost: If it was lost.
    """
    if lost is not None:
        raise lost
    return outcome


def _first(reporter: Reporter, trainers: TrainerSettings, stopping: threading.Event) -> SizeView | None:
    """The size to begin with, once it is known; None where it never changes, or nobody answers for a long time."""
    looks = 0
    while True:
        said = reporter.size()
        if said is None or (said.workers is not None and said.group != trainers.group):
            return None
        if said.workers is not None:
            return said
        looks += 1
        if stopping.wait(_LOOK_EVERY_S) or (not said.group and looks > _LOOKS_WITHOUT_ANSWER):
            return None


class _Watch:
    """Looks whether a group of ranks still has the size that it should have."""

    def __init__(self, task: Sized, trainers: TrainerSettings, size: SizeView | None) -> None:
        self._task = task
        self._size = size
        self._other: SizeView | None = None
        self.trainers = trainers
        if size is not None and size.workers is not None:
            self.trainers = trainers.model_copy(update={"count": task.ranks_for(size.workers)})

    @property
    def slices(self) -> tuple[str, ...]:
        """Where its ranks may be; anywhere in their group, if none is named."""
        return self._size.slices if self._size else ()

    def tell(self) -> None:
        """Say at what size the ranks work from now on."""
        if self._size is not None and self._size.workers is not None:
            self._task.reporter.resized(self._size.workers)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """A block in which the ranks are asked to save and leave once they should have another size."""
        done = threading.Event()
        thread = threading.Thread(target=self._follow, args=(done,), name="size", daemon=True)
        if self._size is not None:
            thread.start()
        try:
            yield
        finally:
            done.set()
            if self._size is not None:
                thread.join()

    def following(self) -> SizeView | None:
        """The size to go on with, the newest that was said; None if it is the present one still."""
        if self._size is None:
            return None
        newest = self._task.reporter.size()
        if newest is not None and newest.slices and (self._other is not None or self._differs(newest)):
            return newest
        return self._other

    def _follow(self, done: threading.Event) -> None:
        while not done.wait(_LOOK_EVERY_S):
            said = self._task.reporter.size()
            if said is None or not said.slices or said == self._size:
                continue
            if self._differs(said):
                self._other = said
                before = self._size.workers if self._size else None
                StopFile(self._task.folder).ask(f"its size changes from {before} to {said.workers} workers")
                return
            # Room that no rank can use, as the batch could not be shared equally.
            self._size = said
            self.tell()

    def _differs(self, said: SizeView) -> bool:
        """Whether other ranks are needed, or ranks may be on slices that are not theirs any more."""
        lost = not set(self.slices) <= set(said.slices)
        return lost or self._task.ranks_for(said.workers or 1) != self.trainers.count
