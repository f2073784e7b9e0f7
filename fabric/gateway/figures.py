"""What the gateway counts and times, and the text that Prometheus reads.

Knows nothing of HTTP. Models are those of the snapshot, so that no request can make up series.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from fabric.gateway.counts import Counts
from fabric.telemetry.http import SECONDS, request_histogram

LEFT = "left"
"""Status of requests whose client left before there was an answer."""


class Figures:
    """Every instrument of one gateway, in a registry of its own."""

    def __init__(self, in_flight: Callable[[], float], control_answers: Callable[[], bool]) -> None:
        """Count nothing yet.

        Args:
            in_flight: Requests at services now.
            control_answers: Whether control does.
        """
        self._registry = registry = CollectorRegistry()
        self.requests = request_histogram(registry, "fabric_gateway_http_request_seconds")
        """Answers of the gateway's HTTP interface."""
        self._asked = Counter(
            "fabric_gateway_requests", "Requests to models, by what became of them.", ["model", "status"],
            registry=registry,
        )  # fmt: skip
        self._tokens = Counter(
            "fabric_gateway_tokens", "Tokens read and written, as services say.", ["model", "direction"],
            registry=registry,
        )  # fmt: skip
        self._first = Histogram(
            "fabric_gateway_first_token_seconds", "Seconds from a request to the first event of its stream.", ["model"],
            registry=registry, buckets=SECONDS,
        )  # fmt: skip
        self._streams = Gauge("fabric_gateway_streams", "Streams that are open.", ["model"], registry=registry)
        at_services = Gauge("fabric_gateway_requests_in_flight", "Requests that services work on.", registry=registry)
        at_services.set_function(in_flight)
        answers = Gauge("fabric_gateway_control_answers", "Whether control answers.", registry=registry)
        answers.set_function(lambda: float(control_answers()))

    def text(self) -> bytes:
        """In Prometheus' text format."""
        return generate_latest(self._registry)

    def meter(self, model: str) -> "Meter":
        """What measures one request to a model of the snapshot, which begins now."""
        return Meter(self, model)

    def note_answer(self, model: str, status: str) -> None:
        """Note what became of a request: the class of its status, or `LEFT`."""
        self._asked.labels(model, status).inc()

    def note_first(self, model: str, seconds: float) -> None:
        """Note the first event of a stream."""
        self._first.labels(model).observe(seconds)

    def note_tokens(self, model: str, counts: Counts) -> None:
        """Note what a service said of tokens."""
        self._tokens.labels(model, "in").inc(counts.read)
        self._tokens.labels(model, "out").inc(counts.written)

    @contextmanager
    def stream(self, model: str) -> Iterator[None]:
        """Count an open stream."""
        with self._streams.labels(model).track_inprogress():
            yield


class Meter:
    """Measures one request."""

    def __init__(self, figures: Figures, model: str) -> None:
        self._figures, self._model = figures, model
        self._began = time.perf_counter()
        self._answered = self._came = False
        self._counts: Counts | None = None

    def answered(self, status: int) -> None:
        """There is an answer."""
        self._answered = True
        self._figures.note_answer(self._model, f"{status // 100}xx")

    def left(self) -> None:
        """The client has left."""
        if not self._answered:
            self._figures.note_answer(self._model, LEFT)

    @contextmanager
    def streaming(self) -> Iterator[None]:
        """While a stream is open; what was last said of its tokens counts at its end."""
        with self._figures.stream(self._model):
            try:
                yield
            finally:
                if self._counts:
                    self._figures.note_tokens(self._model, self._counts)

    def event(self, counts: Counts | None) -> None:
        """Events came, which may say something of tokens."""
        if not self._came:
            self._came = True
            self._figures.note_first(self._model, time.perf_counter() - self._began)
        self._counts = counts or self._counts

    def whole(self, counts: Counts | None) -> None:
        """A whole answer came, which may say something of tokens."""
        if counts:
            self._figures.note_tokens(self._model, counts)
