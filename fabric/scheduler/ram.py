"""The RAM bill: everything a slice keeps in a node's memory, line by line, and whether a node can still pay it.

Knows nothing of queues or of what a slice is for: the same bill answers admission, fills the manifest's limits and is
what people read.
"""

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from fabric.core.errors import DoesNotFit
from fabric.core.quantity import Bytes, Quantity
from fabric.core.resources import Resources
from fabric.scheduler.ram_lines import Kept, Line, Needs, Terms, Volume, lines

_NONE = Bytes(0)


@dataclass(frozen=True, slots=True)
class Bill:
    """What one slice costs."""

    tier: str
    diskless: bool
    lines: tuple[Line, ...]
    slice: Resources
    """CPUs, accelerators and memory of the slice alone, in whole superchips where the tier says so."""
    limit: Bytes
    """The part of its memory that the kernel counts towards it: the manifest's memory limit."""

    @property
    def shared(self) -> tuple[Line, ...]:
        """Charged lines that it shares with other slices of its node."""
        return tuple(line for line in self.lines if line.shared and line.charged)

    @property
    def total(self) -> Bytes:
        """All it takes of an otherwise empty node's RAM."""
        return sum((line.cost for line in self.lines), _NONE)

    def beside(self, images: AbstractSet[str]) -> Resources:
        """What a node must have free for it where the layers of `images` are charged already."""
        layers = sum((line.size for line in self.shared if line.shared not in images), _NONE)
        return self.slice + Resources(memory=layers)

    def size(self, what: str) -> Bytes:
        """Size of the line `what`, charged or not; zero if there is none."""
        return sum((line.size for line in self.lines if line.what == what), _NONE)


def bill(needs: Needs, terms: Terms) -> Bill:
    """Charge a slice, line by line.

    On a diskless tier every byte is RAM. On a tier with disks, files cost nothing and their lines are limits alone. A
    tier without caps charges what was asked for, the head, and volumes in memory.
    """
    items = lines(needs, terms)
    own = sum((line.cost for line in items if not line.shared), _NONE)
    charged = Resources(needs.asked.cpus, needs.asked.gpus, own)
    if terms.unit is not None:
        units = whole_units(charged, terms.unit)
        rounded = terms.unit * units
        why = f"{units} whole superchips of {terms.unit.memory}"
        items = (*items, Line("rest of superchips", rounded.memory - own, True, why))
        charged = rounded
    outside = {Kept.LAYERS, Kept.FILES} if terms.block else {Kept.LAYERS}
    uncounted = (line.cost for line in items if not line.shared and line.kept in outside)
    return Bill(terms.tier, terms.diskless, items, charged, charged.memory - sum(uncounted, _NONE))


def whole_units(asked: Resources, unit: Resources) -> int:
    """How many superchips hold `asked`: the most that any of its amounts needs.

    Raises:
        ValueError: If it asks for something of which a unit has nothing.
    """
    return max(
        _times(asked.cpus, unit.cpus, "CPUs"),
        _times(asked.gpus, unit.gpus, "GPUs"),
        _times(asked.memory, unit.memory, "memory"),
    )


def on_node(bills: Iterable[Bill]) -> Bytes:
    """What slices take of their node's RAM together; an image that several use is there once."""
    total, layers = _NONE, dict[str, Bytes]()
    for one in bills:
        total += one.slice.memory
        for line in one.shared:
            layers[line.shared] = max(line.size, layers.get(line.shared, _NONE))
    return total + sum(layers.values(), _NONE)


@dataclass(frozen=True, slots=True)
class Admitted:
    """The node can pay the bill."""

    left: Bytes
    """RAM that stays free."""


@dataclass(frozen=True, slots=True)
class Overdrawn:
    """The node cannot pay the bill."""

    bill: Bill
    free: Bytes
    """RAM that was left."""
    short: Bytes
    """RAM that is missing."""

    @property
    def reason(self) -> str:
        """One line for people, with the largest lines."""
        largest = sorted(
            (line for line in self.bill.lines if line.cost), key=lambda line: (-line.cost.count, line.what)
        )
        named = ", ".join(f"{line.what} {line.cost}" for line in largest[:3])
        return f"its RAM bill on tier {self.bill.tier} is {self.short} more than the {self.free} free ({named})"


def admit(new: Bill, held: Sequence[Bill], ram: Bytes) -> Admitted | Overdrawn:
    """Whether a node with `ram` for workloads can hold `new` beside the slices of `held`."""
    before, after = on_node(held), on_node((*held, new))
    if after <= ram:
        return Admitted(ram - after)
    return Overdrawn(new, ram.shortfall(before), after.shortfall(ram))


def require_payable(workload: str, bill: Bill, capacity: Resources) -> None:
    """Check that an empty node of the tier could pay the bill.

    Raises:
        DoesNotFit: With the whole bill.
    """
    answer = admit(bill, (), capacity.memory)
    if isinstance(answer, Overdrawn):
        raise DoesNotFit(
            f"{workload}: {answer.reason}. Ask for less memory per worker, or for smaller caps:\n{table(bill)}",
            tier=bill.tier,
            short=answer.short.count,
        )
    over = bill.slice.shortfall(capacity)
    if over:
        raise DoesNotFit(
            f"{workload}: needs {bill.slice} in whole superchips, {over} more than a node of {bill.tier} has."
        )


@dataclass(frozen=True, slots=True)
class Limits:
    """What a manifest says, so that nothing grows beyond its bill."""

    memory: Bytes
    """Memory limit of the slice."""
    object_store: Bytes
    """Ray's `object_store_memory`."""
    dev_shm: Bytes
    """Size limit of shared memory, in which Ray keeps its object store too."""
    volumes: tuple[Volume, ...]
    """Every emptyDir with its size limit."""


def limits(bill: Bill, needs: Needs) -> Limits:
    """The limits of the slice that `bill` charged for `needs`."""
    store = bill.size("object store")
    folders = (Volume(name, bill.size(name)) for name in ("scratch", "logs", "spill", "JIT caches") if bill.size(name))
    return Limits(bill.limit, store, store + bill.size("shared memory"), (*needs.volumes, *folders))


def table(bill: Bill) -> str:
    """The bill as people read it: a line each, in an order that never changes, and the total."""
    where = "diskless: files are RAM" if bill.diskless else "with disks: files are not charged"
    rows = [(line.what, str(line.size) if line.charged else f"({line.size})", line.why) for line in bill.lines]
    rows.append(("total", str(bill.total), "of the node's RAM"))
    first, second = (max(len(row[column]) for row in rows) for column in (0, 1))
    body = [f"  {what:<{first}}  {size:>{second}}  {why}".rstrip() for what, size, why in rows]
    return "\n".join([f"RAM bill on tier {bill.tier} ({where})", *body])


def _times(asked: Quantity, unit: Quantity, what: str) -> int:
    if not asked:
        return 0
    if not unit:
        raise ValueError(f"a superchip without {what} never holds {asked}")
    return -(-asked.count // unit.count)
