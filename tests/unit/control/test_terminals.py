"""Both ends of a terminal meet at control, and only its owner types."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from starlette.testclient import WebSocketDenialResponse

from fabric.api.terminal import ENDED, LOST, REPLACED, SERVED, TERMINAL, Told
from fabric.control.terminals import Terminals
from tests.unit.control.world import World

ATTACHED, LEFT = Told(attached=True).model_dump_json(), Told(attached=False).model_dump_json()
LEAVES = {"type": "websocket.disconnect"}


class End:
    """A web socket that says what a test lets it say."""

    def __init__(self) -> None:
        self.says: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.got: list[bytes | str] = []
        self.closed: int | None = None

    async def receive(self) -> dict[str, Any]:
        return await self.says.get()

    async def send_bytes(self, data: bytes) -> None:
        self._take(data)

    async def send_text(self, data: str) -> None:
        self._take(data)

    async def close(self, code: int = 1000, reason: str | None = None) -> None:
        self.closed = code
        self.says.put_nowait(LEAVES)

    def _take(self, data: bytes | str) -> None:
        if self.closed is not None:
            raise RuntimeError("closed")
        self.got.append(data)

    def say(self, *messages: bytes | str) -> None:
        for message in messages:
            self.says.put_nowait(
                {"type": "websocket.receive", "bytes" if isinstance(message, bytes) else "text": message}
            )

    def leave(self) -> None:
        self.says.put_nowait(LEAVES)


async def settled() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_what_is_typed_and_shown_is_passed_on_and_each_end_hears_of_the_other() -> None:
    terminals, shell, typist = Terminals(), End(), End()
    served = asyncio.create_task(terminals.serve("w", shell))
    await settled()
    shell.say(b"nobody looks")
    attached = asyncio.create_task(terminals.attach("w", typist))
    await settled()
    typist.say(b"ls\n", Told(rows=24, columns=80).model_dump_json())
    await settled()
    shell.say(b"a b c\n")
    await settled()
    assert shell.got == [ATTACHED, b"ls\n", Told(rows=24, columns=80).model_dump_json()]
    assert typist.got == [b"a b c\n"]
    typist.leave()
    await attached
    assert (shell.got[-1], terminals.is_served("w")) == (LEFT, True)
    shell.leave()
    await served
    assert not terminals.is_served("w")


@pytest.mark.parametrize(
    ("last", "code"),
    [
        (Told(exit_code=0).model_dump_json(), ENDED),
        (b"no more", LOST),
        ("no JSON", LOST),
        (Told(rows=1).model_dump_json(), LOST),
    ],
)
async def test_whoever_types_hears_how_the_terminal_went(last: bytes | str, code: int) -> None:
    terminals, shell, typist = Terminals(), End(), End()
    served = asyncio.create_task(terminals.serve("w", shell))
    attached = asyncio.create_task(terminals.attach("w", typist))
    await settled()
    shell.say(last)
    shell.leave()
    await asyncio.gather(served, attached)
    assert (typist.got, typist.closed) == ([last], code)


async def test_a_newer_end_takes_the_place_of_the_last_one() -> None:
    terminals, shell, first, second = Terminals(), End(), End(), End()
    tasks = [asyncio.create_task(terminals.serve("w", shell))]
    for end in (first, second):
        tasks.append(asyncio.create_task(terminals.attach("w", end)))
        await settled()
    shell.say(b"for you")
    await settled()
    assert (first.closed, first.got, second.got) == (REPLACED, [], [b"for you"])
    assert shell.got == [ATTACHED, ATTACHED]
    again = End()
    tasks.append(asyncio.create_task(terminals.serve("w", again)))
    await settled()
    assert (shell.closed, again.got, second.closed) == (REPLACED, [ATTACHED], None)
    second.say(b"still here")
    await settled()
    assert again.got == [ATTACHED, b"still here"]
    for end in (second, again):
        end.leave()
    await asyncio.gather(*tasks)


async def test_terminals_of_two_workloads_do_not_mix() -> None:
    terminals, ends = Terminals(), {name: (End(), End()) for name in "ab"}
    tasks = []
    for name, (shell, typist) in ends.items():
        tasks += [
            asyncio.create_task(terminals.serve(name, shell)),
            asyncio.create_task(terminals.attach(name, typist)),
        ]
    await settled()
    ends["a"][1].say(b"only a")
    await settled()
    assert (ends["a"][0].got[-1], ends["b"][0].got) == (b"only a", [ATTACHED])
    for pair in ends.values():
        for end in pair:
            end.leave()
    await asyncio.gather(*tasks)


def refusal(world: World, key: str, path: str) -> tuple[int, str]:
    """Status and words with which a web socket is refused."""
    with pytest.raises(WebSocketDenialResponse) as refused, world.client(key).websocket_connect(path):
        pass
    return refused.value.status_code, refused.value.json()["message"]


def test_only_the_owner_types_and_only_the_workload_serves(make_world: Callable[..., World]) -> None:
    world = make_world(anonymous=False)
    for name in ("ada", "bob"):
        world.person(name, "admin", "alpha")
    world.client("ada").post("/api/fabric/workloads", json={"spec": {"name": "mine", "entrypoint": "x"}})
    world.job("theirs", project="alpha")
    world.issue("own", "workload", "alpha", workload="mine")
    world.issue("other", "workload", "alpha", workload="theirs")
    path, served = TERMINAL.format(name="mine"), SERVED.format(name="mine")
    assert refusal(world, "ada", path)[0] == 503
    status, words = refusal(world, "bob", path)
    assert (status, words) == (403, "mine runs for ada, and only he types in its terminal")
    assert [refusal(world, key, path)[0] for key in ("own", "nobody's")] == [403, 401]
    assert [refusal(world, key, served)[0] for key in ("bob", "other")] == [403, 403]
    with world.client("own").websocket_connect(served):
        pass


def test_what_has_ended_has_no_terminal(world: World) -> None:
    world.job("mine")
    world.run("mine")
    world.end("mine")
    for path in (TERMINAL, SERVED):
        with (
            pytest.raises(WebSocketDenialResponse) as refused,
            world.client().websocket_connect(path.format(name="mine")),
        ):
            pass
        assert (refused.value.status_code, "already succeeded" in refused.value.json()["message"]) == (409, True)
