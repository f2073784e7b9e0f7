"""Days in the life of the loop, in memory: the same loop that runs live."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import pytest

from fabric.core.errors import NotFound, Unavailable
from fabric.core.resources import Resources
from fabric.scheduler.loop import Loop, Settings
from fabric.scheduler.policy import Policy
from fabric.scheduler.ports import ClusterView, Outcome, Phase, WantedCluster
from fabric.workloads.record import Record
from fabric.workloads.states import State
from tests.builders import HEAD, FakeRecords, group, job, record
from tests.fake_backend import FakeBackend


@dataclass
class FakeClock:
    """Time as told."""

    at: float = 0.0

    def now(self) -> float:
        """The instant told."""
        return self.at


class FakeBlueprint:
    """A wanted cluster without secrets; workloads called `broken` have no package."""

    def wanted(self, record: Record) -> WantedCluster:
        """As recorded."""
        if record.name == "broken":
            raise NotFound("no package _ray_pkg_1.zip")
        assert record.grant is not None
        more: dict[str, Any] = {"runtime_env": {}, "env": {}, "metadata": {}, "driver": {}}
        return WantedCluster(
            record.cluster, record.name, record.attempt, record.generation, record.grant, record.spec.entrypoint,
            **more, born=record.at.submitted,
        )  # fmt: skip


class Day:
    """A loop with its world."""

    def __init__(self, *records: Record) -> None:
        self.records, self.backend, self.clock = FakeRecords(), FakeBackend(), FakeClock()
        self.records.add(*records)
        settings = Settings(head=HEAD, grace_s=1.0, policy=Policy())
        self.loop = Loop(self.records, self.backend, FakeBlueprint(), clock=self.clock, settings=settings)

    def steps(self, count: int = 6) -> "Day":
        """Let the loop work."""
        for _ in range(count):
            self.clock.at += 1.0
            self.loop.step()
        return self

    def state(self, name: str) -> State:
        """Where a workload is."""
        return self.records.kept[name].state


def test_a_job_goes_from_the_queue_to_success_and_its_cluster_goes() -> None:
    day = Day(record(job("a"))).steps()
    assert day.state("a") is State.SUCCEEDED
    assert day.backend.observe() == {}
    states = [event.state for event in day.records.events]
    assert states == [State.PLACING, State.STARTING, State.SUCCEEDED]


def test_nothing_is_started_before_its_grant_is_recorded() -> None:
    day = Day(record(job("a")))

    def refuse(*args: object) -> None:
        raise OSError("disk gone")

    day.records.save = refuse  # type: ignore[method-assign, assignment]
    with pytest.raises(OSError, match="disk gone"):
        day.loop.step()
    assert day.backend.started == []


def test_the_next_one_starts_when_the_first_has_left_the_nodes() -> None:
    whole = group("t", 4, "gpu", gpus=1.0)
    day = Day(record(job("a", "wait", whole)), record(job("b", "true", whole), at=1.0)).steps()
    assert (day.state("a"), day.state("b")) == (State.RUNNING, State.QUEUED)
    assert "fit on tier gpu now" in day.records.kept["b"].waits_for
    day.records.request_stop("a")
    day.steps()
    assert (day.state("a"), day.state("b")) == (State.CANCELLED, State.SUCCEEDED)


def test_who_takes_long_to_start_is_not_asked_for_in_every_step_but_now_and_then() -> None:
    day = Day(record(job("a", "wait")))
    asked: list[float] = []

    def realise(wanted: WantedCluster) -> None:
        asked.append(day.clock.at)
        day.backend.views[wanted.name] = ClusterView(wanted.name, Phase.STARTING, born=wanted.born)

    day.backend.realise = realise  # type: ignore[method-assign]
    for _ in range(300):
        day.clock.at += 0.1
        day.loop.step()
    assert day.state("a") is State.STARTING
    assert len([at for at in asked if at <= 1.0]) <= 4
    assert [round(later - at) for at, later in pairwise(asked[-4:])] == [4, 8, 8]


def test_what_still_leaves_holds_its_nodes_and_its_name() -> None:
    whole = group("t", 4, "gpu", gpus=1.0)
    day = Day(record(job("a", "true", whole)), record(job("b", "true", whole), at=1.0))
    day.backend.looks_to_leave = 10
    day.steps(8)
    assert (day.state("a"), day.state("b")) == (State.SUCCEEDED, State.QUEUED)
    del day.records.kept["a"]
    day.records.add(record(job("a", "wait", group("t", 1, "commodity")), at=5.0))
    day.steps(2)
    assert day.backend.started == ["a-1"], "the first one of that name is still there"
    day.steps(8)
    assert day.state("a") is State.RUNNING
    assert sorted(day.backend.started) == ["a-1", "a-1", "b-1"]
    assert day.state("b") is State.SUCCEEDED


def test_a_stop_waits_for_an_adopted_cluster_to_say_whether_its_entrypoint_runs() -> None:
    day = Day(record(job("a", "wait"))).steps()
    day.records.request_stop("a")
    day.backend.views["a-1"] = replace(day.backend.views["a-1"], phase=Phase.STARTING, outcome=Outcome.UNKNOWN)
    asked: list[float] = []
    day.backend.stop = lambda cluster, grace_s: asked.append(grace_s)  # type: ignore[method-assign]
    day.steps(3)
    assert (day.state("a"), day.backend.views["a-1"].phase) == (State.STOPPING, Phase.STARTING)
    assert set(asked) == {1.0}
    day.backend.views["a-1"] = replace(day.backend.views["a-1"], outcome=Outcome.NONE)
    day.steps(3)
    assert day.state("a") is State.CANCELLED


def test_an_entrypoint_that_leaves_early_is_started_again_as_often_as_lost_ones_are() -> None:
    day = Day(record(job("a", "wait", max_failures=1))).steps()
    left = {"outcome": Outcome.FAILED, "exit_code": 75}
    day.backend.views["a-1"] = replace(day.backend.views["a-1"], **left)  # type: ignore[arg-type]
    day.steps()
    assert (day.state("a"), day.records.kept["a"].attempt) == (State.RUNNING, 2)
    day.backend.views["a-2"] = replace(day.backend.views["a-2"], **left)  # type: ignore[arg-type]
    day.steps()
    assert day.state("a") is State.FAILED
    assert "left early (exit code 75)" in day.records.kept["a"].message


def test_one_that_cannot_be_acted_on_keeps_nobody_else_waiting() -> None:
    day = Day(record(job("poison", "wait")), record(job("fine"), at=1.0))
    realise = day.backend.realise

    def fails(wanted: WantedCluster) -> None:
        if wanted.workload == "poison":
            raise KeyError("a mistake of ours")
        realise(wanted)

    day.backend.realise = fails  # type: ignore[method-assign]
    for _ in range(8):
        day.clock.at += 1.0
        with suppress(KeyError):
            day.loop.step()
    assert (day.state("poison"), day.state("fine")) == (State.STARTING, State.SUCCEEDED)


def test_one_that_fails_is_tried_ever_more_rarely_and_its_records_are_left_alone_meanwhile() -> None:
    day = Day(record(job("poison", "wait")))
    reads, tries = [], []
    active, realise = day.records.active, day.backend.realise

    def counted() -> Mapping[str, Record]:
        reads.append(day.clock.at)
        return active()

    def fails(wanted: WantedCluster) -> None:
        tries.append(day.clock.at)
        raise KeyError("a mistake of ours")

    day.records.active, day.backend.realise = counted, fails  # type: ignore[method-assign]
    for _ in range(50):
        day.clock.at += 1.0
        with suppress(KeyError):
            day.loop.step()
    # The second try comes with another state: from placing to starting.
    assert [later - earlier for earlier, later in pairwise(tries)] == [1.0, 2.0, 4.0, 8.0, 16.0]
    assert len(reads) <= len(tries) + 1
    # What somebody asks for is done at once.
    day.backend.realise = realise  # type: ignore[method-assign]
    day.records.request_stop("poison")
    assert day.steps(3).state("poison") is State.CANCELLED


def test_what_cannot_start_yet_says_why() -> None:
    day = Day(record(job("a", "wait")))
    realise = day.backend.realise

    def busy(wanted: WantedCluster) -> None:
        raise Unavailable("no accelerator of g0 has 0.8 of itself free")

    day.backend.realise = busy  # type: ignore[method-assign]
    day.steps(3)
    assert (day.state("a"), day.records.kept["a"].message) == (
        State.STARTING,
        "cannot start yet: no accelerator of g0 has 0.8 of itself free",
    )
    day.backend.realise = realise  # type: ignore[method-assign]
    assert day.steps(3).state("a") is State.RUNNING


def test_what_runs_goes_on_after_what_it_was_started_from_is_gone() -> None:
    day = Day(record(job("a", "wait"))).steps()
    later = Day()
    later.records, later.backend = day.records, day.backend

    class Gone(FakeBlueprint):
        def wanted(self, record: Record) -> WantedCluster:
            raise NotFound("the files of m:1 are gone")

    settings = Settings(head=HEAD, grace_s=1.0, policy=Policy())
    later.loop = Loop(day.records, day.backend, Gone(), clock=later.clock, settings=settings)
    assert later.steps().state("a") is State.RUNNING


def test_a_lost_node_brings_the_next_attempt_and_too_many_end_it() -> None:
    day = Day(record(job("a", "wait", max_failures=1))).steps()
    day.backend.lose("a-1", "slice workers-0 on node c0 lost: ended by SIGKILL")
    day.steps()
    assert (day.state("a"), day.records.kept["a"].attempt) == (State.RUNNING, 2)
    day.backend.lose("a-2")
    day.steps()
    assert day.state("a") is State.FAILED
    assert day.backend.observe() == {}


def test_a_cluster_that_no_record_knows_is_removed() -> None:
    day = Day()
    stranger = Day(record(job("x", "wait"))).steps()
    day.backend.views = dict(stranger.backend.views)
    day.steps(3)
    assert day.backend.observe() == {}


def test_a_new_loop_on_the_same_records_starts_nothing_twice() -> None:
    day = Day(record(job("a", "wait"))).steps()
    later = Day()
    later.records, later.backend = day.records, day.backend
    settings = Settings(head=HEAD, grace_s=1.0, policy=Policy())
    later.loop = Loop(day.records, day.backend, FakeBlueprint(), clock=later.clock, settings=settings)
    later.steps()
    assert day.backend.started == ["a-1"]
    assert later.state("a") is State.RUNNING


def test_a_dependent_starts_after_success_and_not_after_failure() -> None:
    day = Day(record(job("a", "wait")), record(job("b", after=("a",)))).steps()
    assert day.state("b") is State.QUEUED
    day.backend.views["a-1"] = replace(day.backend.views["a-1"], outcome=Outcome.SUCCEEDED)
    day.steps()
    assert day.state("b") is State.SUCCEEDED
    day = Day(record(job("a", "false")), record(job("b", after=("a",)))).steps()
    assert day.state("a") is State.FAILED
    assert day.state("b") is State.FAILED
    assert "comes after a, which failed" in day.records.kept["b"].message


def test_what_cannot_be_started_fails_with_the_reason_and_frees_its_nodes() -> None:
    day = Day(record(job("broken")), record(job("fine"), at=1.0)).steps()
    assert day.state("broken") is State.FAILED
    assert "no package" in day.records.kept["broken"].message
    assert day.state("fine") is State.SUCCEEDED


def test_grants_never_exceed_a_node_over_a_busy_day() -> None:
    jobs = [record(job(f"j{i}", "wait", group("t", 1 + i % 3, "gpu", gpus=1.0)), at=float(i)) for i in range(12)]
    day = Day(*jobs)
    for round_number in range(30):
        day.steps(2)
        used: dict[str, Resources] = {}
        for item in day.records.kept.values():
            for part in item.grant.slices if item.grant and item.state.holds_grant else ():
                used[part.node] = used.get(part.node, Resources()) + part.resources
        assert all(used.get(node.name, Resources()).fits(node.capacity) for node in day.backend.nodes())
        busy = [name for name, item in sorted(day.records.kept.items()) if item.state is State.RUNNING]
        if busy:
            day.records.request_stop(busy[round_number % len(busy)])
    assert {item.state for item in day.records.kept.values()} == {State.CANCELLED}
    assert all(view.phase is Phase.LEAVING for view in day.backend.observe().values())


def test_records_are_read_whole_once_and_what_was_missed_is_found_at_the_next_whole_reading() -> None:
    day, readings = Day(record(job("a", "wait"))), list[float]()
    whole = day.records.active

    def counted() -> Any:
        readings.append(day.clock.at)
        return whole()

    day.records.active = counted  # type: ignore[method-assign]
    day.steps(5)
    assert readings == [1.0]
    day.records.kept["missed"] = record(job("missed", "wait"))
    day.steps(5)
    assert day.state("missed") is State.QUEUED
    day.clock.at = 61.0
    day.steps(4)
    assert (readings, day.state("missed")) == ([1.0, 62.0], State.RUNNING)
    assert day.backend.started == ["a-1", "missed-1"]


def test_a_step_that_failed_is_made_up_for_from_the_records() -> None:
    day = Day(record(job("a", "wait")))
    save, fails = day.records.save, [OSError("disk gone")]

    def sometimes(*args: Any) -> None:
        if fails:
            raise fails.pop()
        save(*args)

    day.records.save = sometimes  # type: ignore[method-assign, assignment]
    with pytest.raises(OSError, match="disk gone"):
        day.loop.step()
    assert day.state("a") is State.QUEUED
    assert day.steps(4).state("a") is State.RUNNING
    assert day.backend.started == ["a-1"]


def test_a_walltime_ends_a_job_though_nothing_else_changes() -> None:
    day = Day(record(job("a", "wait", walltime_s=30.0))).steps(5)
    assert day.state("a") is State.RUNNING
    day.steps(40)
    assert day.state("a") is State.FAILED
    assert "walltime" in day.records.kept["a"].message


def test_the_first_promise_is_recorded_and_so_is_who_was_passed() -> None:
    whole, one = group("t", 4, "gpu", gpus=1.0), group("t", 1, "gpu", gpus=1.0)
    three = group("t", 3, "gpu", gpus=1.0)
    day = Day(
        record(job("r", "wait", three, walltime_s=100.0)), record(job("gang", "wait", whole, walltime_s=50.0), at=0.5)
    )
    day.steps(3)
    promised = day.records.kept["gang"].promised_start
    assert promised == 101.0
    day.records.add(record(job("brief", "wait", one, walltime_s=20.0), at=3.0))
    day.steps(3)
    assert (day.state("brief"), day.records.kept["gang"].passed) == (State.RUNNING, 1)
    # The walltime of `r` counts from when it ran, a little after its grant.
    assert (day.records.kept["gang"].promised_start, day.records.kept["gang"].expected_start) == (101.0, 103.0)
