"""Who borrows what a project is guaranteed, so that preemption can have it back.

Knows nothing of single workloads: which of a borrower's is preempted, and at what cost, is not decided here.
"""

from dataclasses import dataclass

from fabric.scheduler.amounts import Amounts
from fabric.scheduler.quota import OWN, Held, Tree, borrowed

_NOTHING = Amounts()


@dataclass(frozen=True, slots=True)
class Borrower:
    """A project that holds what others are guaranteed."""

    project: str
    amounts: Amounts
    """What can be taken from it before it, or a project above it, is down to its guarantee."""


def recoverable(tree: Tree, held: Held, claimant: str, ask: Amounts, *, victim: str) -> Amounts:
    """What may be taken from `victim` now so that `claimant` can hold `ask` more.

    Both sides are looked at below the lowest project that is above both. There the claimant's branch must be within its
    guarantee with `ask` added, or it would borrow itself. The victim, and every project above it in its branch, must be
    above its guarantee. Preempt one workload, `give_back` what it held, and ask again: the last one may
    push its project below the guarantee, since work cannot be cut to size.

    Returns:
        The amounts, of the kinds that `ask` has; nothing if the victim owes nothing.
    """
    mine, theirs = tree.path(claimant), tree.path(victim)
    if mine[0] == theirs[0]:
        return _NOTHING
    above = next((name for name in mine if name in theirs), None)
    branch = mine[: mine.index(above)] if above else mine
    chain = theirs[: theirs.index(above)] if above else theirs
    if borrowed(tree, branch[-1], held.of(branch[-1]) + ask).at_most(ask):
        return _NOTHING
    least = held.of(chain[0])
    for name in chain:
        least = least.at_most(borrowed(tree, name, held.of(name)))
    return _of_kind(least, tree.count(ask))


def borrowers(tree: Tree, held: Held, claimant: str, ask: Amounts) -> tuple[Borrower, ...]:
    """Everyone from whom something may be taken now for `ask`, nearest in the tree first, ties by name.

    Taking from the nearest first leaves each branch its own; when they are down to their guarantees, ask again.
    """
    mine = tree.path(claimant)
    names = {name.removesuffix(OWN) for name in (*tree.entries, *held.whole)}
    found = [Borrower(name, recoverable(tree, held, claimant, ask, victim=name)) for name in names]
    return tuple(sorted((one for one in found if one.amounts), key=lambda one: (_apart(tree, mine, one), one.project)))


def within_guarantee(tree: Tree, held: Held, project: str, ask: Amounts) -> bool:
    """Whether `project` may hold `ask` more without borrowing, so that it can have it back from borrowers."""
    leaf = tree.path(project)[0]
    return not borrowed(tree, leaf, held.of(leaf) + ask).at_most(ask)


def _apart(tree: Tree, mine: tuple[str, ...], other: Borrower) -> int:
    """Levels from the claimant up to the project that is above both."""
    theirs = tree.path(other.project)
    return next((level for level, name in enumerate(mine) if name in theirs), len(mine))


def _of_kind(amounts: Amounts, like: Amounts) -> Amounts:
    """Nothing, unless `amounts` has some of what `like` has some of."""
    shared = amounts.at_most(like)
    return amounts if shared else _NOTHING
