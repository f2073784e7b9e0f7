"""Who pays: projects in a tree, with guaranteed shares, borrowing and hard limits on each tier.

Knows nothing of what anybody holds.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from pydantic import Field, field_validator, model_validator

from fabric.config.budgets import Budget
from fabric.config.settings import Settings, checked
from fabric.core.ids import check_name
from fabric.core.quantity import Bytes, MilliCpus, MilliGpus
from fabric.core.resources import Resources

TierShares = Mapping[str, Resources]
"""A resource vector for each tier that is named."""


@dataclass(frozen=True, slots=True)
class Ceiling:
    """The most of each amount; None is unlimited."""

    cpus: MilliCpus | None = None
    gpus: MilliGpus | None = None
    memory: Bytes | None = None

    def excess(self, amount: Resources) -> Resources:
        """How far `amount` is above it, component by component; zero where it is not."""
        return Resources(
            MilliCpus(0) if self.cpus is None else amount.cpus.shortfall(self.cpus),
            MilliGpus(0) if self.gpus is None else amount.gpus.shortfall(self.gpus),
            Bytes(0) if self.memory is None else amount.memory.shortfall(self.memory),
        )

    def __str__(self) -> str:
        return " + ".join(str(part) for part in (self.gpus, self.cpus, self.memory) if part is not None)


class Share(Settings):
    """Amounts on one tier; what is left out is zero in a guarantee and unlimited in a limit."""

    cpus: float | None = Field(default=None, ge=0)
    """CPU cores."""

    gpus: float | None = Field(default=None, ge=0)
    """Accelerators."""

    memory: str | None = None
    """Memory, with unit."""

    @model_validator(mode="after")
    def _amounts(self) -> Self:
        if self.cpus is None and self.gpus is None and self.memory is None:
            raise ValueError("names no amount; give cpus, gpus or memory, or leave the tier out")
        checked(lambda: self.resources)
        return self

    @property
    def resources(self) -> Resources:
        """As a resource vector in which what is left out is zero."""
        return Resources.of(self.cpus or 0, self.gpus or 0, self.memory or 0)

    @property
    def ceiling(self) -> Ceiling:
        """As a limit in which what is left out is unlimited."""
        return Ceiling(
            None if self.cpus is None else self.resources.cpus,
            None if self.gpus is None else self.resources.gpus,
            None if self.memory is None else self.resources.memory,
        )


class Project(Settings):
    """One project; its work, and that of the projects below it, counts towards its shares."""

    name: str
    """Name, as in a workload's `project`."""

    parent: str | None = None
    """Project it belongs to; None at the top."""

    weight: float = Field(default=1.0, gt=0)
    """Relative claim among the projects of the same parent on what nobody has a guarantee for."""

    guaranteed: dict[str, Share] = {}
    """By tier: what it can always have back from borrowers; on a tier left out, the sum of the projects below."""

    borrow: dict[str, Share] | None = None
    """By tier: the most it may hold above its guarantee; None borrows without limit, `{}` never borrows."""

    limit: dict[str, Share] = {}
    """By tier: the most it may ever hold; a tier or amount that is left out has no limit."""

    budget: Budget | None = None
    """What it may use in all; None for any amount."""

    @field_validator("name")
    @classmethod
    def _name(cls, name: str) -> str:
        return checked(check_name, name, "project")

    @property
    def tiers_named(self) -> frozenset[str]:
        """Every tier that any of its shares is about."""
        return frozenset(self.guaranteed) | frozenset(self.borrow or ()) | frozenset(self.limit)


def add_shares(shares: Iterable[TierShares]) -> dict[str, Resources]:
    """The sum of shares, tier by tier."""
    total: dict[str, Resources] = {}
    for share in shares:
        for tier, amount in share.items():
            total[tier] = total.get(tier, Resources()) + amount
    return total


def guarantees(projects: Sequence[Project]) -> dict[str, dict[str, Resources]]:
    """What each project is guaranteed; tier by tier its own where it says so, otherwise the sum of those below it.

    Args:
        projects: A sound tree, as `check_projects` leaves it.
    """
    result: dict[str, dict[str, Resources]] = {}

    def of(project: Project) -> dict[str, Resources]:
        below = add_shares([of(child) for child in projects if child.parent == project.name])
        own = {tier: share.resources for tier, share in project.guaranteed.items()}
        result[project.name] = {**below, **own}
        return result[project.name]

    for top in (project for project in projects if project.parent is None):
        of(top)
    return result


def check_projects(projects: Sequence[Project], capacity: TierShares) -> None:
    """Check that projects form a tree whose guarantees can be honoured together.

    Args:
        projects: As the site file gives them.
        capacity: All that the nodes of each tier have together.

    Raises:
        ValueError: Naming the project and the amounts: doubled names, unknown parents or tiers, a circle of parents,
            guarantees that exceed the parent's, the project's own limit or the tier.
    """
    _check_tree(projects)
    for project in projects:
        unknown = sorted(project.tiers_named - capacity.keys())
        if unknown:
            raise ValueError(
                f"project {project.name}: {unknown[0]!r} is no tier; the site has {', '.join(sorted(capacity))}"
            )
    granted = guarantees(projects)
    for project in projects:
        _check_limit(project, granted[project.name])
        below = add_shares(granted[child.name] for child in projects if child.parent == project.name)
        _check_sum(f"the projects below {project.name}", below, granted[project.name], f"{project.name} itself")
    tops = add_shares(granted[project.name] for project in projects if project.parent is None)
    _check_sum("all projects together", tops, capacity, "the whole tier")


def _check_tree(projects: Sequence[Project]) -> None:
    parents = {project.name: project.parent for project in projects}
    if len(parents) != len(projects):
        raise ValueError(f"projects need different names, got {[project.name for project in projects]}")
    for name, parent in parents.items():
        if parent is not None and parent not in parents:
            raise ValueError(f"project {name}: parent {parent!r} is none of the projects {', '.join(sorted(parents))}")
        path, above = [name], parent
        while above is not None:
            if above in path:
                circle = " -> ".join([*path, above])
                raise ValueError(f"project {name}: its parents form a circle, {circle}; one of them must be at the top")
            path.append(above)
            above = parents[above]


def _check_limit(project: Project, granted: TierShares) -> None:
    for tier, limit in project.limit.items():
        have = granted.get(tier, Resources())
        over = limit.ceiling.excess(have)
        if over:
            raise ValueError(
                f"project {project.name}: is guaranteed {have} on tier {tier}, {over} above its own limit; "
                "raise the limit or guarantee less"
            )


def _check_sum(who: str, asked: TierShares, most: TierShares, whose: str) -> None:
    for tier, amount in sorted(asked.items()):
        over = amount.shortfall(most.get(tier, Resources()))
        if over:
            raise ValueError(
                f"{who} are guaranteed {amount} on tier {tier}, {over} more than {whose} has "
                f"({most.get(tier, Resources())}); guarantee less"
            )
