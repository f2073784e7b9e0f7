"""Limits of Ray 2.60.0 that no setting of ours can move.

Knows nothing of who keeps to them, or of Ray beyond these numbers.
"""

from fabric.core.quantity import Bytes

RAY_BODY = Bytes(100 * 2**20)
"""Largest request that the dashboard of a Ray head takes (`DASHBOARD_CLIENT_MAX_SIZE` in its `ray_constants.py`)."""

MOST_PACKAGE = Bytes(99 * 2**20)
"""Largest package as uploaded: it must still reach the head of its workload in one such request. The rest is margin."""

WHY_NO_LARGER = f"a Ray head takes no request above {RAY_BODY}, so packages end at {MOST_PACKAGE}"
"""The reason, for messages."""
