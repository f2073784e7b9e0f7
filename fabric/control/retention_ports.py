"""Everything that retention needs of the world.

Knows nothing of how long anything is kept.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from fabric.store.old_artifacts import Part
from fabric.store.removal import Measure, Step, to_the_end
from fabric.store.retention import Ended
from fabric.store.shelves import Unneeded
from fabric.workloads.record import Record


class Records(Protocol):
    """Which work has ended, and what it told of itself."""

    def ends(self, names: Collection[str]) -> Mapping[str, Ended]:
        """When workloads ended, by name."""
        ...

    def reported(self, before: float, limit: int) -> Sequence[Ended]:
        """Work that ended before an instant and of whose reports something is kept."""
        ...

    def num_reported(self, before: float) -> int:
        """How many there are of these."""
        ...

    def forget_reports(self, before: float, limit: int, said: str) -> int:
        """Forget them and say so; of how many it was."""
        ...

    def say(self, names: Collection[str], said: str) -> frozenset[str]:
        """Write a line once into the histories of those that have ended; their names."""
        ...


class Logs(Protocol):
    """Copies of what drivers wrote."""

    def kept(self) -> Mapping[str, Measure]:
        """Every workload that has a log."""
        ...

    def retire(self, workload: str, before: float) -> bool:
        """Remove one in one step, unless something was written since."""
        ...

    def sweep(self) -> None:
        """Finish what a kill cut off."""
        ...


class Artifacts(Protocol):
    """What projects keep."""

    def parts(self, step: Step = to_the_end) -> Iterator[Part]:
        """Everything, in parts that are whole only together; `step` is called before each step of looking."""
        ...

    def remove(self, part: Part, before: float) -> bool:
        """Remove one in one step, unless it was used since."""
        ...

    def sweep(self) -> None:
        """Finish what a kill cut off."""
        ...


class Packages(Protocol):
    """Uploaded packages."""

    def unneeded(self, named: Collection[tuple[str, str]]) -> Sequence[Unneeded]:
        """What has long not been used and is not named (project, name)."""
        ...

    def collect(self, named: Collection[tuple[str, str]]) -> int:
        """Remove it; the bytes that became free."""
        ...


@dataclass(frozen=True, slots=True)
class Kept:
    """Everything that is kept, and who still needs it."""

    records: Records
    logs: Logs
    artifacts: Artifacts
    packages: Packages
    active: Callable[[], Mapping[str, Record]]
    """Every workload that is not final, and those it comes after."""
    named: Callable[[], Collection[tuple[str, str]]]
    """Project and name of every package that work names which has not ended."""
    fence: Callable[[], None] = lambda: None
    """Raises LostLead where another control may lead."""
