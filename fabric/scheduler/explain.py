"""Why somebody waits: what is missing in amounts, and who is ahead.

Knows nothing of how it was decided. Answers are worked out when somebody looks: few of those who wait are asked about.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Generic, TypeVar, overload

from fabric.scheduler.columns import Amounts, NodeColumns, Tiers
from fabric.scheduler.placement import shortfalls
from fabric.scheduler.plan import MOST_NAMED, Shortfall, Wait
from fabric.scheduler.shape import Part, Shape
from fabric.scheduler.snapshot import Promise, Waiting

T = TypeVar("T")


class Later(Sequence[T], Generic[T]):
    """A tuple that is made when it is first looked at; equal to the tuple."""

    def __init__(self, make: Callable[[], tuple[T, ...]]) -> None:
        self._make = make
        self._made: tuple[T, ...] | None = None

    def _all(self) -> tuple[T, ...]:
        if self._made is None:
            self._made = self._make()
        return self._made

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[T]: ...
    def __getitem__(self, index: int | slice) -> T | Sequence[T]:
        return self._all()[index]

    def __len__(self) -> int:
        return len(self._all())

    def __iter__(self) -> Iterator[T]:
        return iter(self._all())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and self._all() == tuple(other)

    def __hash__(self) -> int:
        return hash(self._all())

    def __repr__(self) -> str:
        return repr(self._all())


def answers(
    waiting: Sequence[Waiting],
    site: NodeColumns,
    *,
    idle: Amounts,
    head: Part | None,
    promises: Mapping[str, Promise],
    expected: Mapping[str, float | None],
    notes: Mapping[str, str],
) -> tuple[Wait, ...]:
    """Why each of `waiting` waits.

    Args:
        waiting: In the order of the queue.
        site: The nodes.
        idle: What nobody holds of each node, once everybody has started who may.
        head: What a head of its own is charged.
        promises: What is set aside, by name.
        expected: When some of the others should start, in seconds since the epoch.
        notes: What else is in the way of some, or is done about it.
    """
    missing: dict[Shape, Sequence[Shortfall]] = {}
    ahead = _Ahead()
    waits = []
    for work in waiting:
        name, shape = work.name, work.shape
        if work.blocked_by:
            waits.append(Wait(name, after=work.blocked_by))
            continue
        if shape not in missing:
            missing[shape] = _shortfalls(shape, idle, site, head)
        tiers, promise = site.wishes(shape.tiers), promises.get(name)
        named, count = ahead.of(tiers)
        start = promise.start if promise else expected.get(name)
        note, promised = notes.get(name, ""), promise is not None
        waits.append(Wait(name, missing[shape], named, count, expected_start=start, note=note, promised=promised))
        ahead.add(name, tiers)
    return tuple(waits)


def _shortfalls(shape: Shape, idle: Amounts, site: NodeColumns, head: Part | None) -> Sequence[Shortfall]:
    return Later(lambda: shortfalls(shape, idle, site, head))


class _Ahead:
    """Who was asked about so far, by the tiers they wait for."""

    def __init__(self) -> None:
        self._named: dict[Tiers, list[str]] = {}
        self._counted: dict[Tiers, int] = {}
        self._everybody: list[tuple[str, Tiers]] = []

    def of(self, tiers: Tiers) -> tuple[tuple[str, ...], int]:
        """The first names of those ahead that wait for one of `tiers`, and how many there are."""
        if tiers not in self._named:
            sharing = [name for name, theirs in self._everybody if not set(theirs).isdisjoint(tiers)]
            self._named[tiers], self._counted[tiers] = sharing[:MOST_NAMED], len(sharing)
        return tuple(self._named[tiers]), self._counted[tiers]

    def add(self, name: str, tiers: Tiers) -> None:
        """Take in whoever comes next."""
        self._everybody.append((name, tiers))
        for wanted, named in self._named.items():
            if not set(tiers).isdisjoint(wanted):
                self._counted[wanted] += 1
                if len(named) < MOST_NAMED:
                    named.append(name)
