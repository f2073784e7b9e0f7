"""Whatever the world: no peer over-commits a node, breaks a gang or mixes tiers; equal worlds give equal plans."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fabric.core.resources import Resources
from fabric.scheduler.plan import Plan
from fabric.scheduler.policy import Policy
from fabric.scheduler.snapshot import Running, Snapshot, Waiting
from fabric.simulator.peers.gavel import GavelSettings, gavel
from fabric.simulator.peers.kai import KaiSettings, kai
from fabric.simulator.peers.kueue import KueueSettings, kueue
from fabric.simulator.peers.kueue_preemption import KueuePreemption
from fabric.simulator.peers.lyra import LyraSettings, lyra
from fabric.simulator.peers.settings import Decider
from fabric.simulator.peers.sia import SiaSettings, sia
from fabric.simulator.peers.slurm import SlurmSettings, slurm
from fabric.simulator.peers.static_split import StaticSplitSettings, static_split
from fabric.workloads.spec import Group
from tests.builders import HEAD
from tests.unit.simulator.peers.worlds import HOUR_S, gpus, nodes, runs, service, waits

SHARES = {"a": 0.3, "b": 0.3, "serving": 0.4}
SPEEDS = {"older": 0.4}
PEERS: Mapping[str, Callable[[], Decider]] = {
    "static-split": lambda: static_split(StaticSplitSettings(speeds=SPEEDS, serving_nodes=1, peaks={"chat": 3})),
    "easy-shortest": lambda: static_split(StaticSplitSettings(speeds=SPEEDS, backfill="shortest", protect=3)),
    "slurm": lambda: slurm(SlurmSettings(speeds=SPEEDS)),
    "kueue": lambda: kueue(KueueSettings(speeds=SPEEDS, shares=SHARES)),
    "kueue-strict": lambda: kueue(KueueSettings(speeds=SPEEDS, queueing="StrictFIFO")),
    "kueue-fair": lambda: kueue(
        KueueSettings(speeds=SPEEDS, shares=SHARES, preemption=KueuePreemption(fair_sharing=True))
    ),
    "kai": lambda: kai(KaiSettings(speeds=SPEEDS, shares=SHARES, usage_half_life_s=HOUR_S)),
    "kai-deserved": lambda: kai(KaiSettings(speeds=SPEEDS, shares=SHARES, reclaim="deserved", reclaim_min_run_s=0.0)),
    "gavel": lambda: gavel(GavelSettings(speeds=SPEEDS, serving_nodes=1, peaks={"chat": 3})),
    "sia": lambda: sia(SiaSettings(speeds=SPEEDS, serving_nodes=1, peaks={"chat": 3})),
    "sia-loans": lambda: sia(SiaSettings(speeds=SPEEDS, serving_nodes=2, loans=True, spare_nodes=0)),
    "lyra": lambda: lyra(LyraSettings(speeds=SPEEDS, serving_nodes=2, spare_nodes=0)),
}
SITE = nodes(gpu=3, older=1, cpu=2)
ROOM = {node.name: node.capacity for node in SITE}

GROUPS = st.one_of(
    st.builds(gpus, st.integers(1, 9), tier=st.sampled_from([None, None, "gpu", "older"])),
    st.sampled_from([gpus(2, min=1, max=8), gpus(4, min=2, max=8, step=2), Group(name="workers", count=2, gpus=2.0)]),
    st.builds(lambda n: Group(name="workers", count=n, cpus=16.0), st.integers(1, 8)),
)


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    """Small worlds: a service, jobs that run without over-committing anything, and jobs that wait."""
    free = dict.fromkeys(("g0", "g1", "g2", "o0"), 4)
    running: list[Running] = []
    for number in range(draw(st.integers(0, 6))):
        node, count = draw(st.sampled_from(sorted(free))), draw(st.integers(1, 3))
        if free[node] < count:
            continue
        free[node] -= count
        elastic = gpus(count, min=1, max=8) if draw(st.booleans()) else None
        running.append(
            runs(
                f"r{number}",
                {node: count},
                ends=draw(st.sampled_from([None, 5.0, HOUR_S])),
                group=elastic,
                project=draw(st.sampled_from("ab")),
                priority=draw(st.sampled_from(["batch", "harvest"])),
                settled=draw(st.booleans()),
                since=draw(st.sampled_from([-10 * HOUR_S, -60.0])),
            )
        )
    if free["g0"] and draw(st.booleans()):
        demand = draw(st.lists(st.integers(1, 6), min_size=1, max_size=3))
        running.append(service("chat", {"g0": 1}, demand, project="serving", settled=draw(st.booleans())))
    waiting = [
        waits(
            f"w{number}",
            draw(GROUPS),
            at=float(draw(st.integers(-100, 0))),
            hours=draw(st.sampled_from([None, 0.5, 2.0])),
            project=draw(st.sampled_from("ab")),
            priority=draw(st.sampled_from(["batch", "batch", "interactive", "harvest"])),
            blocked_by=draw(st.sampled_from([(), (), ("first",)])),
        )
        for number in range(draw(st.integers(0, 6)))
    ]
    return Snapshot.of(SITE, running, waiting, head=draw(st.sampled_from([HEAD, Resources()])))


def check(snapshot: Snapshot, plan: Plan) -> None:
    """Every rule that holds for any plan."""
    running, waiting = {w.name: w for w in snapshot.running}, {w.name: w for w in snapshot.waiting}
    used: dict[str, Resources] = {}
    for work in snapshot.running:
        for part in work.grant.slices:
            used[part.node] = used.get(part.node, Resources()) + part.resources
    for place in plan.placed:
        asked = waiting[place.workload]
        assert not asked.blocked_by
        assert sum(part.head for part in place.grant.slices) == 1
        for group in asked.groups:
            assert place.grant.size(group.name) in range(group.least, group.most + 1, group.step)
        assert len({part.tier for part in place.grant.slices if part.resources.gpus}) <= 1
        assert all(
            group.tier in (None, part.tier)
            for group in asked.groups
            for part in place.grant.slices
            if part.group == group.name
        )
        for part in place.grant.slices:
            used[part.node] = used.get(part.node, Resources()) + part.resources
    for change in plan.resized:
        work, kept = running[change.workload], set(running[change.workload].grant.slices)
        assert work.settled
        assert work.elastic is not None
        assert change.grant.size(work.elastic.name) == change.after != change.before
        assert change.after in range(work.elastic.least, work.elastic.most + 1, work.elastic.step)
        assert len({part.name for part in change.grant.slices}) == len(change.grant.slices)
        if change.after > change.before:
            assert kept <= set(change.grant.slices)
            for part in set(change.grant.slices) - kept:
                used[part.node] = used.get(part.node, Resources()) + part.resources
    assert all(amount.fits(ROOM[node]) for node, amount in used.items())
    gone = [action.workload for action in plan.preempted]
    assert all(running[name].settled and not running[name].service for name in gone)
    assert len({*gone, *(change.workload for change in plan.resized)}) == len(gone) + len(plan.resized)
    assert sorted(waiting) == sorted([w.workload for w in plan.waits] + [p.workload for p in plan.placed])


@pytest.mark.parametrize("peer", PEERS)
@given(first=snapshots(), second=snapshots())
@settings(max_examples=8, deadline=None)
def test_no_peer_over_commits_a_node_breaks_a_gang_or_mixes_tiers(peer: str, first: Snapshot, second: Snapshot) -> None:
    decider, again = PEERS[peer](), PEERS[peer]()
    for number, snapshot in enumerate((first, second)):
        plan = decider(snapshot, Policy(), 400.0 * number)
        check(snapshot, plan)
        assert plan == again(snapshot, Policy(), 400.0 * number), "the same worlds give the same plans"


@pytest.mark.parametrize("peer", PEERS)
def test_a_lone_job_starts_and_an_empty_world_has_an_empty_plan(peer: str) -> None:
    decider = PEERS[peer]()
    assert decider(Snapshot.of(SITE, head=HEAD), Policy(), 0.0) == Plan()
    lone: Waiting = replace(waits("a", gpus(2)), project="a")
    (place,) = PEERS[peer]()(Snapshot.of(SITE, waiting=[lone], head=HEAD), Policy(), 0.0).placed
    assert place.grant.size("workers") == 2
