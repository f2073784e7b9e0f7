"""A workload's life as a trace."""

import sys
from dataclasses import replace

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from fabric.config import env
from fabric.control.onlookers import tracer_of
from fabric.control.spans import trace_of
from fabric.control.tracing import Tracer, tracer_for
from fabric.control.watched import Change
from fabric.core.errors import Unavailable
from fabric.workloads.record import Grant, Instants, Record
from fabric.workloads.states import State
from tests.architecture.tree import ROOT
from tests.builders import job, piece, record, tiny_site

NS = 1_000_000_000


class Traced:
    """A tracer, and what reached the exporter."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.tracer = Tracer("toy", SimpleSpanProcessor(self.exporter))

    def lives(self, *steps: tuple[Record, float]) -> list[ReadableSpan]:
        before: Record | None = None
        for after, at in steps:
            self.tracer.changed(Change(before, after, at))
            before = after
        return list(self.exporter.get_finished_spans())


QUEUED = record(job("train", project="alpha"), at=100.0)
GRANT = Grant((piece("g0"), piece("c0", "head", head=True)))


def at(state: State, since: Record = QUEUED, **instants: float) -> Record:
    held = {"grant": GRANT} if state.holds_grant else {}
    return replace(since, state=state, at=replace(since.at, **instants), **held)  # type: ignore[arg-type]


def times(spans: list[ReadableSpan]) -> list[tuple[str, float, float]]:
    return [(s.name, (s.start_time or 0) / NS, (s.end_time or 0) / NS) for s in spans]


def test_a_job_is_placed_started_and_run_in_one_trace() -> None:
    placing = at(State.PLACING, granted=110.0)
    runs = at(State.RUNNING, placing, cluster_ready=118.0, running=120.0)
    ended = replace(runs, state=State.SUCCEEDED, at=replace(runs.at, ended=180.0), message="done")
    spans = Traced().lives(
        (QUEUED, 100.0), (placing, 110.0), (at(State.STARTING, placing), 111.0), (runs, 120.0), (ended, 180.5)
    )
    assert times(spans) == [("place", 100, 110), ("start", 110, 120), ("run", 120, 180), ("job", 100, 180)]
    *parts, whole = spans
    assert whole.parent is None
    assert {span.parent.span_id for span in parts if span.parent} == {whole.context.span_id}
    assert {span.context.trace_id for span in spans} == {trace_of(QUEUED)}
    assert {span.status.status_code for span in spans} == {StatusCode.OK}
    assert dict(whole.attributes or {}) | {"fabric.tiers": ""} == {
        "fabric.workload": "train", "fabric.project": "alpha", "fabric.class": "batch", "fabric.attempts": 1,
        "fabric.preemptions": 0, "fabric.state": "succeeded", "fabric.tiers": "",
    }  # fmt: skip
    assert whole.resource.attributes["fabric.site"] == "toy"


def test_who_ends_at_once_has_all_of_it_too() -> None:
    starting = at(State.STARTING, granted=110.0)
    ended = at(State.SUCCEEDED, starting, cluster_ready=111.0, running=112.0, ended=112.5)
    spans = Traced().lives((QUEUED, 100.0), (starting, 110.0), (ended, 113.0))
    assert times(spans) == [("place", 100, 110), ("start", 110, 112), ("run", 112, 112.5), ("job", 100, 112.5)]


def test_each_attempt_has_its_own_and_a_loss_says_why() -> None:
    runs = at(State.RUNNING, granted=110.0, cluster_ready=111.0, running=112.0)
    again = replace(QUEUED, attempt=2, failures=1, at=Instants(100.0), message="attempt 1 lost (node g0 is gone)")
    second = at(State.PLACING, again, granted=150.0)
    stuck = replace(second, state=State.FAILED, at=replace(second.at, ended=170.0), message="cannot start: no image")
    spans = Traced().lives((QUEUED, 100.0), (runs, 112.0), (again, 140.0), (second, 150.0), (stuck, 170.0))
    assert times(spans) == [
        ("place", 100, 110), ("start", 110, 112), ("run", 112, 140),
        ("place", 140, 150), ("start", 150, 170), ("job", 100, 170),
    ]  # fmt: skip
    assert len({span.context.span_id for span in spans}) == len(spans)
    assert [span.status.description for span in spans if span.status.status_code is StatusCode.ERROR] == [
        "attempt 1 lost (node g0 is gone)", "cannot start: no image", "cannot start: no image",
    ]  # fmt: skip


def test_who_is_cancelled_in_the_queue_has_only_the_whole() -> None:
    gone = replace(QUEUED, state=State.CANCELLED, at=Instants(100.0, ended=105.0))
    assert times(Traced().lives((QUEUED, 100.0), (gone, 105.0))) == [("job", 100, 105)]


def test_the_next_control_goes_on_with_the_same_trace_and_leaves_out_what_it_does_not_know() -> None:
    waits = replace(QUEUED, attempt=2)
    traced = Traced()
    placed = at(State.PLACING, waits, granted=150.0)
    traced.tracer.changed(Change(waits, placed, 150.0))
    runs = at(State.RUNNING, placed, cluster_ready=155.0, running=160.0)
    traced.tracer.changed(Change(placed, runs, 160.0))
    [span] = traced.exporter.get_finished_spans()
    assert (span.name, span.context.trace_id) == ("start", trace_of(QUEUED))


def test_a_later_workload_of_the_same_name_has_another_trace() -> None:
    assert trace_of(QUEUED) != trace_of(replace(QUEUED, at=Instants(101.0)))
    assert trace_of(QUEUED) == trace_of(replace(QUEUED, state=State.FAILED, attempt=3))


class Exporter(InMemorySpanExporter):
    made: list[str] = []

    def __init__(self, address: str) -> None:
        super().__init__()
        self.made.append(address)


def test_spans_go_to_the_collector_that_the_environment_names(monkeypatch: pytest.MonkeyPatch) -> None:
    tracer_for("toy", "http://collector:4318/", Exporter).close()
    assert Exporter.made == ["http://collector:4318/v1/traces"]
    monkeypatch.setenv(env.OTLP, "http://127.0.0.1:1")
    tracer = tracer_of(tiny_site())
    assert tracer is not None
    tracer.close()


@pytest.fixture
def without_exporter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.http.trace_exporter", None)


def test_what_is_missing_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch, without_exporter: None) -> None:
    monkeypatch.setenv(env.OTLP, "http://127.0.0.1:1")
    with pytest.raises(Unavailable, match="pip install opentelemetry-sdk"):
        tracer_of(tiny_site())


def test_where_no_collector_is_named_nothing_of_it_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(env.OTLP, raising=False)
    assert tracer_of(tiny_site()) is None
    imports = (ROOT / "fabric" / "control").rglob("*.py")
    names = [file.name for file in imports if "\nfrom opentelemetry" in file.read_text()]
    assert names == ["tracing.py"]
