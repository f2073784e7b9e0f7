"""What the fabric remembers of a workload: spec, state, grant, counts and instants.

Knows nothing of how it is stored.
"""

from dataclasses import dataclass, replace

from fabric.core.resources import Resources
from fabric.workloads.spec import HEAD_GROUP, WorkloadSpec
from fabric.workloads.states import State, move


@dataclass(frozen=True, slots=True)
class Slice:
    """The part of one node given to one group of a workload; becomes one Ray node."""

    name: str
    """Unique in the workload: group and a running number."""
    group: str
    node: str
    tier: str
    workers: int
    """Workers of the group that share the slice."""
    resources: Resources
    """All that the slice holds."""
    head: bool = False
    """Whether the Ray head runs in this slice."""

    @property
    def only_head(self) -> bool:
        """Whether it exists for the head alone and offers Ray no CPUs or GPUs."""
        return self.group == HEAD_GROUP


@dataclass(frozen=True, slots=True)
class Grant:
    """The slices a workload holds."""

    slices: tuple[Slice, ...]
    reason: str = ""
    """Why these."""

    @property
    def head(self) -> Slice:
        """The slice that holds the Ray head."""
        return next(part for part in self.slices if part.head)

    def size(self, group: str) -> int:
        """Workers of one group."""
        return sum(part.workers for part in self.slices if part.group == group)


@dataclass(frozen=True, slots=True)
class SetAside:
    """The start that is kept for a waiting workload, and what is kept for it from then on."""

    start: float
    """Seconds since the epoch."""
    parts: tuple[tuple[str, Resources], ...]
    """Nodes with the amount that is kept there."""


@dataclass(frozen=True, slots=True)
class Instants:
    """When it happened, in seconds since the epoch; None where it has not yet."""

    submitted: float
    granted: float | None = None
    """Of the present attempt, like the next two."""
    cluster_ready: float | None = None
    """Every slice has joined."""
    running: float | None = None
    ended: float | None = None
    resized: float | None = None
    """When the present attempt last changed its size."""


@dataclass(frozen=True, slots=True)
class Record:
    """A workload as the store knows it."""

    name: str
    spec: WorkloadSpec
    state: State
    at: Instants
    attempt: int = 1
    """Number of the present attempt, from 1."""
    generation: int = 1
    """Rises with every change of what is wanted."""
    failures: int = 0
    """Attempts lost so far; preemptions are not counted here."""
    preemptions: int = 0
    """How often it was asked to leave for others."""
    ran_s: float = 0.0
    """Seconds that the attempts before the present one ran."""
    grant: Grant | None = None
    target: Grant | None = None
    """The smaller grant it is being shrunk to, until it has let go of the rest."""
    leave_by: float | None = None
    """When a draining workload, or what a shrinking one gives back, is gone at the latest; seconds since the epoch."""
    message: str = ""
    """First line of the explanation."""
    waits_for: str = ""
    """What the last plan said is missing, who is ahead, and the expected start."""
    expected_start: float | None = None
    promised_start: float | None = None
    """First start that a plan promised to the present attempt, in seconds since the epoch."""
    promised: bool = False
    """Whether the expected start is set aside for it, so that nobody may delay it."""
    set_aside: SetAside | None = None
    """What that is, where the policy keeps several promises, which must know each other after a restart."""
    passed: int = 0
    """How many that came after it have started before the present attempt."""
    condition: str = ""
    """Of a running service: ready, degraded or updating."""
    exit_code: int | None = None
    """Of the entrypoint, where it ended by itself."""
    stop_reason: str = ""
    """Why it is being ended: cancelled by a person, walltime, down."""
    wants: int | None = None
    """Workers of the elastic group that somebody asked for; written by the interfaces, read by the loop."""
    stop_requested: bool = False
    """Whether a person asked for the end; written by the interfaces, read by the loop."""
    submitted_by: str = ""
    """Who handed it in; the name of a person, or of a key that is nobody's."""

    @property
    def cluster(self) -> str:
        """Name of the present attempt's Ray cluster, and Ray's submission id."""
        return f"{self.name}-{self.attempt}"

    def to(self, state: State, **changes: object) -> "Record":
        """This record after a move to `state`.

        Raises:
            Conflict: If there is no such move.
        """
        return replace(self, state=move(self.state, state), **changes)  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Event:
    """One line of a workload's history."""

    workload: str
    at: float
    state: State
    reason: str
    attempt: int = 1
