"""Long lists in pages: the routes, and our own client against them."""

import httpx
import pytest

from fabric.core.errors import BadInput
from fabric.sdk import AsyncClient
from fabric.workloads.spec import Priority
from fabric.workloads.states import State
from tests.unit.control.world import BASE, World


def connected(world: World, key: str | None = None) -> AsyncClient:
    return AsyncClient(BASE, key, transport=httpx.ASGITransport(world.app), patience_s=0.0)


async def test_the_queue_is_told_in_pages_and_in_its_order(world: World) -> None:
    for name, priority in (("second", "batch"), ("third", "batch"), ("first", "interactive"), ("last", "harvest")):
        world.clock.at += 1
        world.job(name, priority=Priority(priority))
    world.job("runs")
    world.run("runs")
    async with connected(world) as client:
        whole = await client.queue()
        part = await client.queue(offset=1, limit=2)
        beyond = await client.queue(offset=9)
    assert [view.name for view in whole.workloads] == ["first", "second", "third", "last"]
    assert (part.total, part.offset, [view.name for view in part.workloads]) == (4, 1, ["second", "third"])
    assert (beyond.total, beyond.workloads) == (4, ())


async def test_workloads_are_found_by_part_of_their_name_and_state(world: World) -> None:
    for name in ("train-a", "train-b", "serve"):
        world.clock.at += 1
        world.job(name)
    world.run("train-b")
    async with connected(world) as client:
        assert [view.name for view in (await client.search()).workloads] == ["serve", "train-b", "train-a"]
        found = await client.search("train", limit=1)
        assert (found.total, [view.name for view in found.workloads]) == (2, ["train-b"])
        assert [view.name for view in (await client.search("train", ["queued"])).workloads] == ["train-a"]
        assert (await client.search("_rain%")).total == 0
        with pytest.raises(BadInput, match="'gone' is no state"):
            await client.search(states=["gone"])


async def test_a_list_holds_only_what_is_within_reach(world: World) -> None:
    world.job("mine", project="a")
    world.job("theirs", project="b")
    world.job("running", project="a")
    world.run("running")
    async with connected(world, world.issue("k", "viewer", "a")) as viewer:
        assert [view.name for view in (await viewer.queue()).workloads] == ["mine"]
        assert {view.name for view in (await viewer.search()).workloads} == {"mine", "running"}
    async with connected(world, world.issue("w", "workload", "a", workload="running")) as itself:
        assert (await itself.queue()).total == 0
        assert [view.name for view in (await itself.search()).workloads] == ["running"]
        assert (await itself.search(states=[State.QUEUED])).total == 0
