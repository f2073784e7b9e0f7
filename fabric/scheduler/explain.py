"""Why somebody waits: what is missing in amounts, and who is ahead.

Knows nothing of how it was decided.
"""

from collections.abc import Iterator, Sequence
from typing import overload

from fabric.scheduler.columns import Amounts, NodeColumns
from fabric.scheduler.placement import shortfalls
from fabric.scheduler.plan import MOST_NAMED, Shortfall
from fabric.scheduler.shape import Part, Shape


class Shortfalls(Sequence[Shortfall]):
    """What a gang lacks, reckoned when somebody looks: of thousands who wait, few are asked about."""

    def __init__(self, shape: Shape, idle: Amounts, site: NodeColumns, head: Part | None) -> None:
        self._asked = (shape, idle, site, head)
        self._found: tuple[Shortfall, ...] | None = None

    def _all(self) -> tuple[Shortfall, ...]:
        if self._found is None:
            self._found = shortfalls(*self._asked)
        return self._found

    @overload
    def __getitem__(self, index: int) -> Shortfall: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Shortfall]: ...
    def __getitem__(self, index: int | slice) -> Shortfall | Sequence[Shortfall]:
        return self._all()[index]

    def __len__(self) -> int:
        return len(self._all())

    def __iter__(self) -> Iterator[Shortfall]:
        return iter(self._all())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and self._all() == tuple(other)

    def __hash__(self) -> int:
        return hash(self._all())

    def __repr__(self) -> str:
        return repr(self._all())


class Ahead:
    """Who was asked about so far, by the tiers they wait for."""

    def __init__(self) -> None:
        self._named: dict[tuple[str, ...], list[str]] = {}
        self._counted: dict[tuple[str, ...], int] = {}
        self._everybody: list[tuple[str, tuple[str, ...]]] = []

    def of(self, tiers: tuple[str, ...]) -> tuple[tuple[str, ...], int]:
        """The first names of those ahead that wait for one of `tiers`, and how many there are."""
        if tiers not in self._named:
            sharing = [name for name, theirs in self._everybody if not set(theirs).isdisjoint(tiers)]
            self._named[tiers], self._counted[tiers] = sharing[:MOST_NAMED], len(sharing)
        return tuple(self._named[tiers]), self._counted[tiers]

    def add(self, name: str, tiers: tuple[str, ...]) -> None:
        """Take in whoever comes next."""
        self._everybody.append((name, tiers))
        for wanted, named in self._named.items():
            if not set(tiers).isdisjoint(wanted):
                self._counted[wanted] += 1
                if len(named) < MOST_NAMED:
                    named.append(name)
