"""What answers say of their tokens: asked for where the client did not, noted, and taken out again.

Knows nothing of HTTP. Only what a service says itself is counted; text is never measured.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_TELLS = re.compile(rb'"usage"\s*:\s*\{')
"""Only in an event that tells counts: quotes inside a text are escaped."""
_EVENT = re.compile(rb".*?(?:\r\n\r\n|\n\n)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Counts:
    """Tokens of one request."""

    read: int
    """Of the prompt."""
    written: int
    """Of the answer."""


def to_ask_for(asked: Mapping[str, Any]) -> dict[str, Any]:
    """What is added to a request so that its stream ends with counts; nothing where it does anyway, or is no stream."""
    options = asked.get("stream_options") or {}
    if asked.get("stream") is not True or not isinstance(options, dict) or options.get("include_usage"):
        return {}
    return {"stream_options": {**options, "include_usage": True}}


def counts_of(answer: bytes) -> Counts | None:
    """What a whole answer, or an event's data, says of tokens; None where it says nothing."""
    try:
        said = json.loads(answer)["usage"]
        read, written = said["prompt_tokens"], said["completion_tokens"]
    except (ValueError, KeyError, TypeError):
        return None
    known = isinstance(read, int) and isinstance(written, int) and min(read, written) >= 0
    return Counts(read, written) if known else None


def noted(events: bytes, *, hidden: bool) -> tuple[bytes, Counts | None]:
    """Whole events of a stream, and what the last of them says of tokens.

    Args:
        events: As the service sent them.
        hidden: Whether an event that only tells counts is taken out, as the client did not ask for it.
    """
    if not _TELLS.search(events):
        return events, None
    passed, counts = [], None
    for each in _EVENT.findall(events):
        data = each.strip().removeprefix(b"data:")
        told = counts_of(data) if _TELLS.search(each) else None
        counts = told or counts
        if not (hidden and told and not json.loads(data).get("choices")):
            passed.append(each)
    return b"".join(passed), counts
