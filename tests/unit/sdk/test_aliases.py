"""Aliases moved by hand through the client, against control's own routes."""

import httpx
import pytest

from fabric.api.admin import ModelVersionView
from fabric.core.errors import BadInput, Denied, NotFound
from fabric.sdk import AsyncClient
from tests.unit.control.world import BASE, World


def client(world: World, token: str) -> AsyncClient:
    return AsyncClient(BASE, token, transport=httpx.ASGITransport(world.app), patience_s=0)


async def test_an_alias_is_moved_in_the_keys_own_project_and_its_moves_are_told(world: World) -> None:
    world.models.known = [ModelVersionView(name="play", project="alpha", version=1, uri="x", created_at=0.0)]
    ann = client(world, world.person("ann", "admin", "alpha"))
    moved = await ann.alias("play", "champion", 1, reason="first one")
    assert (moved.project, moved.before, moved.by) == ("alpha", None, "ann")
    assert await ann.alias_moves("play") == (moved,)
    with pytest.raises(NotFound, match="no play:2"):
        await ann.alias("play", "champion", 2, reason="x")
    with pytest.raises(BadInput):
        await ann.alias("..", "champion", 1, reason="x")
    with pytest.raises(BadInput, match="reason"):
        await ann.alias("play", "champion", 1, reason="")
    member = client(world, world.person("bob", "member", "alpha"))
    with pytest.raises(Denied):
        await member.alias("play", "champion", 1, reason="x")
