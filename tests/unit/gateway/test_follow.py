"""The gateway keeps what control last said."""

import asyncio
import errno
import logging
from pathlib import Path

import pytest

from fabric.core.errors import Unavailable
from fabric.gateway.follow import FILE
from tests.asgi import client
from tests.unit.gateway.world import KEY, Service, World, snapshot

AUTH = {"Authorization": f"Bearer {KEY}"}
ASK = {"model": "parrot", "prompt": "hi"}


async def test_before_control_has_spoken_nothing_is_served(tmp_path: Path) -> None:
    world = World(tmp_path, {"s1": Service()})
    async with client(world.app, **AUTH) as http:
        answers = [
            await http.get("/health"),
            await http.get("/v1/models"),
            await http.post("/v1/completions", json=ASK),
        ]
    assert [answer.status_code for answer in answers] == [503] * 3
    assert all(int(answer.headers["retry-after"]) > 0 for answer in answers)


async def test_a_change_is_taken_over_and_asked_for_by_version(tmp_path: Path) -> None:
    world = World(tmp_path, {}, told=snapshot(version=4))
    assert await world.follower.ask() is True
    assert await world.follower.ask() is False
    world.control.told = snapshot("s1", version=5)
    assert await world.follower.ask() is True
    assert [asked.get("version") for asked in world.control.asked] == [None, "4", "4"]
    assert world.follower.table.snapshot == world.control.told


async def test_the_last_snapshot_serves_while_control_is_down(tmp_path: Path) -> None:
    world = World(tmp_path, {"s1": Service()})
    app = await world.ready()
    world.control.down = True
    assert await world.follower.ask() is False
    async with client(app, **AUTH) as http:
        answer = await http.post("/v1/completions", json=ASK)
        health = (await http.get("/health")).json()
    assert answer.json()["choices"][0]["text"] == "hi"
    assert health["status"] == "ok"
    assert "RemoteProtocolError" in health["control"]


async def test_a_gateway_that_starts_while_control_is_down_serves_what_was_saved(tmp_path: Path) -> None:
    world = World(tmp_path, {"s1": Service()})
    await world.ready()
    world.control.down = True
    world.start()
    async with client(world.app, **AUTH) as http:
        assert (await http.post("/v1/completions", json=ASK)).status_code == 200


async def test_the_saved_snapshot_can_be_read_by_its_owner_only(tmp_path: Path) -> None:
    await World(tmp_path, {"s1": Service()}).ready()
    assert [(file.name, file.stat().st_mode & 0o777) for file in tmp_path.iterdir()] == [(FILE, 0o600)]


@pytest.mark.parametrize("text", ["", "{", '{"version": "x"}', "[]"])
async def test_a_damaged_file_is_said_and_not_served(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    (tmp_path / FILE).write_text(text)
    world = World(tmp_path, {"s1": Service()})
    with pytest.raises(Unavailable):
        _ = world.follower.table
    assert FILE in caplog.text
    await world.ready()
    assert world.follower.table.snapshot.version == 1


async def test_an_answer_that_is_no_snapshot_changes_nothing(tmp_path: Path) -> None:
    world = World(tmp_path, {"s1": Service()})
    await world.ready()
    before = world.follower.table
    world.control.told = before.snapshot.model_copy(update={"version": -5})
    assert await world.follower.ask() is False
    assert world.follower.table is before


async def test_a_disk_that_takes_nothing_does_not_stop_the_serving(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(tmp_path / "missing", {"s1": Service()})
    await world.ready()
    assert world.follower.table.snapshot.version == 1
    assert "cannot be written" in caplog.text


async def test_it_says_once_that_control_is_gone_and_once_that_it_is_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    world = World(tmp_path, {})
    await world.ready()
    world.control.down = True
    for _ in range(3):
        await world.follower.ask()
    world.control.down = False
    for _ in range(2):
        await world.follower.ask()
    said = [record.message.split(" (")[0] for record in caplog.records]
    assert said == ["control answers", "control does not answer", "control answers"]


async def test_it_follows_until_it_is_stopped(tmp_path: Path) -> None:
    world = World(tmp_path, {})
    following = asyncio.create_task(world.follower.run())
    async with asyncio.timeout(20):
        while not world.control.asked:
            await asyncio.sleep(0.001)
        world.control.told = snapshot("s1", version=9)
        while world.follower.table.snapshot.version != 9:
            await asyncio.sleep(0.001)
    following.cancel()
    with pytest.raises(asyncio.CancelledError):
        await following


async def test_a_mistake_of_ours_does_not_end_the_following(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = World(tmp_path, {})
    asked: list[int] = []

    async def ask() -> bool:
        asked.append(1)
        raise KeyError("mistake")

    monkeypatch.setattr(world.follower, "ask", ask)
    following = asyncio.create_task(world.follower.run())
    async with asyncio.timeout(20):
        while len(asked) < 3:
            await asyncio.sleep(0.001)
    assert not following.done()
    following.cancel()
    assert world.follower.problem == "internal error: KeyError: 'mistake'"
    assert len(caplog.records) == 1, "said once, not at every turn"


async def test_nothing_half_written_stays_of_a_full_disk_or_a_killed_gateway(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / f".{FILE}.killed").write_text("{")
    world = World(tmp_path, {})
    monkeypatch.setattr("os.fsync", full)
    await world.ready()
    assert world.follower.table.snapshot.version == 1
    assert list(tmp_path.iterdir()) == []


async def test_a_model_that_became_ready_a_moment_ago_is_served_and_not_refused(tmp_path: Path) -> None:
    world = World(tmp_path, {"s1": Service()}, told=snapshot(version=4))
    app = await world.ready()
    world.control.told = snapshot("s1", version=5)
    async with client(app, **AUTH) as http:
        answer = await http.post("/v1/completions", json=ASK)
    assert answer.json()["choices"][0]["text"] == "hi"


async def test_a_model_and_a_key_that_are_new_are_known_at_their_first_use(tmp_path: Path) -> None:
    world = World(tmp_path, {"s1": Service()}, told=snapshot(version=4, models=(), keys=()))
    app = await world.ready()
    world.control.told = snapshot("s1", version=5)
    async with client(app, **AUTH) as http:
        assert (await http.get("/v1/models/parrot")).json()["id"] == "parrot"
        assert (await http.post("/v1/completions", json=ASK)).status_code == 200


async def test_many_refusals_ask_control_few_questions_and_those_that_are_served_none(tmp_path: Path) -> None:
    world = World(tmp_path, {"s1": Service()})
    app = await world.ready()
    world.control.asked.clear()
    async with client(app, **AUTH) as http:
        assert (await http.post("/v1/completions", json=ASK)).status_code == 200
        assert world.control.asked == []
        refused = await asyncio.gather(*(http.post("/v1/completions", json=ASK | {"model": "x"}) for _ in range(40)))
    assert {answer.status_code for answer in refused} == {404}
    assert 1 <= len(world.control.asked) <= 2


async def test_while_control_is_down_a_refusal_does_not_wait_for_it(tmp_path: Path) -> None:
    world = World(tmp_path, {"s1": Service()}, told=snapshot(version=4))
    app = await world.ready()
    world.control.down = True
    await world.follower.ask()
    async with client(app, **AUTH) as http:
        assert (await http.post("/v1/completions", json=ASK)).status_code == 503


async def test_an_answer_that_a_newer_one_has_overtaken_is_not_believed(tmp_path: Path) -> None:
    world = World(tmp_path, {"s1": Service()}, told=snapshot(version=4))
    await world.ready()
    overtaken = world.control.delay(0.2)
    old = asyncio.create_task(world.follower.ask())
    await overtaken.wait()
    world.control.told = snapshot("s1", version=5)
    await world.follower.ask()
    assert await old is True
    assert world.follower.table.snapshot.version == 5
