"""Who may hold how much: a tree of projects with guarantees to be had back, borrowing, and limits that nobody passes.

Knows nothing of nodes, so what is allowed may still not fit; and nothing of time.

The idea is Kueue's cohorts (nominal quota, borrowing limit, reclaim within the cohort) as a tree. An amount is
guaranteed or borrowed only where some project of the site is guaranteed some of it; what nobody is guaranteed belongs
to nobody, and using it is not borrowing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from fabric.config.projects import Ceiling, Project, guarantees
from fabric.core.quantity import Bytes, MilliCpus, MilliGpus
from fabric.core.resources import Resources
from fabric.scheduler.amounts import Amounts

OWN = "/own"
"""Ending of the leaf that stands for the work of a project that has others below it; no name holds a slash."""

_NOTHING = Amounts()


@dataclass(frozen=True, slots=True)
class Entry:
    """One project, or the own work of one that has others below it."""

    name: str
    path: tuple[str, ...]
    """From itself up to the top."""
    weight: float
    guaranteed: Amounts
    limit: Mapping[str, Ceiling]
    """The most it may ever hold, by tier."""
    borrow: Mapping[str, Ceiling]
    """The most it may hold with all that it borrows, by tier."""


@dataclass(frozen=True, slots=True)
class Tree:
    """All projects of a site; made once from its settings."""

    entries: Mapping[str, Entry] = field(default_factory=dict)
    counted: Mapping[str, Resources] = field(default_factory=dict)
    """By tier, above zero for the amounts that some project is guaranteed."""
    projects: tuple[Project, ...] = ()
    """What it was made from."""

    def path(self, project: str) -> tuple[str, ...]:
        """What the work of `project` counts towards, from its leaf up; itself alone where the site does not list it."""
        own = self.entries.get(project + OWN) or self.entries.get(project)
        return own.path if own else (project,)

    def count(self, amounts: Amounts) -> Amounts:
        """The part of `amounts` that some project is guaranteed, whoever it is."""
        masks = self.counted
        return Amounts({tier: _masked(have, masks[tier]) for tier, have in amounts.by_tier.items() if tier in masks})


@dataclass(frozen=True, slots=True)
class Held:
    """What every project holds now, with all below it; changed by `take` and `give_back` into new values."""

    whole: Mapping[str, Amounts] = field(default_factory=dict)
    """By entry of the tree."""

    def of(self, entry: str) -> Amounts:
        """What one entry holds, with all below it."""
        return self.whole.get(entry, _NOTHING)


@dataclass(frozen=True, slots=True)
class Allowed:
    """No limit is in the way."""

    borrowed: Amounts
    """The part that goes beyond the project's own guarantee and that its lenders may have back."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A limit is in the way, and waiting for free nodes does not help."""

    project: str
    ask: Amounts
    at: str
    """The project whose limit it is: the asking one or one above it."""
    kind: Literal["limit", "borrowing limit", "unlisted"]
    over: Amounts
    """How far it would be passed."""
    most: str
    """The limit, on the tiers where it would be passed."""
    holders: tuple[tuple[str, Amounts], ...]
    """Who holds what is counted towards it there, most of it first."""

    @property
    def reason(self) -> str:
        """One line for people."""
        if self.kind == "unlisted":
            return f"project {self.project} is not one of the site's projects ({self.most})"
        held = ", ".join(f"{name} {amounts}" for name, amounts in self.holders) or "nobody"
        return (
            f"project {self.project} asks for {self.ask}, {self.over} more than the {self.kind} of project {self.at} "
            f"allows ({self.most}); held by {held}"
        )


def tree(projects: Sequence[Project]) -> Tree:
    """The tree of a site's projects, which must be sound (`fabric.config.projects.check_projects`)."""
    granted = {name: Amounts(share) for name, share in guarantees(projects).items()}
    counted = sum(granted.values(), _NOTHING).by_tier
    parents = {project.name: project.parent for project in projects}
    entries: dict[str, Entry] = {}
    for project in projects:
        path = _path(project.name, parents)
        limit = {tier: share.ceiling for tier, share in project.limit.items()}
        borrow = _borrow(project, granted[project.name], counted)
        entries[project.name] = Entry(project.name, path, project.weight, granted[project.name], limit, borrow)
        below = [granted[name] for name, parent in parents.items() if parent == project.name]
        if below:
            rest = granted[project.name] - sum(below, _NOTHING)
            entries[project.name + OWN] = Entry(project.name + OWN, (project.name + OWN, *path), 1.0, rest, {}, {})
    return Tree(entries, counted, tuple(projects))


def take(tree: Tree, held: Held, project: str, amounts: Amounts) -> Held:
    """`held` after work of `project` got `amounts`."""
    return Held({**held.whole, **{entry: held.of(entry) + amounts for entry in tree.path(project)}})


def give_back(tree: Tree, held: Held, project: str, amounts: Amounts) -> Held:
    """`held` after work of `project` returned `amounts`.

    Raises:
        ValueError: If it does not hold as much.
    """
    return Held({**held.whole, **{entry: held.of(entry) - amounts for entry in tree.path(project)}})


def may_start(tree: Tree, held: Held, project: str, ask: Amounts) -> Allowed | Refused:
    """Whether `project` may hold `ask` more, by its own limits and those of every project above it.

    A site that lists no projects allows everything; one that lists some refuses the others.
    """
    if not tree.entries:
        return Allowed(_NOTHING)
    if project not in tree.entries:
        return Refused(project, ask, project, "unlisted", ask, ", ".join(_listed(tree)), ())
    for name in tree.path(project):
        refused = _passes(tree, held, project, ask, at=tree.entries[name])
        if refused:
            return refused
    leaf = tree.path(project)[0]
    before = Amounts({tier: held.of(leaf).on(tier) for tier in ask.by_tier})
    return Allowed(borrowed(tree, leaf, before + ask) - borrowed(tree, leaf, before))


def borrowed(tree: Tree, entry: str, amounts: Amounts) -> Amounts:
    """How far `amounts` go beyond the guarantee of one entry of the tree."""
    known = tree.entries.get(entry)
    return tree.count(amounts).shortfall(known.guaranteed if known else _NOTHING)


def _path(name: str, parents: Mapping[str, str | None]) -> tuple[str, ...]:
    above = parents[name]
    return (name,) if above is None else (name, *_path(above, parents))


def _borrow(project: Project, granted: Amounts, counted: Mapping[str, Resources]) -> dict[str, Ceiling]:
    """Ceilings of guarantee and borrowing together; amounts that are neither counted nor named have none."""
    if project.borrow is None:
        return {}
    ceilings = {}
    for tier in sorted({*project.borrow, *counted}):
        have, share = granted.on(tier), project.borrow.get(tier)
        if share is None:
            mask = counted[tier]
            ceilings[tier] = Ceiling(
                have.cpus if mask.cpus else None, have.gpus if mask.gpus else None, have.memory if mask.memory else None
            )
        else:
            named, extra = share.ceiling, share.resources + have
            ceilings[tier] = Ceiling(
                None if named.cpus is None else extra.cpus,
                None if named.gpus is None else extra.gpus,
                None if named.memory is None else extra.memory,
            )
    return ceilings


def _masked(have: Resources, mask: Resources) -> Resources:
    return Resources(
        have.cpus if mask.cpus else MilliCpus(0),
        have.gpus if mask.gpus else MilliGpus(0),
        have.memory if mask.memory else Bytes(0),
    )


def _excess(held: Amounts, ask: Amounts, ceilings: Mapping[str, Ceiling]) -> Amounts:
    """How much of `ask` passes a ceiling; what is held too much of already is no reason to refuse anything else."""
    over = {tier: ceilings[tier].excess(held.on(tier) + ask.on(tier)) for tier in ask.by_tier if tier in ceilings}
    return Amounts(over).at_most(ask) if over else _NOTHING


def _passes(tree: Tree, held: Held, project: str, ask: Amounts, *, at: Entry) -> Refused | None:
    """The limit of `at` that `ask` would pass, if any."""
    kinds: tuple[tuple[Literal["limit", "borrowing limit"], Mapping[str, Ceiling]], ...]
    kinds = (("limit", at.limit), ("borrowing limit", at.borrow))
    for kind, ceilings in kinds:
        over = _excess(held.of(at.name), ask, ceilings)
        if over:
            most = ", ".join(f"{ceilings[tier]} on {tier}" for tier in sorted(over.by_tier))
            return Refused(project, ask, at.name, kind, over, most, _holders(tree, held, at.name, over))
    return None


def _holders(tree: Tree, held: Held, at: str, like: Amounts) -> tuple[tuple[str, Amounts], ...]:
    """Who holds what counts towards `at`, on the tiers and of the kinds of `like`, most of it first."""
    below = [name for name in _listed(tree) if at in tree.path(name)]
    theirs = {name: _same(held.of(tree.path(name)[0]), like) for name in below}
    return tuple((name, theirs[name]) for name in sorted(theirs, key=lambda n: (_size(theirs[n]), n)) if theirs[name])


def _same(have: Amounts, like: Amounts) -> Amounts:
    """The part of `have` on the tiers and of the kinds of `like`."""
    return Amounts({tier: _masked(have.on(tier), amount) for tier, amount in like.by_tier.items()})


def _size(amounts: Amounts) -> tuple[int, int, int]:
    """Smaller for more."""
    total = sum(amounts.by_tier.values(), Resources())
    return (-total.gpus.count, -total.cpus.count, -total.memory.count)


def _listed(tree: Tree) -> list[str]:
    return [name for name in tree.entries if not name.endswith(OWN)]
