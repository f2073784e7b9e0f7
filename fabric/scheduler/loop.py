"""The loop: observe, advance, decide, record, act. The live fabric and the simulator run this same one.

Knows nothing of the real clock, of threads or of HTTP. A step costs what changed, not what there is.
"""

import heapq
import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

from fabric.config.staging import StagingPriors
from fabric.config.windows import Window
from fabric.core.clock import Clock
from fabric.core.errors import FabricError, Unavailable
from fabric.core.resources import Resources
from fabric.scheduler.calendar import claims_of
from fabric.scheduler.consequences import disturbed, remembered, tells
from fabric.scheduler.cycle import decide
from fabric.scheduler.history import Keeper, Memory
from fabric.scheduler.life import advance, fail_if_in_vain, view_of
from fabric.scheduler.patience import Asked, Patience
from fabric.scheduler.plan import Plan
from fabric.scheduler.policy import Policy
from fabric.scheduler.ports import Backend, Blueprint, ClusterView, Outcome, Phase, Records
from fabric.scheduler.quota import Tree
from fabric.scheduler.readiness import Experience
from fabric.scheduler.replay import Decision
from fabric.scheduler.snapshot import Claim, Node, Snapshot
from fabric.scheduler.telling import Telling
from fabric.scheduler.world import World
from fabric.workloads.record import Event, Instants, Record
from fabric.workloads.states import State

_LASTING = frozenset({State.QUEUED, State.RUNNING, State.SUCCEEDED, State.FAILED, State.CANCELLED})
"""States in which nothing happens by itself; a record in any other is looked at in every step."""
_MAY_RUN = frozenset({Outcome.UNKNOWN, Outcome.PENDING, Outcome.RUNNING})
"""Outcomes of an entrypoint that is asked to end before its cluster is taken away."""
_REALISED = frozenset({State.PLACING, State.STARTING, State.RUNNING, State.RESIZING})
Decider = Callable[[Snapshot, Policy, float], Plan]
"""What answers who starts, leaves and is resized: `decide`, or another scheduler it is compared with."""

PAGE_S = 3600.0
"""Seconds after which the windows of the site are worked out anew, so far ahead that none is missed until then."""
REVIEW_S = 5.0
"""Seconds after which a live loop decides anew even if nothing changed but the time."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the loop is told once."""

    head: Resources
    """What a Ray head of its own is charged."""
    grace_s: float
    """Seconds between a notice and the kill."""
    policy: Policy
    claims: tuple[Claim, ...] = ()
    """Maintenance windows and other claims on nodes that are no workload's."""
    windows: tuple[Window, ...] = ()
    """When nodes are taken away, as the site file says; they become claims as time goes on."""
    tree: Tree = field(default_factory=Tree)
    """Projects of the site."""
    half_life_s: float = 7 * 86_400.0
    """Seconds after which what a project has used counts half."""
    overhead_s: float = 0.0
    """Seconds that work may hold its nodes beside its walltime, before it runs and until its cluster is gone, that are
    allowed for in what others are promised."""
    priors: Mapping[str, StagingPriors] = field(default_factory=dict)
    """First guesses of how long things take to start, by tier; what is seen of starts takes their place."""
    review_s: float = REVIEW_S
    """Seconds after which a decision is made anew even if nothing changed but the time."""
    recheck_s: float = 60.0
    """Seconds after which records and clusters are read whole, so that a change that was missed is found."""
    tell_s: float = 0.0
    """Seconds between two tellings to those who wait why they wait; infinite for never."""
    tell_most: int = 200
    """How many of those who know something already are told in one turn, so that no start writes the whole queue."""


class Loop:
    """Brings what exists towards what is recorded, one step at a time."""

    def __init__(
        self,
        records: Records,
        backend: Backend,
        blueprint: Blueprint,
        *,
        clock: Clock,
        settings: Settings,
        decider: Decider | None = None,
        memory: Memory | None = None,
    ) -> None:
        """Begin with nothing read.

        Args:
            records: What should be.
            backend: What is, and what may be done.
            blueprint: How a record becomes a cluster.
            clock: What time it is.
            settings: What a site chose.
            decider: Who decides; `decide` where nobody is named.
            memory: Where history is kept that no record says; without it a restart forgets it.
        """
        self._records = records
        self._backend = backend
        self._blueprint = blueprint
        self._clock = clock
        self._settings = settings
        self._decider = decider
        self._now = -math.inf
        self._patience, self._asked = Patience(), Asked()
        self._keeper = Keeper(memory)
        self._telling = Telling(settings.tell_s, settings.tell_most)
        self._forget()
        self.last_decision: Decision | None = None

    @property
    def settings(self) -> Settings:
        """What it goes by."""
        return self._settings

    @property
    def last_plan(self) -> Plan:
        """What was decided last."""
        return self.last_decision.plan if self.last_decision else Plan()

    def use(self, settings: Settings) -> None:
        """Go by other settings from now on, or from `recheck_s` on if a step is under way; from any thread."""
        self._settings, self._checked_at = settings, -math.inf

    def step(self) -> bool:
        """Observe, advance, decide, record, act.

        A clock that goes back is taken to stand still until it has caught up. If a step fails, what is remembered may
        not be what was saved, so the next one reads everything anew.

        Returns:
            Whether anything is on its way, so that the next step should be soon.
        """
        self._now = max(self._now, self._clock.now())
        try:
            return self._step(self._now)
        except BaseException:
            self._forget()
            raise

    def _step(self, now: float) -> bool:
        world, touched = self._observe(now)
        changes = self._advance(world, touched, now)
        if world.changed or now >= min(self._decided_at + self._settings.review_s, self.last_plan.look_at or math.inf):
            changes |= self._decide(world, now)
        self._record(changes, now)
        self._keeper.keep(world.snapshot.usage, world.take_runs())
        self._act(world)
        return bool(self._between or self._unwanted)

    def _forget(self) -> None:
        self._world: World | None = None
        self._views: dict[str, ClusterView] = {}
        self._seen = self._read = 0
        self._saved: dict[str, Record] = {}
        self._between: dict[str, None] = {}
        self._retry: dict[str, None] = {}
        self._unwanted: dict[str, None] = {}
        self._walltimes: list[tuple[float, str]] = []
        self._decided_at = self._checked_at = self._calendar_at = -math.inf

    def _observe(self, now: float) -> tuple[World, dict[str, None]]:
        """Take in what changed; the names of the records to look at."""
        nodes = self._backend.nodes()
        if self._world is None or now >= self._checked_at + self._settings.recheck_s:
            world = self._adopt(nodes, now)
        else:
            world = self._world
            if world.move_nodes(nodes):
                self._calendar_at = -math.inf
        self._turn_page(world, nodes, now)
        news = self._records.news(self._read)
        sight = self._backend.changes(self._seen)
        self._read, self._seen = news.cursor, sight.cursor
        touched = dict(self._between)
        # Whoever comes after a final record first, so that it is known what the final one is needed for.
        for name, record in sorted(news.records.items(), key=lambda item: item[1].state.final):
            if world.records.get(name) != record:
                self._note(world, record)
                self._saved[name] = record
                touched[name] = None
        for name, told in news.told.items():
            if world.tell(name, told):
                touched[name] = None
        for cluster, view in sight.views.items():
            self._views[cluster] = view
            owner = world.by_cluster.get(cluster)
            if owner is not None:
                touched[owner] = None
                self._asked.forget(owner)
            self._want(world, cluster)
        # Who ends at the very instant has kept the walltime.
        while self._walltimes and self._walltimes[0][0] < now:
            touched[heapq.heappop(self._walltimes)[1]] = None
        return world, touched

    def _turn_page(self, world: World, nodes: tuple[Node, ...], now: float) -> None:
        """Take in the windows that have come within the horizon."""
        settings = self._settings
        if settings.windows and now >= self._calendar_at + PAGE_S:
            coming = claims_of(settings.windows, nodes, now, settings.policy.horizon_s + PAGE_S)
            world.move_claims((*settings.claims, *coming))
            self._calendar_at = now

    def _adopt(self, nodes: tuple[Node, ...], now: float) -> World:
        """Read everything, as after a start; what earlier plans set aside is in the records."""
        before = self._world
        self._forget()
        self._read = self._records.news(0).cursor
        records = self._records.active()
        settings = self._settings
        self._world = world = World(
            records, nodes, settings.head, claims=settings.claims, predicts=settings.policy.predict,
            grace_s=settings.grace_s, tree=settings.tree, overhead_s=settings.overhead_s, before=before,
            history=None if before else replace(self._keeper.recall(), known=Experience(settings.priors)),
        )  # fmt: skip
        self._saved = dict(records)
        self._retry = {name: None for name, record in records.items() if record.state is State.RUNNING}
        for record in records.values():
            self._watch(record)
        self._between |= dict.fromkeys(records)
        self._checked_at = now
        return world

    def _advance(self, world: World, touched: Iterable[str], now: float) -> dict[str, Record]:
        """Let each touched record take its next step, and those after one that ended; the records that did."""
        changes: dict[str, Record] = {}
        queue = deque(touched)
        while queue:
            name = queue.popleft()
            record = world.records.get(name)
            if record is None:
                continue
            view, grace_s = view_of(record, self._views), self._settings.grace_s
            after = advance(record, view, now, grace_s, told=world.told(name))
            if after.spec.after:
                after = fail_if_in_vain(after, world.records, now)
            if after is not record:
                queue.extend(world.dependents(name) if after.state.final else ())
                self._note(world, after)
                changes[name] = after
            elif record.state in _LASTING:
                self._between.pop(name, None)
        return changes

    def _decide(self, world: World, now: float) -> dict[str, Record]:
        """Decide who starts, and write the answer into the records; those that changed."""
        settings = self._settings
        world.use(now, settings.half_life_s)
        seen = world.snapshot
        plan = (self._decider or decide)(seen, settings.policy, now)
        self.last_decision = Decision(seen, settings.policy, now, plan)
        changes: dict[str, Record] = {}
        for action in plan.placed:
            record = world.records[action.workload]
            at = Instants(record.at.submitted, granted=now)
            changes[record.name] = record.to(
                State.PLACING, grant=action.grant, at=at, message=f"granted {action.grant.reason}",
                waits_for="", expected_start=None, promised=False, set_aside=None,
            )  # fmt: skip
        changes |= disturbed(world.records, plan, now)
        for name in plan.promises.keys() | plan.passed.keys():
            changes[name] = remembered(world.records[name], plan)
        for record in self._telling.told(plan.waits, lambda name: changes.get(name) or world.records[name], now):
            changes[record.name] = record
        keeps = settings.policy.keeps_promises(len(seen.site.tiers))
        for name, kept in world.keep_promises(plan.promises if keeps else {}).items():
            waits = changes.get(name) or world.records.get(name)
            if waits is not None and waits.state is State.QUEUED:
                changes[name] = replace(waits, set_aside=kept)
        changes = {name: record for name, record in changes.items() if record is not world.records[name]}
        for record in changes.values():
            self._note(world, record)
        # What the plan itself changed needs no other decision.
        world.looked_at()
        self._decided_at = now
        return changes

    def _record(self, changes: Mapping[str, Record], now: float) -> None:
        """Write what changed, before anything is done about it."""
        new = {name: record for name, record in changes.items() if record != self._saved.get(name)}
        events = [
            Event(record.name, now, record.state, record.message, record.attempt)
            for name, record in new.items()
            if name not in self._saved or tells(self._saved[name], record)
        ]
        if new:
            self._records.save(list(new.values()), events)
        for name, record in new.items():
            if record.state.final:
                self._saved.pop(name, None)
            else:
                self._saved[name] = record

    def _act(self, world: World) -> None:
        """Make the difference; every call is idempotent, so the same may be asked again next time."""
        failed: Exception | None = None
        for cluster in list(self._unwanted):
            self._backend.remove(cluster)
        for name in [*self._between, *self._retry]:
            record = world.records.get(name)
            if record is None or record.state not in _REALISED:
                self._retry.pop(name, None)
            if record is None or not self._is_due(record):
                continue
            try:
                self._do(world, record)
                self._patience.succeeded(record)
            except Exception as error:  # one that cannot be acted on must not keep all the others waiting
                self._patience.failed(record, self._now)
                self._asked.forget(name)
                failed = failed or error
        if failed:
            raise failed

    def _is_due(self, record: Record) -> bool:
        """Whether something new, or something again, is to be asked of the backend for a record."""
        view = view_of(record, self._views)
        return self._patience.allows(record, self._now) and self._asked.is_due(record, view, self._now)

    def _do(self, world: World, record: Record) -> None:
        """What the state of one record asks for."""
        if record.state in _REALISED:
            self._realise(world, record)
        elif record.state in {State.STOPPING, State.DRAINING}:
            self._end(record)
        elif record.state is State.RECOVERING:
            self._backend.remove(record.cluster)

    def _realise(self, world: World, record: Record) -> None:
        try:
            self._backend.realise(self._blueprint.wanted(record))
        except Unavailable as error:  # what it needs does not answer yet; the next step asks again
            message = f"cannot start yet: {error.message}"
            if record.state is State.STARTING and record.message != message:
                told = replace(record, message=message)
                self._note(world, told)
                self._record({told.name: told}, self._now)
            return
        except FabricError as error:
            if record.stop_requested or record.state in {State.RUNNING, State.RESIZING}:
                return  # what runs goes on without what it was started from
            now, message = self._now, f"cannot start: {error.message}"
            stopping = replace(record, stop_reason=message, message=error.message).to(State.STOPPING)
            ended = stopping.to(State.FAILED, at=replace(record.at, ended=now), message=message)
            self._note(world, ended)
            self._record({ended.name: ended}, now)
        self._retry.pop(record.name, None)

    def _end(self, record: Record) -> None:
        """Ask the entrypoint to leave while there is, or may be, one; otherwise take the cluster away."""
        view = view_of(record, self._views)
        if record.spec.kind == "job" and view.outcome in _MAY_RUN:
            self._backend.stop(record.cluster, self._settings.grace_s)
        elif view.phase is not Phase.ABSENT:
            self._backend.remove(record.cluster)

    def _note(self, world: World, record: Record) -> None:
        """Take a new or changed record into what is remembered."""
        old = world.records.get(record.name)
        world.put(record)
        if record.state in _LASTING:
            self._between.pop(record.name, None)
            self._asked.forget(record.name)
        else:
            self._between[record.name] = None
        if old is None or old.state is not record.state:
            self._watch(record)
            self._want(world, record.cluster)
            if old is not None and old.cluster != record.cluster:
                self._want(world, old.cluster)

    def _watch(self, record: Record) -> None:
        """Remember when a walltime will be over."""
        walltime_s, started = record.spec.walltime_s, record.at.running
        if record.state is State.RUNNING and walltime_s is not None and started is not None:
            heapq.heappush(self._walltimes, (started + walltime_s - self._settings.grace_s, record.name))

    def _want(self, world: World, cluster: str) -> None:
        """Remember whether a cluster that exists must go; what it occupies is free once it is gone."""
        view = self._views.get(cluster)
        if view is None or view.phase is Phase.ABSENT:
            self._views.pop(cluster, None)
            self._unwanted.pop(cluster, None)
            world.hold(cluster, (), self._now)
        elif view.born == world.born(cluster):
            self._unwanted.pop(cluster, None)
            world.hold(cluster, (), self._now)
        else:
            self._unwanted[cluster] = None
            world.hold(cluster, view.held, self._now)
