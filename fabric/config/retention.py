"""How long a site keeps what ended work left behind.

Knows nothing of how it is removed. Histories and the ledger of use are no part of it: they stay.
"""

from typing import Self

from pydantic import field_validator, model_validator

from fabric.config.settings import Settings, checked
from fabric.core.duration import seconds_of
from fabric.core.quantity import Bytes

SHORTEST_S = 3600.0
"""Shortest age, in seconds: nobody loses a log while he reads why his work failed."""


class Retention(Settings):
    """Ages are lengths of time such as `12 h` or `30 d`; None keeps for ever.

    What work holds that has not ended is never removed, however old it is.
    """

    log_age: str | None = "90 d"
    """Time after the end of a workload after which its log is removed; 90 days are a choice."""

    max_logs: str | None = None
    """Most that all logs take together, with unit; beyond it the logs of those go whose work ended first, an hour
    after its end at the earliest."""

    report_age: str | None = "365 d"
    """Time after the end of a workload after which its progress, metrics and stages are forgotten; a year is a choice,
    as they are small, and what an earlier run reached is asked for long after."""

    artifact_age: str | None = None
    """Time without use after which a folder of artifacts is removed, of projects in which no work waits or runs."""

    every: str = "1 h"
    """Time between two looks."""

    @field_validator("log_age", "report_age", "artifact_age", "every")
    @classmethod
    def _length(cls, text: str | None) -> str | None:
        if text is not None:
            checked(seconds_of, text)
        return text

    @field_validator("max_logs")
    @classmethod
    def _size(cls, text: str | None) -> str | None:
        if text is not None:
            checked(Bytes.of, text)
        return text

    @model_validator(mode="after")
    def _long_enough(self) -> Self:
        for name in ("log_age", "report_age", "artifact_age"):
            age_s = _seconds(getattr(self, name))
            if age_s is not None and age_s < SHORTEST_S:
                raise ValueError(f"{name}: at least 1 h, not {getattr(self, name)}; null keeps for ever")
        if self.every_s < 1:
            raise ValueError("every: at least 1 s")
        return self

    @property
    def log_age_s(self) -> float | None:
        """The age of logs, in seconds."""
        return _seconds(self.log_age)

    @property
    def max_log_bytes(self) -> int | None:
        """The size of all logs, in bytes."""
        return None if self.max_logs is None else Bytes.of(self.max_logs).count

    @property
    def report_age_s(self) -> float | None:
        """The age of what was reported, in seconds."""
        return _seconds(self.report_age)

    @property
    def artifact_age_s(self) -> float | None:
        """The age of artifacts, in seconds."""
        return _seconds(self.artifact_age)

    @property
    def every_s(self) -> float:
        """Seconds between two looks."""
        return seconds_of(self.every)


def _seconds(text: str | None) -> float | None:
    return None if text is None else seconds_of(text)
