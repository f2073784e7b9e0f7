"""Work under way in simulated clusters: when it ends, saves, lets go and says something of itself.

Knows nothing of views, nodes or loops: its owner keeps the clock and the list of what happens next.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto

from fabric.scheduler.snapshot import Told
from fabric.simulator.progress import Ending, Progress, Stretch, Work
from fabric.workloads.record import Grant

Plan = Callable[[float, str, str], int]
"""Puts an instant in seconds, what happens then and a cluster's name on the list; returns the number of the entry."""
_NOTHING: Mapping[str, Told] = {}


class After(Enum):
    """What an event of work comes to."""

    NOTHING = auto()
    """Nobody needs to look."""
    SAID = auto()
    """It said something."""
    JOINED = auto()
    """What it grows by is there."""
    FINISHED = auto()
    SAVED = auto()
    """It saved and left."""
    KILLED = auto()
    """It left and lost what it had not saved."""


_AFTER = {"checkpoint": After.NOTHING, "let go": After.SAID, "joined": After.JOINED, "done": After.FINISHED}


@dataclass(slots=True)
class _Run:
    """One attempt."""

    workload: str
    grant: Grant
    progress: Progress
    leaves: bool = False
    size: int | None = None
    """To which it shrinks."""
    numbers: dict[str, int] = field(default_factory=dict)
    """Entries on the list that still hold, by what happens."""


class Working:
    """Everything that works."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._runs: dict[str, _Run] = {}
        self._progress: dict[str, tuple[float, Progress]] = {}
        self._said: dict[str, Told] = {}
        self._news: dict[str, Told] = {}

    def __contains__(self, cluster: str) -> bool:
        """Whether a cluster does work that is kept."""
        return cluster in self._runs

    def begin(self, cluster: str, workload: str, *, born: float, attempt: int, grant: Grant, work: Work) -> None:
        """Take up the work of a workload where its last checkpoint left it; `start` follows."""
        known = self._progress.get(workload)
        if known is None or known[0] != born:
            known = self._progress[workload] = (born, Progress(work))
        known[1].attempt = attempt
        self._runs[cluster] = _Run(workload, grant, known[1])

    def hold(self, cluster: str, now: float, staging_s: float) -> None:
        """Hold the grant from now on; work begins after staging, and after a restart if it is not the first time."""
        run = self._runs[cluster]
        again_s = run.progress.work.restart_s if run.progress.stretches else 0.0
        run.progress.begin(run.grant, now, idle_s=staging_s + again_s)

    def go_on(self, cluster: str, now: float) -> None:
        """Reckon anew when work ends and when it saves next, and let it say so."""
        run = self._runs[cluster]
        run.numbers["done"] = self._plan(run.progress.ends_at(), "done", cluster)
        self._say(run, now)
        self._plan_checkpoint(cluster, run, now)

    def stop(self, cluster: str, grace_s: float, now: float) -> None:
        """Ask it to leave: it saves, and is killed where the grace is too short for that."""
        run = self._runs[cluster]
        if not run.leaves:
            run.leaves = True
            run.progress.save(now)
            self._plan(min(run.progress.saved_at(), now + grace_s), "left", cluster)

    def shrink(self, cluster: str, workers: int, now: float) -> None:
        """Tell it to go on with fewer workers: it saves, then says that it has let go of the rest."""
        run = self._runs[cluster]
        if run.size != workers:
            run.size = workers
            run.progress.save(now)
            run.numbers["let go"] = self._plan(run.progress.saved_at(), "let go", cluster)

    def resize(self, cluster: str, grant: Grant, now: float) -> None:
        """Go on with another grant, after a restart; whoever was to let go and has not, loses what is not saved."""
        run = self._runs[cluster]
        run.grant = grant
        if run.leaves:
            return
        saved = run.size is None or now >= run.progress.saved_at()
        run.size = None
        run.progress.close(now, "resized", saved=saved)
        run.progress.begin(grant, now, idle_s=run.progress.work.restart_s)
        self.go_on(cluster, now)

    def close(self, cluster: str, ended: Ending, now: float, *, saved: bool) -> None:
        """End an attempt, unless it has ended."""
        run = self._runs.get(cluster)
        if run is not None and run.progress.runs:
            run.progress.close(now, ended, saved=saved)

    def close_all(self, now: float) -> None:
        """End everything that is under way, as at the end of a simulation."""
        for cluster in self._runs:
            self.close(cluster, "open", now, saved=True)

    def forget(self, cluster: str) -> None:
        """The cluster is gone; what was done stays known."""
        self._runs.pop(cluster, None)

    def happen(self, number: int, what: str, cluster: str, now: float) -> After:
        """One of the entries on the list has come."""
        run = self._runs[cluster]
        if not run.progress.runs or not self._holds(run, number, what):
            return After.NOTHING
        if what == "left":
            saved = now >= run.progress.saved_at()
            run.progress.close(now, "stopped", saved=saved)
            return After.SAVED if saved else After.KILLED
        if what == "done":
            run.progress.close(now, "finished", saved=True)
        elif what != "joined":
            self._say(run, now)
        if what == "checkpoint":
            self._plan_checkpoint(cluster, run, now)
        return _AFTER[what]

    def tell(self, workload: str, told: Told) -> None:
        """Let a workload say something of itself, as a service does of its demand."""
        self._said[workload] = self._news[workload] = told

    def tells(self, *, everything: bool = False) -> Mapping[str, Told]:
        """What was said since the last question, or all that was last said."""
        if everything:
            self._news = {}
            return dict(self._said)
        if not self._news:
            return _NOTHING
        news, self._news = self._news, {}
        return news

    def progress(self, workload: str) -> Progress | None:
        """How far a workload is."""
        known = self._progress.get(workload)
        return known[1] if known else None

    def stretches(self, workload: str) -> tuple[Stretch, ...]:
        """The times in which a workload held something, those that ended, in order."""
        known = self._progress.get(workload)
        return tuple(known[1].stretches) if known else ()

    def _holds(self, run: _Run, number: int, what: str) -> bool:
        """Whether an entry on the list still says what will happen."""
        if what in {"left", "joined"}:
            return True
        shrinks = run.size is not None
        return run.numbers.get(what) == number and not run.leaves and shrinks == (what == "let go")

    def _plan_checkpoint(self, cluster: str, run: _Run, now: float) -> None:
        at = run.progress.next_checkpoint(now)
        if at < math.inf:
            run.numbers["checkpoint"] = self._plan(at, "checkpoint", cluster)

    def _say(self, run: _Run, now: float) -> None:
        size = run.grant.size(run.progress.work.group) if run.size is None else run.size
        self.tell(run.workload, run.progress.told(now, size))
