"""The states of a workload and the moves between them.

Knows nothing of time or of what causes a move.
"""

from collections.abc import Mapping
from enum import StrEnum

from fabric.core.errors import Conflict


class State(StrEnum):
    """Where a workload is in its life (design: workloads and their life)."""

    QUEUED = "queued"
    PLACING = "placing"
    STARTING = "starting"
    RUNNING = "running"
    RESIZING = "resizing"
    DRAINING = "draining"
    RECOVERING = "recovering"
    STOPPING = "stopping"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        """Whether nothing follows."""
        return self in FINAL

    @property
    def holds_grant(self) -> bool:
        """Whether slices of nodes belong to the workload now."""
        return not self.final and self is not State.QUEUED


RUN_AGAIN = 75
"""Exit code of an entrypoint that wants another attempt: its state is saved, or its ranks were lost.

Source: EX_TEMPFAIL of sysexits.h.
"""

FINAL = frozenset({State.SUCCEEDED, State.FAILED, State.CANCELLED})
"""States that nothing follows."""

MOVES: Mapping[State, frozenset[State]] = {
    State.QUEUED: frozenset({State.PLACING, State.FAILED, State.CANCELLED, State.STOPPING}),
    State.PLACING: frozenset({State.STARTING, State.QUEUED, State.STOPPING}),
    State.STARTING: frozenset({State.RUNNING, State.QUEUED, State.RECOVERING, State.STOPPING}),
    State.RUNNING: frozenset(
        {State.RESIZING, State.DRAINING, State.RECOVERING, State.STOPPING, State.SUCCEEDED, State.FAILED}
    ),
    State.RESIZING: frozenset(
        {State.RUNNING, State.DRAINING, State.RECOVERING, State.STOPPING, State.SUCCEEDED, State.FAILED}
    ),
    State.DRAINING: frozenset({State.QUEUED, State.RECOVERING, State.STOPPING, State.SUCCEEDED, State.FAILED}),
    State.RECOVERING: frozenset({State.QUEUED, State.FAILED, State.STOPPING}),
    State.STOPPING: frozenset({State.CANCELLED, State.FAILED, State.SUCCEEDED}),
    State.SUCCEEDED: frozenset(),
    State.FAILED: frozenset(),
    State.CANCELLED: frozenset(),
}
"""The moves that exist; any other is a mistake of ours."""


def move(old: State, new: State) -> State:
    """Return `new` if it may follow `old`; staying is no move.

    Raises:
        Conflict: If there is no such move.
    """
    if new not in MOVES[old]:
        raise Conflict(f"a workload that is {old} cannot become {new}", old=str(old), new=str(new))
    return new


RAY_STATUS: Mapping[State, str] = {
    State.QUEUED: "PENDING",
    State.PLACING: "PENDING",
    State.STARTING: "PENDING",
    State.DRAINING: "PENDING",
    State.RECOVERING: "PENDING",
    State.RUNNING: "RUNNING",
    State.RESIZING: "RUNNING",
    State.STOPPING: "RUNNING",
    State.SUCCEEDED: "SUCCEEDED",
    State.FAILED: "FAILED",
    State.CANCELLED: "STOPPED",
}
"""What Ray's job status says for each state."""
