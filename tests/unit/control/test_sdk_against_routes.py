"""Our own client against the routes, without sockets."""

from pathlib import Path

import httpx
import pytest

from fabric.api.admin import ModelVersionView, Report
from fabric.core.errors import Conflict, Denied, DoesNotFit, NotFound, Unauthenticated
from fabric.sdk import AsyncClient
from fabric.workloads.spec import Group, WorkloadSpec
from fabric.workloads.states import State
from tests.unit.control.world import BASE, World


def connected(world: World, token: str | None = None) -> AsyncClient:
    return AsyncClient(BASE, token, transport=httpx.ASGITransport(world.app), patience_s=0.0)


async def test_the_client_goes_through_a_jobs_life(world: World, tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "x.py").write_text("print(1)\n")
    async with connected(world) as client:
        spec = WorkloadSpec(name="mine", entrypoint="x", runtime_env={"working_dir": str(tmp_path / "work")})
        assert (await client.submit(spec)).state == "queued"
        world.change("mine", State.QUEUED, waits_for="behind other")
        assert (await client.explain("mine")).missing == "behind other"
        world.run("mine")
        world.write("mine", "hello 🜲\n")
        assert [view.name for view in await client.jobs()] == ["mine"]
        assert [node.workloads for node in await client.nodes() if node.workloads] == [("mine",)]
        assert (await client.stop("mine")).state == "running"
        world.end("mine", State.CANCELLED)
        assert "".join([text async for text in client.logs("mine")]) == "hello 🜲\n"
        assert (await client.wait("mine")).state == "cancelled"
        assert [event.state for event in await client.events("mine")] == ["queued", "queued", "running", "cancelled"]
        await client.delete("mine")
        with pytest.raises(NotFound, match="mine"):
            await client.get("mine")


async def test_errors_arrive_as_what_they_were(world: World) -> None:
    world.models.known = [ModelVersionView(name="play", version=1, uri="x", created_at=0.0)]
    world.job("taken")
    async with connected(world) as client:
        assert [model.name for model in await client.models()] == ["play"]
        with pytest.raises(DoesNotFit, match="gpu-0"):
            await client.submit(WorkloadSpec(entrypoint="x", groups=(Group(gpus=9),)))
        with pytest.raises(Conflict):
            await client.submit(WorkloadSpec(name="taken", entrypoint="x"))
        with pytest.raises(NotFound, match="registered: play"):
            await client.deploy("tale@champion", wait=False)
    async with connected(world, "wrong") as stranger:
        with pytest.raises(Unauthenticated, match="issued by nobody"):
            await stranger.nodes()


async def test_a_link_to_a_dashboard_is_asked_for(world: World) -> None:
    world.job("mine")
    world.open("mine")
    async with connected(world, world.issue("key", "member", "default")) as client:
        assert (await client.dashboard("mine")).path.startswith("/visit/")


async def test_what_a_workload_told_over_time_is_read_by_who_may_see_it(world: World) -> None:
    world.job("mine", project="alpha")
    world.run("mine")
    for done in (1.0, 2.0):
        world.clock.at += 10
        world.records.report("mine", Report(done=done, metrics={"loss": 9.0 - done}))
    async with connected(world, world.person("ann", "viewer", "alpha")) as client:
        told = (await client.curves("mine")).points
        assert [(point.attempt, point.done, point.metrics) for point in told] == [
            (1, 1.0, {"loss": 8.0}), (1, 2.0, {"loss": 7.0}),
        ]  # fmt: skip
    async with connected(world, world.person("bob", "viewer", "beta")) as other:
        with pytest.raises(Denied):
            await other.curves("mine")
