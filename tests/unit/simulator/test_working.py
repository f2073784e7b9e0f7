"""Work that keeps what it has done: preempted, resized, lost with its node, and taken up again."""

import math
from collections.abc import Callable

import pytest

from fabric.core.errors import BadInput, NotFound
from fabric.core.resources import Resources
from fabric.scheduler.cycle import decide
from fabric.scheduler.plan import Plan, Preempt, Resize
from fabric.scheduler.policy import Policy
from fabric.scheduler.ports import WantedCluster
from fabric.scheduler.snapshot import Snapshot
from fabric.simulator.cluster import Course
from fabric.simulator.engine import Act, Engine, Habits
from fabric.simulator.progress import Progress, Stretch, Work
from fabric.workloads.record import Grant, Slice
from fabric.workloads.states import State
from tests.builders import gpu_node, group, job, record

NONE = Resources()
Answer = Callable[[Snapshot, float], Plan]


def work(amount: float = 1000.0, **more: object) -> Work:
    """A unit a second for each worker; a checkpoint every 100 s, a restart of 20 s, 5 s to save."""
    costs: dict[str, object] = {"restart_s": 20.0, "period_s": 100.0, "save_s": 5.0, **more}
    return Work(amount, lambda workers, tier: workers * (0.5 if tier == "old" else 1.0), "workers", **costs)  # type: ignore[arg-type]


def engine(what: Work | Course, *, grace_s: float = 10.0, answer: Answer | None = None) -> Engine:
    """Two nodes of two GPUs, and one job of two workers that may have four."""
    course = what if isinstance(what, Course) else Course(math.inf, work=what)

    def decider(snapshot: Snapshot, policy: Policy, now: float) -> Plan:
        asked = answer(snapshot, now) if answer and snapshot.running and snapshot.running[0].settled else None
        return asked or decide(snapshot, policy, now)

    def courses(wanted: WantedCluster) -> Course:
        return course

    return Engine(
        (gpu_node("g0"), gpu_node("g1")),
        courses,
        policy=Policy(),
        head=NONE,
        grace_s=grace_s,
        decider=decider,
        habits=Habits(review_s=0.0),
    )


def elastic(name: str = "a", **more: object):  # type: ignore[no-untyped-def]
    return record(job(name, "run", group(count=2, min=1, max=4, gpus=1.0), **more))


def once(*asked: tuple[float, Callable[[Snapshot], Plan]]) -> Answer:
    """Each answer one time, at its instant."""
    left = dict(asked)

    def answer(snapshot: Snapshot, now: float) -> Plan:
        plan = left.pop(now, None)
        return plan(snapshot) if plan else Plan()

    return answer


def preempt(snapshot: Snapshot) -> Plan:
    return Plan(preempted=(Preempt("a", 10.0, "for b"),))


def resize(after: int) -> Callable[[Snapshot], Plan]:
    def plan(snapshot: Snapshot) -> Plan:
        parts = tuple(
            Slice(f"workers-{after}-{i}", "workers", f"g{i}", "gpu", n, Resources.of(n, n, f"{n} GiB"))
            for i, n in enumerate({4: (2, 2), 3: (2, 1), 1: (1,)}[after])
        )
        return Plan(resized=(Resize("a", 2, after, Grant(parts, "as told"), 10.0, "as told"),))

    return plan


def told(stretches: tuple[Stretch, ...]) -> list[tuple[float, float, float, float, str]]:
    return [(s.start_s, s.end_s, s.overhead_s, s.lost_s, s.ended) for s in stretches]


def test_work_alone_ends_when_it_is_done() -> None:
    run = engine(work())
    run.run([elastic()])
    assert run.records.kept["a"].at.ended == 500.0
    assert told(run.cluster.working.stretches("a")) == [(0.0, 500.0, 0.0, 0.0, "finished")]


def test_preempted_with_notice_it_saves_and_goes_on_after_a_restart() -> None:
    run = engine(work(), answer=once((250.0, preempt)))
    run.run([elastic()], [Act(250.0)])
    kept = run.records.kept["a"]
    assert (kept.state, kept.attempt, kept.preemptions, kept.failures) == (State.SUCCEEDED, 2, 1, 0)
    # 500 units by 250 s; it saves until 255, starts at once and works from 275 on.
    assert told(run.cluster.working.stretches("a")) == [
        (0.0, 255.0, 5.0, 0.0, "stopped"),
        (255.0, 525.0, 20.0, 0.0, "finished"),
    ]


def test_a_grace_that_is_too_short_costs_the_work_since_the_checkpoint() -> None:
    run = engine(work(save_s=60.0), grace_s=10.0, answer=once((250.0, preempt)))
    run.run([elastic()], [Act(250.0)])
    first, second = run.cluster.working.stretches("a")
    assert (first.end_s, first.overhead_s, first.lost_s, first.ended) == (260.0, 10.0, 50.0, "stopped")
    # 400 units are safe; 600 take 300 s after the restart.
    assert second.end_s == 260.0 + 20.0 + 300.0


def test_work_without_checkpoints_begins_again() -> None:
    run = engine(work(period_s=math.inf, save_s=60.0), answer=once((250.0, preempt)))
    run.run([elastic()], [Act(250.0)])
    assert [s.lost_s for s in run.cluster.working.stretches("a")] == [250.0, 0.0]
    assert run.records.kept["a"].at.ended == 260.0 + 20.0 + 500.0


def test_a_larger_grant_is_there_at_once_and_costs_a_restart() -> None:
    run = engine(work(), answer=once((250.0, resize(4))))
    run.run([elastic()], [Act(250.0)])
    kept = run.records.kept["a"]
    assert (kept.state, kept.attempt, kept.generation, kept.at.resized) == (State.SUCCEEDED, 1, 2, 250.0)
    assert told(run.cluster.working.stretches("a")) == [
        (0.0, 250.0, 0.0, 0.0, "resized"),
        (250.0, 395.0, 20.0, 0.0, "finished"),
    ]


def test_what_it_grows_by_may_have_to_be_staged_while_the_old_goes_on() -> None:
    run = engine(Course(math.inf, 30.0, work=work()), answer=once((250.0, resize(4))))
    run.run([elastic()], [Act(250.0)])
    assert run.records.kept["a"].at.resized == 280.0
    # 2 units a second from 30 to 280 s, then 4 a second from 300 s on.
    assert run.records.kept["a"].at.ended == 300.0 + 500.0 / 4


def test_a_shrinking_gang_saves_says_its_size_and_goes_on() -> None:
    run = engine(work(), answer=once((250.0, resize(1))))
    run.run([elastic()], [Act(250.0)])
    kept = run.records.kept["a"]
    assert (kept.at.resized, kept.generation, kept.grant and kept.grant.size("workers")) == (255.0, 2, 1)
    assert told(run.cluster.working.stretches("a")) == [
        (0.0, 255.0, 5.0, 0.0, "resized"),
        (255.0, 775.0, 20.0, 0.0, "finished"),
    ]


def test_a_gang_that_does_not_let_go_in_time_loses_what_it_had_not_saved() -> None:
    run = engine(work(save_s=60.0), answer=once((250.0, resize(1))))
    run.run([elastic()], [Act(250.0), Act(260.0)])
    first, second = run.cluster.working.stretches("a")
    assert (first.end_s, first.lost_s, second.ended) == (260.0, 50.0, "finished")


def test_a_node_that_dies_takes_its_work_back_to_the_checkpoint() -> None:
    run = engine(work())
    run.run([elastic()], [Act(250.0, does=lambda: run.cluster.lose_node("g0"))])
    kept = run.records.kept["a"]
    assert (kept.state, kept.attempt, kept.failures, kept.preemptions) == (State.SUCCEEDED, 2, 1, 0)
    first, second = run.cluster.working.stretches("a")
    assert (first.lost_s, first.ended, second.grant.slices[0].node) == (50.0, "lost", "g1")
    assert second.end_s == 250.0 + 20.0 + 300.0


def test_a_node_that_comes_back_takes_work_again() -> None:
    run = engine(work())
    late = record(job("b", "run", group(count=4, gpus=1.0)), at=300.0)
    acts = [
        Act(100.0, does=lambda: run.cluster.lose_node("g1")),
        Act(900.0, does=lambda: run.cluster.return_node("g1")),
    ]
    run.run([elastic(), late], acts)
    assert run.records.kept["b"].at.granted == 900.0
    with pytest.raises(NotFound, match="no node g9; it has g0, g1"):
        run.cluster.lose_node("g9")


def test_the_loop_hears_of_checkpoints_and_sizes() -> None:
    seen: dict[float, tuple[float | None, float | None, int | None]] = {}

    def answer(snapshot: Snapshot, now: float) -> Plan:
        if said := snapshot.running[0].told:
            seen[now] = (said.saved, said.left_s, said.workers)
        return Plan()

    run = engine(work(says_left=True), answer=answer)
    other = [record(job(f"b{at:.0f}", "run", group(count=9, gpus=2.0)), at=at) for at in (50.0, 150.0, 250.0)]
    run.run([elastic(), *other], [Act(600.0, name.name) for name in other])
    assert seen == {0.0: (None, 500.0, 2), 50.0: (None, 500.0, 2), 150.0: (100.0, 400.0, 2), 250.0: (200.0, 300.0, 2)}


def test_a_checkpoint_wakes_nobody() -> None:
    often, never = engine(work(period_s=1.0)), engine(work(period_s=math.inf))
    often.run([elastic()])
    never.run([elastic()])
    assert often.num_passes == never.num_passes


def test_a_gang_over_two_tiers_goes_at_the_pace_of_the_slower() -> None:
    parts = tuple(Slice(t, "workers", t, t, 1, Resources.of(1, 1)) for t in ("gpu", "old"))
    assert work().pace(Grant(parts)) == 1.0
    assert work().pace(Grant(parts[:1])) == 1.0
    assert work().pace(Grant(parts[1:])) == 0.5


@pytest.mark.parametrize(
    ("bad", "says"),
    [
        ({"amount": 0.0}, "an amount"),
        ({"amount": math.nan}, "an amount"),
        ({"period_s": 0.0}, "period above 0"),
        ({"restart_s": -1.0}, "restart -1 s"),
        ({"save_s": -1.0}, "save -1 s"),
    ],
)
def test_work_that_cannot_be_is_refused(bad: dict[str, float], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        work(**bad)


def test_a_grant_on_which_nothing_moves_is_refused() -> None:
    with pytest.raises(BadInput, match="0 workers of group workers on no tier"):
        Progress(work()).begin(Grant(()), 0.0, idle_s=0.0)


def test_what_was_done_and_what_is_lost_add_up_over_any_interruptions() -> None:
    """Useful time is what is kept: the sum over stretches is the amount."""
    answer = once((130.0, preempt), (220.0, resize(4)), (333.0, preempt))
    run = engine(work(), answer=answer)
    run.run([elastic()], [Act(at) for at in (130.0, 220.0, 333.0)])
    stretches = run.cluster.working.stretches("a")
    useful = sum((s.end_s - s.start_s - s.overhead_s - s.lost_s) * s.rate for s in stretches)
    assert useful == pytest.approx(1000.0)
    assert run.records.kept["a"].state is State.SUCCEEDED
