"""A control that begins anew knows what projects have used and how long runs took."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from fabric.config.projects import Project
from fabric.scheduler.estimates import Run
from fabric.scheduler.history import KEEP_S, History
from fabric.scheduler.policy import Policy
from fabric.scheduler.ports import Outcome
from fabric.scheduler.quota import tree
from fabric.scheduler.usage import Usage
from fabric.workloads.record import Record
from fabric.workloads.states import State
from tests.builders import group, job, record
from tests.scenario.test_site_in_the_loop import NIGHT, Site


@dataclass
class FakeMemory:
    """Implements `fabric.scheduler.history.Memory` in memory."""

    kept: History = field(default_factory=History)
    writes: list[float] = field(default_factory=list)

    def recall(self) -> History:
        """What was kept."""
        return self.kept

    def remember(self, usage: Usage, runs: Sequence[Run]) -> None:
        """Keep it."""
        all_runs = self.kept.runs
        for run in runs:
            all_runs = all_runs.after(run)
        self.kept = History(usage, all_runs)
        self.writes.append(usage.at)


PROJECTS = tree((Project(name="astro"), Project(name="biology")))


def whole(name: str, project: str, at: float) -> Record:
    """A job that takes all GPUs."""
    spec = job(name, "wait", group("t", 4, "gpu", gpus=1.0), walltime_s=90_000.0, project=project)
    return record(spec, at=at)


def test_who_used_more_is_behind_also_after_a_restart() -> None:
    memory = FakeMemory()
    first = Site(whole("a", "astro", NIGHT), tree=PROJECTS, memory=memory)
    for minute in range(60):
        first.at(NIGHT + 60.0 * minute)
    used = memory.kept.usage.of("astro")
    assert used > 3000.0
    # Astro came first, but has used all there is for an hour.
    later = NIGHT + 3600.0
    works = (whole("p", "astro", later), whole("b", "biology", later + 1))
    knows, forgot = Site(*works, tree=PROJECTS, memory=memory), Site(*works, tree=PROJECTS)
    assert (knows.at(later + 2).state("b"), knows.state("p")) == (State.RUNNING, State.QUEUED)
    assert (forgot.at(later + 2).state("b"), forgot.state("p")) == (State.QUEUED, State.RUNNING)


def test_what_is_used_is_written_once_a_minute() -> None:
    memory = FakeMemory()
    site = Site(whole("a", "astro", NIGHT), tree=PROJECTS, memory=memory)
    for second in range(0, 300, 10):
        site.at(NIGHT + second)
    assert 4 <= len(memory.writes) <= 6
    assert all(later - earlier >= KEEP_S for earlier, later in zip(memory.writes, memory.writes[1:], strict=False))


def test_runs_of_an_owner_are_known_to_the_next_control() -> None:
    memory, policy = FakeMemory(), Policy(order="sjf", predict=True)
    site = Site(whole("train-1", "astro", NIGHT), policy=policy, memory=memory).at(NIGHT)
    site.backend.views["train-1-1"] = replace(site.backend.views["train-1-1"], outcome=Outcome.SUCCEEDED)
    site.at(NIGHT + 500.0)
    assert [run.ran_s for run in memory.kept.runs.by_owner["astro/train"]] == [498.0]
    busy, next_one = whole("busy", "biology", NIGHT), whole("train-2", "astro", NIGHT + 1)
    again = Site(busy, next_one, policy=policy, memory=memory).at(NIGHT + 600.0)
    assert again.loop.last_decision is not None
    starts = {place.workload for place in again.loop.last_decision.plan.placed}
    assert again.state("train-2") is State.RUNNING, f"the shorter one of {starts} goes first"
