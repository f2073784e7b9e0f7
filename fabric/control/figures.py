"""What is counted and timed while control runs: steps of the loop, decisions, requests, and what became of work.

Knows nothing of how any of it is done. What can be read off the records when somebody asks is in `gauges`.
"""

import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from fabric.control.watched import Change
from fabric.scheduler.staging import Stage
from fabric.telemetry.http import SECONDS, request_histogram
from fabric.workloads.record import Record
from fabric.workloads.states import State

P = ParamSpec("P")
T = TypeVar("T")

LONG_SECONDS = (1.0, 2.5, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 900.0, 3600.0, 14_400.0, 86_400.0)
"""Upper bounds of the buckets for what takes seconds to a day: waiting and starting."""


class Figures:
    """Every instrument of one control, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        """What is asked for the text."""
        self.requests = request_histogram(registry, "fabric_http_request_seconds")
        """Answers of control's HTTP interface."""
        self._steps = _histogram(registry, "fabric_loop_step_seconds", "Seconds of each step of the loop.")
        self._failed = Counter("fabric_loop_steps_failed", "Steps of the loop that failed.", registry=registry)
        self._decisions = _histogram(registry, "fabric_decision_seconds", "Seconds of each decision of the scheduler.")
        self._saves = _histogram(registry, "fabric_store_save_seconds", "Seconds of each commit of the loop's records.")
        self._submitted = Counter(
            "fabric_workloads_submitted", "Workloads taken in.", ["kind", "project", "class"], registry=registry
        )
        self._ended = Counter(
            "fabric_workloads_ended", "Workloads that ended, by how they did.", ["kind", "project", "class", "outcome"],
            registry=registry,
        )  # fmt: skip
        self._lost = Counter(
            "fabric_attempts_lost", "Attempts that were lost.", ["project", "class"], registry=registry
        )
        self._preempted = Counter(
            "fabric_preemptions", "Attempts that left for others.", ["project", "class"], registry=registry
        )
        self._resized = Counter(
            "fabric_resizes", "Grants that grew or shrank while work ran.", ["class", "direction"], registry=registry
        )
        self._waited = Histogram(
            "fabric_queue_wait_seconds", "Seconds from submission to the first grant.", ["class"],
            registry=registry, buckets=LONG_SECONDS,
        )  # fmt: skip
        self._staged = Histogram(
            "fabric_staging_seconds", "Seconds that starts took, of work on one tier.", ["tier", "stage"],
            registry=registry, buckets=LONG_SECONDS,
        )  # fmt: skip

        self._metering = Counter(
            "fabric_metering_cpu_seconds", "Processor time of measuring what slices use.", registry=registry
        )
        self._removed = Counter(
            "fabric_retention_removed",
            "What was removed for its age, or for want of room.",
            ["kind"],
            registry=registry,
        )
        self._freed = Counter("fabric_retention_freed_bytes", "What that took.", ["kind"], registry=registry)
        self._not_removed = Counter(
            "fabric_retention_failures", "Passes that could not remove all of one kind.", registry=registry
        )
        self._pruned = Gauge(
            "fabric_retention_last_pass_timestamp_seconds", "When the last pass of retention began.", registry=registry
        )

    def step_took(self, seconds: float, failed: bool) -> None:
        """Note a step of the loop; a `fabric.control.process.Took`."""
        self._steps.observe(seconds)
        if failed:
            self._failed.inc()

    def timing_decisions(self, decider: Callable[P, T]) -> Callable[P, T]:
        """The decider, each of whose answers is timed."""
        return _timed(decider, self._decisions)

    def timing_saves(self, save: Callable[P, T]) -> Callable[P, T]:
        """What writes the loop's records, each of whose writes is timed."""
        return _timed(save, self._saves)

    def metering_took(self, cpu_s: float) -> None:
        """Note the processor time of a look at what slices use, in seconds."""
        self._metering.inc(cpu_s)

    def removed(self, kind: str, number: int, num_bytes: int) -> None:
        """Note what retention removed."""
        self._removed.labels(kind).inc(number)
        self._freed.labels(kind).inc(num_bytes)

    def removal_failed(self) -> None:
        """Note that retention could not remove all of one kind."""
        self._not_removed.inc()

    def pruned(self, at: float) -> None:
        """Note a pass of retention that began then, in seconds since the epoch."""
        self._pruned.set(at)

    def changed(self, change: Change) -> None:
        """Note what became of a workload; a `fabric.control.watched.Listener`."""
        record, before = change.after, change.before
        project, of_class = record.spec.project, str(record.spec.priority)
        if change.before is None and record.state is State.QUEUED and record.attempt == 1:
            self._submitted.labels(record.spec.kind, project, of_class).inc()
        if record.state.final:
            self._ended.labels(record.spec.kind, project, of_class, str(record.state)).inc()
        if before is None:
            return
        self._lost.labels(project, of_class).inc(max(0, record.failures - before.failures))
        self._preempted.labels(project, of_class).inc(max(0, record.preemptions - before.preemptions))
        if (before.state, record.state) == (State.RUNNING, State.RESIZING):
            self._resized.labels(of_class, "grow" if record.target is None else "shrink").inc()
        # Who is quick takes several steps at once, so the instants say more than the states.
        if before.at.granted is None and record.at.granted is not None and record.attempt == 1:
            self._waited.labels(of_class).observe(max(0.0, record.at.granted - record.at.submitted))
        if before.at.running is None and record.at.running is not None:
            self._note_start(record)

    def _note_start(self, record: Record) -> None:
        """How long it took to start, by the stages that `fabric.scheduler.learning` learns from the same instants."""
        at, slices = record.at, record.grant.slices if record.grant else ()
        tiers = {part.tier for part in slices if not part.only_head}
        if len(tiers) != 1 or at.granted is None or at.cluster_ready is None or at.running is None:
            return
        [tier] = tiers
        self._staged.labels(tier, str(Stage.RAY)).observe(max(0.0, at.cluster_ready - at.granted))
        if record.spec.replicas and record.spec.replicas.weights:
            self._staged.labels(tier, str(Stage.WEIGHTS)).observe(max(0.0, at.running - at.cluster_ready))


def _histogram(registry: CollectorRegistry, name: str, about: str) -> Histogram:
    return Histogram(name, about, registry=registry, buckets=SECONDS)


def _timed(function: Callable[P, T], took: Histogram) -> Callable[P, T]:
    def timed(*args: P.args, **kwargs: P.kwargs) -> T:
        began = time.perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            took.observe(time.perf_counter() - began)

    return timed
