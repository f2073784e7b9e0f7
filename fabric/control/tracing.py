"""Spans on their way to a collector, by OpenTelemetry; loaded only where the environment names one.

Knows nothing of what a span means. They wait in the processor's own bounded queue and are sent by its own thread, so
whoever tells of a change waits for nobody; what a collector that is away cannot take is dropped.
"""

from collections.abc import Callable
from typing import Protocol

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

import fabric
from fabric.control.spans import Span, spans_of
from fabric.control.watched import Change
from fabric.workloads.states import State

_SCOPE = InstrumentationScope("fabric.control", fabric.__version__)
_NS = 1_000_000_000


class Processor(Protocol):
    """Takes spans that are over."""

    def on_end(self, span: ReadableSpan) -> None:
        """Send it some time."""
        ...

    def shutdown(self) -> None:
        """Send what waits."""
        ...


class Tracer:
    """Makes spans of changes; `changed` is a `fabric.control.watched.Listener`."""

    def __init__(self, site: str, processor: Processor) -> None:
        """Begin with no spans.

        Args:
            site: Its name.
            processor: Where they go.
        """
        self._processor = processor
        self._resource = Resource.create({"service.name": "fabric", "fabric.site": site})
        self._queued_at: dict[str, float] = {}

    def changed(self, change: Change) -> None:
        """Let what is over with a change go to the collector."""
        record = change.after
        for span in spans_of(change, self._queued_at.get(record.name)):
            self._processor.on_end(self._readable(span))
        if record.state is State.QUEUED and change.moved and record.attempt > 1:
            self._queued_at[record.name] = change.at
        elif record.state is not State.QUEUED:
            self._queued_at.pop(record.name, None)

    def close(self) -> None:
        """Send what waits."""
        self._processor.shutdown()

    def _readable(self, span: Span) -> ReadableSpan:
        def context(number: int) -> SpanContext:
            return SpanContext(span.trace, number, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))

        return ReadableSpan(
            span.name,
            context=context(span.number),
            parent=None if span.parent is None else context(span.parent),
            resource=self._resource,
            attributes=dict(span.attributes),
            kind=SpanKind.INTERNAL,
            status=Status(StatusCode.ERROR, span.problem) if span.problem else Status(StatusCode.OK),
            start_time=int(span.start * _NS),
            end_time=int(span.end * _NS),
            instrumentation_scope=_SCOPE,
        )


def tracer_for(site: str, endpoint: str, exporter: Callable[[str], SpanExporter] | None = None) -> Tracer:
    """What sends spans to a collector.

    Args:
        site: Its name.
        endpoint: Base URL of the collector, which takes OTLP over HTTP.
        exporter: Makes what sends them, of the whole address.

    Raises:
        ImportError: If OpenTelemetry's exporter is not installed.
    """
    if exporter is None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        exporter = OTLPSpanExporter
    return Tracer(site, BatchSpanProcessor(exporter(f"{endpoint.rstrip('/')}/v1/traces")))
