"""The end of a notebook inside its workload."""

import asyncio
import importlib.util
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from fabric.api.notebook import Opens, Serves
from fabric.config import env
from fabric.sdk import notebook
from fabric.sdk.notebook import Calls, Server, main
from fabric.sdk.terminal import Line


def test_without_jupyter_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(notebook, "find_spec", lambda name: None)
    assert main([]) == 1
    said = capsys.readouterr().err
    assert "neither jupyterlab nor notebook is installed" in said
    assert "fabric notebook --pip jupyterlab" in said


def test_outside_of_a_workload_it_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(notebook, "find_spec", importlib.util.find_spec)
    monkeypatch.setattr(notebook, "SERVERS", ("json",))
    for name in (env.WORKLOAD, env.TOKEN):
        monkeypatch.delenv(name, raising=False)
    assert main([]) == 2
    assert "this runs inside a workload" in capsys.readouterr().err


class Asked(Server):
    """Answers as a test says."""

    def __init__(self, folder: Path, **answers: Any) -> None:
        super().__init__("jupyterlab", "/notebook/w/", folder)
        self.answers = answers

    async def _ask(self, path: str) -> Any:
        return self.answers.get(path.removeprefix("api/"))


def answer(*each: tuple[str, float]) -> list[dict[str, str]]:
    """States, and for how many seconds nothing has happened there."""
    now = time.time()
    return [
        {"execution_state": state, "last_activity": datetime.fromtimestamp(now - ago_s, UTC).isoformat()}
        for state, ago_s in each
    ]


@pytest.mark.parametrize(
    ("kernels", "terminals", "idle_s"),
    [
        ([], [], 1000),
        ([("idle", 300)], [], 300),
        ([("idle", 300), ("idle", 20)], None, 20),
        ([("busy", 300)], [], 0),
        ([], [("", 40)], 40),
        (None, [], 0),
    ],
)
async def test_idle_is_what_runs_nothing_and_ran_nothing_for_a_while(
    tmp_path: Path, kernels: Any, terminals: Any, idle_s: float
) -> None:
    told = {"kernels": kernels, "terminals": terminals}
    server = Asked(tmp_path, **{name: None if each is None else answer(*each) for name, each in told.items()})
    server._seen = time.time() - 1000
    assert await server.idle_s() == pytest.approx(idle_s, abs=2)
    await server.end()


async def test_a_time_that_cannot_be_read_does_not_end_it(tmp_path: Path) -> None:
    server = Asked(tmp_path, kernels=[{"execution_state": "busy", "last_activity": "unheard of"}])
    assert await server.idle_s() == pytest.approx(0, abs=1)
    await server.end()


class Socket:
    """A web socket to control."""

    def __init__(self, *says: str | bytes) -> None:
        self.says, self.sent = asyncio.Queue[str | bytes | None](), list[str | bytes]()
        for message in says:
            self.says.put_nowait(message)

    async def send(self, message: str | bytes) -> None:
        self.sent.append(message)

    async def __aiter__(self) -> AsyncIterator[str | bytes]:
        while (message := await self.says.get()) is not None:
            yield message


async def test_each_stream_that_control_asks_for_is_a_connection_to_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write((await reader.read(100)).upper())
        writer.close()

    server = await asyncio.start_unix_server(shout, tmp_path / "s")
    calls = Calls(tmp_path / "s", "the-servers-own", Line("ws://control/served", "own"))
    control, stream = Socket(Opens(stream="a/b").model_dump_json(), "unheard of"), Socket(b"hello")

    @asynccontextmanager
    async def connected(url: str) -> AsyncIterator[Socket]:
        yield {"ws://control/served": control, "ws://control/served/a%2Fb": stream}[url]

    monkeypatch.setattr(calls, "_connected", connected)
    serving = asyncio.create_task(calls.serve())
    while not stream.sent:
        await asyncio.sleep(0.001)
    assert (control.sent, stream.sent) == ([Serves(token="the-servers-own").model_dump_json()], [b"HELLO"])
    serving.cancel()
    server.close()
