"""The command `shell`, as far as it goes without a terminal."""

import asyncio
import os
import pty
from collections.abc import AsyncIterator, Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from fabric.api.terminal import REFUSED, Told
from fabric.cli import shell
from fabric.cli.session import Session
from fabric.core.errors import Conflict, Unavailable
from fabric.sdk import AsyncClient, terminals
from tests.unit.cli.conftest import Run
from tests.unit.sdk.fakes import ADDRESS, FakeControl, answer, view

GET = "GET /api/fabric/workloads/mine"


def test_without_a_terminal_it_says_what_does_without(control: FakeControl, run: Run) -> None:
    said = run("shell")
    assert (said.exit_code, said.stderr) == (
        2, "error: shell: needs a terminal; `fabric submit` runs commands without one\n"
    )  # fmt: skip
    assert control.asked == []


def client_of(control: FakeControl) -> AsyncClient:
    return AsyncClient(ADDRESS, transport=control.transport, patience_s=0.0)


async def test_it_says_what_it_waits_for_and_stops_when_the_work_ended(
    control: FakeControl, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shell, "LOOK_EVERY_S", 0.0)
    waits = view("mine", "queued", message="waits: behind other")
    control.on(GET, answer(waits), answer(waits), answer(view("mine", "starting")), answer(view("mine", "running")))
    async with client_of(control) as client:
        await shell.until_running(client, "mine")
    assert capsys.readouterr().err == "mine is queued: waits: behind other\nmine is starting: starting\n"
    control.on(GET, answer(view("mine", "failed", message="no such image")))
    async with client_of(control) as client:
        with pytest.raises(Conflict, match="mine is failed: no such image"):
            await shell.until_running(client, "mine")


async def test_a_terminal_that_does_not_come_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shell, "LOOK_EVERY_S", 0.0)
    monkeypatch.setattr(shell, "COMES_S", 0.0)

    def never(client: AsyncClient, name: str) -> None:
        raise Unavailable(f"{name} has no terminal yet")

    monkeypatch.setattr(terminals, "terminal_of", never)
    async with client_of(FakeControl()) as client:
        with pytest.raises(Unavailable, match="mine has no terminal yet"):
            async with shell._opened(client, "mine"):
                pass


class Line:
    """The other end, which says something once it has heard two things; after the first one somebody types."""

    close_code: int | None = None
    close_reason = ""

    def __init__(self, *messages: bytes | str, typing: Callable[[], object]) -> None:
        self.messages, self.typing = messages, typing
        self.sent: list[Any] = []
        self.heard = asyncio.Event()

    async def send(self, message: bytes | str) -> None:
        self.sent.append(message)
        if len(self.sent) == 1:
            self.typing()
        else:
            self.heard.set()

    async def __aiter__(self) -> AsyncIterator[bytes | str]:
        await self.heard.wait()
        for message in self.messages:
            yield message


@pytest.fixture
def keyboard(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[bytes], object]]:
    """Types on a terminal that stands for ours."""
    outer, inner = pty.openpty()

    class Stream:
        def fileno(self) -> int:
            return inner

    # Pytest puts its own back into `sys` between a fixture and its test.
    monkeypatch.setattr(shell, "sys", SimpleNamespace(stdin=Stream(), stdout=Stream()))
    yield lambda keys: os.write(outer, keys)
    os.close(outer)
    os.close(inner)


@pytest.mark.parametrize(
    ("last", "words"),
    [
        (Told(exit_code=0).model_dump_json(), "the shell ended with code 0"),
        (Told(exit_code=1, reason="nothing was typed for 60 s").model_dump_json(), "nothing was typed for 60 s"),
        (b"", ""),
    ],
)
async def test_keys_go_in_raw_and_the_end_is_told(
    keyboard: Callable[[bytes], object], last: bytes | str, words: str
) -> None:
    line = Line(b"shown", last, typing=lambda: keyboard(b"ls\x03"))
    assert await shell._type(line) == words  # type: ignore[arg-type]
    size, keys = line.sent
    assert (Told.model_validate_json(size).rows is not None, keys) == (True, b"ls\x03")


async def test_why_control_closed_the_terminal_is_told(keyboard: Callable[[bytes], object]) -> None:
    line = Line(b"shown", typing=lambda: keyboard(b"ls"))
    line.close_code, line.close_reason = REFUSED, "key ada's has expired"
    assert await shell._type(line) == "control closed the terminal: key ada's has expired"  # type: ignore[arg-type]


def test_a_wrong_idle_time_is_refused(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    monkeypatch.setattr(shell, "_here", lambda: True)
    said = run("shell", "--idle", "soon")
    assert (said.exit_code, said.stderr[:22]) == (2, "error: --idle: 'soon' ")


async def test_who_stops_waiting_for_a_shell_that_was_there_before_does_not_end_it(
    control: FakeControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def leaves(client: AsyncClient, name: str) -> None:
        raise asyncio.CancelledError

    monkeypatch.setattr(shell, "until_running", leaves)
    to = Session(control.transport, patience_s=0.0)
    with pytest.raises(asyncio.CancelledError):
        await shell._shell(to, {}, "mine")
    assert control.asked == []
