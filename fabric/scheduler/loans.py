"""Lend idle serving capacity to training, and ask for it back before the service needs it.

Knows nothing of nodes or of who waits: callers bring a forecast, a borrower and those who hold lent slots.

A service keeps its floor and what it needs now; the rest is lent up to the instant at which the forecast needs it
again, less a cold start and the grace of whoever is there. Lending idle servers is Lyra's idea (EuroSys'23); the bound
in time and the minimum length, which counts staging, are ours.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from fabric.core.errors import BadInput
from fabric.scheduler.forecast import Demand
from fabric.scheduler.preemption import Holder, Victim, WhatIf, cheapest

WORTH_STAGINGS = 3.0
"""A loan shorter than so many times the borrower's staging is not worth it. An assumption, not a measurement: at three,
at most a third of a loan is spent on staging."""


@dataclass(frozen=True, slots=True)
class Lender:
    """A service that holds slots for all its replicas, wanted or not."""

    name: str
    replicas: int
    """Replicas it has slots for."""
    floor: int
    """Replicas that are never lent away."""
    needed_now: int
    """Replicas it needs at present, whatever was forecast."""
    lead_s: float
    """Seconds from the start of a replica until it is ready."""
    grace_s: float
    """Longest seconds that a borrower is given to leave."""
    slots_per_replica: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.floor <= self.replicas or self.slots_per_replica < 1 or min(self.lead_s, self.grace_s) < 0:
            raise BadInput(
                f"{self.name}: a floor of {self.floor} of {self.replicas} replicas of {self.slots_per_replica} slots, "
                f"lead {self.lead_s} s and grace {self.grace_s} s cannot be. The floor is at most all replicas."
            )

    def keeps(self, demand: Demand, from_s: float, to_s: float) -> int:
        """Replicas that it needs at some instant between two."""
        return min(self.replicas, max(self.floor, self.needed_now, demand.peak(from_s, to_s)))


@dataclass(frozen=True, slots=True)
class Offer:
    """Slots that a service can lend until an instant."""

    lender: str
    slots: int
    until_s: float
    """When whoever has them is told to leave, in seconds since the epoch."""


class Leaving(StrEnum):
    """How a borrower gives slots back."""

    ENDS = "ends before"
    SAVES = "saves its work and leaves"
    LOSES = "is killed, as its class accepts"


@dataclass(frozen=True, slots=True)
class Borrower:
    """Work that would run on lent slots."""

    name: str
    slots: int
    staging_s: float
    """Seconds until it works there: image, weights, Ray; none for a gang that only grows."""
    ends_in_s: float | None = None
    """Seconds of work until its safe end; None if nobody knows."""
    checkpoint_s: float | None = None
    """Seconds it takes to write a checkpoint when asked to; None if it never reported one."""
    accepts_loss: bool = False
    """Whether it may be killed at any time, such as the class `harvest`."""


@dataclass(frozen=True, slots=True)
class Loan:
    """Slots that a borrower gets."""

    borrower: str
    parts: tuple[Offer, ...]
    """What it takes of each offer."""
    leaving: Leaving

    @property
    def until_s(self) -> float:
        """When the first part goes back."""
        return min(part.until_s for part in self.parts)

    @property
    def reason(self) -> str:
        """One line for people."""
        parts = ", ".join(f"{part.slots} slots of {part.lender} until {part.until_s:.0f}" for part in self.parts)
        return f"{self.borrower} borrows {parts} and {self.leaving}"


@dataclass(frozen=True, slots=True)
class Declined:
    """Nothing is lent to a borrower."""

    borrower: str
    reason: str


@dataclass(frozen=True, slots=True)
class Reclaim:
    """Who gives lent slots back."""

    victims: tuple[Victim, ...]
    missing_slots: int
    """Slots that are wanted beyond all that is lent."""

    @property
    def ready_in_s(self) -> float:
        """Seconds until the last of them is gone, at the latest; a cold start follows."""
        return max((victim.grace_s for victim in self.victims), default=0.0)


def offers(lender: Lender, demand: Demand, now: float) -> tuple[Offer, ...]:
    """What the service could lend now, the longest first.

    Where the forecast ends before a replica is needed, its end counts as the return; a later forecast may move it.

    Args:
        lender: The service.
        demand: Its forecast, without lead.
        now: Seconds since the epoch.
    """
    end_s = demand.start_s + len(demand.replicas) * demand.step_s
    slots: dict[float, int] = {}
    for kept in range(lender.keeps(demand, now, now), lender.replicas):
        back_s = demand.rises_above(kept, now)
        until_s = (end_s if back_s is None else back_s) - lender.lead_s - lender.grace_s
        if until_s > now:
            slots[until_s] = slots.get(until_s, 0) + lender.slots_per_replica
    return tuple(Offer(lender.name, slots[until_s], until_s) for until_s in sorted(slots, reverse=True))


def lend(
    borrower: Borrower, available: Sequence[Offer], *, now: float, grace_s: float, stagings: float = WORTH_STAGINGS
) -> Loan | Declined:
    """Give a borrower its slots, if the loan is worth it and it can leave in time.

    It is worth it from `stagings` times the borrower's staging on. It can leave in time if it ends before, or writes a
    checkpoint within `grace_s`, or accepts to be killed. One that ends takes the shortest offers that are long enough,
    so that long ones stay for others; one that does not takes the longest.

    Args:
        borrower: Who asks.
        available: Offers, of one or more services whose slots it can use.
        now: Seconds since the epoch.
        grace_s: Seconds it is given to leave.
        stagings: How often its staging must fit into the loan.
    """
    long_enough = [offer for offer in available if offer.until_s - now >= stagings * borrower.staging_s]
    in_time = [offer for offer in long_enough if _ends_within(borrower, offer.until_s - now)]
    if _slots(in_time) >= borrower.slots:
        shortest = _take(sorted(in_time, key=lambda o: (o.until_s, o.lender)), borrower.slots)
        return Loan(borrower.name, shortest, Leaving.ENDS)
    if _slots(long_enough) < borrower.slots:
        longest_s = max((offer.until_s - now for offer in available), default=0.0)
        return Declined(
            borrower.name,
            f"wants {borrower.slots} slots for at least {stagings * borrower.staging_s:.0f} s ({stagings:g} times its "
            f"staging), but {_slots(long_enough)} are lent that long; the longest offer is {longest_s:.0f} s",
        )
    longest = _take(sorted(long_enough, key=lambda o: (-o.until_s, o.lender)), borrower.slots)
    if borrower.checkpoint_s is not None and borrower.checkpoint_s <= grace_s:
        return Loan(borrower.name, longest, Leaving.SAVES)
    if borrower.accepts_loss:
        return Loan(borrower.name, longest, Leaving.LOSES)
    return Declined(borrower.name, _cannot_leave(borrower, min(part.until_s for part in longest) - now, grace_s))


def remaining(available: Sequence[Offer], loan: Loan) -> tuple[Offer, ...]:
    """The offers that are left after a loan."""
    taken = {(part.lender, part.until_s): part.slots for part in loan.parts}
    left = (Offer(o.lender, o.slots - taken.get((o.lender, o.until_s), 0), o.until_s) for o in available)
    return tuple(offer for offer in left if offer.slots)


def due_slots(lender: Lender, demand: Demand, lent_slots: int, now: float) -> int:
    """Lent slots whose holders must be told now to leave, so that every replica is ready when it is needed.

    Args:
        lender: The service.
        demand: Its newest forecast, without lead.
        lent_slots: Slots that others have at present.
        now: Seconds since the epoch.
    """
    kept = lender.keeps(demand, now, now + lender.lead_s + lender.grace_s)
    free = (lender.replicas - kept) * lender.slots_per_replica
    return max(0, lent_slots - max(0, free))


def reclaim(holders: Sequence[Holder], wanted_slots: int, *, patience_s: float = math.inf) -> Reclaim:
    """Choose who gives slots back, at the least loss; elastic ones shrink first.

    A loan is no promise, so classes and minimum run times do not matter here.

    Args:
        holders: Borrowers with the slots that are lent to them.
        wanted_slots: Slots to free.
        patience_s: Longest grace for anyone.
    """
    by_name = {holder.name: holder for holder in holders}
    lent = sum(holder.workers * holder.slots_per_worker for holder in holders)

    def enough(what_if: WhatIf) -> bool:
        freed = ((by_name[name].workers - left) * by_name[name].slots_per_worker for name, left in what_if.items())
        return sum(freed) >= min(wanted_slots, lent)

    victims = cheapest(holders, enough, patience_s=patience_s)
    return Reclaim(victims or (), max(0, wanted_slots - lent))


def _ends_within(borrower: Borrower, length_s: float) -> bool:
    return borrower.ends_in_s is not None and borrower.staging_s + borrower.ends_in_s <= length_s


def _cannot_leave(borrower: Borrower, length_s: float, grace_s: float) -> str:
    saves = f"needs {borrower.checkpoint_s:.0f} s for a checkpoint" if borrower.checkpoint_s is not None else ""
    why = f"{saves}, longer than the grace of {grace_s:.0f} s" if saves else "never reported a checkpoint"
    return f"may still run when its slots go back in {length_s:.0f} s, and {why}"


def _slots(some: Sequence[Offer]) -> int:
    return sum(offer.slots for offer in some)


def _take(ordered: Sequence[Offer], slots: int) -> tuple[Offer, ...]:
    """So many slots from the first offers."""
    parts: list[Offer] = []
    for offer in ordered:
        if slots > 0:
            parts.append(Offer(offer.lender, min(slots, offer.slots), offer.until_s))
            slots -= offer.slots
    return tuple(parts)
