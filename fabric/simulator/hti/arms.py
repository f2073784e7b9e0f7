"""Who competes in the benchmark: one table from names to deciders with their policies and settings.

Knows nothing of results. What is imported only here is imported when an arm is made.

Peers are told what a site would tell them: the speeds of its tiers, the notice before a kill, the peaks of its services
and how many nodes hold these. `TUNED` has what the search on the tuning seeds found best for each.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Any, Literal

from fabric.config.load import decode
from fabric.core.errors import NotFound
from fabric.scheduler.cycle import decide
from fabric.scheduler.loop import Decider
from fabric.scheduler.policy import Policy
from fabric.simulator.hti.play import Manner
from fabric.simulator.hti.settings import HtiSettings
from fabric.simulator.hti.site import speeds
from fabric.simulator.hti.workload import Workload

REPORTING_SEEDS = range(10)
"""Seeds whose runs are reported."""
TUNING_SEEDS = range(10, 20)
"""Seeds on which settings are tuned, and none of whose runs is reported."""
PEERS = "fabric.simulator.peers"
"""Package of the other schedulers."""
TUNED: Mapping[str, Mapping[str, Any]] = {}
"""Settings of peers that are not their defaults, by arm."""
OURS: Mapping[str, Any] = {
    "backfill": "shortest", "dated": 0, "max_passed": None, "restart_s": 120.0, "headroom": 0.1,
    "slower_for_s": 3700.0, "yields": 4.0, "askers": 4, "moves": True,
    "min_run_s": 1800.0,
}  # fmt: skip
"""Choices of our policy that are not its defaults. With a bound on being passed, in a queue of a thousand that grows
everybody is over it, and each decision makes a thousand promises. The headroom is that of the peers' autoscaler; the
shortest class of walltimes, one hour and the grace, may run on the older pool. What was searched is in the README."""


@dataclass(frozen=True, slots=True)
class Arm:
    """One competitor."""

    says: str
    """What it is, in one line."""
    peer: str = ""
    """Module and factory of a peer, as `module:factory:Settings`; empty for ours."""
    policy: Mapping[str, Any] = field(default_factory=dict)
    """Choices of our policy beyond `OURS`."""
    given: Mapping[str, Any] = field(default_factory=dict)
    """Settings of a peer that make it this arm."""
    elastic_services: bool = True
    method: Literal["quantile", "last"] = "quantile"
    """How demand is forecast."""
    walltime_factor: float = 1.0
    """How many times too long the walltimes of training are."""
    beat_s: float = 300.0
    """Seconds between two looks where nothing happens."""


def _ours(says: str, **policy: Any) -> Arm:
    return Arm(says, policy=policy)


ARMS: Mapping[str, Arm] = {
    "ours": _ours("the fabric"),
    "b1-static": Arm("static split and EASY", "static_split:static_split:StaticSplitSettings"),
    "b2-slurm": Arm("like Slurm: multifactor, backfill, requeue by QOS", "slurm:slurm:SlurmSettings"),
    "b3-kueue": Arm("like Kueue: cohort, reclaim, borrowing", "kueue:kueue:KueueSettings"),
    "b4-kai": Arm("like KAI: reclaim, consolidation", "kai:kai:KaiSettings"),
    "b5-gavel": Arm("like Gavel: heterogeneous LAS, static split", "gavel:gavel:GavelSettings", beat_s=360.0),
    "b6-sia": Arm("like Sia: goodput by rounds, static split", "sia:sia:SiaSettings", beat_s=60.0),
    "b7-lyra": Arm("like Lyra: loans, shortest first, elastic knapsack", "lyra:lyra:LyraSettings"),
    "b7-sia-loans": Arm("like Sia with Lyra's loans", "sia:sia:SiaSettings", given={"loans": True}, beat_s=60.0),
    "easy": Arm(
        "our loop with rigid work, services at their peak", elastic_services=False, policy={"backfill": "fcfs"}
    ),
    "no-forecast": Arm("ours, told the last value instead of a forecast", method="last"),
    "no-loans": _ours("ours without loans", loans=False),
    "no-sjbf": _ours("ours, passing in the order of the queue", backfill="fcfs"),
    "no-elasticity": _ours("ours without resizing", elastic=False),
    "no-yielding": _ours("ours, where nobody makes room for shorter work", yields=None),
    "no-moves": _ours("ours, where work stays on the accelerators that it began on", moves=False),
    "no-cost": _ours("ours, the newest leave first whatever that costs", victims="newest"),
    "long-walltimes": Arm("ours, all walltimes of training twice too long", walltime_factor=2.0),
}
"""Every competitor by name; the clairvoyant bound B8 is no run, it stands beside them."""


def arm(name: str) -> Arm:
    """A competitor.

    Raises:
        NotFound: If there is none of that name.
    """
    if name not in ARMS:
        raise NotFound(f"there is no arm {name!r}. Choose of {', '.join(ARMS)}.")
    return ARMS[name]


def manner(name: str, settings: HtiSettings) -> Manner:
    """How an arm plays.

    Raises:
        NotFound: If there is no such arm, or its peer is not there.
        BadConfig: If its settings are not those of its policy or peer.
    """
    chosen = arm(name)
    return Manner(
        decider=_peer(name, chosen, settings) if chosen.peer else decide,
        policy=decode(Policy, {**OURS, **chosen.policy}, f"arm {name}"),
        elastic_services=chosen.elastic_services,
        beat_s=chosen.beat_s,
    )


def asked(name: str, workload: Workload) -> Workload:
    """The workload as an arm's users ask for it: with the walltimes of its table row."""
    factor = arm(name).walltime_factor
    if factor == 1.0:
        return workload
    jobs = tuple(replace(job, walltime_s=factor * job.walltime_s) for job in workload.training)
    return replace(workload, training=jobs)


def _peer(name: str, chosen: Arm, settings: HtiSettings) -> Decider:
    module, factory, known = chosen.peer.split(":")
    try:
        found = import_module(f"{PEERS}.{module}")
    except ModuleNotFoundError as error:
        raise NotFound(f"arm {name} needs {PEERS}.{module}, which is not there ({error}).") from None
    make: Callable[[Any], Decider] = getattr(found, factory)
    kind = getattr(found, known)
    given = {**_site(settings), **chosen.given, **TUNED.get(name, {})}
    return make(decode(kind, {key: value for key, value in given.items() if key in kind.model_fields}, f"arm {name}"))


def _site(settings: HtiSettings) -> dict[str, Any]:
    """What every peer is told of the site, where it has a setting for it."""
    return {
        "speeds": speeds(settings),
        "grace_s": settings.staging.grace_s,
        "serving_tier": settings.gpu.tier,
        "serving_nodes": -(-settings.peak_gpus // settings.gpu.gpus),
        "peaks": {service.name: service.peak_replicas for service in settings.services},
    }
