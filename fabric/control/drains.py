"""What people may ask about nodes out of service, each checked against who asks.

Knows nothing of HTTP or SQL, nor of how work leaves.
"""

from collections.abc import Iterable, Mapping
from functools import partial

from fabric.api.nodes import DrainPreview, DrainRequest, DrainView
from fabric.config.site import Site
from fabric.config.site_file import policy_of
from fabric.control.callers import Caller, Permission
from fabric.control.draining import leaves_without_loss, undrained
from fabric.control.moves import Scene, moves
from fabric.control.ports import Ports
from fabric.control.views import clock_time
from fabric.core.errors import NotFound
from fabric.scheduler.budgets import decide_within
from fabric.scheduler.cycle import decide
from fabric.scheduler.policy import Policy
from fabric.scheduler.snapshot import Node, Snapshot
from fabric.store.drains import Drain
from fabric.workloads.record import Record
from fabric.workloads.states import State

MOST_NOTICES = 5
"""Drained nodes that an explanation names."""


class NodeDrains:
    """Draining and undoing it; safe to call from several threads at once."""

    def __init__(self, ports: Ports, site: Site) -> None:
        self._ports, self._site = ports, site

    def drain(self, node: str, request: DrainRequest, caller: Caller) -> DrainView:
        """Take a node out of service, or say it anew.

        Raises:
            Denied: If the caller neither operates nor administers the site.
            NotFound: If the site has no such node.
        """
        caller.require(Permission.OPERATE)
        self._check(node)
        drain = self._asked(node, request, caller)
        self._ports.drains.put(drain)
        self._ports.process.wake()
        return drain_view(drain)

    def undo(self, node: str, caller: Caller) -> None:
        """Put a node into service again; a cordon of others stays.

        Raises:
            Denied: If the caller neither operates nor administers the site.
            NotFound: If it is not drained.
        """
        caller.require(Permission.OPERATE)
        if not self._ports.drains.remove(node, caller.submits_as):
            raise NotFound(f"node {node} is not being drained by the fabric; `fabric nodes` shows who is", node=node)
        self._ports.process.wake()

    def preview(self, node: str, deadline_s: float | None, caller: Caller) -> DrainPreview:
        """What would follow; nothing is done.

        Raises:
            Denied: If the caller neither operates nor administers the site.
            NotFound: If the site has no such node.
        """
        caller.require(Permission.OPERATE)
        self._check(node)
        drain = self._asked(node, DrainRequest(deadline_s=deadline_s), caller)
        at, found = moves(self._scene(), drain, self._ports.drains.all(), self._ports.clock.now())
        return DrainPreview(node=node, asked_at=at, moves=found)

    def views(self) -> Mapping[str, DrainView]:
        """What is drained, by node."""
        return {name: drain_view(drain) for name, drain in self._ports.drains.all().items()}

    def notices(self, record: Record) -> tuple[str, ...]:
        """What drained nodes, and for who waits others that take no work, mean for one workload."""
        drains, notes = self._ports.drains.all(), self._ports.notes()
        if not (drains or notes) or record.state.final:
            return ()
        if record.grant is not None and record.state.holds_grant:
            nodes = dict.fromkeys(part.node for part in record.grant.slices if part.node in drains)
            return tuple(_on(drains[node], record) for node in nodes)[:MOST_NOTICES]
        wished = list(self._wished(record))
        off = [_off(drains[node.name]) for node in wished if node.name in drains]
        said = ((node, notes[node.name].said) for node in wished if node.name in notes)
        away = [f"node {node.name} is {node.state}: {why}" for node, why in said if why]
        return (*off, *away)[:MOST_NOTICES]

    def _wished(self, record: Record) -> Iterable[Node]:
        tiers = {group.tier for group in record.spec.groups}
        return (node for node in self._ports.nodes() if None in tiers or node.tier in tiers)

    def _check(self, node: str) -> None:
        if all(known.name != node for known in self._ports.nodes()):
            raise NotFound(f"the site has no node {node}; `fabric nodes` lists them", node=node)

    def _asked(self, node: str, request: DrainRequest, caller: Caller) -> Drain:
        now, for_s = self._ports.clock.now(), request.deadline_s
        deadline = None if for_s is None else now + for_s
        return Drain(node, caller.submits_as, " ".join(request.reason.split()), now, deadline)

    def _scene(self) -> Scene:
        made = self._ports.decision()
        head, site = self._site.head.resources, self._site
        like = made.snapshot if made else Snapshot.of((), head=head, grace_s=site.grace_s, overhead_s=site.overhead_s)
        policy = made.policy if made else policy_of(site, Policy)
        decider = partial(decide_within, made.accounts if made else {}, decider=decide)
        return Scene(self._ports.nodes(), self._ports.workloads.active(), undrained(like), policy, decider)


def drain_view(drain: Drain) -> DrainView:
    """A drained node as people see it."""
    return DrainView(
        node=drain.node, by=drain.by, reason=drain.reason, since=drain.since, deadline=drain.deadline
    )  # fmt: skip


def _on(drain: Drain, record: Record) -> str:
    if drain.deadline is not None:
        return f"node {drain.node} {drain.said}; everything there is gone by {clock_time(drain.deadline)}"
    if record.state in {State.RUNNING, State.RESIZING} and not leaves_without_loss(record.spec):
        return f"node {drain.node} {drain.said}; this runs there to its end, as it does not save its state"
    return f"node {drain.node} {drain.said}"


def _off(drain: Drain) -> str:
    return f"node {drain.node} {drain.said}, and takes no new work"
