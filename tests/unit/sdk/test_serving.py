"""Deployments through the client, against control's own routes without sockets."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import event

from fabric.api.admin import ModelVersionView
from fabric.core.errors import BadInput, Conflict, NotFound
from fabric.sdk import AsyncClient, Client
from fabric.store.database import open_store
from tests.unit.control.world import BASE, World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    engine = open_store(tmp_path / "store")
    event.listen(engine, "connect", lambda connection, record: connection.execute("PRAGMA synchronous=OFF"))
    world = World(tmp_path / "store", engine)
    world.models.known = [
        ModelVersionView(name="play", version=n, uri="x", created_at=0.0, aliases=("champion",) if n == 2 else ())
        for n in (1, 2)
    ]
    yield world
    engine.dispose()


def answers(world: World, name: str, version: int) -> None:
    world.models.pins[name] = f"play:{version}"
    world.change(name, world.run(name).state, condition="ready")


async def test_a_deployment_is_replaced_looked_at_and_turned_back(world: World) -> None:
    async with AsyncClient(BASE, transport=httpx.ASGITransport(world.app), patience_s=0) as fabric:
        for version in (1, 2):
            made = await fabric.deploy("play@champion", deployment="chat", wait=False)
            answers(world, made.name, version)
        (listed,) = await fabric.deployments()
        assert (listed.name, listed.revisions[0].version) == ("chat", "play:2")
        back = await fabric.rollback("chat", wait=False)
        revisions = (await fabric.deployment("chat")).revisions
        assert [one.workload for one in revisions][:2] == [back.name, made.name]
        answers(world, back.name, 1)
        with pytest.raises(Conflict):
            await fabric.rollback("chat", to=back.name)
        with pytest.raises(NotFound):
            await fabric.rollback("nothing")
        with pytest.raises(BadInput):
            await fabric.deployment("..")


def test_the_same_without_await(world: World) -> None:
    with Client(BASE, transport=httpx.ASGITransport(world.app), patience_s=0) as fabric:
        fabric.deploy("play:1", deployment="chat", wait=False)
        assert [one.name for one in fabric.deployments("default")] == ["chat"]
        assert fabric.deployment("chat", project="default").kind == "model"
        with pytest.raises(Conflict):
            fabric.rollback("chat")
