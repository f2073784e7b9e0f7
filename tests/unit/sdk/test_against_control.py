"""The client against control's own HTTP interface, without sockets: the two agree on every path, header and body."""

import asyncio
from pathlib import Path

import httpx
import pytest

from fabric.api import admin
from fabric.core.errors import BadInput, Conflict, Denied, DoesNotFit, NotFound, Unauthenticated
from fabric.sdk import AsyncClient, Client
from fabric.sdk.package import pack
from fabric.workloads.states import State
from tests.unit.control.world import BASE, World
from tests.unit.sdk.fakes import LosesTheFirstAnswer

SPEC = {"name": "a", "entrypoint": "python a.py"}


def carrier(world: World) -> httpx.ASGITransport:
    return httpx.ASGITransport(world.app)


def client(world: World, token: str | None = None) -> AsyncClient:
    return AsyncClient(BASE, token, transport=carrier(world), patience_s=0)


async def test_a_job_is_handed_in_with_its_directory_and_read_back(world: World, tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "a.py").write_text("print(1)")
    async with client(world) as fabric:
        view = await fabric.submit({**SPEC, "runtime_env": {"working_dir": str(tmp_path / "work")}})
        assert (view.name, view.state) == ("a", "queued")
        assert await fabric.get("a") == view
        assert await fabric.jobs() == (view,)
    package = pack(tmp_path / "work")
    assert world.packages.path(package.name).read_bytes() == package.content
    assert world.records.get("a").spec.runtime_env == {"working_dir": package.uri}


async def test_a_repeated_submission_happens_once(world: World) -> None:
    async with AsyncClient(BASE, transport=LosesTheFirstAnswer(world.app, "POST"), patience_s=5) as fabric:
        view = await fabric.submit({"entrypoint": "python train.py"})
        assert [job.name for job in await fabric.jobs()] == [view.name]


async def test_refusals_arrive_as_what_they_are(world: World, tmp_path: Path) -> None:
    async with client(world) as fabric:
        await fabric.submit(SPEC)
        with pytest.raises(Conflict):
            await fabric.submit({**SPEC, "entrypoint": "other"})
        with pytest.raises(DoesNotFit):
            await fabric.submit({"entrypoint": "x", "groups": [{"gpus": 16}]})
        with pytest.raises(NotFound):
            await fabric.get("b")
        with pytest.raises(NotFound):
            await fabric.deploy("nobody@champion")
        with pytest.raises(BadInput, match="not here. Upload it first"):
            await fabric.submit({"entrypoint": "x", "runtime_env": {"working_dir": "gcs://_ray_pkg_00000000.zip"}})
    async with client(world, "of nobody") as stranger:
        with pytest.raises(Unauthenticated):
            await stranger.jobs()
    async with client(world, world.issue("looks", "viewer")) as viewer:
        with pytest.raises(Denied):
            await viewer.shutdown()


async def test_a_refused_package_is_told_with_its_fields_although_the_route_is_rays(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(name: str, chunks: object, project: str) -> None:
        raise BadInput("too large", bytes=5)

    monkeypatch.setattr(world.packages, "put", refuse)
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "a.py").write_text("print(1)")
    async with client(world) as fabric:
        with pytest.raises(BadInput, match="^too large$") as caught:
            await fabric.submit({**SPEC, "runtime_env": {"working_dir": str(tmp_path / "work")}})
    assert caught.value.fields == {"bytes": 5}


async def test_a_log_is_followed_to_the_end_of_the_workload(world: World) -> None:
    async with client(world) as fabric:
        await fabric.submit(SPEC)
        world.run("a")
        world.write("a", "one\n")

        async def goes_on() -> None:
            await asyncio.sleep(0.05)
            world.write("a", "zwei ü\n")
            world.end("a")

        going = asyncio.create_task(goes_on())
        assert "".join([piece async for piece in fabric.logs("a")]) == "one\nzwei ü\n"
        assert (await fabric.wait("a")).state == "succeeded"
        assert "".join([piece async for piece in fabric.logs("a", follow=False, offset=4)]) == "zwei ü\n"
        await going


async def test_a_workload_is_explained_stopped_and_forgotten(world: World) -> None:
    async with client(world) as fabric:
        await fabric.submit(SPEC)
        assert (await fabric.explain("a")).workload.name == "a"
        assert [event.state for event in await fabric.events("a")] == ["queued"]
        assert (await fabric.stop("a")).name == "a"
        assert world.records.get("a").stop_requested
        with pytest.raises(Conflict, match="stop it first"):
            await fabric.delete("a")
        world.change("a", State.CANCELLED)
        await fabric.delete("a")
        assert await fabric.jobs() == ()


def test_the_site_is_read_without_a_loop(world: World) -> None:
    world.models.known.append(admin.ModelVersionView(name="m", version=1, uri="file:///m", created_at=1.0))
    with Client(BASE, transport=carrier(world), patience_s=0) as fabric:
        assert [node.name for node in fabric.nodes()] == ["commodity-0", "commodity-1", "gpu-0", "gpu-1"]
        assert [model.name for model in fabric.models()] == ["m"]
        assert fabric.health().site == "toy"
        deployed = fabric.deploy("m:1", wait=False)
        assert deployed.kind == "service"
        fabric.shutdown(kill=True)
    assert world.process.ended == [True]


async def test_reports_of_every_kind_are_taken(world: World) -> None:
    world.job("a")
    world.run("a")
    reports = [
        {"stage": "train"},
        {"done": 1.0, "total": 2.0, "unit": "steps", "metrics": {"loss": 2.5}},
        {"checkpoint_uri": "file:///c", "checkpoint_step": 1, "checkpoint_bytes": 2, "checkpoint_seconds": 0.5},
    ]
    async with world.asynchronous() as control:
        for fields in reports:
            taken = await control.post(f"{admin.WORKLOADS}/a/report", json=fields, params={"attempt": "1"})
            assert taken.status_code == 204, taken.text
    async with client(world) as fabric:
        progress = (await fabric.get("a")).progress
    assert (progress.stage, progress.done, progress.checkpoint_step) == ("train", 1.0, 1)
