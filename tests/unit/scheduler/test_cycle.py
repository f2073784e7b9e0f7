"""What `decide` places, and what it says of those who wait."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric.core.resources import Resources
from fabric.scheduler.cycle import decide
from fabric.scheduler.plan import Place, Plan, Wait
from fabric.scheduler.policy import Policy
from fabric.scheduler.snapshot import Snapshot, Waiting
from fabric.workloads.spec import Group
from tests.builders import cpu_node, gpu_node, group, hybrid, piece, running, waiting, world

POLICY = Policy()


def placed(plan: Plan) -> dict[str, list[str]]:
    """Nodes of each placed workload, as `slice@node`."""
    return {
        action.workload: [f"{part.name}@{part.node}" for part in action.grant.slices]
        for action in plan.actions
        if isinstance(action, Place)
    }


def waits(plan: Plan) -> dict[str, Wait]:
    """Those who wait, by name."""
    return {action.workload: action for action in plan.actions if isinstance(action, Wait)}


def test_one_slice_on_a_tier_that_holds_heads_is_its_own_head() -> None:
    plan = decide(world(waiting("a")), POLICY, 0.0)
    (action,) = plan.actions
    assert isinstance(action, Place)
    assert [(part.node, part.group, part.head) for part in action.grant.slices] == [("c0", "workers", True)]


def test_work_on_gpu_nodes_gets_a_head_of_its_own_on_a_tier_that_holds_heads() -> None:
    plan = decide(world(waiting("a", group(gpus=1.0))), POLICY, 0.0)
    assert placed(plan) == {"a": ["head@c0", "workers-0@g0"]}


def test_a_gang_that_brings_its_head_is_charged_no_other() -> None:
    own = group("head", tier="commodity", cpus=3.0)
    plan = decide(world(waiting("a", group("trainers", 2, gpus=1.0), own)), POLICY, 0.0)
    assert placed(plan) == {"a": ["head@c0", "trainers-0@g0"]}
    (action,) = plan.actions
    assert isinstance(action, Place)
    assert [(part.head, part.resources.cpus.whole()) for part in action.grant.slices] == [(True, 3.0), (False, 2.0)]


def test_a_head_that_is_brought_waits_for_room_of_its_own_size() -> None:
    own = group("head", tier="commodity", cpus=4.0)
    busy = [running(name, piece(node), ends=50.0 + at) for at, (name, node) in enumerate((("x", "c0"), ("y", "c1")))]
    plan = decide(world(*busy, waiting("a", own)), POLICY, 0.0)
    (wait,) = waits(plan).values()
    assert "group head: 0 of 1 workers (4 CPUs" in wait.reason
    assert "on tier commodity" in wait.reason
    assert wait.expected_start == 50.0


def test_a_gang_spans_both_tiers() -> None:
    gang = waiting("a", group("trainers", 4, "gpu", gpus=1.0), group("loaders", 2, "commodity"))
    assert placed(decide(world(gang), POLICY, 0.0)) == {
        "a": ["head@c0", "trainers-0@g0", "trainers-1@g1", "loaders-0@c0"]
    }


def test_work_without_gpus_keeps_off_gpu_nodes_while_there_is_room_elsewhere() -> None:
    big = [waiting(f"w{i}", group(cpus=4.0), at=float(i)) for i in range(3)]
    nodes = placed(decide(world(*big), POLICY, 0.0))
    assert nodes["w0"] == ["workers-0@c0"]
    assert nodes["w1"] == ["workers-0@c1"]
    assert "w2" not in nodes, "its head has no room left on the commodity tier"


def test_nobody_gets_a_part_of_a_gang() -> None:
    plan = decide(world(waiting("a", group("t", 5, "gpu", gpus=1.0))), POLICY, 0.0)
    assert placed(plan) == {}
    (short,) = waits(plan)["a"].shortfalls
    assert (short.group, short.tier, short.workers, short.fitting) == ("t", "gpu", 5, 4)
    assert short.missing == Resources.of(0, 1, 0)
    assert "1 GPUs short" in waits(plan)["a"].reason


def test_scattered_amounts_are_told_from_missing_ones() -> None:
    busy = running(
        "r", piece("g0", resources=Resources.of(1, 1, "1 GiB")), piece("g1", resources=Resources.of(1, 1, "1 GiB"))
    )
    plan = decide(world(busy, waiting("a", group("t", 1, "gpu", gpus=2.0))), POLICY, 0.0)
    assert "scattered over nodes" in waits(plan)["a"].reason


@pytest.mark.parametrize(
    ("sentence", "first", "second", "starts"),
    [
        ("the more urgent class goes first", {"at": 0.0}, {"at": 9.0, "priority": "interactive"}, "second"),
        ("inside a class the earlier one goes first", {"at": 1.0}, {"at": 2.0}, "first"),
        ("ties break by name", {"at": 1.0}, {"at": 1.0}, "first"),
        ("leftovers come last", {"at": 0.0, "priority": "harvest"}, {"at": 9.0}, "second"),
    ],
)
def test_order(sentence: str, first: dict[str, object], second: dict[str, object], starts: str) -> None:
    whole = group("t", 4, "gpu", gpus=1.0)
    plan = decide(world(waiting("first", whole, **first), waiting("second", whole, **second)), POLICY, 0.0)  # type: ignore[arg-type]
    assert list(placed(plan)) == [starts], sentence


def test_later_work_does_not_pass_on_a_tier_that_someone_ahead_waits_for() -> None:
    wide = waiting("wide", group("t", 5, "gpu", gpus=1.0), at=1.0)
    small = waiting("small", group("t", 1, "gpu", gpus=1.0), at=2.0)
    plan = decide(world(wide, small), POLICY, 0.0)
    assert placed(plan) == {}
    assert waits(plan)["small"].ahead == ("wide",)
    assert waits(plan)["small"].reason == "behind wide"


def test_work_on_another_tier_is_not_held_up() -> None:
    wide = waiting("wide", group("t", 5, "gpu", gpus=1.0), at=1.0)
    plan = decide(world(wide, waiting("cpu", at=2.0)), POLICY, 0.0)
    assert placed(plan) == {"cpu": ["workers-0@c0"]}


def test_what_fits_of_a_waiting_gang_is_held_for_it() -> None:
    wide = waiting("wide", group("t", 5, "gpu", gpus=1.0), group("l", 1, "commodity", cpus=4.0), at=1.0)
    later = waiting("later", group("l", 2, "commodity", cpus=4.0), at=2.0)
    assert placed(decide(world(wide, later), POLICY, 0.0)) == {}


def test_a_dependent_waits_for_its_jobs_and_blocks_nobody() -> None:
    first = waiting("a", group("t", 4, "gpu", gpus=1.0), blocked_by=("prepare",))
    plan = decide(world(first, waiting("b", group("t", 4, "gpu", gpus=1.0), at=5.0)), POLICY, 0.0)
    assert list(placed(plan)) == ["b"]
    assert waits(plan)["a"].reason == "comes after prepare"


def test_the_expected_start_is_the_end_that_frees_enough() -> None:
    all_of = Resources.of(2, 2, "2 GiB")
    busy = (
        running("r0", piece("g0", resources=all_of), ends=100.0),
        running("r1", piece("g1", resources=all_of), ends=300.0),
    )
    first = waiting("a", group("t", 1, "gpu", gpus=1.0), walltime_s=50.0, at=0.0)
    second = waiting("b", group("t", 2, "gpu", gpus=1.0), walltime_s=50.0, at=1.0)
    plan = decide(world(*busy, first, second), POLICY, 10.0)
    starts = {name: wait.expected_start for name, wait in waits(plan).items()}
    assert starts == {"a": 100.0, "b": 150.0}


def test_without_walltimes_nobody_is_promised_a_start() -> None:
    busy = running("r", piece("g0", resources=Resources.of(2, 2, "2 GiB")), ends=None)
    plan = decide(world(busy, waiting("a", group("t", 3, "gpu", gpus=1.0))), POLICY, 0.0)
    assert waits(plan)["a"].expected_start is None


def test_nodes_that_are_not_ready_take_nothing() -> None:
    down = [node for node in hybrid() if node.name != "c0"]
    assert placed(decide(world(waiting("a"), nodes=down), POLICY, 0.0)) == {"a": ["workers-0@c1"]}


GROUPS = st.builds(
    lambda name, count, tier, cpus, gpus: Group(
        name=name, count=count, tier=tier, cpus=cpus, gpus=gpus, memory="1 GiB"
    ),
    st.sampled_from(["a", "b"]),
    st.integers(1, 6),
    st.sampled_from(["gpu", "commodity", None]),
    st.sampled_from([0.5, 1.0, 2.0]),
    st.sampled_from([0.0, 0.5, 1.0]),
)
WAITING = st.builds(
    lambda number, groups, rank, at, walltime: Waiting(
        f"w{number}", rank, float(at), tuple({g.name: g for g in groups}.values()), walltime
    ),
    st.integers(0, 10_000),
    st.lists(GROUPS, min_size=1, max_size=2),
    st.integers(0, 3),
    st.integers(0, 5),
    st.sampled_from([None, 10.0, 100.0]),
)
WORLDS = st.lists(WAITING, max_size=8, unique_by=lambda w: w.name).map(
    lambda work: world(*work, nodes=(gpu_node("g0"), gpu_node("g1", 4, 8), cpu_node("c0"), cpu_node("c1", 8)))
)


@given(WORLDS)
def test_no_plan_over_commits_a_node_or_breaks_a_gang(snapshot: Snapshot) -> None:
    plan = decide(snapshot, POLICY, 0.0)
    used: dict[str, Resources] = {}
    asked = {work.name: work for work in snapshot.waiting}
    for action in plan.actions:
        if not isinstance(action, Place):
            continue
        for part in action.grant.slices:
            used[part.node] = used.get(part.node, Resources()) + part.resources
        counts = {g.name: g.count for g in asked[action.workload].groups}
        given_out = {name: sum(p.workers for p in action.grant.slices if p.group == name) for name in counts}
        assert given_out == counts
        assert sum(part.head for part in action.grant.slices) == 1
    capacity = {node.name: node.capacity for node in snapshot.nodes}
    assert all(amount.fits(capacity[node]) for node, amount in used.items())
    assert {action.workload for action in plan.actions} == set(asked), "everybody gets an answer"


@given(WORLDS)
def test_the_same_world_gives_the_same_plan(snapshot: Snapshot) -> None:
    assert decide(snapshot, POLICY, 0.0) == decide(snapshot, POLICY, 0.0)
