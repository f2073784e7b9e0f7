"""Windows in which nodes are taken away: maintenance, and weeks of dedicated capability runs.

Knows nothing of what runs on the nodes; times are instants, so that no time-zone table is needed.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from fabric.config.settings import Settings, checked
from fabric.core.ids import check_name

DAY_S = 86_400.0
"""Seconds in a day; recurrences count days of this length, so a local hour shifts when the clocks change."""


class Window(Settings):
    """One window, or the first of a row of them."""

    name: str
    """Name, shown to whoever waits for its end."""

    kind: Literal["maintenance", "capability"] = "maintenance"
    """`maintenance` gives the nodes to nobody, `capability` to one project."""

    project: str | None = None
    """Project that has the nodes in a capability window."""

    tiers: tuple[str, ...] = ()
    """Tiers whose nodes are all taken."""

    nodes: tuple[str, ...] = ()
    """Single nodes that are taken, such as `gpu-17`."""

    starts: str
    """First start, ISO 8601 with its offset from UTC, such as `2026-12-02T08:00:00+01:00`."""

    ends: str
    """End of the first window, in the same form."""

    every_days: int | None = Field(default=None, ge=1, le=366)
    """Days from one start to the next; None happens once."""

    until: str | None = None
    """Instant from which no further window of a row starts, in the same form; None goes on for ever."""

    @field_validator("name")
    @classmethod
    def _name(cls, name: str) -> str:
        return checked(check_name, name, "window")

    @field_validator("starts", "ends", "until")
    @classmethod
    def _instant(cls, text: str | None) -> str | None:
        if text is not None:
            instant(text)
        return text

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if self.end_s <= self.start_s:
            raise ValueError(f"window {self.name} ends ({self.ends}) before or when it starts ({self.starts})")
        if not self.tiers and not self.nodes:
            raise ValueError(f"window {self.name} takes nothing; give tiers or nodes")
        if (self.kind == "capability") != (self.project is not None):
            raise ValueError(f"window {self.name}: a capability window names its project, and maintenance names none")
        length_s = self.end_s - self.start_s
        if self.every_days is not None and length_s > self.every_days * DAY_S:
            raise ValueError(
                f"window {self.name} lasts {length_s / DAY_S:g} days, but the next begins after {self.every_days}"
            )
        if self.until is not None and self.every_days is None:
            raise ValueError(f"window {self.name} happens once, so `until` says nothing; give every_days too")
        if self.until is not None and instant(self.until) <= self.start_s:
            raise ValueError(f"window {self.name}: no window of the row starts before {self.until}")
        return self

    @property
    def start_s(self) -> float:
        """First start, in seconds since the epoch."""
        return instant(self.starts)

    @property
    def end_s(self) -> float:
        """End of the first window, in seconds since the epoch."""
        return instant(self.ends)

    @property
    def until_s(self) -> float | None:
        """Instant from which no further window starts, in seconds since the epoch."""
        return None if self.until is None else instant(self.until)


def instant(text: str) -> float:
    """Read an ISO 8601 instant as seconds since the epoch.

    Raises:
        ValueError: If it is none, or has no offset from UTC and so means another instant on every machine.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is no instant; write it like 2026-12-02T08:00:00+01:00") from None
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no offset from UTC; write it like 2026-12-02T08:00:00+01:00")
    return moment.timestamp()


def since(windows: Sequence[Window], begins: float) -> tuple[Window, ...]:
    """The same windows on a clock that shows 0 at `begins`, which is in seconds since the epoch."""

    def moved(text: str | None) -> str | None:
        return None if text is None else datetime.fromtimestamp(instant(text) - begins, UTC).isoformat()

    return tuple(
        window.model_copy(update={name: moved(getattr(window, name)) for name in ("starts", "ends", "until")})
        for window in windows
    )


def check_windows(
    windows: Sequence[Window], nodes_by_tier: Mapping[str, Sequence[str]], projects: Sequence[str]
) -> None:
    """Check that windows are about nodes and projects that exist.

    Raises:
        ValueError: Naming the window and what it names wrongly.
    """
    names = [window.name for window in windows]
    if len(set(names)) != len(names):
        raise ValueError(f"windows need different names, got {names}")
    nodes = {node for tier in nodes_by_tier.values() for node in tier}
    for window in windows:
        for tier in window.tiers:
            if tier not in nodes_by_tier:
                raise ValueError(
                    f"window {window.name}: {tier!r} is no tier; the site has {', '.join(sorted(nodes_by_tier))}"
                )
        for node in window.nodes:
            if node not in nodes:
                raise ValueError(
                    f"window {window.name}: {node!r} is no node; nodes are called TIER-NUMBER, from "
                    f"{', '.join(f'{tier}-0' for tier in sorted(nodes_by_tier))}"
                )
        if window.project is not None and window.project not in projects:
            known = ", ".join(sorted(projects)) or "none"
            raise ValueError(f"window {window.name}: {window.project!r} is no project; the site has {known}")
