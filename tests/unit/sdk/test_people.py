"""People, projects, keys and usage through the client against control's own routes, without sockets."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import event

from fabric.core.errors import Conflict, Denied, NotFound, Unauthenticated
from fabric.sdk import AsyncClient, Client
from fabric.store.database import open_store
from fabric.workloads.states import State
from tests.unit.control.world import BASE, START, World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    engine = open_store(tmp_path / "store")
    event.listen(engine, "connect", lambda connection, record: connection.execute("PRAGMA synchronous=OFF"))
    yield World(tmp_path / "store", engine, anonymous=False)
    engine.dispose()


def client(world: World, token: str) -> AsyncClient:
    return AsyncClient(BASE, token, transport=httpx.ASGITransport(world.app), patience_s=0)


async def test_a_person_is_brought_in_works_and_leaves(world: World) -> None:
    root = client(world, world.issue("root", "admin"))
    assert (await root.people.put_user("ann", full_name="Ann Lee")).full_name == "Ann Lee"
    assert (await root.people.put_project("alpha")).made
    assert (await root.people.set_member("alpha", "ann")).role == "member"
    made = await root.people.make_key("ann-1", project="alpha", user="ann", lives_s=100.0)
    assert made.key.expires_at == START + 100

    ann = client(world, made.secret)
    assert ((await ann.people.me()).user, (await ann.people.me()).project) == ("ann", "alpha")
    await ann.submit({"name": "mine", "entrypoint": "x"})
    world.run("mine")
    world.clock.at += 36.0
    world.end("mine", State.SUCCEEDED)
    (row,) = (await ann.people.usage(["user", "project"])).rows
    assert (row.user, row.project) == ("ann", "alpha")
    assert row.cpu_hours == pytest.approx(0.01)
    assert [member.user for member in (await ann.people.project("alpha")).members] == ["ann"]
    assert [project.name for project in await ann.people.projects()] == ["alpha"]
    with pytest.raises(Denied):
        await ann.people.users()

    fresh = await ann.people.rotate_key("ann-1")
    assert [key.name for key in await client(world, fresh.secret).people.keys()] == ["ann-1"]
    await root.people.remove_member("alpha", "ann")
    with pytest.raises(Unauthenticated, match="no role in project alpha any more"):
        await client(world, fresh.secret).people.me()
    assert [user.name for user in await root.people.users()] == ["ann"]


def test_the_same_without_await(world: World) -> None:
    token = world.issue("root", "admin")
    with Client(BASE, token, transport=httpx.ASGITransport(world.app), patience_s=0) as fabric:
        people = fabric.people
        assert people.me().role == "admin"
        people.put_user("ann", role="viewer")
        people.put_project("alpha", closed=True)
        people.set_member("alpha", "ann", "viewer")
        assert people.project("alpha").closed_at == START
        people.remove_member("alpha", "ann")
        assert [user.roles for user in people.users()] == [{"": "viewer"}]
        people.make_key("ci", user="", role="viewer")
        with pytest.raises(Conflict):
            people.make_key("ci", user="")
        assert people.rotate_key("ci", overlap_s=5.0).key.name == "ci"
        assert people.revoke_key("ci").revoked_at == START
        assert [key.name for key in people.keys()] == ["ci", "root's"]
        assert [project.name for project in people.projects()] == ["alpha"]
        assert people.usage().rows == ()
        with pytest.raises(NotFound):
            people.project("nothing")
