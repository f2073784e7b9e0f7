"""Accelerators that are idle by what is measured: who is warned, and when the warning is over."""

import pytest

from fabric.api.admin import Report
from fabric.control.notices import OVER
from fabric.store.site_events import WARNING
from fabric.workloads.states import State
from tests.unit.control.test_notices import Telling, runs_on_gpus
from tests.unit.control.test_uses import Meter
from tests.unit.control.world import World


class Watched:
    """A job on two accelerators that is measured every five minutes, and what its history says of it."""

    def __init__(self, world: World, meter: Meter) -> None:
        self.world, self.meter, self.telling = world, meter, Telling(world)
        runs_on_gpus(world, "train")

    def does(self, cpus: float, gpus: tuple[float, ...] | None, minutes: int) -> list[str]:
        """What is told to the hook while it does this for so long, and reports."""
        told = []
        for _ in range(0, minutes, 5):
            self.world.clock.at += 300
            self.meter.read("train", cpus, gpus, over_s=300.0)
            self.world.records.report("train", Report(done=1.0))
            told += [reason for _, reason in self.telling.turn()]
        return told

    @property
    def reasons(self) -> list[str]:
        """Its history from its start on."""
        return [event.reason for event in self.world.records.events("train")[2:]]


@pytest.fixture
def watched(world: World) -> Watched:
    return Watched(world, Meter(world))


def test_an_accelerator_that_its_counter_shows_idle_is_warned_of_however_much_the_work_tells(watched: Watched) -> None:
    assert watched.does(4.0, (0.9, 0.0), 25) == []
    assert watched.does(4.0, (0.9, 0.0), 10) == ["train"]
    said = "attempt 1 has left 1 of 2 GPUs idle for 30 min or longer, as their counters say"
    assert watched.reasons == [f"{WARNING}{said}; look at `fabric explain train`"]
    assert "idle" in watched.world.client().get("/api/fabric/workloads/train/explain").json()["notices"][0]


def test_without_counters_almost_no_use_of_the_cpus_beside_them_is_warned_of(watched: Watched) -> None:
    assert watched.does(0.5, None, 35) == []
    assert watched.does(0.05, None, 30) == ["train"]
    [said] = watched.reasons
    assert "has used less than 0.1 CPUs beside 2 of 2 GPUs for 30 min or longer; these have no counter here" in said


def test_work_that_works_again_ends_the_warning_and_may_be_warned_of_anew(watched: Watched) -> None:
    assert watched.does(1.0, (0.0, 0.0), 30) == ["train"]
    watched.does(1.0, (0.5, 0.5), 5)
    assert watched.reasons[-1] == OVER
    watched.telling.again()
    assert watched.does(1.0, (0.0, 0.0), 30) == ["train"]
    watched.telling.again()
    watched.does(1.0, (0.5, 0.5), 5)
    assert [reason.partition(":")[0] for reason in watched.reasons] == ["warning", OVER, "warning", OVER]


def test_a_pause_in_measuring_is_neither_idleness_nor_the_end_of_a_warning(world: World, watched: Watched) -> None:
    assert watched.does(1.0, (0.5, 0.0), 30) == ["train"]
    world.clock.at += 3600
    watched.telling.again()
    world.records.report("train", Report(done=2.0))
    watched.telling.turn()
    assert watched.does(1.0, (0.5, 0.0), 25) == []
    assert len(watched.reasons) == 1, "nothing was seen of the second accelerator"
    watched.does(1.0, (0.5, 0.5), 5)
    assert watched.reasons[1:] == [OVER]


def test_silent_work_whose_accelerators_are_known_to_work_may_be_stuck_after_a_longer_while(
    world: World, watched: Watched
) -> None:
    watched.does(1.0, (1.0, 1.0), 5)
    for minutes, told in ((100, []), (20, ["train"])):
        world.clock.at += 60 * minutes - 60
        watched.meter.read("train", 1.0, (1.0, 1.0))
        watched.telling.turn()
        world.clock.at += 60
        watched.meter.read("train", 1.0, (1.0, 1.0))
        assert [reason for _, reason in watched.telling.turn()] == told
    assert watched.reasons[-1].endswith("and may be stuck; look at `fabric logs train`")


def test_idleness_counts_from_the_start_of_the_attempt_and_not_of_its_cluster(world: World, watched: Watched) -> None:
    watched.does(0.0, (0.0, 0.0), 25)
    world.change("train", State.RUNNING, at={"running": world.clock.at})
    assert watched.does(0.0, (0.0, 0.0), 25) == []
