"""What projects hold, from the slots of what runs for them.

Knows nothing of limits. What they hold is kept from snapshot to snapshot, so that a change costs what it touches.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache

from fabric.scheduler.amounts import Amounts
from fabric.scheduler.columns import NodeColumns, Slot, resources_of
from fabric.scheduler.quota import Held, Tree, give_back, take

Holding = tuple[str, Sequence[Slot]]
"""A project, and slots that it holds."""


def held_by(works: Iterable[Holding], tree: Tree, site: NodeColumns) -> Held:
    """What every project holds; nothing is counted where the site lists no projects."""
    slots: dict[str, list[Slot]] = {}
    for project, theirs in works if tree.entries else ():
        slots.setdefault(project, []).extend(theirs)
    held = Held()
    for project in sorted(slots):
        held = take(tree, held, project, amounts_of(slots[project], site))
    return held


def held_after(held: Held, tree: Tree, site: NodeColumns, *, gone: Iterable[Holding], new: Iterable[Holding]) -> Held:
    """What every project holds once some slots were given back and others taken."""
    if not tree.entries:
        return held
    for project, slots in gone:
        held = give_back(tree, held, project, amounts_of(slots, site))
    for project, slots in new:
        held = take(tree, held, project, amounts_of(slots, site))
    return Held({entry: amounts for entry, amounts in held.whole.items() if amounts})


def amounts_of(slots: Sequence[Slot], site: NodeColumns) -> Amounts:
    """What slots hold, by tier."""
    total: dict[str, list[int]] = {}
    for row, cpus, gpus, memory in slots:
        have = total.setdefault(site.tier_of[row], [0, 0, 0])
        have[0] += cpus
        have[1] += gpus
        have[2] += memory
    return Amounts({tier: resources_of(amount) for tier, amount in total.items()})


@lru_cache(maxsize=8)
def capacity_of(site: NodeColumns) -> Amounts:
    """All that the nodes that are ready have, by tier."""
    return amounts_of([(row, *amount) for row, amount in enumerate(site.capacity.tolist())], site)
