"""Make room for somebody who waits: less urgent work leaves or shrinks, and what grew beyond what it asked for shrinks.

Knows nothing of who is asked about first. Costs and the search are in `preemption`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from fabric.scheduler.columns import CPUS, GPUS, Slot, subtract
from fabric.scheduler.fitting import Fitting
from fabric.scheduler.order import waits_since, width
from fabric.scheduler.outlook import Leaves, leaves_of
from fabric.scheduler.plan import Preempt, Resize
from fabric.scheduler.preemption import Asker, Fits, Holder, NoRoom, Preemption, Victim, preempt
from fabric.scheduler.shape import Shape
from fabric.scheduler.sizes import devices, freed, request_of, shrunk, sizes_below
from fabric.scheduler.snapshot import Running, Waiting
from fabric.scheduler.whatif import WhatIf
from fabric.workloads.spec import Group, Priority

MOST_HOLDERS = 256
"""Holders that are looked at for one who asks, the least urgent and cheapest first; bounds the time of a decision."""

MOST_SEARCHES = 8
"""Searches for one who has his guarantee back: after each, projects of which too much was chosen keep the rest. Bounds
the time of a decision; a choice."""

SURPLUS = "+"
"""Ending of the holder that stands for what a gang holds beyond what it asked for."""


@dataclass(frozen=True, slots=True)
class _Question:
    """One who asks for room, and what is the same of whoever is asked."""

    work: Waiting
    asks: float
    """Device-seconds."""
    claims: bool
    """Whether a project may owe its own something."""
    patient: bool
    """Whether it has waited so long that others of its class may be asked to leave."""
    owing: dict[str, bool] = field(default_factory=dict)
    """Projects that were looked at, and whether they do."""
    owed: set[str] = field(default_factory=set)
    """Holders of its class that may be asked because their projects do, and for nothing else."""


class RoomMaker:
    """Asks running work to leave or shrink; private to one decision."""

    def __init__(self, world: WhatIf) -> None:
        self._world = world
        policy, running = world.policy, world.snapshot.running
        movable = (work for work in running if work.movable and not work.service) if policy.preemption else ()
        self._by_name = {work.name: work for work in movable}
        self.unaided: set[str] = set()
        """Who was found to fit a grace from now without anybody's help."""
        self._in_vain: set[tuple[Shape, int, str, float, Leaves, bool]] = set()
        self._least_urgent = max((work.rank for work in self._by_name.values()), default=-1)
        self._whole: dict[str, Holder] = {}
        self._cost: dict[str, float] = {}
        self._freed: dict[tuple[str, int], tuple[Slot, ...]] = {}
        self._on: dict[frozenset[str], list[Running]] = {}

    def make(self, work: Waiting, shape: Shape) -> bool:
        """Decide who makes room for `work`, if anybody can; its promise is the caller's.

        Args:
            work: Who wants room.
            shape: The least that it needs.
        """
        world = self._world
        patient = self._waited(work)
        question = (shape, work.rank, work.project, work.duration_s, leaves_of(work), patient)
        if not self._by_name or question in self._in_vain or not self._could_help(work):
            return False
        # Whoever asks for the same later in this decision has no better chances.
        self._in_vain.add(question)
        claims = patient and world.limits.claims(work.project, world.least(work))
        asks = _Question(work, _device_s(work), claims, patient)
        owing, yielding = self._candidates(asks, shape)
        if not (owing or yielding):
            return False
        by = world.now + world.snapshot.grace_s
        gang = self._gang(work, shape, by)

        def fits(what_if: Mapping[str, int]) -> bool:
            return gang.after(slot for name, workers in what_if.items() for slot in self._gives(name, workers))

        if fits({}):
            # Whoever asks for the same once this one has what there is may need help.
            self._in_vain.discard(question)
            self.unaided.add(work.name)
            world.limits.expect(work.project, world.least(work))
            return False
        answer = self._answer(asks, owing, fits) or self._yielded(asks, owing, yielding, fits)
        if answer is None:
            return False
        for victim in answer.victims:
            self._disturb(victim, work.name, by)
        self._in_vain.discard(question)
        world.limits.expect(work.project, world.least(work))
        names = ", ".join(victim.workload.removesuffix(SURPLUS) for victim in answer.victims)
        world.notes[work.name] = f"room is made by {names} within {world.snapshot.grace_s:.0f} s"
        return True

    def _gang(self, work: Waiting, shape: Shape, by: float) -> Fitting:
        """What `work` would find from `by` on if nobody made room for it."""
        world = self._world
        room = world.outlook.room_after(work.project, leaves_of(work), by, by + work.duration_s).copy()
        for slots in world.surplus.values():
            subtract(room, slots)
        return Fitting(shape, room, world.snapshot.site, world.head)

    def _answer(self, question: _Question, holders: Sequence[Holder], fits: Fits) -> Preemption | None:
        """Who of `holders` leaves or shrinks for one who asks; None if that is not enough.

        No project gives more than it owes: what would be too much of one is left out, and others are looked for.
        """
        left = list(holders)
        for _ in range(MOST_SEARCHES):
            answer = self._found(question.work, left, fits)
            spared = self._spared(question, answer.victims) if answer is not None else ()
            if not spared:
                return answer
            left = [holder for holder in left if holder.name not in spared]
        return None

    def _spared(self, question: _Question, victims: Sequence[Victim]) -> frozenset[str]:
        """What may no longer be chosen, as its project owes no more than some of `victims` give back, the cheapest."""
        if question.owed.isdisjoint(victim.workload for victim in victims):
            return frozenset()
        work, chosen, done = question.work, set[str](), set[str]()
        recovery = self._world.limits.recovery(work.project, self._world.least(work))
        for victim in sorted(victims, key=lambda v: (v.workload in question.owed, v.cost.slot_s, v.workload)):
            project = self._by_name[victim.workload.removesuffix(SURPLUS)].project
            if victim.workload in question.owed and not recovery.owes(project):
                done.add(project)
            else:
                recovery.give_back(project, self._gives(victim.workload, victim.after))
                chosen.add(victim.workload)
        return frozenset(name for name in question.owed - chosen if self._by_name[name].project in done)

    def _found(self, work: Waiting, holders: Sequence[Holder], fits: Fits) -> Preemption | None:
        """The cheapest of `holders` that are enough; None if all are not."""
        if not holders:
            return None
        asker, min_run_s = Asker(work.name, work.rank), self._min_run_s(work)
        answer = preempt(asker, holders, fits, recovers=lambda holder: True, min_run_s=min_run_s)
        return None if isinstance(answer, NoRoom) else answer

    def _min_run_s(self, work: Waiting) -> float:
        """How long others must have run to be asked; what people wait for at a service cannot wait for that."""
        return 0.0 if work.rank == Priority.SERVING.rank else self._world.policy.min_run_s

    def _yielded(
        self, question: _Question, owing: Sequence[Holder], yielding: Sequence[Holder], fits: Fits
    ) -> Preemption | None:
        """The same with those who yield; None also where that costs too much."""
        if not yielding:
            return None
        whole = {holder.name for holder in yielding}
        others = [holder for holder in owing if holder.name.removesuffix(SURPLUS) not in whole]
        answer = self._answer(question, [*others, *yielding], fits)
        dear = answer is not None and answer.slot_s > question.asks * self._world.policy.yield_cost
        return None if dear else answer

    def _candidates(self, question: _Question, shape: Shape) -> tuple[list[Holder], list[Holder]]:
        """Those that hold something on a tier that the gang may use, where they are many the cheapest.

        Returns:
            What is owed or less urgent; and work of the same class that yields, which is asked where that is not
            enough, as it will want room again itself.
        """
        work = question.work
        near = self._near(frozenset(self._world.lacking(work) or self._world.touched(shape)))
        owing: list[Holder] = []
        yielding: list[Holder] = []
        for one in near:
            if self._world.disturbed(one.name):
                continue
            same, grown = one.rank == work.rank, one.name in self._world.surplus
            if one.rank > work.rank or (same and self._owes(one.project, question)):
                holder = self._holder_of(one)
                if not grown or holder.ran_s >= self._min_run_s(work):
                    owing.append(holder)
                    question.owed.update([one.name] if same else ())
                    continue
            if grown:
                owing.append(self._surplus_of(one, work.rank))
            if same and self._yields(one, question):
                yielding.append(self._holder_of(one))
        return _cheapest(owing), _cheapest(yielding)

    def _could_help(self, work: Waiting) -> bool:
        """Whether anybody is less urgent, has grown, or may owe a guarantee."""
        if self._least_urgent > work.rank or self._world.surplus:
            return True
        return self._waited(work) and (self._world.limits.apply or self._world.policy.yields is not None)

    def _waited(self, work: Waiting) -> bool:
        """Whether work has waited so long that others of its class may be asked to leave for it."""
        return self._world.now - waits_since(work) >= self._world.policy.patience_s

    def _owes(self, project: str, question: _Question) -> bool:
        """Whether a project holds what is guaranteed to that of the one who asks."""
        if not question.claims:
            return False
        if project not in question.owing:
            work = question.work
            recovery = self._world.limits.recovery(work.project, self._world.least(work))
            question.owing[project] = recovery.owes(project)
        return question.owing[project]

    def _yields(self, one: Running, question: _Question) -> bool:
        """Whether work of the same class has so much more before it that it makes room for one that needs less."""
        policy = self._world.policy
        if policy.yields is None or one.ends is None or not question.patient:
            return False
        longer = one.ends - self._world.now >= policy.yields * question.work.likely_s
        return longer and self._costs(one) <= policy.yield_cost * question.asks

    def _near(self, tiers: frozenset[str]) -> list[Running]:
        """Those that hold something on one of some tiers."""
        if tiers not in self._on:
            works = self._by_name.values()
            self._on[tiers] = [one for one in works if not tiers.isdisjoint(self._tiers[one.name])]
        return self._on[tiers]

    @cached_property
    def _tiers(self) -> dict[str, frozenset[str]]:
        """Tiers on which each has workers: for the core of its head alone nobody is asked to leave."""
        works = self._by_name.items()
        return {name: frozenset(p.tier for p in work.grant.slices if not p.only_head) for name, work in works}

    def _costs(self, one: Running) -> float:
        """Slot-seconds that it costs to send one away."""
        if one.name not in self._cost:
            self._cost[one.name] = self._holder_of(one).cost(0).slot_s
        return self._cost[one.name]

    def _holder_of(self, one: Running) -> Holder:
        if one.name not in self._whole:
            self._whole[one.name] = self._holder(one)
        return self._whole[one.name]

    def _holder(self, work: Running) -> Holder:
        world, group = self._world, work.elastic
        size = work.grant.size(group.name) if group else 1
        can_shrink = work.resizable and world.policy.elastic
        return self._priced(
            work, work.name, size,
            smaller=_sizes_left(work, group, size) if group is not None and can_shrink else (),
            slots_per_worker=devices(request_of(group)) if group else max(1, _devices_held(work)),
        )  # fmt: skip

    def _surplus_of(self, work: Running, rank: int) -> Holder:
        """What a gang has beyond what it asked for, as a holder that may be sent away for work of that rank.

        Promises rest on it, so it is asked whatever its class, and however lately it grew.
        """
        group = work.elastic
        assert group is not None  # noqa: S101 - only an elastic gang has a surplus
        extra = work.grant.size(group.name) - group.count
        smaller = tuple(size - group.count for size in sizes_below(group, group.count + extra) if size > group.count)
        priced = self._priced(
            work, work.name + SURPLUS, extra, smaller=smaller, slots_per_worker=devices(request_of(group))
        )
        return replace(priced, rank=max(work.rank, rank), ran_s=math.inf)

    def _priced(
        self, work: Running, name: str, workers: int, *, smaller: tuple[int, ...], slots_per_worker: int
    ) -> Holder:
        world, told = self._world, work.told
        ran_s = max(0.0, world.now - work.since)
        saved = told.saved if told is not None else None
        cheap = world.policy.victims == "cheapest"
        unsaved_s = ran_s if saved is None or not cheap else max(0.0, world.now - max(saved, work.since))
        return Holder(
            name=name,
            rank=work.rank,
            workers=workers,
            ran_s=math.inf if work.rank == Priority.HARVEST.rank else ran_s,
            unsaved_s=unsaved_s,
            restart_s=world.policy.restart_s if cheap else 0.0,
            staging_s=work.staged_s if cheap else 0.0,
            grace_s=world.snapshot.grace_s,
            checkpoint_s=told.save_s if told is not None and cheap else None,
            slots_per_worker=slots_per_worker,
            smaller=smaller,
            nodes=frozenset(part.node for part in work.grant.slices),
        )

    def _gives(self, holder: str, workers: int) -> tuple[Slot, ...]:
        """What nodes get back if a holder keeps so many workers."""
        found = self._freed.get((holder, workers))
        if found is None:
            work, size = self._size_left(holder, workers)
            found = freed(work.grant, work.elastic, size, self._world.snapshot.site) if size else work.slots
            self._freed[holder, workers] = found
        return found

    def _size_left(self, holder: str, workers: int) -> tuple[Running, int]:
        name = holder.removesuffix(SURPLUS)
        work = self._by_name[name]
        return work, workers + (work.elastic.count if work.elastic and name != holder else 0)

    def _disturb(self, victim: Victim, asker: str, by: float) -> None:
        world = self._world
        work, size = self._size_left(victim.workload, victim.after)
        world.leaves(work, freed(work.grant, work.elastic, size, world.snapshot.site) if size else work.slots, by)
        why = f"room for {asker}: {victim.cost}"
        kept = shrunk(work.grant, work.elastic, size, world.snapshot.site) if work.elastic and size else None
        if kept is None or work.elastic is None:
            world.preempted[work.name] = Preempt(work.name, victim.grace_s, why)
        else:
            before = work.grant.size(work.elastic.name)
            world.resized[work.name] = Resize(work.name, before, size, kept, victim.grace_s, f"shrinks, {why}")


def _sizes_left(work: Running, group: Group, size: int) -> tuple[int, ...]:
    """Sizes that it can shrink to, largest first: a slice that holds its head stays, with all workers in it."""
    stay = sum(part.workers for part in work.grant.slices if part.head and part.group == group.name)
    return tuple(left for left in sizes_below(group, size) if left >= stay)


def _cheapest(holders: list[Holder]) -> list[Holder]:
    """At most `MOST_HOLDERS` of them."""
    if len(holders) > MOST_HOLDERS:
        holders.sort(key=lambda h: (-h.rank, h.cost(0).slot_s / (h.workers * h.slots_per_worker), h.name))
    return holders[:MOST_HOLDERS]


def _device_s(work: Waiting) -> float:
    """Devices that one who waits asks for, times the seconds that it should run."""
    return width(work) * work.likely_s


def _devices_held(work: Running) -> int:
    gpus, cpus = (sum(slot[1 + column] for slot in work.slots) // 1000 for column in (GPUS, CPUS))
    return gpus or cpus
