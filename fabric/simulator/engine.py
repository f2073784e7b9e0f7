"""Let time pass: take what happens next, and let the loop of the fabric look at it.

Knows nothing of how the loop decides, and calls nothing of it but `step`.
"""

import heapq
import math
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from fabric.core.errors import BadInput
from fabric.core.resources import Resources
from fabric.scheduler.loop import Decider, Loop, Settings
from fabric.scheduler.policy import Policy
from fabric.scheduler.quota import Tree
from fabric.scheduler.replay import Decision
from fabric.scheduler.snapshot import Claim, Node
from fabric.simulator.cluster import Courses, SimulatedCluster, VirtualClock
from fabric.simulator.records import SimulatedBlueprint, SimulatedRecords
from fabric.workloads.record import Record


@dataclass(frozen=True, slots=True)
class Habits:
    """When the simulated world tells the loop that something happened; published simulators differ in just this."""

    one_by_one: bool = False
    """Whether every event is looked at by itself, submissions before ends; otherwise those of one instant together."""
    only_if_it_fits: bool = False
    """Whether a submission is looked at only if the new work itself fits into what is idle."""
    predicted_ends: bool = False
    """Whether what is predicted to end at an instant has ended before any event of that instant is looked at."""
    review_s: float = math.inf
    """Seconds after which a look decides anew even if only time has passed."""


@dataclass(frozen=True, slots=True)
class Act:
    """Something that happens at a given instant, whatever is decided."""

    at: float
    """Seconds since the epoch of the simulated world."""
    stops: str = ""
    """Name of the workload that somebody ends then; empty where only the time matters, as at the edge of a window."""
    does: Callable[[], None] | None = None
    """What else is done then, as to lose a node or to let a service tell its demand."""


RecordsOf = Callable[[SimulatedCluster, VirtualClock], SimulatedRecords]
"""Makes the records of a loop on a simulated cluster."""


def _records(cluster: SimulatedCluster, clock: VirtualClock) -> SimulatedRecords:
    return SimulatedRecords(cluster.working.tells, cluster.shrink)


@dataclass(frozen=True, slots=True)
class Parts:
    """What a simulated fabric may have instead of the plainest."""

    decider: Decider | None = None
    """What decides; the fabric's own `decide` where nobody else is named."""
    records: RecordsOf | None = None
    """Makes the records, where more is to be done with what is saved."""
    tree: Tree = field(default_factory=Tree)
    """Projects of the site."""


class Engine:
    """A loop, a simulated cluster and a queue of submissions on one virtual clock."""

    def __init__(
        self,
        nodes: tuple[Node, ...],
        courses: Courses,
        *,
        policy: Policy,
        head: Resources,
        habits: Habits | None = None,
        grace_s: float = 0.0,
        overhead_s: float = 0.0,
        tell_s: float = math.inf,
        claims: tuple[Claim, ...] = (),
        parts: Parts | None = None,
    ) -> None:
        """Put the parts together; nothing has happened yet.

        Args:
            nodes: Of the site.
            courses: What becomes of each attempt.
            policy: How is decided.
            head: What a Ray head of its own is charged.
            habits: When the loop is told that something happened.
            grace_s: Seconds between a notice and the kill.
            overhead_s: Seconds that promises allow for what work holds its nodes beside its walltime.
            tell_s: Seconds between two tellings to all who wait why they wait.
            claims: Maintenance windows.
            parts: What else is not the plainest.
        """
        self._habits = habits or Habits()
        self.clock = VirtualClock(-math.inf)
        self.cluster = SimulatedCluster(nodes, courses, self.clock)
        parts = parts or Parts()
        self.records = (parts.records or _records)(self.cluster, self.clock)
        settings = Settings(
            head=head, grace_s=grace_s, overhead_s=overhead_s, policy=policy, claims=claims, tree=parts.tree,
            # The edges of windows are events, at which time alone changes something.
            review_s=0.0 if claims else self._habits.review_s, recheck_s=math.inf, tell_s=tell_s,
        )  # fmt: skip
        self.loop = Loop(
            self.records, self.cluster, SimulatedBlueprint(), clock=self.clock, settings=settings, decider=parts.decider
        )
        self.num_passes = 0
        """How often the loop was made to look."""
        self.longest: Decision | None = None
        """The decision with the longest queue, the first of them."""
        self._coming: deque[Record] = deque()
        self._acts: list[tuple[float, str, int, Act]] = []
        self._num_acts = 0
        self._again: float | None = None

    def run(self, submissions: Sequence[Record], acts: Iterable[Act] = ()) -> None:
        """Submit records at their instants, in the order given, and go on until nothing happens any more.

        Args:
            submissions: Queued records; sorted by `at.submitted`.
            acts: What else happens, and makes the loop look.

        Raises:
            BadInput: If they are not in order.
        """
        for before, after in pairwise(submissions):
            if after.at.submitted < before.at.submitted:
                raise BadInput(f"{after.name} is submitted before {before.name}, which comes first. Sort them by time.")
        self._coming = deque(submissions)
        for act in acts:
            self.also(act)
        while (instant := self._next_instant()) < math.inf:
            self.clock.at = max(self.clock.at, instant)
            if self._habits.predicted_ends:
                self.cluster.end_predicted()
            looks = self._happens()
            while not self._habits.one_by_one and self._next_instant() <= self.clock.at:
                looks |= self._happens()
            if looks:
                self.look()

    @property
    def ended(self) -> bool:
        """Whether everybody came and everything has ended."""
        return not self._coming and all(record.state.final for record in self.records.kept.values())

    def also(self, act: Act) -> None:
        """Let something more happen; one whose instant is over happens at once."""
        self._num_acts += 1
        heapq.heappush(self._acts, (act.at, act.stops, self._num_acts, act))

    def _next_instant(self) -> float:
        """When the next thing happens, in seconds; infinite if nothing does."""
        due = self.cluster.next_due()
        coming = self._coming[0].at.submitted if self._coming else math.inf
        return min(coming, due if due is not None else math.inf, self._acts[0][0] if self._acts else math.inf)

    def _happens(self) -> bool:
        """Let one thing happen, submissions before others; whether the loop looks at it."""
        now = self.clock.at
        if self._coming and self._coming[0].at.submitted <= now:
            record = self._coming.popleft()
            self.records.submit(record)
            return not self._habits.only_if_it_fits or self._fits(record)
        due = self.cluster.next_due()
        if due is not None and due <= now:
            return self.cluster.happen()
        act = heapq.heappop(self._acts)[-1]
        if act.stops:
            self.records.request_stop(act.stops)
        if act.does is not None:
            act.does()
        return True

    def look(self) -> None:
        """Let the loop step until it has nothing more to do at this instant."""
        self.num_passes += 1
        saves = -1
        while self.loop.step() and self.records.num_saves > saves:
            saves = self.records.num_saves
        decision = self.loop.last_decision
        if decision and (self.longest is None or len(decision.snapshot.waiting) > len(self.longest.snapshot.waiting)):
            self.longest = decision
        again = self.loop.last_plan.look_at
        if again is not None and again != self._again and again > self.clock.at:
            self._again = again
            self.also(Act(again))

    def _fits(self, record: Record) -> bool:
        asked = sum(group.request.cpus.count * group.count for group in record.spec.groups)
        return asked <= self.cluster.idle_milli_cpus
