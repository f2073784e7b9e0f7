"""A notebook server inside a workload, reached through control: python -m fabric.sdk.notebook --idle 1800.

Knows nothing of who looks: control lets the owner of the workload in, and nobody else. The server listens on a socket
of this machine's file system alone; each connection to it comes through a web socket that this process opens, when
control asks for one. It ends when somebody shuts it down, or when nothing ran for a while.
"""

import argparse
import asyncio
import contextlib
import fcntl
import os
import secrets
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
from pydantic import ValidationError

from fabric.api.notebook import LARGEST_PIECE, NOTEBOOK, SERVED, SOCKETS, Opens, Serves
from fabric.config import env
from fabric.core.errors import BadInput
from fabric.sdk.terminal import AGAIN_S, HANGUP_S, IDLE_S, Line

SERVERS = ("jupyterlab", "notebook")
"""Modules that serve notebooks, the better one first."""
LOOK_EVERY_S = 10.0
"""Pause between two looks at whether anything runs, in seconds."""
NOT_FOUND = 404
"""Status of a path that the server does not have."""
STARTS_S = 120.0
"""How long the server may take to answer, in seconds."""

_NOT_INSTALLED = (
    "neither jupyterlab nor notebook is installed where this runs. Put one into the image or the environment, or let "
    "Ray install it: `fabric notebook --pip jupyterlab` (runtime_env: pip)"
)
_NO_WEBSOCKETS = 'websockets is not installed. Run: pip install "compute-fabric[shell]"'


class Server:
    """A notebook server of this process, on a socket in a folder of its own."""

    def __init__(self, module: str, base: str, folder: Path) -> None:
        """Start nothing yet.

        Args:
            module: What serves notebooks.
            base: Path below which it answers.
            folder: Where its socket is.
        """
        self._module, self._base = module, base
        self.path, self.token = folder / "socket", secrets.token_urlsafe(32)
        self._http = httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(uds=str(self.path)), base_url=f"http://localhost{base}", timeout=10.0,
            headers={"Authorization": f"token {self.token}"},
        )  # fmt: skip
        self._process: asyncio.subprocess.Process | None = None
        self._seen = time.time()
        self._absent: set[str] = set()

    async def start(self) -> None:
        """Start it, and wait until it answers.

        Raises:
            BadInput: If it ended instead, or does not answer.
        """
        told = [f"--ServerApp.sock={self.path}", f"--ServerApp.base_url={self._base}", "--ServerApp.open_browser=False",
                "--ServerApp.allow_root=True"]  # fmt: skip
        # The token goes where other users of this machine cannot read it.
        inherited = env.inherited() | {"JUPYTER_TOKEN": self.token}
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", self._module, *told, env=inherited, start_new_session=True
        )
        ends = time.monotonic() + STARTS_S
        while await self._ask("api/status") is None:
            if self._process.returncode is not None or time.monotonic() > ends:
                raise BadInput(f"{self._module} does not serve; what it says is above")
            await asyncio.sleep(0.2)
        self._seen = time.time()

    async def ended(self) -> int:
        """Wait for its end; its exit code."""
        return await self._process.wait() if self._process is not None else 0

    async def idle_s(self) -> float:
        """For how long nothing has run, in seconds; 0 while something does, or it cannot be asked."""
        kernels = await self._ask("api/kernels")
        terminals = await self._ask("api/terminals")
        now = time.time()
        if kernels is None or any(kernel.get("execution_state") == "busy" for kernel in kernels):
            self._seen = now
        for each in (*(kernels or ()), *(terminals or ())):
            with contextlib.suppress(KeyError, ValueError, TypeError):
                self._seen = max(self._seen, datetime.fromisoformat(each["last_activity"]).timestamp())
        return now - min(self._seen, now)

    async def end(self) -> None:
        """Ask it to end with its kernels; kill it if it does not."""
        await self._http.aclose()
        process = self._process
        if process is None or process.returncode is not None:
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, number)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), HANGUP_S)
                return

    async def _ask(self, path: str) -> Any:
        """What it answers; None where it does not."""
        if path in self._absent:
            return None
        try:
            answer = await self._http.get(path)
            if answer.status_code == NOT_FOUND:
                # One without terminals would write a line for each question.
                self._absent.add(path)
            return answer.json() if answer.is_success else None
        except (httpx.HTTPError, ValueError):
            return None


class Calls:
    """This workload's calls to control: one that hears what is asked for, and one for each stream."""

    def __init__(self, server: Path, token: str, line: Line) -> None:
        """Call nobody yet.

        Args:
            server: Socket of the notebook server.
            token: What opens it.
            line: How control is called.
        """
        self._server, self._token, self._line = server, token, line
        self._streams: set[asyncio.Task[None]] = set()

    async def serve(self) -> None:
        """Be connected to control, again whenever the line breaks; until cancelled."""
        from websockets.exceptions import WebSocketException

        while True:
            with contextlib.suppress(OSError, WebSocketException, TimeoutError):
                async with self._connected(self._line.url) as socket:
                    await socket.send(Serves(token=self._token).model_dump_json())
                    async for message in socket:
                        self._take(message)
            await asyncio.sleep(AGAIN_S)

    def _take(self, message: str | bytes) -> None:
        with contextlib.suppress(ValidationError):
            asked = Opens.model_validate_json(message)
            task = asyncio.create_task(self._carry(asked.stream))
            self._streams.add(task)
            task.add_done_callback(self._streams.discard)

    async def _carry(self, stream: str) -> None:
        """Join a connection to the server with a web socket of its own, until either ends."""
        from websockets.exceptions import WebSocketException

        url = f"{self._line.url}/{quote(stream, safe='')}"
        with contextlib.suppress(OSError, WebSocketException, TimeoutError):
            async with self._connected(url) as socket:
                reader, writer = await asyncio.open_unix_connection(str(self._server), limit=LARGEST_PIECE)
                try:
                    ways = [asyncio.create_task(_out(socket, writer)), asyncio.create_task(_back(reader, socket))]
                    await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
                    for way in ways:
                        way.cancel()
                    await asyncio.gather(*ways, return_exceptions=True)
                finally:
                    writer.close()

    def _connected(self, url: str) -> Any:
        from websockets.asyncio.client import connect

        headers = {"Authorization": f"Bearer {self._line.token}"}
        return connect(
            url, additional_headers=headers, ssl=self._line.verify, proxy=None, max_size=2 * LARGEST_PIECE,
            compression=None,
        )  # fmt: skip


async def _out(socket: Any, writer: asyncio.StreamWriter) -> None:
    async for piece in socket:
        if isinstance(piece, bytes):
            writer.write(piece)
            await writer.drain()


async def _back(reader: asyncio.StreamReader, socket: Any) -> None:
    while piece := await reader.read(LARGEST_PIECE):
        await socket.send(piece)


async def serve(module: str, idle_s: float, look_every_s: float = LOOK_EVERY_S) -> str:
    """Serve notebooks until that is over; returns why it is.

    Args:
        module: What serves them.
        idle_s: Seconds without anything that runs after which it is ended.
        look_every_s: Pause between two looks at that, in seconds.

    Raises:
        BadInput: If this process belongs to no workload, or the server does not serve.
    """
    line = Line.of_environment(SERVED)
    folder = Path(tempfile.mkdtemp(prefix=SOCKETS))
    held = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    with contextlib.suppress(OSError):
        fcntl.flock(held, fcntl.LOCK_SH | fcntl.LOCK_NB)
    server = Server(module, f"{NOTEBOOK}/{quote(env.get(env.WORKLOAD) or '', safe='')}/", folder)
    calls = Calls(server.path, server.token, line)
    try:
        await server.start()
        say(f"notebooks are served; that ends when nothing ran for {idle_s:g} s")
        calling, ended = asyncio.create_task(calls.serve()), asyncio.create_task(server.ended())
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.cancel)
        try:
            while not ended.done():
                await asyncio.wait({ended}, timeout=look_every_s)
                if not ended.done() and await server.idle_s() >= idle_s:
                    return f"nothing ran for {idle_s:g} s"
            return "it was asked to end" if ended.cancelled() else f"{module} ended with code {ended.result()}"
        finally:
            for task in (calling, ended):
                task.cancel()
            await asyncio.gather(calling, ended, return_exceptions=True)
    finally:
        await server.end()
        os.close(held)
        shutil.rmtree(folder, ignore_errors=True)


def say(text: str) -> None:
    """Write a line for the log."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve notebooks; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m fabric.sdk.notebook", description=__doc__)
    parser.add_argument("--idle", type=float, default=IDLE_S, help="seconds without anything that runs")
    options = parser.parse_args(arguments)
    module = next((name for name in SERVERS if find_spec(name) is not None), None)
    missing = _NOT_INSTALLED if module is None else _NO_WEBSOCKETS if find_spec("websockets") is None else ""
    if missing or module is None:
        sys.stderr.write(f"error: {missing}\n")
        return 1
    try:
        say(asyncio.run(serve(module, options.idle)))
    except BadInput as error:
        sys.stderr.write(f"error: {error.message}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
