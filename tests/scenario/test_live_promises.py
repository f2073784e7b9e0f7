"""Promises of the loop as it runs live: clusters take time to start and to leave, and the clock goes on by itself."""

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fabric.scheduler.loop import Loop, Settings
from fabric.scheduler.policy import Policy
from fabric.scheduler.ports import Outcome, Phase, WantedCluster
from fabric.scheduler.punctuality import KEPT_WITHIN_S, Punctuality, punctuality
from fabric.simulator.records import SimulatedBlueprint
from fabric.workloads.record import Record
from fabric.workloads.states import State
from tests.builders import HEAD, FakeRecords, group, job, record
from tests.fake_backend import FakeBackend

STARTS_S, LEAVES = 4.0, 3
"""Seconds until a cluster has joined, and steps of a second in which one that leaves is still there."""
OVERHEAD_S = STARTS_S + LEAVES + 3.0
"""Both, and the steps in which the loop sees it."""


@dataclass
class SlowBackend(FakeBackend):
    """Clusters join after `STARTS_S`; an entrypoint is a number and runs for so many seconds."""

    now: float = 0.0
    joined: dict[str, float] = field(default_factory=dict)

    def realise(self, wanted: WantedCluster) -> None:
        """Begin to start."""
        if wanted.name not in self.views:
            super().realise(wanted)
            self.joined[wanted.name] = self.now + STARTS_S
            self.views[wanted.name] = replace(self.views[wanted.name], phase=Phase.STARTING, outcome=Outcome.NONE)

    def pass_time(self, now: float) -> None:
        """Let what is due join or end."""
        self.now = now
        for name, view in self.views.items():
            if view.phase is Phase.LEAVING or view.outcome.ended or now < self.joined[name]:
                continue
            over = now >= self.joined[name] + float(self.wanted[name].entrypoint)
            outcome = Outcome.SUCCEEDED if over else Outcome.RUNNING
            self.views[name] = replace(view, phase=Phase.READY, outcome=outcome)


def lived(drawn: list[tuple[int, int, int, bool]], policy: Policy, **more: Any) -> dict[str, Record]:
    """Let jobs come and run, second by second, until all have ended; their walltimes are exactly what they run."""
    records, backend, clock = FakeRecords(), SlowBackend(looks_to_leave=LEAVES), Clock()
    settings = Settings(head=HEAD, grace_s=0.0, policy=policy, **more)
    loop = Loop(records, backend, SimulatedBlueprint(), clock=clock, settings=settings)
    coming = []
    for number, (at, runs_s, workers, wants_gpus) in enumerate(drawn):
        asked = group("t", workers, "gpu", gpus=1.0) if wants_gpus else group("t", workers, "commodity", cpus=2.0)
        coming.append(record(job(f"w{number:02d}", str(runs_s), asked, walltime_s=float(runs_s)), at=float(at)))
    for second in range(4000):
        clock.at = float(second)
        backend.pass_time(clock.at)
        records.add(*(work for work in coming if work.at.submitted == clock.at))
        loop.step()
        if len(records.kept) == len(coming) and not records.active():
            return records.kept
    raise AssertionError("they never ended")


@dataclass
class Clock:
    """Time as told."""

    at: float = 0.0

    def now(self) -> float:
        """The instant told."""
        return self.at


def kept(records: dict[str, Record]) -> Punctuality:
    """How promises were kept."""
    return punctuality(
        (record.at.granted or 0.0) - record.promised_start
        for record in records.values()
        if record.promised_start is not None
    )


DAYS = st.lists(
    st.tuples(st.integers(0, 60), st.integers(2, 60), st.integers(1, 3), st.booleans()), min_size=2, max_size=10
)
"""Submission, run time, workers, and whether it wants GPUs."""


@given(DAYS)
@pytest.mark.slow
def test_with_true_walltimes_nobody_starts_after_his_promise(drawn: list[tuple[int, int, int, bool]]) -> None:
    records = lived(drawn, Policy(protect="all", max_passed=None), overhead_s=OVERHEAD_S)
    assert all(record.state is State.SUCCEEDED and record.at.granted is not None for record in records.values())
    found = kept(records)
    assert found.num_kept == found.num, found
    assert found.worst_s is None or found.worst_s <= KEPT_WITHIN_S


@given(DAYS)
@pytest.mark.slow
def test_on_one_tier_a_single_promise_is_kept_too(drawn: list[tuple[int, int, int, bool]]) -> None:
    on_one = [(at, runs_s, workers, False) for at, runs_s, workers, _ in drawn]
    found = kept(lived(on_one, Policy(max_passed=None), overhead_s=OVERHEAD_S))
    assert found.num_kept == found.num, found


CROWD = [(0, 30, 3, True), (1, 30, 3, True), (2, 30, 3, True), (3, 30, 3, True)]
"""Each needs three of four GPUs, so they run one after the other."""


def test_who_waits_is_promised_a_start_that_is_kept_whatever_clusters_take() -> None:
    records = lived(CROWD, Policy(protect="all", max_passed=None), overhead_s=OVERHEAD_S)
    assert [record.promised_start for record in records.values()] == [None, 40.0, 80.0, 120.0]
    starts = [record.at.granted for record in records.values()]
    assert starts == sorted(starts, key=lambda at: at or 0.0)
    found = kept(records)
    assert (found.num, found.num_kept) == (3, 3)


def test_without_the_overhead_every_start_moves_the_next_promise() -> None:
    found = kept(lived(CROWD, Policy(protect="all", max_passed=None)))
    assert (found.num, found.num_kept) == (3, 0)
    assert found.worst_s is not None
    assert found.p50_s is not None
    assert 0.0 < found.p50_s < found.worst_s
