"""What would become of the work on a node if it were drained: the decision itself, asked on a world in which it is.

Knows nothing of stores or HTTP: values in, values out.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from fabric.api.nodes import MoveView
from fabric.control.draining import Decider, asked_at, drained, emptied, leaves_without_loss
from fabric.core.errors import NotFound
from fabric.scheduler.plan import Plan, Resize
from fabric.scheduler.policy import Policy
from fabric.scheduler.snapshot import (
    Node,
    Running,
    Snapshot,
    Told,
    Waiting,
    giving_back,
    running_of,
    waiting_of,
)
from fabric.store.drains import Drain
from fabric.workloads.record import Grant, Record
from fabric.workloads.states import State


@dataclass(frozen=True, slots=True)
class Scene:
    """What the answer rests on."""

    nodes: tuple[Node, ...]
    """Of the site."""
    records: Mapping[str, Record]
    """The active ones, and those that they come after."""
    like: Snapshot
    """What is known beside them: projects, their use, windows, grace."""
    policy: Policy
    decider: Decider


def moves(scene: Scene, drain: Drain, others: Mapping[str, Drain], now: float) -> tuple[float, tuple[MoveView, ...]]:
    """What would follow from one more drained node.

    Args:
        scene: The world as it is.
        drain: What would be drained.
        others: What is drained already, by node.
        now: Seconds since the epoch.

    Returns:
        When work there would be asked to leave, and what becomes of each workload there, by name.
    """
    drains = {**others, drain.node: drain}
    notice_s = scene.like.grace_s + scene.like.overhead_s
    at = max(now, asked_at(drain, notice_s))
    before = _snapshot(scene, drained(scene.nodes, drains))
    seen = emptied(before, drains, _finder(scene.records), at)
    plan = scene.decider(seen, scene.policy, at)
    there = [work for work in before.running if any(part.node == drain.node for part in work.grant.slices)]
    left = {action.workload for action in plan.preempted}
    again = scene.decider(_after(seen, plan, scene.records), scene.policy, at + notice_s) if left else Plan()
    answer = _Answer(scene.records, drain, at, plan, again)
    told = [answer.of(work) for work in there if work.name in scene.records]
    return at, tuple(sorted(told, key=lambda move: move.workload))


@dataclass(frozen=True, slots=True)
class _Answer:
    """The plan of the instant at which they are asked, and the one once they have left."""

    records: Mapping[str, Record]
    drain: Drain
    at: float
    plan: Plan
    again: Plan

    def of(self, work: Running) -> MoveView:
        resized = next((action for action in self.plan.resized if action.workload == work.name), None)
        if any(action.workload == work.name for action in self.plan.preempted):
            return self._leaves(work)
        if resized is not None:
            return self._changes(work, resized)
        if work.ends is not None and work.ends <= self.at:
            return self._said(work, "ends", "has ended by then, by its walltime")
        record = self.records[work.name]
        if leaves_without_loss(record.spec) or self.drain.deadline is not None:
            return self._said(work, "ends", "ends by itself or leaves already")
        return self._said(
            work, "stays", "runs to its end here, as it does not save its state; a deadline would end that"
        )

    def _leaves(self, work: Running) -> MoveView:
        placed = next((place for place in self.again.placed if place.workload == work.name), None)
        what = "starts anew" if work.service else "saves its state, and goes on"
        if not leaves_without_loss(self.records[work.name].spec):
            what = "loses what it did, and starts anew"
        if placed is not None:
            to = _nodes(placed.grant)
            return self._said(work, "moves", f"{what} on {', '.join(to)}", to)
        wait = next((wait for wait in self.again.waits if wait.workload == work.name), None)
        why = f": {wait.reason}" if wait is not None else ""
        return self._said(work, "waits", f"is asked to leave, and waits{why}")

    def _changes(self, work: Running, resized: Resize) -> MoveView:
        if resized.after > resized.before:
            to = tuple(node for node in _nodes(resized.grant) if node not in _nodes(work.grant))
            return self._said(work, "moves", f"is ready on {', '.join(to)} before it leaves", to)
        to = _nodes(resized.grant)
        return self._said(
            work, "shrinks", f"goes on with {resized.after} of {resized.before} workers on {', '.join(to)}", to
        )

    def _said(self, work: Running, how: str, said: str, to: Sequence[str] = ()) -> MoveView:
        return MoveView(workload=work.name, project=work.project, how=how, to=tuple(to), said=said)


def _nodes(grant: Grant) -> tuple[str, ...]:
    """Where workers of a grant are."""
    return tuple(dict.fromkeys(part.node for part in grant.slices if not part.only_head))


def _finder(records: Mapping[str, Record]) -> Callable[[str], Record]:
    def find(name: str) -> Record:
        if name not in records:
            raise NotFound(f"there is no workload {name}")
        return records[name]

    return find


def _snapshot(scene: Scene, nodes: tuple[Node, ...]) -> Snapshot:
    """The records as a decision sees them, with all that is known beside them."""
    told: dict[str, Told | None] = {work.name: work.told for work in scene.like.running}
    holding = [record for record in scene.records.values() if record.grant and record.state.holds_grant]
    running = [running_of(record, told.get(record.name)) for record in holding]
    running += [part for record in holding if (part := giving_back(record)) is not None]
    waiting = [waiting_of(r, scene.records) for r in scene.records.values() if r.state is State.QUEUED]
    return _like(scene.like, nodes, running, waiting)


def _after(seen: Snapshot, plan: Plan, records: Mapping[str, Record]) -> Snapshot:
    """The world once everybody has done what the plan says."""
    left, sizes = {action.workload for action in plan.preempted}, {r.workload: r.grant for r in plan.resized}
    stays = [w for w in seen.running if w.name not in left]
    running = [replace(work, grant=sizes.get(work.name, work.grant)) for work in stays]
    started = {place.workload: place.grant for place in plan.placed}
    running += [Running(name, grant, None) for name, grant in started.items()]
    waiting = [work for work in seen.waiting if work.name not in started]
    waiting += [waiting_of(records[name], records) for name in sorted(left) if name in records]
    return _like(seen, seen.nodes, running, waiting)


def _like(known: Snapshot, nodes: tuple[Node, ...], running: list[Running], waiting: list[Waiting]) -> Snapshot:
    return Snapshot.of(
        nodes, running, waiting, head=known.head, claims=known.claims, grace_s=known.grace_s,
        overhead_s=known.overhead_s, tree=known.tree, usage=known.usage, known=known.known,
    )  # fmt: skip
