"""The site at one glance."""

from dataclasses import replace

import httpx
import pytest

from fabric.api.overview import OVERVIEW, Amounts, Overview
from fabric.control.overview import tier_views
from fabric.core.errors import Unavailable
from fabric.scheduler.cycle import decide
from fabric.scheduler.policy import Policy
from fabric.scheduler.replay import Decision, replay
from fabric.scheduler.snapshot import NodeState, Snapshot
from fabric.sdk import AsyncClient
from fabric.workloads.spec import Priority
from fabric.workloads.states import State
from tests.unit.control.world import BASE, NODES, SITE, START, World


def seen(world: World, key: str | None = None) -> Overview:
    """What the route answers."""
    return Overview.model_validate_json(world.client(key).get(OVERVIEW).content)


def test_tiers_show_what_is_free_and_who_holds_the_rest(world: World) -> None:
    for name, priority in (("a", "batch"), ("b", "interactive"), ("waits", "batch")):
        world.job(name, priority=Priority(priority))
    world.run("a", "commodity-0")
    world.run("b", "commodity-1")
    found = seen(world)
    assert (found.site, found.at, found.num_waiting, found.running) == ("toy", START, 1, {"batch": 1, "interactive": 1})
    commodity, gpu = found.tiers
    assert (commodity.name, commodity.nodes, commodity.ready) == ("commodity", 2, 2)
    assert (commodity.total.cpus, commodity.free.cpus) == (8.0, 6.0)
    held = Amounts(cpus=1.0, memory_bytes=2**30)
    assert commodity.held == {"batch": held, "interactive": held}
    assert (gpu.total.gpus, gpu.free, gpu.held) == (4.0, gpu.total, {})


def test_a_node_that_takes_no_work_is_not_free_but_what_is_on_it_is_held(world: World) -> None:
    world.job("a")
    down = [replace(node, state=NodeState.DRAINING) if node.name == "commodity-0" else node for node in NODES]
    commodity, _ = tier_views(down, [world.run("a", "commodity-0")])
    assert (commodity.nodes, commodity.ready, commodity.total.cpus, commodity.free.cpus) == (2, 1, 4.0, 4.0)
    assert commodity.held["batch"].cpus == 1.0


def test_the_queue_is_in_order_and_says_what_is_promised(world: World) -> None:
    for name, priority in (("late", "batch"), ("urgent", "interactive"), ("leftover", "harvest")):
        world.clock.at += 1
        world.job(name, priority=Priority(priority))
    world.change("late", State.QUEUED, expected_start=START + 60, promised_start=START + 90, promised=True)
    world.change("leftover", State.QUEUED, expected_start=START + 600)
    found = seen(world)
    assert [(view.name, view.promised, view.promised_start) for view in found.queue] == [
        ("urgent", False, None),
        ("late", True, START + 90),
        ("leftover", False, None),
    ]
    assert "promised to start by 2025-06-15 15:07:40 UTC" in found.queue[1].message
    assert "expected start 2025-06-15 15:16:40 UTC" in found.queue[2].message


def test_promises_are_compared_with_the_starts_that_came_of_them(world: World) -> None:
    for name, late_s in (("early", -5.0), ("exact", 0.0), ("late", 30.0)):
        world.job(name)
        world.change(name, State.QUEUED, promised_start=START + 1 - late_s)
        world.run(name)
    world.end("late")
    world.job("never-promised")
    world.run("never-promised")
    world.job("waits")
    world.change("waits", State.QUEUED, promised_start=START + 500)
    found = seen(world).promises
    assert (found.num, found.num_kept, found.p50_s, found.p95_s, found.worst_s) == (3, 2, 0.0, 30.0, 30.0)


def test_whoever_is_of_one_project_sees_its_work_and_its_promises_only(world: World) -> None:
    for name, project in (("mine", "ours"), ("other", "theirs"), ("waits", "theirs")):
        world.job(name, project=project)
    for name in ("mine", "other"):
        world.change(name, State.QUEUED, promised_start=START)
        world.run(name)
    found = seen(world, world.issue("fab-1", "member", "ours"))
    assert (found.num_waiting, found.running, found.promises.num) == (0, {"batch": 1}, 1)
    # What is free is no secret.
    assert found.tiers == seen(world).tiers


async def test_the_client_asks_for_it(world: World) -> None:
    world.job("a")
    async with AsyncClient(BASE, transport=httpx.ASGITransport(world.app), patience_s=0.0) as client:
        assert (await client.overview()).queue[0].name == "a"


async def test_the_last_decision_can_be_decided_again(world: World) -> None:
    snapshot = Snapshot.of(NODES, head=SITE.head.resources)
    made: list[Decision] = []
    ports = replace(world.service._ports, decision=lambda: made[-1] if made else None)
    world.service._ports = ports
    async with AsyncClient(BASE, transport=httpx.ASGITransport(world.app), patience_s=0.0) as client:
        with pytest.raises(Unavailable, match="nothing has been decided"):
            await client.decision()
        made.append(Decision(snapshot, Policy(), START, decide(snapshot, Policy(), START)))
        assert replay(await client.decision(), "live").same
