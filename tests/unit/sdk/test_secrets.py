"""Secrets through the client, against control's own routes."""

import httpx
import pytest

from fabric.core.errors import BadInput, Conflict, Denied, NotFound
from fabric.sdk import AsyncClient
from tests.unit.control.world import BASE, World


def client(world: World, token: str | None = None) -> AsyncClient:
    return AsyncClient(BASE, token, transport=httpx.ASGITransport(world.app), patience_s=0)


async def test_a_secret_is_set_used_and_forgotten(world: World) -> None:
    ann = client(world, world.person("ann", "member", "alpha"))
    assert (await ann.secrets.put("hf", "v")).project == "alpha"
    assert [one.name for one in await ann.secrets.list()] == ["hf"]
    await ann.submit({"name": "mine", "entrypoint": "x", "secrets": {"HF_TOKEN": "hf"}})
    with pytest.raises(Conflict, match="named by mine"):
        await ann.secrets.delete("hf")
    world.end("mine")
    await ann.secrets.delete("hf")
    with pytest.raises(NotFound):
        await ann.secrets.delete("hf")
    with pytest.raises(Denied):
        await ann.secrets.list(project="beta")
    with pytest.raises(BadInput):
        await ann.secrets.put("..", "v")


async def test_of_the_whole_site_it_is_the_default_project(world: World) -> None:
    assert (await client(world).secrets.put("hf", "v")).project == "default"
