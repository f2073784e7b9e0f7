"""Promises over a whole day: with run times that are exact or too long, nobody starts after his first promise."""

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fabric.core.resources import Resources
from fabric.scheduler.loop import Loop
from fabric.scheduler.policy import Policy
from fabric.scheduler.ports import WantedCluster
from fabric.scheduler.snapshot import Node
from fabric.simulator.batch import EASY, PYSS, run_batch
from fabric.simulator.cluster import Course
from fabric.simulator.engine import Engine, Habits
from fabric.simulator.records import SimulatedBlueprint
from fabric.simulator.swf import SwfJob
from fabric.workloads.record import Instants, Record
from fabric.workloads.states import State
from tests.builders import HEAD, cpu_node, gpu_node, group, job

CONSERVATIVE = Policy(protect="all", max_passed=None, horizon_s=1e9, dated=0)

JOBS = st.lists(
    st.tuples(st.integers(0, 60), st.integers(1, 40), st.integers(1, 3), st.integers(0, 30), st.booleans()),
    min_size=2,
    max_size=14,
)
"""Submission, run time, workers, how much too long the walltime is, and whether it wants GPUs."""


class Forgetful(Engine):
    """Starts a new loop for every look, as if the process had died in between."""

    def look(self) -> None:
        self.loop = Loop(
            self.records, self.cluster, SimulatedBlueprint(), clock=self.clock, settings=self.loop._settings
        )
        super().look()


def day(
    drawn: list[tuple[int, int, int, int, bool]], policy: Policy, engine_of: type[Engine] = Engine
) -> dict[str, Record]:
    """Run what was drawn on two GPU nodes and two commodity nodes."""
    nodes: tuple[Node, ...] = (gpu_node("g0"), gpu_node("g1"), cpu_node("c0", 8), cpu_node("c1", 8))
    records, runs = [], {}
    for number, (at, runs_s, workers, slack_s, wants_gpus) in enumerate(drawn):
        asked = group("t", workers, "gpu", gpus=1.0) if wants_gpus else group("t", workers, "commodity", cpus=2.0)
        spec = job(f"w{number:02d}", "run", asked, walltime_s=float(runs_s + slack_s))
        runs[f"w{number:02d}"] = float(runs_s)
        records.append(Record(f"w{number:02d}", spec, State.QUEUED, Instants(float(at))))

    def course(wanted: WantedCluster) -> Course:
        return Course(runs[wanted.workload])

    engine = engine_of(nodes, course, policy=policy, head=HEAD)
    engine.run(sorted(records, key=lambda record: (record.at.submitted, record.name)))
    return engine.records.kept


@pytest.mark.slow
@given(JOBS)
@settings(max_examples=30)
def test_with_a_promise_for_everybody_nobody_starts_after_his_first(
    drawn: list[tuple[int, int, int, int, bool]],
) -> None:
    for record in day(drawn, CONSERVATIVE).values():
        assert record.state is State.SUCCEEDED
        assert record.at.granted is not None
        assert record.promised_start is None or record.at.granted <= record.promised_start


@given(JOBS)
@pytest.mark.slow
def test_promises_survive_a_restart_at_every_moment(drawn: list[tuple[int, int, int, int, bool]]) -> None:
    restarted, through = day(drawn, CONSERVATIVE, Forgetful), day(drawn, CONSERVATIVE)
    for name, record in restarted.items():
        assert record.at.granted is not None
        assert record.promised_start is None or record.at.granted <= record.promised_start
        assert record.set_aside is None
        assert (record.at, record.promised_start) == (through[name].at, through[name].promised_start)


@pytest.mark.slow
@given(JOBS)
@settings(max_examples=30)
def test_the_first_of_the_queue_starts_no_later_than_it_was_promised(
    drawn: list[tuple[int, int, int, int, bool]],
) -> None:
    for record in day(drawn, Policy(max_passed=None, horizon_s=1e9)).values():
        assert record.at.granted is not None
        # In one class and first come first served, whoever is first stays first, so its promise can only get earlier.
        assert record.promised_start is None or record.at.granted <= record.promised_start


@given(JOBS)
@settings(max_examples=20)
@pytest.mark.slow
def test_one_promise_is_easy_and_when_nothing_queues_all_policies_agree(
    drawn: list[tuple[int, int, int, int, bool]],
) -> None:
    log = [SwfJob(n, at, runs, workers, runs + slack) for n, (at, runs, workers, slack, _) in enumerate(sorted(drawn))]
    strict = EASY.model_copy(update={"backfill": "off"})
    conservative = EASY.model_copy(update={"protect": "all"})
    wide = 3 * len(log)
    everywhere = [run_batch(log, wide, policy=policy).jobs for policy in (EASY, strict, conservative)]
    assert everywhere[0] == everywhere[1] == everywhere[2]
    assert all(ran.wait_s == 0 for ran in everywhere[0])
    explicit = EASY.model_copy(update={"protect": 1})
    assert run_batch(log, 4, policy=explicit, habits=PYSS) == run_batch(log, 4, policy=EASY)


@given(JOBS)
@settings(max_examples=20)
def test_no_node_is_ever_over_committed_and_no_gang_is_broken(drawn: list[tuple[int, int, int, int, bool]]) -> None:
    kept = day(drawn, Policy(backfill="shortest"))
    capacity = {
        node.name: node.capacity for node in (gpu_node("g0"), gpu_node("g1"), cpu_node("c0", 8), cpu_node("c1", 8))
    }
    edges = sorted({record.at.granted for record in kept.values() if record.at.granted is not None})
    for at in edges:
        used: dict[str, Resources] = {}
        for record in kept.values():
            assert record.grant is not None
            assert record.at.granted is not None
            assert record.at.ended is not None
            assert sum(part.workers for part in record.grant.slices if part.group == "t") == record.spec.groups[0].count
            for part in record.grant.slices if record.at.granted <= at < record.at.ended else ():
                used[part.node] = used.get(part.node, Resources()) + part.resources
        assert all(amount.fits(capacity[node]) for node, amount in used.items())


def test_a_clock_that_goes_back_stands_still() -> None:
    engine = Engine((gpu_node("g0"), cpu_node("c0")), lambda wanted: Course(10.0), policy=Policy(), head=HEAD)
    engine.clock.at = 100.0
    engine.records.submit(Record("a", job("a", walltime_s=50.0), State.QUEUED, Instants(90.0)))
    engine.loop.step()
    engine.clock.at = 40.0
    engine.records.submit(Record("b", job("b", walltime_s=50.0), State.QUEUED, Instants(91.0)))
    engine.loop.step()
    instants = [event.at for event in engine.records.events]
    assert engine.records.kept["b"].at.granted == 100.0
    assert all(before <= after for before, after in pairwise(instants))


def test_what_is_decided_one_by_one_and_together_is_the_same_where_nothing_coincides() -> None:
    log = [SwfJob(1, 0, 10, 3, 10), SwfJob(2, 1, 7, 2, 9), SwfJob(3, 2.5, 4, 4, 4)]
    assert run_batch(log, 4, habits=Habits()).jobs == run_batch(log, 4, habits=PYSS).jobs
