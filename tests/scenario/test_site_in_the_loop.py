"""What a site file says reaches the decisions of the live loop: windows as time goes on, projects, grace."""

from typing import Any

from fabric.config.projects import Project, Share
from fabric.config.windows import DAY_S, Window, instant
from fabric.scheduler.loop import PAGE_S, Loop, Settings
from fabric.scheduler.policy import Policy
from fabric.scheduler.quota import tree
from fabric.simulator.records import SimulatedBlueprint
from fabric.workloads.record import Record
from fabric.workloads.states import State
from tests.builders import HEAD, FakeRecords, group, job, record
from tests.fake_backend import FakeBackend
from tests.scenario.test_loop import FakeClock

NIGHT = instant("2026-12-01T20:00:00Z")
WEEKLY = Window(name="update", tiers=("gpu",), starts="2026-12-01T22:00:00Z", ends="2026-12-01T23:00:00Z", every_days=7)


class Site:
    """A loop that was told of windows and projects, on a clock of its own."""

    def __init__(self, *records: Record, **more: Any) -> None:
        self.records, self.backend, self.clock = FakeRecords(), FakeBackend(), FakeClock(NIGHT)
        self.records.add(*records)
        memory = more.pop("memory", None)
        settings = Settings(**{"head": HEAD, "grace_s": 1.0, "policy": Policy(), **more})
        self.loop = Loop(
            self.records, self.backend, SimulatedBlueprint(), clock=self.clock, settings=settings, memory=memory
        )

    def at(self, instant: float) -> "Site":
        """Let the loop look at a given instant, and act on what it saw."""
        for later in range(4):
            self.clock.at = instant + later
            self.loop.step()
        return self

    def state(self, name: str) -> State:
        return self.records.kept[name].state

    @property
    def claimed(self) -> list[tuple[float, float]]:
        """Hours from the beginning of what is claimed of the first GPU node."""
        assert self.loop.last_decision is not None
        claims = self.loop.last_decision.snapshot.claims
        return [((c.start - NIGHT) / 3600, (c.end - NIGHT) / 3600) for c in claims if "g0" in c.nodes]


def on_gpus(name: str, walltime_s: float) -> Record:
    return record(job(name, "wait", group("t", 1, "gpu", gpus=1.0), walltime_s=walltime_s), at=NIGHT)


def test_what_would_reach_into_a_window_waits_for_its_end_and_what_is_done_before_starts() -> None:
    site = Site(on_gpus("long", 3 * 3600.0), on_gpus("short", 3600.0), windows=(WEEKLY,)).at(NIGHT)
    assert (site.state("long"), site.state("short")) == (State.QUEUED, State.RUNNING)
    waits = site.records.kept["long"]
    assert waits.promised_start == instant(WEEKLY.ends)
    assert site.at(instant(WEEKLY.ends) + 1).state("long") is State.RUNNING


def test_windows_of_a_row_come_into_sight_as_time_goes_on() -> None:
    site = Site(windows=(WEEKLY,), policy=Policy(horizon_s=DAY_S)).at(NIGHT)
    assert site.claimed == [(2.0, 3.0)]
    assert site.at(NIGHT + DAY_S).claimed == []
    assert site.at(NIGHT + 7 * DAY_S).claimed == [(7 * 24 + 2.0, 7 * 24 + 3.0)]


def test_no_window_is_missed_between_two_pages_of_the_calendar() -> None:
    site = Site(windows=(WEEKLY,), policy=Policy(horizon_s=2 * 3600.0 - 10)).at(NIGHT)
    # It begins beyond the horizon, and is known all the same until the next page is turned.
    assert [start for start, _ in site.claimed] == [2.0]
    assert site.at(NIGHT + PAGE_S - 60).claimed[0][0] == 2.0


def test_a_limit_of_a_project_keeps_its_work_waiting_and_nobody_else() -> None:
    projects = (Project(name="physics", limit={"gpu": Share(gpus=1.0)}), Project(name="biology"))
    works = [
        record(job(name, "wait", group("t", 1, "gpu", gpus=1.0), walltime_s=600.0, project=project), at=NIGHT)
        for name, project in (("first", "physics"), ("second", "physics"), ("third", "biology"))
    ]
    site = Site(*works, tree=tree(projects)).at(NIGHT)
    assert {name: site.state(name) for name in ("first", "second", "third")} == {
        "first": State.RUNNING,
        "second": State.QUEUED,
        "third": State.RUNNING,
    }
    assert "physics" in site.records.kept["second"].waits_for


def test_the_grace_of_the_site_is_in_what_is_decided_on() -> None:
    site = Site(grace_s=17.0).at(NIGHT)
    assert site.loop.last_decision is not None
    assert site.loop.last_decision.snapshot.grace_s == 17.0


def test_what_a_project_used_is_not_forgotten_when_everything_is_read_anew() -> None:
    work = on_gpus("a", 7200.0).spec.model_copy(update={"project": "physics"})
    site = Site(record(work, at=NIGHT), tree=tree((Project(name="physics"),)), recheck_s=60.0).at(NIGHT)
    used = []
    for minute in range(1, 5):
        site.at(NIGHT + 61.0 * minute)
        assert site.loop.last_decision is not None
        used.append(site.loop.last_decision.snapshot.usage.of("physics"))
    assert used == sorted(used)
    assert used[-1] > 1.5 * used[0]
