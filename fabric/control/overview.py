"""The site at one glance: what each tier has free, who waits, who serves, and how promises were kept.

Knows nothing of stores or HTTP: values in, values out.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict

from fabric.api.admin import ProgressView, WorkloadView
from fabric.api.overview import Overview, PromisesView, TierView
from fabric.api.use import UseAmounts, UseView, total
from fabric.control.discretion import Reads
from fabric.control.views import amounts_of, workload_view
from fabric.core.resources import Resources
from fabric.scheduler.punctuality import KEPT_WITHIN_S, punctuality
from fabric.scheduler.snapshot import Node, NodeState
from fabric.workloads.record import Record
from fabric.workloads.states import State

MOST_STARTS = 10_000
"""Newest starts whose promises are looked at."""

MOST_QUEUED = 100
"""Waiting workloads that an overview lists; the others are counted."""


def overview_of(
    site: str,
    now: float,
    mine: Sequence[Record],
    *,
    tiers: tuple[TierView, ...],
    starts: Iterable[tuple[float, float]],
    endpoint: Callable[[Record], str | None],
    read: Reads,
    uses: Mapping[str, UseView],
) -> Overview:
    """The site at one glance.

    Args:
        site: Its name.
        now: Seconds since the epoch.
        mine: The active records that the reader may see.
        tiers: Every tier.
        starts: Promised and actual starts, in seconds since the epoch.
        endpoint: Where a service answers; None where it does not.
        read: What the reader is shown of a text.
        uses: What workloads use of their grants, by name.
    """
    queue = queue_of(mine)
    measured = [use for use in uses.values() if use.slices]
    return Overview(
        site=site,
        at=now,
        tiers=tiers,
        num_waiting=len(queue),
        queue=tuple(brief_view(record, read=read) for record in queue[:MOST_QUEUED]),
        services=tuple(
            brief_view(record, endpoint(record), read, use=uses.get(record.name)) for record in services_of(mine)
        ),
        running=running_by_class(mine),
        promises=promises_view(starts),
        use=UseAmounts(**total(measured)) if measured else None,
        num_measured=len(measured),
        num_holding=sum(record.state.holds_grant for record in mine),
    )


def tier_views(nodes: Iterable[Node], records: Iterable[Record]) -> tuple[TierView, ...]:
    """Every tier, by name.

    Args:
        nodes: Of the site.
        records: Those that may hold a grant, of all projects.
    """
    held: dict[str, dict[str, Resources]] = {}
    on_node: dict[str, Resources] = {}
    for record in records:
        for part in record.grant.slices if record.grant and record.state.holds_grant else ():
            of_tier, name = held.setdefault(part.tier, {}), str(record.spec.priority)
            of_tier[name] = of_tier.get(name, Resources()) + part.resources
            on_node[part.node] = on_node.get(part.node, Resources()) + part.resources
    by_tier: dict[str, list[Node]] = {}
    for node in nodes:
        by_tier.setdefault(node.tier, []).append(node)
    return tuple(_tier(name, by_tier[name], held.get(name, {}), on_node) for name in sorted(by_tier))


def _tier(name: str, nodes: Sequence[Node], held: dict[str, Resources], on_node: dict[str, Resources]) -> TierView:
    ready = [node for node in nodes if node.state is NodeState.READY]
    free = (node.capacity.shortfall(on_node.get(node.name, Resources())) for node in ready)
    return TierView(
        name=name,
        nodes=len(nodes),
        ready=len(ready),
        total=amounts_of(sum((node.capacity for node in ready), Resources())),
        free=amounts_of(sum(free, Resources())),
        held={name: amounts_of(amount) for name, amount in sorted(held.items())},
    )


def queue_of(records: Iterable[Record]) -> list[Record]:
    """Who waits: most urgent class first, then first come first served."""
    waiting = (record for record in records if record.state is State.QUEUED)
    return sorted(waiting, key=lambda record: (record.spec.priority.rank, record.at.submitted, record.name))


def services_of(records: Iterable[Record]) -> list[Record]:
    """Services that are not final, by name."""
    services = (record for record in records if record.spec.kind == "service" and not record.state.final)
    return sorted(services, key=lambda record: record.name)


def running_by_class(records: Iterable[Record]) -> dict[str, int]:
    """How many jobs of each priority class hold nodes."""
    jobs = (record for record in records if record.spec.kind == "job" and record.state.holds_grant)
    return dict(sorted(Counter(str(record.spec.priority) for record in jobs).items()))


def brief_view(
    record: Record, endpoint: str | None = None, read: Reads = str, *, use: UseView | None = None
) -> WorkloadView:
    """A record without what it tells of itself; `read` is what the reader is shown of a text."""
    return workload_view(record, ProgressView(), endpoint, read, use=use)


def promises_view(starts: Iterable[tuple[float, float]]) -> PromisesView:
    """How promises were kept.

    Args:
        starts: Promised and actual start of each that had been promised one, in seconds since the epoch.
    """
    found = punctuality(actual - promised for promised, actual in starts)
    return PromisesView(within_s=KEPT_WITHIN_S, **asdict(found))
