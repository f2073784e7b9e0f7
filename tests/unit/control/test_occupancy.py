"""How full tiers were and what is ahead of them, as whoever asks may see it."""

import math
from dataclasses import replace
from unittest.mock import Mock

import httpx
import pytest

from fabric.api.occupancy import MOST_BOOKINGS, OCCUPANCY, OccupancyView
from fabric.control import occupancy
from fabric.control.draining import emptied
from fabric.core.resources import Resources
from fabric.scheduler.ahead import ahead
from fabric.scheduler.cycle import decide
from fabric.scheduler.forecast import Demand
from fabric.scheduler.policy import Policy
from fabric.scheduler.replay import Decision
from fabric.scheduler.snapshot import Claim, Running, Snapshot, Told, Waiting
from fabric.sdk import AsyncClient
from fabric.store.drains import Drain
from fabric.workloads.record import Grant, Slice
from fabric.workloads.spec import Group
from tests.builders import waiting
from tests.unit.control.world import BASE, NODES, SITE, START, World

DEVICES = Resources.of(1, 2, "1 GiB")


def seen(world: World, key: str | None = None, **asked: int) -> OccupancyView:
    """What the route answers."""
    answer = world.client(key).get(OCCUPANCY, params=asked)
    assert answer.status_code == 200, answer.text
    return OccupancyView.model_validate_json(answer.content)


def work(name: str, *nodes: str, project: str = "default", ends: float | None = None, **more: object) -> Running:
    slices = (Slice(f"w-{node}", "w", node, node.rpartition("-")[0], 1, DEVICES) for node in nodes)
    return Running(name, Grant(tuple(slices)), ends, project=project, **more)  # type: ignore[arg-type]


def decided(world: World, *works: Running | Waiting, claims: tuple[Claim, ...] = (), **policy: object) -> Decision:
    """Let the loop have decided on this."""
    snapshot = Snapshot.of(
        NODES,
        [each for each in works if isinstance(each, Running)],
        [each for each in works if isinstance(each, Waiting)],
        head=SITE.head.resources,
        claims=claims,
    )
    rules = Policy.model_validate(policy)
    world.decision = Decision(snapshot, rules, START, decide(snapshot, rules, START))
    return world.decision


def test_the_past_is_what_the_ledger_says(world: World) -> None:
    world.clock.at = START - 1800
    world.job("a")
    world.run("a", "commodity-0")
    world.clock.at = START
    found = seen(world, back_s=3600)
    commodity, gpu = found.tiers
    assert (found.at, found.past.step_s, found.decided_at, found.ahead.num) == (START, 38.0, None, 0)
    assert found.past.begins <= START - 1800 < found.past.begins + found.past.step_s
    assert len(commodity.past.cpus) == found.past.num == math.ceil((START - found.past.begins) / 38.0)
    assert commodity.past.cpus[-1] == 1.0
    assert commodity.past.memory_bytes[-1] == 2**30
    assert (gpu.past.gpus, gpu.total.gpus) == ((), 4.0)


def test_what_was_read_of_the_ledger_is_told_again_for_a_while(world: World) -> None:
    world.job("a")
    world.run("a")
    world.clock.at += 60
    first = seen(world)
    world.end("a")
    world.clock.at += occupancy.KNOWN_FOR_S - 1
    assert seen(world).tiers == first.tiers
    world.clock.at += 60
    assert seen(world).tiers != first.tiers


def test_what_is_ahead_is_worked_out_once_for_a_decision_however_it_is_put_together(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = decided(world, work("a", "gpu-0"))
    counted = Mock(wraps=ahead)
    monkeypatch.setattr(occupancy, "ahead", counted)
    for _ in range(3):
        world.decision = replace(made)
        seen(world)
    assert counted.call_count == 1
    decided(world, work("a", "gpu-0"))
    seen(world)
    assert counted.call_count == 2


def test_nothing_is_ahead_where_nothing_was_decided_or_nobody_looks_there(world: World) -> None:
    assert seen(world).ahead.num == 0
    decided(world)
    assert seen(world).ahead.num == occupancy.AHEAD_STEPS
    assert seen(world, ahead_s=0).ahead.num == 0
    assert seen(world, back_s=0).past.num == 0


def test_ahead_are_ends_promises_windows_and_drains(world: World) -> None:
    full = work("full", "gpu-0", "gpu-1", ends=START + 6 * 3600)
    waits = waiting("waits", Group(tier="gpu", gpus=2), walltime_s=3600.0)
    window = Claim("upgrade", START + 3600, START + 7200, ("commodity-0",))
    made = decided(world, full, waits, claims=(window,))
    drains = {"commodity-1": Drain("commodity-1", "ada", "", START)}
    world.decision = replace(made, snapshot=emptied(made.snapshot, drains, world.records.get, START))
    found = seen(world)
    commodity, gpu = found.tiers
    assert [(each.kind, each.name, each.starts_at, each.ends_at, each.nodes) for each in found.bookings] == [
        ("drain", "commodity-1", START, None, 1),
        ("window", "upgrade", START + 3600, START + 7200, 1),
        ("promise", "waits", START + 6 * 3600, START + 7 * 3600, 0),
    ]
    assert found.bookings[2].amounts["gpu"].gpus == 2
    # Half a day in steps of ten minutes.
    assert (found.decided_at, found.ahead.step_s) == (START, 600.0)
    assert (gpu.running.gpus[0], gpu.running.gpus[35], gpu.running.gpus[36]) == (4.0, 4.0, 0.0)
    assert (gpu.kept.gpus[35], gpu.kept.gpus[36], gpu.kept.gpus[42]) == (0.0, 2.0, 0.0)
    assert (commodity.away.cpus[0], commodity.away.cpus[6], commodity.away.cpus[12]) == (4.0, 8.0, 4.0)


def test_claims_beyond_what_was_asked_for_are_not_told_and_of_many_the_first(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    windows = [Claim(f"w{i:03d}", START + 60 * i, START + 60 * i + 30, ("gpu-0",)) for i in range(150)]
    decided(world, claims=tuple(windows))
    found = seen(world, ahead_s=3600)
    assert (len(found.bookings), found.num_bookings) == (60, 60)
    found = seen(world)
    assert (len(found.bookings), found.num_bookings) == (MOST_BOOKINGS, 150)


def test_a_forecast_is_told_where_it_changes(world: World) -> None:
    replicas = Group(name="w", count=1, min=1, max=2, tier="gpu", gpus=2)
    demand = Demand(START - 600, 600.0, (1, 1, 1, 2, 2, 1), "last value")
    told = Told(1, demand=demand, lead_s=60.0)
    decided(world, work("chat", "gpu-0", service=True, elastic=replicas, replicas=replicas, told=told))
    (service,) = seen(world).services
    assert (service.name, service.replicas, service.method) == ("chat", 1, "last value")
    assert [(need.at, need.replicas) for need in service.needs] == [
        (START, 1), (START + 1200, 2), (START + 2400, 1),
    ]  # fmt: skip


def test_whoever_is_of_one_project_reads_no_name_of_others_work(world: World) -> None:
    told = Told(1, demand=Demand(START, 600.0, (1,), "last value"))
    full = work("theirs", "gpu-0", "gpu-1", project="beta", ends=START + 600, service=True, told=told)
    queue = [
        waiting("mine", Group(tier="gpu", gpus=2, count=2), project="alpha", walltime_s=600.0),
        waiting("other", Group(tier="gpu", gpus=2, count=2), project="beta", walltime_s=600.0, at=1.0),
    ]
    decided(world, full, *queue, protect=2)
    key = world.issue("ann", "member", "alpha")
    found = seen(world, key)
    assert [each.name for each in found.bookings] == ["mine", "work of another project"]
    assert found.services == ()
    everything = seen(world)
    assert [each.name for each in everything.bookings] == ["mine", "other"]
    assert [each.name for each in everything.services] == ["theirs"]
    assert found.tiers == everything.tiers


def test_too_far_is_refused(world: World) -> None:
    for asked in ({"back_s": -1}, {"back_s": 10**9}, {"ahead_s": 10**9}, {"back_s": "x"}):
        assert world.client().get(OCCUPANCY, params=asked).status_code == 400, asked


async def test_the_client_asks_for_it(world: World) -> None:
    decided(world)
    async with AsyncClient(BASE, transport=httpx.ASGITransport(world.app), patience_s=0.0) as client:
        assert (await client.occupancy(back_s=60)).at == START
        assert (await client.occupancy(ahead_s=0)).ahead.num == 0
