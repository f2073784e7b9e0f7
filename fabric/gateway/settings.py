"""How patient and how generous the gateway is.

Knows nothing of where the numbers are used.
"""

from pydantic import Field

from fabric.config.settings import Settings


class GatewaySettings(Settings):
    """Limits of the data plane."""

    max_body_bytes: int = Field(default=8 * 2**20, gt=0)
    """Largest request body; 8 MiB hold the text of two million tokens."""
    max_answer_bytes: int = Field(default=64 * 2**20, gt=0)
    """Largest answer that is not a stream; it is held in memory, so that it is never cut off half-way."""
    connect_s: float = Field(default=3.0, gt=0)
    """Longest wait for a connection to a service, in seconds."""
    silence_s: float = Field(default=300.0, gt=0)
    """Longest wait for a service's first byte, and between two of its bytes, in seconds."""
    rest_s: float = Field(default=2.0, ge=0)
    """How long an endpoint that did not answer is tried last, in seconds."""
    poll_s: float = Field(default=1.0, gt=0)
    """Pause between two questions to control when it does not hold them back or does not answer, in seconds."""
    hurry_s: float = Field(default=0.25, gt=0)
    """Shortest time between two questions to control that refused requests give rise to, in seconds."""
    hold_s: float = Field(default=20.0, ge=0)
    """How long control is asked to wait for a change, in seconds."""
    grace_s: float = Field(default=20.0, ge=0)
    """How long answers under way may go on after SIGTERM, in seconds."""
    max_failed_logins: int = Field(default=20, ge=1)
    """Keys that open nothing which may come from one address within a minute."""
