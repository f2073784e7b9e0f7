"""The client of a fabric without `await`: `AsyncClient` on an event loop of its own, in a thread.

Knows nothing of what the calls do.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Coroutine, Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from fabric.sdk.arrays import Arrays
from fabric.sdk.artifacts import Artifacts
from fabric.sdk.client import PATIENCE_S, TIMEOUT_S, AsyncClient
from fabric.sdk.derived import derived, derived_pieces
from fabric.sdk.people import People
from fabric.sdk.secrets import Secrets

if TYPE_CHECKING:
    import httpx


T = TypeVar("T")


class Client:
    """A fabric; every method is the one of `AsyncClient`."""

    def __init__(
        self,
        address: str | None = None,
        token: str | None = None,
        *,
        state: Path | None = None,
        timeout_s: float = TIMEOUT_S,
        patience_s: float = PATIENCE_S,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """Remember where the fabric is; nothing is opened before the first call.

        Args:
            address: URL of control; else from the environment, else of the local fabric.
            token: Bearer token; else from the environment, else the local administrator's.
            state: Folder of the local fabric's records, where address and token may be.
            timeout_s: Longest wait for one answer, in seconds.
            patience_s: How long calls that may be repeated are, in seconds, while nobody answers.
            transport: What carries the requests instead of the network; for tests.

        Raises:
            BadInput: If the address is no http or https URL.
        """
        self._client = AsyncClient(
            address, token, state=state, timeout_s=timeout_s, patience_s=patience_s, transport=transport
        )
        self._loop: asyncio.AbstractEventLoop | None = None
        self._starting = threading.Lock()

    @property
    def address(self) -> str:
        """URL of control."""
        return self._client.address

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections and end the thread; the next call begins anew."""
        if self._loop is None:
            return
        self._run(self._client.close())
        with self._starting:
            loop, self._loop = self._loop, None
            if loop is not None:
                loop.call_soon_threadsafe(loop.stop)

    def _run(self, call: Coroutine[Any, Any, T]) -> T:
        """Run `call` on the client's own loop and wait for it; Ctrl-C ends it too."""
        future = asyncio.run_coroutine_threadsafe(call, self._running_loop())
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def _running_loop(self) -> asyncio.AbstractEventLoop:
        with self._starting:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                threading.Thread(target=_serve, args=(self._loop,), name="fabric-sdk", daemon=True).start()
            return self._loop

    def _iterate(self, pieces: AsyncGenerator[T, None]) -> Iterator[T]:
        """The items of an asynchronous generator, one at a time."""
        end: Any = object()
        try:
            while (piece := self._run(_next(pieces, end))) is not end:
                yield piece
        finally:
            if self._loop is not None:
                self._run(pieces.aclose())

    @property
    def people(self) -> People:
        """People, projects, keys and usage."""
        return People(self._client.people, self._run)

    @property
    def arrays(self) -> Arrays:
        """Equal jobs that are handed in together."""
        return Arrays(self._client.arrays, self._run)

    @property
    def secrets(self) -> Secrets:
        """Secrets of projects by name."""
        return Secrets(self._client.secrets, self._run)

    @property
    def artifacts(self) -> Artifacts:
        """Files of projects."""
        return Artifacts(self._client.artifacts, self._run, self._iterate)

    submit = derived(AsyncClient.submit)
    get = derived(AsyncClient.get)
    jobs = derived(AsyncClient.jobs)
    wait = derived(AsyncClient.wait)
    logs = derived_pieces(AsyncClient.logs)
    stop = derived(AsyncClient.stop)
    scale = derived(AsyncClient.scale)
    delete = derived(AsyncClient.delete)
    explain = derived(AsyncClient.explain)
    bill = derived(AsyncClient.bill)
    events = derived(AsyncClient.events)
    nodes = derived(AsyncClient.nodes)
    drain = derived(AsyncClient.drain)
    undrain = derived(AsyncClient.undrain)
    preview_drain = derived(AsyncClient.preview_drain)
    dashboard = derived(AsyncClient.dashboard)
    notebook = derived(AsyncClient.notebook)
    past = derived(AsyncClient.past)
    curves = derived(AsyncClient.curves)
    use = derived(AsyncClient.use)
    reload = derived(AsyncClient.reload)
    reloads = derived(AsyncClient.reloads)
    prune = derived(AsyncClient.prune)
    prune_preview = derived(AsyncClient.prune_preview)
    overview = derived(AsyncClient.overview)
    occupancy = derived(AsyncClient.occupancy)
    site_events = derived(AsyncClient.site_events)
    queue = derived(AsyncClient.queue)
    search = derived(AsyncClient.search)
    decision = derived(AsyncClient.decision)
    models = derived(AsyncClient.models)
    alias = derived(AsyncClient.alias)
    alias_moves = derived(AsyncClient.alias_moves)
    deploy = derived(AsyncClient.deploy)
    rollback = derived(AsyncClient.rollback)
    deployments = derived(AsyncClient.deployments)
    deployment = derived(AsyncClient.deployment)
    health = derived(AsyncClient.health)
    shutdown = derived(AsyncClient.shutdown)


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    try:
        loop.run_forever()
    finally:
        loop.close()


async def _next(pieces: AsyncGenerator[T, None], end: T) -> T:
    return await anext(pieces, end)
