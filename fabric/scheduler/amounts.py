"""A resource vector for each tier: what somebody holds, asks for or is promised across the site.

Knows nothing of who.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Self

from fabric.core.resources import Resources
from fabric.workloads.record import Slice

_NOTHING = Resources()


@dataclass(frozen=True, slots=True)
class Amounts:
    """Resources by tier; a tier that is left out has nothing."""

    by_tier: Mapping[str, Resources] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # Without empty entries, so that equal amounts are equal values.
        kept = {tier: amount for tier, amount in self.by_tier.items() if amount}
        object.__setattr__(self, "by_tier", kept)

    @classmethod
    def of_slices(cls, slices: Iterable[Slice]) -> Self:
        """All that `slices` hold."""
        total: dict[str, Resources] = {}
        for part in slices:
            total[part.tier] = total.get(part.tier, _NOTHING) + part.resources
        return cls(total)

    def on(self, tier: str) -> Resources:
        """The resources on one tier."""
        return self.by_tier.get(tier, _NOTHING)

    def __add__(self, other: Self) -> Self:
        tiers = {**self.by_tier, **other.by_tier}
        return type(self)({tier: self.on(tier) + other.on(tier) for tier in tiers})

    def __sub__(self, other: Self) -> Self:
        """The difference; raises ValueError where `other` has more, like every quantity."""
        tiers = {**self.by_tier, **other.by_tier}
        return type(self)({tier: self.on(tier) - other.on(tier) for tier in tiers})

    def __bool__(self) -> bool:
        return bool(self.by_tier)

    def shortfall(self, free: Self) -> Self:
        """What is missing in `free`; nothing where it suffices."""
        return type(self)({tier: amount.shortfall(free.on(tier)) for tier, amount in self.by_tier.items()})

    def fits(self, free: Self) -> bool:
        """Whether every amount is at most that of `free`."""
        return all(amount.fits(free.on(tier)) for tier, amount in self.by_tier.items())

    def at_most(self, other: Self) -> Self:
        """The smaller of each amount."""
        return self - self.shortfall(other)

    def __str__(self) -> str:
        return ", ".join(f"{amount} on {tier}" for tier, amount in sorted(self.by_tier.items())) or "nothing"
