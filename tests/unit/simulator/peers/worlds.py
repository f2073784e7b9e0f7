"""Small worlds for the peers: GPU nodes of two speeds, jobs that run and wait, services with a demand."""

from collections.abc import Sequence

from fabric.core.resources import Resources
from fabric.scheduler.columns import Node
from fabric.scheduler.forecast import Demand
from fabric.scheduler.plan import Plan
from fabric.scheduler.policy import Policy
from fabric.scheduler.snapshot import Claim, Running, Snapshot, Told, Waiting
from fabric.simulator.peers.settings import Decider
from fabric.workloads.record import Grant, Slice
from fabric.workloads.spec import Group, Priority

HOUR_S = 3600.0
EACH = Resources.of(1, 1, "1 GiB")
"""What one worker with an accelerator holds."""


def nodes(gpu: int = 2, older: int = 0, cpu: int = 1, gpus: int = 4) -> tuple[Node, ...]:
    """GPU nodes `g0` ..., older ones `o0` ..., and commodity nodes `c0` ... that hold heads."""
    return (
        *(Node(f"g{i}", "gpu", Resources.of(64, gpus, "512 GiB")) for i in range(gpu)),
        *(Node(f"o{i}", "older", Resources.of(64, gpus, "512 GiB")) for i in range(older)),
        *(Node(f"c{i}", "cpu", Resources.of(64, 0, "256 GiB"), heads=True) for i in range(cpu)),
    )


def gpus(count: int, tier: str | None = None, **more: int) -> Group:
    """So many workers with one accelerator each."""
    return Group(name="workers", count=count, tier=tier, gpus=1.0, **more)  # type: ignore[arg-type]


def waits(
    name: str, group: Group | None = None, *, at: float = 0.0, hours: float | None = 1.0, **more: object
) -> Waiting:
    """A job in the queue."""
    rank = Priority(str(more.pop("priority", "batch"))).rank
    walltime_s = None if hours is None else hours * HOUR_S
    return Waiting(name, rank, at, (group or gpus(1),), walltime_s, **more)  # type: ignore[arg-type]


def runs(
    name: str,
    where: dict[str, int],
    *,
    ends: float | None = HOUR_S,
    group: Group | None = None,
    priority: str = "batch",
    **more: object,
) -> Running:
    """A job that holds so many workers with one accelerator on each of some nodes, one slice for each worker."""
    places = [node for node, count in where.items() for _ in range(count)]
    slices = tuple(
        Slice(f"workers-{i}", "workers", node, _tier(node), 1, EACH, head=i == 0) for i, node in enumerate(places)
    )
    more = {"settled": True, "since": -10 * HOUR_S, **more}
    elastic = group if group is not None and group.elastic else None
    return Running(name, Grant(slices), ends, Priority(priority).rank, elastic=elastic, **more)  # type: ignore[arg-type]


def service(name: str, where: dict[str, int], demand: Sequence[int], *, most: int = 8, **more: object) -> Running:
    """A service of replicas with one accelerator, and what it needs in each of the coming ten-minute steps."""
    told = Told(1, demand=Demand(0.0, 600.0, tuple(demand), "told"), lead_s=60.0)
    group = Group(name="workers", count=1, min=1, max=most, gpus=1.0, tier="gpu")
    return runs(name, where, ends=None, group=group, priority="serving", service=True, told=told, **more)


def world(*work: Running | Waiting, on: Sequence[Node] | None = None, claims: Sequence[Claim] = ()) -> Snapshot:
    """Nodes (two GPU nodes and a commodity node unless told otherwise), what runs and what waits; heads are free."""
    return Snapshot.of(
        on if on is not None else nodes(),
        [item for item in work if isinstance(item, Running)],
        [item for item in work if isinstance(item, Waiting)],
        head=Resources(),
        claims=claims,
    )


def decide(decider: Decider, snapshot: Snapshot, now: float = 0.0) -> Plan:
    """What a peer decides."""
    return decider(snapshot, Policy(), now)


def started(plan: Plan) -> dict[str, str]:
    """Nodes of each workload that starts, such as `2@g0 1@g1`."""
    return {place.workload: where(place.grant) for place in plan.placed}


def where(grant: Grant) -> str:
    """Workers by node, such as `2@g0 1@g1`."""
    return " ".join(f"{part.workers}@{part.node}" for part in grant.slices)


def left(plan: Plan) -> list[str]:
    """Who is asked to leave."""
    return sorted(action.workload for action in plan.preempted)


def resized(plan: Plan) -> dict[str, tuple[int, int]]:
    """Sizes before and after."""
    return {action.workload: (action.before, action.after) for action in plan.resized}


def _tier(node: str) -> str:
    return {"g": "gpu", "o": "older", "c": "cpu"}[node[0]]
