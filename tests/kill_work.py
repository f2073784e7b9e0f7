"""What is handed in while control is killed: jobs that end, fail, are in the way, grow, or do not want to leave.

Knows nothing of kills.
"""

import random
from typing import Any

FAILING = 3
"""Exit status of entrypoints that are meant to fail."""
KINDS = ("short", "short", "fails", "urgent", "urgent", "leftover", "leftover", "wide", "elastic", "stubborn")
"""What a job's name begins with; as often as it should come."""


def asked(kind: str, draw: random.Random) -> tuple[str, dict[str, Any]]:
    """The entrypoint of a job of some kind, and what else its spec says."""
    seconds, gpus = draw.uniform(0.1, 2.0), draw.choice((0.0, 0.0, 1.0))
    more: dict[str, Any] = {"group": {"cpus": draw.choice((0.5, 1.0, 2.0)), "gpus": gpus}}
    entrypoint = f"sleep {seconds:.2f}"
    if kind == "fails":
        entrypoint = f"sleep 0.2; exit {FAILING}"
    elif kind == "urgent":
        more = {"priority": "interactive", "group": {"cpus": 4.0}}
    elif kind == "leftover":
        # In the way of what is urgent, so that it is asked to leave, and takes most of its grace for it.
        entrypoint, more = _slow_to_leave(4 + 3 * seconds), {"priority": "harvest", "group": {"cpus": 4.0}}
    elif kind == "stubborn":
        entrypoint = _slow_to_leave(1 + 3 * seconds)
    elif kind == "wide":
        more["group"] = {"cpus": 2.0, "count": 3}
    elif kind == "elastic":
        # Grows where there is room, and shrinks for whatever is urgent.
        entrypoint, more = f"sleep {3 + 3 * seconds:.2f}", {"walltime_s": 120.0, "group": _ELASTIC}
    return entrypoint, more


_ELASTIC = {"cpus": 1.0, "count": 1, "min": 1, "max": 5, "tier": "commodity"}


def _slow_to_leave(seconds: float) -> str:
    """Sleeps, and takes 0.7 s of the grace when it is asked to leave, however often."""
    return f"trap 'trap \"\" TERM; sleep 0.7; exit 143' TERM; sleep {seconds:.2f} & wait"
