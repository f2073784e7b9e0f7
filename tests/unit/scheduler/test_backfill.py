"""Who may pass whom: promises, backfilling, and the bound on passing."""

import pytest

from fabric.core.resources import Resources
from fabric.scheduler.cycle import decide
from fabric.scheduler.plan import Plan
from fabric.scheduler.policy import Policy
from fabric.scheduler.snapshot import Claim, Snapshot
from tests.builders import cpu_node, gpu_node, group, piece, running, waiting, world

ALL_OF_G0 = Resources.of(2, 2, "2 GiB")


def busy(ends: float | None = 100.0) -> Snapshot:
    """Two of four GPUs are held until `ends`; a gang of three waits, and four small ones behind it."""
    return world(
        running("r", piece("g0", resources=ALL_OF_G0), ends=ends),
        waiting("gang", group("t", 3, "gpu", gpus=1.0), at=1.0, walltime_s=500.0),
        waiting("brief", group("t", 1, "gpu", gpus=1.0), at=2.0, walltime_s=100.0),
        waiting("long", group("t", 1, "gpu", gpus=1.0), at=3.0, walltime_s=101.0),
        waiting("longer", group("t", 1, "gpu", gpus=1.0), at=4.0, walltime_s=400.0),
        waiting("endless", group("t", 1, "gpu", gpus=1.0), at=5.0),
    )


def started(plan: Plan) -> list[str]:
    return [place.workload for place in plan.placed]


def test_easy_lets_pass_what_ends_before_the_promise_or_uses_what_it_leaves_free() -> None:
    plan = decide(busy(), Policy(), 0.0)
    # `long` outlives the promise at 100 on the one GPU that the gang leaves free; nothing is left for `longer`.
    assert started(plan) == ["brief", "long"]
    assert plan.promises["gang"].start == 100.0
    assert plan.passed == {"gang": 2}


def test_what_is_promised_is_said_to_be_and_what_is_only_expected_is_not() -> None:
    said = {wait.workload: (wait.expected_start, wait.promised) for wait in decide(busy(), Policy(), 0.0).waits}
    # After the gang and `long` (until 101) one GPU is free again, so `longer` should start then.
    assert said == {"gang": (100.0, True), "longer": (101.0, False), "endless": (501.0, False)}


@pytest.mark.parametrize(
    ("sentence", "policy", "starts"),
    [
        ("without backfill nobody passes", Policy(backfill="off"), []),
        ("without promises whoever fits starts", Policy(protect=0), ["brief", "long"]),
        ("a promise for everybody", Policy(protect="all"), ["brief", "long"]),
        ("only what ends before the promise", Policy(backfill_rule="strict-shadow"), []),
    ],
)
def test_a_policy_decides_who_passes(sentence: str, policy: Policy, starts: list[str]) -> None:
    assert started(decide(busy(), policy, 0.0)) == starts, sentence


def test_the_strict_rule_lets_pass_what_ends_before_the_promise_but_not_at_it() -> None:
    assert started(decide(busy(ends=100.5), Policy(backfill_rule="strict-shadow"), 0.0)) == ["brief"]


def test_the_shortest_may_pass_first() -> None:
    snapshot = world(
        running("r", piece("g0", resources=ALL_OF_G0), ends=100.0),
        waiting("gang", group("t", 4, "gpu", gpus=1.0), at=1.0, walltime_s=500.0),
        waiting("wide", group("t", 2, "gpu", gpus=1.0), at=2.0, walltime_s=90.0),
        waiting("short", group("t", 1, "gpu", gpus=1.0), at=3.0, walltime_s=10.0),
    )
    assert started(decide(snapshot, Policy(), 0.0)) == ["wide"]
    assert started(decide(snapshot, Policy(backfill="shortest"), 0.0)) == ["short"]


def test_the_one_that_takes_the_fewest_device_seconds_may_pass_first() -> None:
    snapshot = world(
        running("r", piece("g0", resources=ALL_OF_G0), ends=100.0),
        waiting("gang", group("t", 4, "gpu", gpus=1.0), at=1.0, walltime_s=500.0),
        waiting("wide", group("t", 2, "gpu", gpus=1.0), at=2.0, walltime_s=60.0),
        waiting("long", group("t", 1, "gpu", gpus=1.0), at=3.0, walltime_s=90.0),
    )
    assert started(decide(snapshot, Policy(backfill="shortest"), 0.0)) == ["wide"]
    assert started(decide(snapshot, Policy(backfill="smallest"), 0.0)) == ["long"]


def test_a_second_promise_protects_the_second_in_the_queue() -> None:
    snapshot = world(
        running("r", piece("g0", resources=ALL_OF_G0), ends=100.0),
        waiting("first", group("t", 4, "gpu", gpus=1.0), at=1.0, walltime_s=100.0),
        waiting("second", group("t", 4, "gpu", gpus=1.0), at=2.0, walltime_s=100.0),
        waiting("late", group("t", 1, "gpu", gpus=1.0), at=3.0, walltime_s=90.0),
    )
    plan = decide(snapshot, Policy(protect=2), 0.0)
    assert {name: promise.start for name, promise in plan.promises.items()} == {"first": 100.0, "second": 200.0}
    assert started(plan) == ["late"]


def test_who_was_passed_often_enough_is_promised_a_start_too() -> None:
    def behind(passed: int) -> Snapshot:
        return world(
            running("r", piece("g0", resources=ALL_OF_G0), ends=100.0),
            waiting("first", group("t", 3, "gpu", gpus=1.0), at=1.0, walltime_s=50.0),
            waiting("second", group("t", 4, "gpu", gpus=1.0), at=2.0, walltime_s=50.0, passed=passed),
            # It would start on the GPU that `first` leaves free, and delay `second` by 350 s.
            waiting("late", group("t", 1, "gpu", gpus=1.0), at=3.0, walltime_s=500.0),
        )

    policy = Policy(max_passed=3)
    assert started(decide(behind(2), policy, 0.0)) == ["late"]
    plan = decide(behind(3), policy, 0.0)
    assert started(plan) == []
    assert plan.promises["second"].start == 150.0


def test_behind_a_gang_without_a_date_only_work_with_an_end_passes_and_not_for_ever() -> None:
    def undated(passed: int) -> Snapshot:
        return world(
            running("r", piece("g0", resources=ALL_OF_G0), ends=None),
            waiting("gang", group("t", 3, "gpu", gpus=1.0), at=1.0, walltime_s=500.0, passed=passed),
            waiting("ends", group("t", 1, "gpu", gpus=1.0), at=2.0, walltime_s=100.0),
            waiting("endless", group("t", 1, "gpu", gpus=1.0), at=3.0),
        )

    policy = Policy(max_passed=5)
    plan = decide(undated(4), policy, 0.0)
    assert started(plan) == ["ends"]
    assert [wait.expected_start for wait in plan.waits] == [None, None]
    assert started(decide(undated(5), policy, 0.0)) == []


def test_each_tier_protects_its_own_first() -> None:
    whole = Resources.of(4, 0, "8 GiB")
    snapshot = world(
        running("r0", piece("g0", resources=ALL_OF_G0), ends=100.0),
        running("r1", piece("c0", resources=whole), ends=200.0),
        waiting("gpus", group("t", 4, "gpu", gpus=1.0), at=1.0, walltime_s=50.0),
        waiting("cpus", group("l", 2, "commodity", cpus=3.0), at=2.0, walltime_s=50.0),
        waiting("passes", group("l", 1, "commodity", cpus=3.0), at=3.0, walltime_s=500.0),
        nodes=(gpu_node("g0"), gpu_node("g1"), cpu_node("c0"), cpu_node("c1", 5)),
    )
    plan = decide(snapshot, Policy(), 0.0)
    assert {name: promise.start for name, promise in plan.promises.items()} == {"gpus": 100.0, "cpus": 200.0}
    assert started(plan) == [], "`passes` would take the node that `cpus` needs at 200"


def test_work_that_would_run_into_a_maintenance_window_waits_for_its_end() -> None:
    window = Claim("kernel", 50.0, 80.0, ("g0", "g1"))
    work = [
        waiting("brief", group(gpus=1.0), walltime_s=50.0),
        waiting("long", group(gpus=1.0), at=1.0, walltime_s=51.0),
    ]
    empty = world()
    snapshot = Snapshot.of(empty.nodes, (), work, head=empty.head, claims=[window])
    plan = decide(snapshot, Policy(), 0.0)
    assert started(plan) == ["brief"]
    assert plan.promises["long"].start == 80.0


def test_work_past_its_walltime_is_expected_to_leave_soon() -> None:
    plan = decide(busy(ends=100.0), Policy(), 130.0)
    assert plan.promises["gang"].start == 131.0


def test_names_of_those_ahead_are_few_and_their_number_is_told() -> None:
    many = [waiting(f"w{n}", group("t", 5, "gpu", gpus=1.0), at=float(n)) for n in range(9)]
    last = decide(world(*many), Policy(), 0.0).waits[-1]
    assert last.reason.endswith("behind w0, w1, w2, w3, w4 and 3 more")


def test_work_with_a_deadline_is_promised_a_start_beside_those_protected_or_told_that_it_will_be_late() -> None:
    held = [running("r", piece("g0", resources=Resources.of(1, 2, "1 GiB")), ends=100.0)]
    first = waiting("first", group("t", 1, "gpu", gpus=2.0), walltime_s=50.0)
    due = [
        waiting("in-time", group("t", 1, "gpu", gpus=2.0), at=1.0, walltime_s=50.0, deadline=200.0),
        waiting("late", group("t", 1, "gpu", gpus=2.0), at=2.0, walltime_s=50.0, deadline=210.0),
        waiting("patient", group("t", 1, "gpu", gpus=2.0), at=3.0, walltime_s=50.0),
    ]
    plan = decide(world(*held, first, *due, nodes=[gpu_node("g0"), cpu_node("c0", cpus=9)]), Policy(protect=1), 0.0)
    waits = {wait.workload: wait for wait in plan.waits}
    assert [waits[name].promised for name in ("first", "in-time", "late", "patient")] == [True, True, True, False]
    assert waits["in-time"].note == ""
    assert waits["late"].note == "by its walltime it would end 40 s after its deadline"
