"""A terminal inside a workload, reached through control: python -m fabric.sdk.terminal --idle 1800.

Knows nothing of who types: control lets the owner of the workload in, and nobody else. The shell lives here, so it
outlives connections; it ends when it is told to, or when nothing was typed for a while.
"""

import argparse
import asyncio
import contextlib
import fcntl
import os
import pty
import signal
import ssl
import struct
import subprocess
import sys
import termios
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from pydantic import ValidationError

from fabric.api.terminal import LARGEST_MESSAGE, SERVED, Told
from fabric.config import env
from fabric.config.trust import trust
from fabric.core.errors import BadInput

IDLE_S = 1800.0
"""Seconds without a key after which the shell is ended."""
SEEN_BYTES = 2**16
"""How much of what was shown last is shown to whoever comes later."""
AGAIN_S = 1.0
"""Pause before control is called again, in seconds."""
HANGUP_S = 5.0
"""How long a shell may take to end, in seconds, before it is killed."""

_NOT_INSTALLED = 'websockets is not installed. Run: pip install "compute-fabric[shell]"'


@dataclass(frozen=True, slots=True)
class Line:
    """How control is called."""

    url: str
    """Of the web socket."""
    token: str = field(repr=False)
    """The workload's own."""
    verify: ssl.SSLContext | None = None
    """Whose certificates are believed; None where the line has none."""

    @classmethod
    def of_environment(cls, path: str = SERVED) -> "Line":
        """The line of the workload that this process belongs to.

        Args:
            path: Of the web socket, with the workload's `name` to be filled in.

        Raises:
            BadInput: If it belongs to none.
        """
        workload, token, address = env.get(env.WORKLOAD), env.get(env.TOKEN), env.address()
        if not workload or not token:
            raise BadInput("this runs inside a workload; `fabric shell` and `fabric notebook` start one")
        context = trust(address, env.get(env.CA))
        url = "ws" + address.removeprefix("http") + path.format(name=quote(workload, safe=""))
        return cls(url, token, context if isinstance(context, ssl.SSLContext) else None)


class Terminal:
    """A shell on a pseudo-terminal."""

    def __init__(self, command: Sequence[str], line: Line, idle_s: float) -> None:
        """Start nothing yet.

        Args:
            command: The shell.
            line: How control is called.
            idle_s: Seconds without a key after which the shell is ended.
        """
        self._command, self._line, self._idle_s = tuple(command), line, idle_s
        self._seen: deque[bytes] = deque()
        self._socket: Any = None
        self._attached = False
        self._typed_at = time.monotonic()
        self._outer = -1

    async def run(self) -> str:
        """Serve until the shell has ended; returns why it did."""
        self._outer, inner = pty.openpty()
        shell = subprocess.Popen(
            self._command, stdin=inner, stdout=inner, stderr=inner, start_new_session=True, close_fds=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )  # fmt: skip
        os.close(inner)
        calling = asyncio.create_task(self._call())
        shown, idle = asyncio.create_task(self._show()), asyncio.create_task(self._wait_until_idle())
        try:
            done, _ = await asyncio.wait({shown, idle}, return_when=asyncio.FIRST_COMPLETED)
            reason = "" if shown in done else f"nothing was typed for {self._idle_s:g} s"
            code = await asyncio.to_thread(_end, shell)
            await self._say(Told(exit_code=code, reason=reason))
        finally:
            for task in (calling, shown, idle):
                task.cancel()
            await asyncio.gather(calling, shown, idle, return_exceptions=True)
            os.close(self._outer)
        return reason or f"the shell ended with code {code}"

    async def _call(self) -> None:
        """Be connected to control, again whenever the line breaks."""
        from websockets.asyncio.client import connect
        from websockets.exceptions import WebSocketException

        headers = {"Authorization": f"Bearer {self._line.token}"}
        while True:
            with contextlib.suppress(OSError, WebSocketException, TimeoutError):
                async with connect(
                    self._line.url, additional_headers=headers, ssl=self._line.verify, proxy=None,
                    max_size=LARGEST_MESSAGE,
                ) as socket:  # fmt: skip
                    self._socket = socket
                    async for message in socket:
                        await self._take(message)
            self._socket, self._attached = None, False
            await asyncio.sleep(AGAIN_S)

    async def _take(self, message: str | bytes) -> None:
        """What was typed, or what is told of whoever types."""
        if isinstance(message, bytes):
            self._typed_at = time.monotonic()
            await asyncio.to_thread(_write, self._outer, message)
            return
        try:
            told = Told.model_validate_json(message)
        except ValidationError:
            return
        if told.rows is not None and told.columns is not None:
            fcntl.ioctl(self._outer, termios.TIOCSWINSZ, struct.pack("HHHH", told.rows, told.columns, 0, 0))
        if told.attached is not None:
            self._attached = told.attached
        if told.attached:
            self._typed_at = time.monotonic()
            for piece in tuple(self._seen):
                await self._send(piece)

    async def _show(self) -> None:
        """Pass on what the shell writes, until nobody holds the terminal any more."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                piece = await loop.run_in_executor(None, os.read, self._outer, LARGEST_MESSAGE // 2)
            except OSError:  # how Linux says that the other side is closed
                return
            if not piece:
                return
            self._seen.append(piece)
            while sum(map(len, self._seen)) > SEEN_BYTES:
                self._seen.popleft()
            if self._attached:
                await self._send(piece)

    async def _wait_until_idle(self) -> None:
        while (left_s := self._typed_at + self._idle_s - time.monotonic()) > 0:
            await asyncio.sleep(left_s)

    async def _say(self, told: Told) -> None:
        await self._send(told.model_dump_json())

    async def _send(self, message: str | bytes) -> None:
        from websockets.exceptions import WebSocketException

        if self._socket is not None:
            with contextlib.suppress(OSError, WebSocketException):
                await self._socket.send(message)


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _end(shell: "subprocess.Popen[bytes]") -> int:
    """Hang up on a shell that has not ended; its exit code."""
    if shell.poll() is None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            # One whose terminal is closed already ends by itself.
            return shell.wait(0.5)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(shell.pid, signal.SIGHUP)
        with contextlib.suppress(subprocess.TimeoutExpired):
            return shell.wait(HANGUP_S)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(shell.pid, signal.SIGKILL)
    return shell.wait()


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve a terminal; returns the exit code, which is 0 however the shell ended."""
    parser = argparse.ArgumentParser(prog="python -m fabric.sdk.terminal", description=__doc__)
    parser.add_argument("--idle", type=float, default=IDLE_S, help="seconds without a key after which it is ended")
    parser.add_argument("command", nargs="*", help="the shell; bash if left out")
    options = parser.parse_args(arguments)
    try:
        import websockets  # noqa: F401 - looked for before anything is started
    except ImportError:
        sys.stderr.write(f"error: {_NOT_INSTALLED}\n")
        return 1
    try:
        terminal = Terminal(options.command or ("bash", "-i"), Line.of_environment(), options.idle)
    except BadInput as error:
        sys.stderr.write(f"error: {error.message}\n")
        return 2
    sys.stdout.write(f"the terminal is served; it ends when nothing was typed for {options.idle:g} s\n")
    sys.stdout.flush()
    sys.stdout.write(f"{asyncio.run(terminal.run())}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
