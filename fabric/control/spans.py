"""A workload's life as spans of one trace: placed, started, run, once for each attempt.

Knows nothing of OpenTelemetry. Ids follow from the workload's name and the instant of its submission, so that every
control, also the next one, speaks of the same trace, and nothing has to be kept for it.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from fabric.control.watched import Change
from fabric.workloads.record import Record
from fabric.workloads.states import State


@dataclass(frozen=True, slots=True)
class Span:
    """Something that took a while and is over."""

    trace: int
    """128 bits."""
    number: int
    """64 bits, unique in the trace."""
    parent: int | None
    """The span that it is a part of; None for the whole."""
    name: str
    start: float
    """Seconds since the epoch, like the next."""
    end: float
    attributes: Mapping[str, str | int]
    problem: str = ""
    """What went wrong; empty where nothing did."""


def trace_of(record: Record) -> int:
    """The trace of a workload."""
    return _bits(record, "trace", 16)


def spans_of(change: Change, queued_at: float | None = None) -> Iterator[Span]:
    """What is over with a change.

    Args:
        change: Of one workload.
        queued_at: When it was queued again, for attempts behind the first; None where that is not known.
    """
    before, after = change.before, change.after
    old = before.at if before else None
    if after.at.granted is not None and (old is None or old.granted is None):
        since = after.at.submitted if after.attempt == 1 else queued_at
        if since is not None:
            yield _part(after, "place", since, after.at.granted)
    if after.at.running is not None and (old is None or old.running is None):
        yield _part(after, "start", after.at.granted or after.at.running, after.at.running)
    if before is not None and (after.state.final or after.attempt != before.attempt):
        yield from _left(before, after, change.at)
    if after.state.final:
        yield _whole(after, change.at)


def _left(before: Record, after: Record, at: float) -> Iterator[Span]:
    """What an attempt was in when it ended."""
    same = after.attempt == before.attempt
    instants = after.at if same else before.at
    problem = "" if after.state is State.SUCCEEDED else after.message
    if instants.running is not None:
        yield _part(before, "run", instants.running, after.at.ended or at, problem=problem)
    elif instants.granted is not None:
        yield _part(before, "start", instants.granted, after.at.ended or at, problem=problem)


def _whole(record: Record, at: float) -> Span:
    problem = record.message if record.state is State.FAILED else ""
    more: dict[str, str | int] = {"fabric.attempts": record.attempt, "fabric.preemptions": record.preemptions}
    more["fabric.state"] = str(record.state)
    attributes = {**_about(record), **more}
    name, number = record.spec.kind, _bits(record, "whole", 8)
    return Span(
        trace_of(record), number, None, name, record.at.submitted, record.at.ended or at, attributes, problem
    )  # fmt: skip


def _part(record: Record, name: str, start: float, end: float, *, problem: str = "") -> Span:
    number, whole = _bits(record, f"{name}/{record.attempt}", 8), _bits(record, "whole", 8)
    attributes = {**_about(record), "fabric.attempt": record.attempt}
    return Span(trace_of(record), number, whole, name, start, max(start, end), attributes, problem)


def _about(record: Record) -> dict[str, str | int]:
    spec = record.spec
    about: dict[str, str | int] = {"fabric.workload": record.name, "fabric.project": spec.project}
    tiers = sorted({part.tier for part in record.grant.slices}) if record.grant else []
    return {**about, "fabric.class": str(spec.priority)} | ({"fabric.tiers": ",".join(tiers)} if tiers else {})


def _bits(record: Record, what: str, num_bytes: int) -> int:
    """A number that is the same for the same workload, and never zero."""
    digest = hashlib.sha256(f"{record.name}\n{record.at.submitted!r}\n{what}".encode()).digest()
    return int.from_bytes(digest[:num_bytes], "big") or 1
