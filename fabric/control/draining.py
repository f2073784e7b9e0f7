"""What a drained node means for decisions: nothing new starts there, and what is there leaves as before a window.

Knows nothing of HTTP, nor of how anything leaves: a drain becomes a state of its node and a claim on it, and
`fabric.scheduler` does the rest.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol

from fabric.core.errors import NotFound
from fabric.scheduler.plan import Plan
from fabric.scheduler.policy import Policy
from fabric.scheduler.ports import ClusterView
from fabric.scheduler.replay import Decision
from fabric.scheduler.snapshot import Claim, Node, NodeState, Running, Snapshot
from fabric.store.drains import Drain
from fabric.workloads.record import Record
from fabric.workloads.spec import Priority, WorkloadSpec
from fabric.workloads.states import State

READ_EVERY_S = 1.0
"""Seconds for which what was read of the store is taken, where nobody here changed it: another control may have."""
_PREFIX = "drain:"
_AS_WINDOW = re.compile(rf"taken away by window {_PREFIX}(\S+), which begins at [0-9: -]+ UTC")
LONGEST_START_S = 600.0
"""For how long replicas that have joined may start before those that they replace leave all the same, in seconds."""
_HAS_BEGUN = frozenset({State.RUNNING, State.RESIZING})

Find = Callable[[str], Record]
"""The record of a name; raises NotFound where there is none."""
Views = Callable[[], Mapping[str, ClusterView]]
"""Every cluster as it is, by its name."""
Decider = Callable[[Snapshot, Policy, float], Plan]
"""Who decides on what is seen."""


class KeptDrains(Protocol):
    """Where drains outlive the process."""

    def drain(self, drain: Drain) -> None:
        """Remember it, in place of what was said of the node before."""
        ...

    def undrain(self, node: str, by: str = "") -> bool:
        """Forget it, as somebody wants; whether there was one."""
        ...

    def drains(self) -> Mapping[str, Drain]:
        """Every drained node, by name."""
        ...


class Drains:
    """The drained nodes of a site; safe to call from any thread."""

    def __init__(self, kept: KeptDrains, clock: Callable[[], float]) -> None:
        self._kept, self._clock = kept, clock
        self._read: tuple[float, Mapping[str, Drain]] = (-math.inf, {})
        self._shown: tuple[tuple[Node, ...], Mapping[str, Drain], tuple[Node, ...]] = ((), {}, ())

    def all(self) -> Mapping[str, Drain]:
        """Every drained node, by name; the same mapping while nothing changed."""
        now, (at, known) = self._clock(), self._read
        if not at <= now < at + READ_EVERY_S:
            found = self._kept.drains()
            known = known if found == known else found
            self._read = (now, known)
        return known

    def put(self, drain: Drain) -> None:
        """Take a node out of service, or say it anew of one that is."""
        self._kept.drain(drain)
        self._read = (-math.inf, self._read[1])

    def remove(self, node: str, by: str = "") -> bool:
        """Put a node into service again, as somebody wants; whether it was drained."""
        found = self._kept.undrain(node, by)
        self._read = (-math.inf, self._read[1])
        return found

    def shown(self, nodes: tuple[Node, ...]) -> tuple[Node, ...]:
        """The nodes, the drained ones as such; the same tuple while nothing changed."""
        drains, (before, known, answer) = self.all(), self._shown
        if nodes is not before or drains is not known:
            answer = drained(nodes, drains)
            self._shown = (nodes, drains, answer)
        return answer


class Emptying:
    """Decisions in which whatever is on drained nodes leaves."""

    def __init__(self, drains: Drains, find: Find, decider: Decider, views: Views) -> None:
        """Remember what to ask.

        Args:
            drains: Of the site.
            find: The record of a name; raises NotFound where there is none.
            decider: Who decides otherwise.
            views: Every cluster as it is, by its name.
        """
        self._drains, self._find, self._decider, self._views = drains, find, decider, views
        self._last: tuple[Snapshot, Snapshot, Plan] | None = None

    def planned(self, snapshot: Snapshot, policy: Policy, now: float) -> Plan:
        """A decision."""
        drains = self._drains.all()
        seen = emptied(snapshot, drains, self._find, now, views=self._views)
        plan = self._decider(seen, policy, now)
        self._last = (snapshot, seen, plan)
        return plan if seen is snapshot else told(plan, drains)

    def decided(self, decision: Decision | None) -> Decision | None:
        """A decision as it was made, so that the same inputs give the same plan again."""
        last = self._last
        if decision is None or last is None or decision.snapshot is not last[0]:
            return decision
        return replace(decision, snapshot=last[1], plan=last[2])


def drained(nodes: tuple[Node, ...], drains: Mapping[str, Drain]) -> tuple[Node, ...]:
    """The nodes, those of `drains` that were ready as draining."""
    if not any(node.name in drains for node in nodes):
        return nodes
    return tuple(
        replace(node, state=NodeState.DRAINING) if node.name in drains and node.state is NodeState.READY else node
        for node in nodes
    )


def emptied(
    snapshot: Snapshot, drains: Mapping[str, Drain], find: Find, now: float, *, views: Views = lambda: {}
) -> Snapshot:
    """A snapshot in which drained nodes are taken away by their deadlines, as by a window.

    Without a deadline whoever can leave without loss is asked at once. Work that would lose what it did (it neither
    saves nor is elastic, and has begun) runs to its end, and is asked for nothing else meanwhile.

    Args:
        snapshot: The world.
        drains: By node.
        find: The record of a name; raises NotFound where there is none.
        now: Seconds since the epoch.
        views: Every cluster as it is, by its name: whether what is in place of what leaves is ready.
    """
    here = {node.name: drains[node.name] for node in snapshot.nodes if node.name in drains}
    if not here:
        return snapshot
    notice_s = snapshot.grace_s + snapshot.overhead_s
    claims = [Claim(_PREFIX + name, _leaves(drain, notice_s), math.inf, (name,)) for name, drain in here.items()]
    question = _Question(here, find, views, now, now + notice_s)
    running = tuple(question.asked(work) for work in snapshot.running)
    ordered = sorted((*snapshot.claims, *claims), key=lambda claim: (claim.start, claim.name))
    return replace(snapshot, claims=tuple(ordered), running=running)


def undrained(snapshot: Snapshot) -> Snapshot:
    """A snapshot without the claims of drains."""
    return replace(snapshot, claims=tuple(claim for claim in snapshot.claims if not claim.name.startswith(_PREFIX)))


def node_of_drain(claim: str) -> str | None:
    """The node that a claim of this name empties; None if it is another claim."""
    return claim.removeprefix(_PREFIX) if claim.startswith(_PREFIX) else None


def told(plan: Plan, drains: Mapping[str, Drain]) -> Plan:
    """A plan whose reasons name the drain, which they take for a window."""

    def said(reason: str) -> str:
        return _AS_WINDOW.sub(
            lambda found: f"which {drains[found[1]].said}" if found[1] in drains else found[0], reason
        )

    return replace(
        plan,
        preempted=tuple(replace(action, reason=said(action.reason)) for action in plan.preempted),
        resized=tuple(replace(action, reason=said(action.reason)) for action in plan.resized),
    )


def leaves_without_loss(spec: WorkloadSpec) -> bool:
    """Whether work that is asked to leave loses nothing that it does not accept to lose."""
    saves = spec.checkpoints or spec.elastic is not None
    return saves or spec.kind == "service" or spec.priority is Priority.HARVEST


def asked_at(drain: Drain, notice_s: float) -> float:
    """When whoever is on a node is asked to leave, in seconds since the epoch."""
    return _leaves(drain, notice_s) - notice_s


def _leaves(drain: Drain, notice_s: float) -> float:
    return drain.since + notice_s if drain.deadline is None else drain.deadline


@dataclass(frozen=True, slots=True)
class _Question:
    """Who on drained nodes may be asked to leave now."""

    here: Mapping[str, Drain]
    find: Find
    views: Views
    now: float
    latest: float
    """Deadlines before it leave no time to wait."""

    def asked(self, work: Running) -> Running:
        """Running work, left alone where it may stay at this instant."""
        mine = [self.here[part.node] for part in work.grant.slices if part.node in self.here]
        if not mine or not work.movable:
            return work
        try:
            record = self.find(work.name)
        except NotFound:
            return work
        due = [drain.deadline for drain in mine if drain.deadline is not None]
        if record.state in _HAS_BEGUN and not due and not leaves_without_loss(record.spec):
            return replace(work, movable=False)
        if work.service and min(due, default=math.inf) > self.latest and self._is_replaced(record):
            return replace(work, movable=False, settled=False)
        return work

    def _is_replaced(self, record: Record) -> bool:
        """Whether replicas in place of those that leave have yet to join, or to be ready."""
        if record.state is State.RESIZING and record.target is None:
            return True
        group, view = record.spec.replicas, self.views().get(record.cluster)
        if group is None or record.grant is None or view is None or view.details is None:
            return False
        stays = any(part.group == group.name and part.node not in self.here for part in record.grant.slices)
        starting_s = self.now - (record.at.resized or -math.inf)
        return stays and starting_s < LONGEST_START_S and ready_replicas(view.details) < record.grant.size(group.name)


def ready_replicas(details: Mapping[str, Any]) -> int:
    """How many replicas serve, of the deployment that has the fewest.

    Args:
        details: What Serve says of its applications.
    """
    deployments = [d for app in details.get("applications", {}).values() for d in app.get("deployments", {}).values()]
    counts = [sum(r.get("state") == "RUNNING" for r in each.get("replicas", ())) for each in deployments]
    return min(counts, default=0)
