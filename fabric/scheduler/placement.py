"""Put a gang on nodes: all of its groups and its head, or nothing.

Knows nothing of queues or time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fabric.core.errors import DoesNotFit
from fabric.core.resources import Resources
from fabric.scheduler.plan import Shortfall
from fabric.scheduler.snapshot import Node, take
from fabric.workloads.record import Grant, Slice
from fabric.workloads.spec import HEAD_GROUP, Group

_NOTHING = Resources()


@dataclass(frozen=True, slots=True)
class Attempted:
    """A placement that worked, or what was in its way and what it would have taken elsewhere."""

    grant: Grant | None
    partial: tuple[Slice, ...]
    """Slices of the groups that did fit."""
    shortfalls: tuple[Shortfall, ...]


def place(groups: Sequence[Group], free: Mapping[str, Resources], nodes: Sequence[Node], head: Resources) -> Attempted:
    """Find slices for every group and the head, or say what is missing.

    Groups with accelerators choose first, as they have the fewest nodes. Each packs the fullest node that still takes a
    worker; a group without accelerators and without a tier prefers nodes that have none. Where the whole request
    is one slice on a node that may hold heads, the head runs inside it.
    """
    left = dict(free)
    taken: list[Slice] = []
    short: list[Shortfall] = []
    for group in sorted(groups, key=lambda g: (-g.request.gpus.count, g.tier is None, g.name)):
        slices, shortfall = _place_group(group, left, nodes)
        if shortfall:
            short.append(shortfall)
            continue
        take(left, slices)
        taken += slices
    by_node = {node.name: node for node in nodes}
    if not short and len(taken) == 1 and by_node[taken[0].node].heads:
        taken = [_with_head(taken[0])]
    else:
        heads, shortfall = _place_head(head, left, [node for node in nodes if node.heads])
        taken, short = [*heads, *taken], [*short, *([shortfall] if shortfall else [])]
    if short:
        return Attempted(None, tuple(taken), tuple(short))
    return Attempted(Grant(tuple(taken), _why(taken)), tuple(taken), ())


def require_possible(workload: str, groups: Sequence[Group], nodes: Sequence[Node], head: Resources) -> None:
    """Check that the empty site could hold the gang.

    Raises:
        DoesNotFit: Naming the group, what it asks and the largest possible.
    """
    tiers = sorted({node.tier for node in nodes})
    for group in groups:
        if group.tier is not None and group.tier not in tiers:
            raise DoesNotFit(
                f"{workload}: group {group.name} wants tier {group.tier!r}, but the site has {', '.join(tiers)}.",
                group=group.name,
            )
        candidates = [node for node in nodes if group.tier in (None, node.tier)]
        if not any(group.request.fits(node.capacity) for node in candidates):
            largest = max(candidates, key=lambda n: (n.capacity.gpus, n.capacity.cpus, n.capacity.memory))
            raise DoesNotFit(
                f"{workload}: group {group.name} asks for {group.request} per worker, but the largest node "
                f"({largest.name}, tier {largest.tier}) has {largest.capacity}. Ask for that or less, "
                "or for more workers.",
                group=group.name,
            )
    attempted = place(groups, {node.name: node.capacity for node in nodes}, nodes, head)
    if attempted.grant is None:
        raise DoesNotFit(
            f"{workload}: cannot be placed even on the empty site: {'; '.join(map(str, attempted.shortfalls))}. "
            "Ask for fewer or smaller workers."
        )


def _place_group(
    group: Group, free: Mapping[str, Resources], nodes: Sequence[Node]
) -> tuple[tuple[Slice, ...], Shortfall | None]:
    """Slices for every worker of one group, or its shortfall."""
    candidates = [node for node in nodes if node.name in free and group.tier in (None, node.tier)]
    slices: list[Slice] = []
    left = group.count
    for node in sorted(candidates, key=lambda n: _preference(group, n, free[n.name])):
        workers = min(left, group.request.times_in(free[node.name]))
        if workers:
            name = f"{group.name}-{len(slices)}"
            slices.append(Slice(name, group.name, node.name, node.tier, workers, group.request * workers))
            left -= workers
        if not left:
            return tuple(slices), None
    idle = sum((free[node.name] for node in candidates), _NOTHING)
    missing = (group.request * group.count).shortfall(idle)
    return (), Shortfall(group.name, group.tier, group.request, group.count, group.count - left, missing)


def _preference(group: Group, node: Node, free: Resources) -> tuple[bool, int, int, int, str]:
    """Smaller is better: no idle accelerators for CPU work, then the fullest node, then the name."""
    wastes_gpus = not group.request.gpus and bool(node.capacity.gpus)
    return (wastes_gpus, free.gpus.count, free.cpus.count, free.memory.count, node.name)


def _place_head(
    head: Resources, free: Mapping[str, Resources], nodes: Sequence[Node]
) -> tuple[tuple[Slice, ...], Shortfall | None]:
    """A slice for the Ray head alone."""
    asked = Group(name="h", cpus=head.cpus.whole(), memory=f"{head.memory.count} B")
    slices, shortfall = _place_group(asked, free, nodes)
    if shortfall:
        where = ", ".join(sorted({node.tier for node in nodes})) or None
        return (), Shortfall(HEAD_GROUP, where, head, 1, 0, shortfall.missing)
    (found,) = slices
    return (Slice(HEAD_GROUP, HEAD_GROUP, found.node, found.tier, 1, head, head=True),), None


def _with_head(part: Slice) -> Slice:
    return Slice(part.name, part.group, part.node, part.tier, part.workers, part.resources, head=True)


def _why(slices: Sequence[Slice]) -> str:
    """One line that names each group with its nodes."""
    groups: dict[str, list[str]] = {}
    for part in slices:
        groups.setdefault(part.group, []).append(f"{part.workers} on {part.node}")
    return "; ".join(f"{group}: {', '.join(where)}" for group, where in groups.items())
