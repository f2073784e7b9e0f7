"""Artifacts through the client: against control's own routes without sockets, and over connections that break."""

from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from fabric.core.errors import BadInput, Conflict, Corrupt, Denied, NotFound, Unavailable
from fabric.sdk import AsyncClient, Client
from tests.unit.control.world import BASE, World
from tests.unit.sdk.fakes import ADDRESS, FakeControl, LosesTheFirstAnswer

FILE = "GET /api/fabric/artifacts/alpha/a"


def client(world: World, token: str | None = None) -> AsyncClient:
    return AsyncClient(BASE, token, transport=httpx.ASGITransport(world.app), patience_s=0)


async def test_a_folder_goes_there_and_back(world: World, tmp_path: Path) -> None:
    for name, text in (("a.txt", "a"), ("sub/b c.txt", "ü" * 700_000), ("empty", "")):
        (tmp_path / "run" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "run" / name).write_text(text)
    ann = client(world, world.person("ann", "member", "alpha"))
    sent = await ann.artifacts.upload(tmp_path / "run", "runs/7/")
    assert [one.path for one in sent] == ["runs/7/run/a.txt", "runs/7/run/empty", "runs/7/run/sub/b c.txt"]
    assert (tmp_path / "store/artifacts/alpha/runs/7/run/a.txt").read_text() == "a"
    assert [one.path for one in await ann.artifacts.list("runs/7/run/")] == [
        f"runs/7/run/{n}" for n in ("a.txt", "empty", "sub")
    ]
    got = await ann.artifacts.download("runs/7/run", tmp_path / "back")
    assert got == tuple(tmp_path / "back" / name for name in ("a.txt", "empty", "sub/b c.txt"))
    assert got[2].read_text() == "ü" * 700_000
    with pytest.raises(Conflict, match=r"back/a\.txt is there already"):
        await ann.artifacts.download("runs/7/run", tmp_path / "back")
    assert len(await ann.artifacts.download("runs", tmp_path / "back", replace=True)) == 3


async def test_one_file_keeps_its_name_in_a_folder_or_gets_another(world: World, tmp_path: Path) -> None:
    root = client(world)
    (sent,) = await root.artifacts.upload(b"one", "a/b.txt")
    assert (sent.path, sent.num_bytes) == ("a/b.txt", 3)
    assert await root.artifacts.download("a/b.txt", tmp_path) == (tmp_path / "b.txt",)
    assert await root.artifacts.download("a/b.txt", tmp_path / "new" / "c.txt") == (tmp_path / "new" / "c.txt",)
    assert (tmp_path / "new" / "c.txt").read_text() == "one"
    assert b"".join([piece async for piece in root.artifacts.read("a/b.txt", offset=1)]) == b"ne"
    await root.artifacts.upload(b"one", "a/b.txt")
    with pytest.raises(Conflict):
        await root.artifacts.upload(b"two", "a/b.txt")
    (sent,) = await root.artifacts.upload(tmp_path / "b.txt", "", project="beta")
    assert (sent.path, [one.path for one in await root.artifacts.list(project="beta")]) == ("b.txt", ["b.txt"])


async def test_what_cannot_be_is_told_before_or_by_control(world: World, tmp_path: Path) -> None:
    ann = client(world, world.person("ann", "viewer", "alpha"))
    with pytest.raises(Denied):
        await ann.artifacts.upload(b"x", "x")
    with pytest.raises(Denied):
        await ann.artifacts.list(project="beta")
    with pytest.raises(NotFound):
        await ann.artifacts.download("nothing", tmp_path)
    with pytest.raises(BadInput, match="no such file|cannot be read"):
        await ann.artifacts.upload(tmp_path / "nothing", "x")
    for path in ("../x", "/x", ""):
        with pytest.raises(BadInput):
            await ann.artifacts.upload(b"x", path)
    with pytest.raises(BadInput):
        await ann.artifacts.list(project="..")


def test_the_same_without_await(world: World, tmp_path: Path) -> None:
    with Client(BASE, transport=httpx.ASGITransport(world.app), patience_s=0) as fabric:
        fabric.artifacts.upload(b"one", "a")
        assert [one.path for one in fabric.artifacts.list()] == ["a"]
        assert b"".join(fabric.artifacts.read("a")) == b"one"
        assert fabric.artifacts.download("a", tmp_path / "b") == (tmp_path / "b",)


async def test_a_long_list_is_asked_for_in_pages(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = world.artifacts.list
    monkeypatch.setattr(world.artifacts, "list", lambda *args, **more: listed(*args, **{**more, "limit": 2}))
    for number in range(5):
        world.artifacts.put("default", f"{number}", [b""])
    assert [one.path for one in await client(world).artifacts.list()] == ["0", "1", "2", "3", "4"]


class Breaks(httpx.AsyncByteStream):
    """Content whose connection breaks after so many bytes."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self._content:
            yield self._content
        raise httpx.ReadError("reset")


def part(content: bytes, version: str = "1", *, breaks: bool = True) -> httpx.Response:
    headers = {"ETag": version}
    if not breaks:
        return httpx.Response(200, headers=headers, content=content)
    return httpx.Response(200, headers=headers, stream=Breaks(content))


def broken(control: FakeControl, patience_s: float = 5.0) -> AsyncClient:
    return AsyncClient(ADDRESS, "key", transport=control.transport, patience_s=patience_s)


async def test_a_download_goes_on_where_the_connection_broke(control: FakeControl) -> None:
    control.on(FILE, part(b"on"), part(b"e t"), part(b"wo", breaks=False))
    async with broken(control) as fabric:
        pieces = [piece async for piece in fabric.artifacts.read("a", project="alpha")]
    assert b"".join(pieces) == b"one two"
    assert [request.url.params["offset"] for request in control.asked] == ["0", "2", "5"]


async def test_a_file_that_changes_or_comes_no_further_is_given_up(control: FakeControl, tmp_path: Path) -> None:
    async with broken(control) as fabric:
        control.on(FILE, part(b"on"), part(b"x", "2", breaks=False))
        with pytest.raises(Unavailable, match="changed while it was being read"):
            [piece async for piece in fabric.artifacts.read("a", project="alpha")]
        control.on(FILE, lambda request: part(b""))
        with pytest.raises(Unavailable, match="ReadError"):
            [piece async for piece in fabric.artifacts.read("a", project="alpha")]


async def test_an_upload_is_repeated_from_its_beginning(world: World) -> None:
    async with AsyncClient(BASE, transport=LosesTheFirstAnswer(world.app, "PUT"), patience_s=5) as fabric:
        (sent,) = await fabric.artifacts.upload(b"one", "a")
    assert sent.num_bytes == 3


async def test_what_arrived_otherwise_is_found_out(control: FakeControl) -> None:
    body = {"path": "a", "num_bytes": 3, "sha256": "0" * 64}
    control.on("PUT /api/fabric/artifacts/alpha/a", httpx.Response(200, json=body))
    async with broken(control) as fabric:
        with pytest.raises(Corrupt):
            await fabric.artifacts.upload(b"one", "a", project="alpha")
