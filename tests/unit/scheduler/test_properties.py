"""Whatever the world and the policy: no plan over-commits a node, breaks a gang or starts a dependent early."""

from dataclasses import replace
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from fabric.core.resources import Resources
from fabric.scheduler.cycle import decide
from fabric.scheduler.policy import Policy
from fabric.scheduler.profile import Profile
from fabric.scheduler.snapshot import Claim, Running, Snapshot
from fabric.workloads.record import Grant
from tests.builders import HEAD, cpu_node, gpu_node, piece
from tests.unit.scheduler.test_cycle import WAITING

NODES = (gpu_node("g0"), gpu_node("g1", 4, 8), cpu_node("c0"), cpu_node("c1", 8))
POLICIES = st.sampled_from(
    [
        Policy(),
        Policy(backfill="shortest", max_passed=1),
        Policy(protect="all"),
        Policy(protect=2, order="sjf"),
        Policy(protect=0, order="f1"),
        Policy(backfill="off", order="wfp3"),
        Policy(backfill_rule="strict-shadow", sticky=True),
    ]
)
HELD = st.lists(
    st.tuples(st.sampled_from(["g0", "g1", "c0", "c1"]), st.sampled_from([None, -5.0, 10.0, 99.0])),
    max_size=4,
    unique_by=lambda drawn: drawn[0],
)
"""At most one workload on each node, and when it ends."""
BLOCKED = st.tuples(WAITING, st.booleans(), st.integers(0, 2)).map(
    lambda drawn: replace(drawn[0], blocked_by=("first",) if drawn[1] else (), passed=drawn[2])
)
WINDOWS = st.lists(st.sampled_from([("g0", 0.0, 50.0), ("c1", 20.0, 40.0), ("g1", 5.0, 1e9)]), max_size=2, unique=True)


@st.composite
def snapshots(draw: st.DrawFn) -> Snapshot:
    """Small worlds with running, waiting and blocked work, and windows."""
    held = [
        Running(f"r-{node}", Grant((piece(node, resources=Resources.of(1, int(node[0] == "g"), "1 GiB")),)), ends)
        for node, ends in draw(HELD)
    ]
    claims = [Claim(f"w-{node}", start, end, (node,)) for node, start, end in draw(WINDOWS)]
    waiting = draw(st.lists(BLOCKED, max_size=8, unique_by=lambda work: work.name))
    return Snapshot.of(NODES, held, waiting, head=HEAD, claims=claims)


@given(snapshots(), POLICIES)
def test_no_plan_over_commits_a_node_breaks_a_gang_or_starts_a_dependent(snapshot: Snapshot, policy: Policy) -> None:
    plan = decide(snapshot, policy, 0.0)
    asked = {work.name: work for work in snapshot.waiting}
    used: dict[str, Resources] = {}
    for grant in [work.grant for work in snapshot.running] + [place.grant for place in plan.placed]:
        for part in grant.slices:
            used[part.node] = used.get(part.node, Resources()) + part.resources
    assert all(amount.fits(node.capacity) for node in NODES for amount in [used.get(node.name, Resources())])
    for place in plan.placed:
        work = asked[place.workload]
        assert not work.blocked_by
        counts = {group.name: group.count for group in work.groups}
        assert {n: sum(s.workers for s in place.grant.slices if s.group == n) for n in counts} == counts
    assert sorted(action.workload for action in plan.actions) == sorted(asked)


@given(snapshots(), POLICIES)
def test_nothing_starts_that_would_run_into_a_window(snapshot: Snapshot, policy: Policy) -> None:
    for place in decide(snapshot, policy, 0.0).placed:
        (work,) = [work for work in snapshot.waiting if work.name == place.workload]
        nodes = {part.node for part in place.grant.slices}
        assert not [claim for claim in snapshot.claims if work.duration_s > claim.start and nodes & set(claim.nodes)]


@given(snapshots(), POLICIES, st.randoms(use_true_random=False))
def test_the_same_world_told_in_any_order_gives_the_same_plan(
    snapshot: Snapshot, policy: Policy, chance: Random
) -> None:
    running, waiting, nodes = list(snapshot.running), list(snapshot.waiting), list(NODES)
    for values in (running, waiting, nodes):
        chance.shuffle(values)
    again = Snapshot.of(nodes, running, waiting, head=HEAD, claims=snapshot.claims)
    assert decide(again, policy, 0.0) == decide(snapshot, policy, 0.0)


@given(snapshots())
def test_whoever_is_promised_a_start_finds_it_free_beside_all_who_start_now(snapshot: Snapshot) -> None:
    plan = decide(snapshot, Policy(), 0.0)
    durations = {work.name: work.duration_s for work in snapshot.waiting}
    profile = Profile(snapshot, 0.0)
    for place in plan.placed:
        profile.start(snapshot.site.slots(place.grant.slices), durations[place.workload])
    for name, kept in plan.promises.items():
        assert profile.fits(kept.slots, kept.start, kept.start + durations[name])
        profile.promise(kept.slots, kept.start, kept.start + durations[name])
