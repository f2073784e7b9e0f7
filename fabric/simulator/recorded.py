"""A live run as its records tell it, and the scenario that lets the same happen again on a virtual clock.

Knows nothing of how the records were read.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from pydantic import Field

from fabric.api.admin import EventView, WorkloadView
from fabric.config.settings import Settings
from fabric.core.errors import BadInput
from fabric.scheduler.loop import REVIEW_S
from fabric.simulator.arrival import Arrival, Attempt
from fabric.simulator.scenario import Scenario
from fabric.workloads.spec import WorkloadSpec
from fabric.workloads.states import State

_ASKED = frozenset({State.DRAINING, State.STOPPING})


class RecordedWorkload(Settings):
    """What a fabric tells of a workload that has ended."""

    spec: WorkloadSpec
    """As it was submitted."""

    view: WorkloadView
    """As it is afterwards."""

    events: tuple[EventView, ...] = Field(min_length=1)
    """Its history, oldest first."""


class RecordedRun(Settings):
    """Everything that was submitted to a fabric, and what became of it; instants in seconds since the epoch."""

    workloads: tuple[RecordedWorkload, ...] = Field(min_length=1)
    """All of them."""

    gone_at: dict[str, float]
    """When nothing was left of each cluster, by its name (workload and attempt)."""

    made_on: str = ""
    """Where this was, for people."""

    @property
    def began(self) -> float:
        """The first submission."""
        return min(work.view.submitted_at for work in self.workloads)


@dataclass(frozen=True, slots=True)
class RecordedAttempt:
    """One attempt that held nodes; instants in seconds since the epoch."""

    workload: str
    number: int
    queued: float
    """When it began to wait."""
    granted: float
    running: float | None
    """None if it was asked to leave before."""
    asked: float | None
    """When it was asked to leave, if it was."""
    ended: float
    """When the records said that it had."""


def attempts_of(work: RecordedWorkload) -> tuple[RecordedAttempt, ...]:
    """The attempts of a workload that held nodes, in order.

    Raises:
        BadInput: If it has not ended, or lost an attempt, as no scenario says when a cluster breaks.
    """
    name = work.view.name
    if not State(work.view.state).final:
        raise BadInput(f"{name} is {work.view.state}; a run is recorded when everything has ended")
    lost = next((event for event in work.events if event.state == State.RECOVERING), None)
    if lost is not None:
        raise BadInput(f"{name} lost attempt {lost.attempt} ({lost.reason}); record a run in which nothing breaks")
    return tuple(_attempts(work))


def _attempts(work: RecordedWorkload) -> Iterator[RecordedAttempt]:
    first_of: dict[int, EventView] = {}
    for event in work.events:
        first_of.setdefault(event.attempt, event)
    ends = [*(first_of[number].at for number in sorted(first_of)[1:]), work.events[-1].at]
    for number, ended in zip(sorted(first_of), ends, strict=True):
        at = {State(e.state): e.at for e in reversed(work.events) if e.attempt == number}
        if State.PLACING in at:
            # One that ends, or is asked to leave, in the turn in which it is first seen running has no line of history
            # that says so; only what runs drains.
            ran = work.view.running_at if number == work.view.attempt else None
            running = at.get(State.RUNNING) or at.get(State.DRAINING) or ran
            asked = min((at[state] for state in _ASKED if state in at), default=None)
            yield RecordedAttempt(
                work.view.name, number, first_of[number].at, at[State.PLACING], running, asked, ended
            )  # fmt: skip


def scenario_of(run: RecordedRun, *, site: str) -> Scenario:
    """A scenario in which the same work comes at the same instants and takes what it took.

    Args:
        run: What was recorded.
        site: Site file with the policy of the run, relative to where the scenario will be.

    Raises:
        BadInput: If a workload has not ended, lost an attempt, ran into its walltime or never started; or if it is not
            known when a cluster was gone.
    """
    arrivals = tuple(_arrival(work, run) for work in sorted(run.workloads, key=lambda work: work.view.submitted_at))
    return Scenario(site=site, arrivals=arrivals, look_s=REVIEW_S)


def _arrival(work: RecordedWorkload, run: RecordedRun) -> Arrival:
    name, spec, attempts = work.view.name, work.spec, attempts_of(work)
    state, stopped = State(work.view.state), _stopped_at(work)
    if stopped is not None and state is State.FAILED:
        raise BadInput(f"{name} was ended by its walltime; record a run in which all walltimes suffice")
    runs_s = None
    if stopped is None:
        last = attempts[-1] if attempts else None
        if last is None or last.running is None:
            raise BadInput(f"{name} is {state} and never ran, so nobody knows for how long it would have")
        runs_s = _rounded(last.ended - last.running)
    return Arrival(
        workload=spec.model_copy(update={"name": name}),
        at_s=_rounded(work.view.submitted_at - run.began),
        runs_s=runs_s,
        stops_at_s=None if stopped is None else _rounded(stopped - run.began),
        fails=state is State.FAILED,
        attempts=_beside(spec, attempts, run),
    )


def _stopped_at(work: RecordedWorkload) -> float | None:
    """When somebody ended it; None if it ended by itself."""
    return next((event.at for event in work.events if event.state in {State.STOPPING, State.CANCELLED}), None)


def _beside(spec: WorkloadSpec, attempts: Sequence[RecordedAttempt], run: RecordedRun) -> tuple[Attempt, ...]:
    """What each attempt took beside its run time.

    One that was asked to leave before it ran would have started as fast as the next that did, and no faster than it was
    seen not to.
    """
    found: list[Attempt] = []
    staging_s = 0.0
    for attempt in reversed(attempts):
        if attempt.running is not None:
            staging_s = attempt.running - attempt.granted
        else:
            staging_s = max(staging_s, attempt.ended - attempt.granted)
        # The cluster of a service, and of a job that does not run yet, is taken away as soon as it is asked to leave.
        saves = spec.kind == "job" and attempt.running is not None
        left = attempt.ended if saves or attempt.asked is None else attempt.asked
        asked = attempt.asked if saves and attempt.asked is not None else left
        found.append(
            Attempt(
                staging_s=_rounded(staging_s),
                leaves_s=_rounded(left - asked),
                cleanup_s=_rounded(_gone(attempt, run) - left),
            )
        )
    return tuple(reversed(found))


def _gone(attempt: RecordedAttempt, run: RecordedRun) -> float:
    cluster = f"{attempt.workload}-{attempt.number}"
    if cluster not in run.gone_at:
        raise BadInput(
            f"nobody saw when cluster {cluster} was gone; known are {', '.join(sorted(run.gone_at)[:5])} ..."
        )
    return run.gone_at[cluster]


def _rounded(seconds: float) -> float:
    """To a millisecond, far below what a poll can tell; never below zero, where two clocks of one machine meet."""
    return max(0.0, round(seconds, 3))


def num_preempted(run: RecordedRun) -> int:
    """How often work was asked to leave for others."""
    return sum(after.number > before.number for w in run.workloads for before, after in pairwise(attempts_of(w)))
