"""B5: rounds of Gavel on small worlds."""

import pytest

from fabric.simulator.peers.draft import Draft
from fabric.simulator.peers.gavel import GavelSettings, allocation, gavel
from fabric.simulator.peers.rounds import Asked
from tests.unit.simulator.peers.worlds import decide, gpus, left, nodes, resized, runs, service, started, waits, world

SPEEDS = {"older": 0.4}
SETTINGS = GavelSettings(speeds=SPEEDS)
ONE = nodes(gpu=1)


def test_who_has_run_longest_leaves_for_who_has_not_run_yet() -> None:
    decider = gavel(SETTINGS)
    running = (runs("a", {"g0": 2}), runs("b", {"g0": 2}))
    decide(decider, world(runs("a", {"g0": 2}), on=ONE), 0.0)
    decide(decider, world(*running, on=ONE), 360.0)
    plan = decide(decider, world(*running, waits("c", gpus(2), at=400.0), on=ONE), 720.0)
    assert (left(plan), started(plan)) == (["a"], {})


def test_nobody_leaves_during_a_round() -> None:
    decider = gavel(SETTINGS)
    running = (runs("a", {"g0": 2}), runs("b", {"g0": 2}))
    decide(decider, world(*running, on=ONE), 0.0)
    assert left(decide(decider, world(*running, waits("c", gpus(2)), on=ONE), 359.0)) == []
    assert left(decide(decider, world(*running, waits("c", gpus(2)), on=ONE), 360.0)) != []


def test_a_chosen_job_starts_during_its_round_once_there_is_room() -> None:
    decider = gavel(SETTINGS)
    decide(decider, world(runs("a", {"g0": 4}), on=ONE), 0.0)
    waiting = (waits("c", gpus(4), at=1.0), waits("d", gpus(4), at=2.0))
    assert left(decide(decider, world(runs("a", {"g0": 4}), *waiting, on=ONE), 360.0)) == ["a"]
    going = runs("a", {"g0": 4}, ends=400.0, settled=False)
    assert started(decide(decider, world(going, *waiting, on=ONE), 370.0)) == {}
    assert started(decide(decider, world(*waiting, on=ONE), 400.0)) == {"c": "4@g0"}


@pytest.mark.parametrize(("fills", "starts"), [(True, {"c": "1@g0"}), (False, {})])
def test_who_comes_during_a_round_starts_on_idle_devices_only_where_rounds_are_filled(
    fills: bool, starts: dict[str, str]
) -> None:
    decider = gavel(GavelSettings(fills=fills))
    decide(decider, world(on=ONE), 0.0)
    assert started(decide(decider, world(waits("c"), on=ONE), 10.0)) == starts


def test_service_nodes_are_set_apart() -> None:
    settings = GavelSettings(serving_nodes=1, peaks={"chat": 3})
    plan = decide(
        gavel(settings), world(service("chat", {"g0": 1}, [1]), waits("a", gpus(4)), waits("b", gpus(4), at=1.0))
    )
    assert (resized(plan), started(plan)) == ({"chat": (1, 3)}, {"a": "4@g1"})


def test_elastic_jobs_run_at_the_size_they_asked_for() -> None:
    assert started(decide(gavel(SETTINGS), world(waits("a", gpus(2, min=1, max=4)), on=ONE))) == {"a": "2@g0"}


def parts(*devices: int, gpu: int = 1, older: int = 1) -> dict[tuple[str, str], float]:
    """The allocation of waiting jobs with so many devices, on nodes of four."""
    jobs = [waits(f"j{i}", gpus(count), at=float(i)) for i, count in enumerate(devices)]
    draft = Draft(world(*jobs, on=nodes(gpu=gpu, older=older)), SETTINGS, 0.0)
    return dict(allocation(Asked().candidates(draft), draft.lots.gpu))


def test_everybody_has_all_the_time_on_the_fastest_tier_where_there_is_room() -> None:
    assert parts(1, 2) == {("j0", "gpu"): 1.0, ("j1", "gpu"): 1.0}


def test_every_job_gets_the_same_effective_device_time() -> None:
    found = parts(4, 4, 2)
    speed = {"gpu": 1.0, "older": 0.4}
    for name, devices in (("j0", 4), ("j1", 4), ("j2", 2)):
        got = sum(part * speed[lot] * devices for (job, lot), part in found.items() if job == name)
        assert got == pytest.approx(5.6 / 3, abs=0.02)


def test_no_tier_is_given_away_twice() -> None:
    found = parts(4, 4, 4, 2, 1, 1)
    counts = {"j0": 4, "j1": 4, "j2": 4, "j3": 2, "j4": 1, "j5": 1}
    for lot in ("gpu", "older"):
        assert sum(part * counts[job] for (job, on), part in found.items() if on == lot) <= 4 + 1e-9
    assert all(sum(part for (job, _), part in found.items() if job == name) <= 1 + 1e-9 for name in counts)
