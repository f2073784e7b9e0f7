"""Lines of logs: JSON for machines, one line of words on a terminal, and never a secret in either.

Knows nothing of what is told. Call sites use the standard library's logging; whoever works for a workload says so
once, with `about`, and every line from then on carries it.
"""

import json
import logging
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, TextIO

FIELDS = ("workload", "project", "attempt")
"""What a line says beside its words, where it is known; also from `extra` of a call."""

HIDDEN = "***"
"""What stands in place of a secret."""

QUIET = ("httpx", "httpcore", "uvicorn.access")
"""Loggers that tell of every request; of these only what goes wrong is worth a line."""

_VALUE = r"[^\s'\",;}\])&]"
_SHOWN = "(?:x-ray-)?authorization|x-fabric-service|set-cookie|cookie"
_NAMED = r"\w*(?:token|password|passwd|secret|api_?key)\w*"
_SECRETS = (
    # What a request shows, also as it stands in a printed dictionary of headers.
    (re.compile(rf"(bearer\s+){_VALUE}+", re.IGNORECASE), rf"\1{HIDDEN}"),
    (re.compile(rf"({_SHOWN})(\W{{1,6}}b?['\"]?){_VALUE}+", re.IGNORECASE), rf"\1\2{HIDDEN}"),
    # The site's keys, and tokens of a provider, wherever they are.
    (re.compile(r"\bfab-[\w-]{16,}"), f"fab-{HIDDEN}"),
    (re.compile(r"\bey[\w-]{6,}\.[\w-]{6,}\.[\w-]*"), HIDDEN),
    # Passwords in addresses, and what is a secret by its name; a number is none.
    (re.compile(r"(\b[a-z][\w+.-]*://[^\s/:@]*:)[^\s/@]+@"), rf"\1{HIDDEN}@"),
    (re.compile(rf"({_NAMED})(['\"]?\s*[=:]\s*b?['\"]?)(?!\d+(?:\W|$)){_VALUE}+", re.IGNORECASE), rf"\1\2{HIDDEN}"),
)

_told: ContextVar[Mapping[str, Any]] = ContextVar("told", default={})  # noqa: B039 - never changed in place


@contextmanager
def about(**fields: Any) -> Iterator[None]:
    """Let every line from here on in this thread or task say of what it is, such as `workload`."""
    before = _told.set({**_told.get(), **fields})
    try:
        yield
    finally:
        _told.reset(before)


def masked(text: str) -> str:
    """A text without what looks like a secret."""
    for pattern, instead in _SECRETS:
        text = pattern.sub(instead, text)
    return text


class Masking(logging.Filter):
    """Puts the fields into each record, and takes secrets out of its words and its error."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the record; it is always told."""
        for name, value in _told.get().items():
            record.__dict__.setdefault(name, value)
        record.msg, record.args = masked(record.getMessage()), ()
        if record.exc_info or record.exc_text:
            # Another handler may have written the trace into the record before.
            trace = record.exc_text or logging.Formatter().formatException(record.exc_info or (None, None, None))
            record.exc_text = masked(trace)
        return True


class JsonLines(logging.Formatter):
    """One object a line: time, level, module, words, and the fields that are known."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "module": record.name,
            "message": record.getMessage(),
            **_fields_of(record),
        }
        if record.exc_text:
            line["error"] = record.exc_text
        return json.dumps(line, ensure_ascii=False, default=str)


class Words(logging.Formatter):
    """One line for people; an error is told below it."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record."""
        time = datetime.fromtimestamp(record.created).strftime("%H:%M:%S")
        fields = "".join(f" {name}={value}" for name, value in _fields_of(record).items())
        line = f"{time} {record.levelname.lower()} {record.name}: {record.getMessage()}{fields}"
        return f"{line}\n{record.exc_text}" if record.exc_text else line


def _fields_of(record: logging.LogRecord) -> dict[str, Any]:
    return {name: record.__dict__[name] for name in FIELDS if name in record.__dict__}


def handler_for(stream: TextIO) -> logging.Handler:
    """What writes lines to a stream: words where that is a terminal, JSON otherwise."""
    handler = logging.StreamHandler(stream)
    handler.addFilter(Masking())
    handler.setFormatter(Words() if stream.isatty() else JsonLines())
    return handler


def begin(stream: TextIO | None = None) -> None:
    """Let this process's lines go to a stream, by default the standard error; called once, by its entry point."""
    logging.basicConfig(level=logging.INFO, handlers=[handler_for(stream or sys.stderr)], force=True)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
