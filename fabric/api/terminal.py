"""Terminals inside workloads, as control relays them between two web sockets.

Knows nothing of HTTP frameworks. Bytes go as they are, in binary messages; text messages are the values below, as JSON.
"""

from pydantic import Field

from fabric.config.settings import Settings

TERMINAL = "/api/fabric/workloads/{name}/terminal"
"""Web socket of whoever types: what is typed goes in, what is shown comes out; a new one replaces the last."""
SERVED = "/api/fabric/workloads/{name}/terminal/served"
"""Web socket of the workload itself, which has the terminal."""

LARGEST_MESSAGE = 2**16
"""Most bytes of one message."""
REPLACED, ENDED, LOST = 4000, 4001, 4002
"""Why control closes a socket: another one took its place, the terminal has ended, or the workload's end is gone."""
REFUSED = 1008
"""The same where the key that opened it would not open it any more (RFC 6455: policy violation)."""


class Told(Settings):
    """What one end tells the other beside bytes; fields left out say nothing."""

    rows: int | None = Field(default=None, ge=1, le=10_000)
    """Lines that whoever types sees, with `columns`."""
    columns: int | None = Field(default=None, ge=1, le=10_000)
    """Letters in one of them."""
    attached: bool | None = None
    """Whether somebody looks at the terminal now."""
    exit_code: int | None = None
    """The shell has ended, with this code."""
    reason: str = ""
    """Why it ended, if not by itself."""
