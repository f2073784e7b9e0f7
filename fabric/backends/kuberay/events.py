"""Events as Kubernetes shows them to people.

Knows nothing of what happened.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

_MOST_MESSAGE = 1024
"""Letters of a message that Kubernetes takes."""


def event_of(about: Mapping[str, str], *, reason: str, message: str, warns: bool, at: float) -> dict[str, Any]:
    """An event of an object.

    Args:
        about: The object: `apiVersion`, `kind`, `name`, and what else is known of it.
        reason: One word.
        message: A sentence.
        warns: Whether somebody should do something.
        at: The time, in seconds since the epoch; no two events of an object have the same.
    """
    told = datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    where = {"namespace": about["namespace"]} if "namespace" in about else {}
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{about['name']}.{int(at * 1e6):x}", **where},
        "involvedObject": dict(about),
        "type": "Warning" if warns else "Normal",
        "reason": reason,
        "message": message[:_MOST_MESSAGE],
        "source": {"component": "fabric"},
        "firstTimestamp": told,
        "lastTimestamp": told,
        "count": 1,
    }
