"""Large bodies: slow senders are cut off, and who finds no place is told at once to come again."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest

from fabric.control.http import arriving
from fabric.control.http.arriving import Pace
from fabric.control.http.errors import RETRY_AFTER_S
from fabric.store.artifacts import UPLOADS
from tests.unit.control.world import World, zipped

ARTIFACT = "/api/fabric/artifacts/alpha/a"
PACKAGE = "/api/packages/gcs/_ray_pkg_0123456789abcdef.zip"
HOUR_S = 3600.0


def cut_off_after_s(num_bytes: int, every_s: float) -> float | None:
    """When a sender is given up of whom so much comes at such intervals; None if it is not within an hour."""
    pace, now = Pace(), 0.0
    while now < HOUR_S:
        if every_s > pace.left_s:
            return now + pace.left_s
        pace.came(num_bytes, every_s)
        now += every_s
    return None


@pytest.mark.parametrize(
    ("sender", "num_bytes", "every_s", "cut_off_s"),
    [
        ("says nothing", 0, HOUR_S, 60.0),
        ("says next to nothing", 1, 59.0, 60.0),
        ("dribbles", 1, 0.1, 60.0),
        ("is half as fast as it must be", 2**13, 1.0, 120.0),
        ("is just fast enough", 2**14, 1.0, None),
        ("pauses, and makes up for it", 2**20, 59.0, None),
    ],
)
def test_a_sender_is_cut_off_once_it_is_a_minute_behind(
    sender: str, num_bytes: int, every_s: float, cut_off_s: float | None
) -> None:
    expected = None if cut_off_s is None else pytest.approx(cut_off_s, abs=1.0)
    assert cut_off_after_s(num_bytes, every_s) == expected, sender


def test_time_in_which_nobody_waited_is_not_the_senders() -> None:
    pace = Pace()
    for _ in range(10_000):
        pace.came(1, waited_s=0.0)
    assert pace.left_s == arriving.STALLED_AFTER_S


@pytest.mark.parametrize("path", [ARTIFACT, PACKAGE])
def test_of_a_sender_that_dribbles_nothing_is_kept(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.setattr(arriving, "STALLED_AFTER_S", 0.02)

    async def dribbled() -> AsyncIterator[bytes]:
        while True:
            await asyncio.sleep(0.002)
            yield b"x"

    async def asked() -> httpx.Response:
        async with world.asynchronous() as client:
            return await client.put(path, content=dribbled())

    slow = asyncio.run(asked())
    assert (slow.status_code, slow.headers["connection"]) == (408, "close")
    assert "was 0.02 s behind 16384 bytes per second after" in slow.text
    assert not [*(tmp_path / "artifacts/alpha" / UPLOADS).glob("*"), *world.packages._folder.glob("*")]
    assert world.client().get(path).status_code == 404


@pytest.mark.parametrize(("path", "content"), [(ARTIFACT, b"a"), (PACKAGE, zipped(a="b"))], ids=["artifact", "package"])
def test_an_upload_beyond_the_places_is_told_at_once_to_come_again(
    make_world: Callable[..., World], path: str, content: bytes
) -> None:
    async def unread() -> AsyncIterator[bytes]:
        raise AssertionError
        yield b""

    async def asked() -> None:
        begun, go_on = asyncio.Event(), asyncio.Event()

        async def slowly() -> AsyncIterator[bytes]:
            begun.set()
            await go_on.wait()
            yield content

        async with make_world(most_uploads=1).asynchronous() as client:
            first = asyncio.create_task(client.put(path, content=slowly()))
            await begun.wait()
            small, large = [
                await client.put(path, content=unread(), headers={"Content-Length": str(size)}) for size in (9, 2**40)
            ]
            for refused in (small, large):
                assert (refused.status_code, refused.headers["retry-after"]) == (503, str(RETRY_AFTER_S))
                assert "1 " in refused.text
                assert "are being received already. Come again a little later." in refused.text
            assert "connection" not in small.headers
            assert large.headers["connection"] == "close", "what is too much to be read for nothing is not read"
            go_on.set()
            assert (await first).status_code == 200
            assert (await client.put(path, content=content)).status_code == 200, "the place was given back"

    asyncio.run(asked())
