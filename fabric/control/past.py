"""The recent past as whoever asks may see it, and how the site decides.

Knows nothing of HTTP, nor of what is made of it.
"""

from collections.abc import Iterable, Sequence

from fabric.api.past import MOST_PAST, CurvesView, PastGroup, PastView, PastWork, TierFacts
from fabric.config.site import Site
from fabric.config.site_file import policy_of
from fabric.control.callers import Caller, Permission
from fabric.control.ports import Ports
from fabric.control.views import amounts_of
from fabric.scheduler.policy import Policy
from fabric.scheduler.snapshot import Node, NodeState
from fabric.workloads.record import Record
from fabric.workloads.spec import Group


class Past:
    """What was asked for of late; safe to call from several threads at once."""

    def __init__(self, ports: Ports, site: Site) -> None:
        self._ports, self._site = ports, site

    def view(self, caller: Caller, since: float, limit: int) -> PastView:
        """What was submitted since an instant (seconds since the epoch), the newest if it is more than `limit`.

        Raises:
            Denied: If the caller may not see the site.
        """
        caller.require(Permission.SITE)
        found = self._ports.workloads.list(project=caller.project, limit=min(limit, MOST_PAST))
        site = self._site
        return PastView(
            at=self._ports.clock.now(),
            tiers=tier_facts(self._ports.nodes()),
            policy=policy_of(site, Policy).model_dump(mode="json"),
            head=amounts_of(site.head.resources),
            grace_s=site.grace_s,
            overhead_s=site.overhead_s,
            works=tuple(past_work(record) for record in found if record.at.submitted >= since),
        )

    def curves(self, name: str) -> CurvesView:
        """What a workload told of itself over time; whether the asker may see it is checked where it is found."""
        return CurvesView(points=tuple(self._ports.reports.points(name)))


def tier_facts(nodes: Iterable[Node]) -> tuple[TierFacts, ...]:
    """Tiers by name, without nodes that are down or refused."""
    by_tier: dict[str, list[Node]] = {}
    for node in nodes:
        if node.state not in {NodeState.DOWN, NodeState.REFUSED}:
            by_tier.setdefault(node.tier, []).append(node)
    return tuple(_facts(name, by_tier[name]) for name in sorted(by_tier))


def _facts(name: str, nodes: Sequence[Node]) -> TierFacts:
    largest = max(nodes, key=lambda node: (node.capacity.gpus, node.capacity.cpus, node.capacity.memory, node.name))
    heads = any(node.heads for node in nodes)
    return TierFacts(name=name, nodes=len(nodes), each=amounts_of(largest.capacity), heads=heads, speed=largest.speed)


def past_work(record: Record) -> PastWork:
    """A record as it may be decided on again; neither command nor environment is in it."""
    at, spec = record.at, record.spec
    return PastWork(
        name=record.name, project=spec.project, kind=spec.kind, priority=str(spec.priority), state=str(record.state),
        groups=tuple(map(_group, spec.groups)), walltime_s=spec.walltime_s, checkpoints=spec.checkpoints,
        submitted_at=at.submitted, granted_at=at.granted, running_at=at.running, ended_at=at.ended,
    )  # fmt: skip


def _group(group: Group) -> PastGroup:
    return PastGroup(
        name=group.name, count=group.count, tier=group.tier, cpus=group.cpus, gpus=group.gpus, memory=group.memory
    )  # fmt: skip
