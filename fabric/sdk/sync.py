"""The client of a fabric without `await`: `AsyncClient` on an event loop of its own, in a thread.

Knows nothing of what the calls do.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from fabric.sdk.client import PATIENCE_S, TIMEOUT_S, AsyncClient
from fabric.sdk.people import People

if TYPE_CHECKING:
    import httpx

    from fabric.api import admin, lists, overview
    from fabric.api import nodes as wire
    from fabric.sdk.specs import Engine
    from fabric.workloads.spec import WorkloadSpec

T = TypeVar("T")


class Client:
    """A fabric; every method is the one of `AsyncClient`, which has the full description."""

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

    def submit(self, spec: WorkloadSpec | Mapping[str, Any]) -> admin.WorkloadView:
        """Hand in a job or a service, and return at once; see `AsyncClient.submit`."""
        return self._run(self._client.submit(spec))

    def get(self, name: str) -> admin.WorkloadView:
        """A workload as it is now; see `AsyncClient.get`."""
        return self._run(self._client.get(name))

    def jobs(self) -> tuple[admin.WorkloadView, ...]:
        """Every workload, newest first, those that ended too."""
        return self._run(self._client.jobs())

    def wait(
        self,
        name: str,
        *,
        timeout_s: float | None = None,
        until_ended: bool = False,
        on_update: Callable[[admin.WorkloadView], None] | None = None,
    ) -> admin.WorkloadView:
        """Wait until a job has ended or a service is ready; see `AsyncClient.wait`."""
        return self._run(self._client.wait(name, timeout_s=timeout_s, until_ended=until_ended, on_update=on_update))

    def logs(self, name: str, *, follow: bool = True, offset: int = 0) -> Iterator[str]:
        """What a workload's driver wrote, in pieces as they come; see `AsyncClient.logs`."""
        return self._iterate(self._client.logs(name, follow=follow, offset=offset))

    def stop(self, name: str) -> admin.WorkloadView:
        """Ask a workload to save and leave; see `AsyncClient.stop`."""
        return self._run(self._client.stop(name))

    def scale(self, name: str, workers: int) -> admin.WorkloadView:
        """Ask for another number of replicas; see `AsyncClient.scale`."""
        return self._run(self._client.scale(name, workers))

    def delete(self, name: str) -> None:
        """Forget a workload that has ended; see `AsyncClient.delete`."""
        return self._run(self._client.delete(name))

    def explain(self, name: str) -> admin.ExplanationView:
        """Why a workload is where it is; see `AsyncClient.explain`."""
        return self._run(self._client.explain(name))

    def events(self, name: str) -> tuple[admin.EventView, ...]:
        """A workload's history, oldest first; see `AsyncClient.events`."""
        return self._run(self._client.events(name))

    def nodes(self) -> tuple[admin.NodeView, ...]:
        """Every node of the site, by name, and what is on it."""
        return self._run(self._client.nodes())

    def drain(self, node: str, reason: str = "", *, deadline_s: float | None = None) -> wire.DrainView:
        """Take a node out of service; see `AsyncClient.drain`."""
        return self._run(self._client.drain(node, reason, deadline_s=deadline_s))

    def undrain(self, node: str) -> None:
        """Put a node into service again; see `AsyncClient.undrain`."""
        self._run(self._client.undrain(node))

    def preview_drain(self, node: str, *, deadline_s: float | None = None) -> wire.DrainPreview:
        """What would follow from draining a node; see `AsyncClient.preview_drain`."""
        return self._run(self._client.preview_drain(node, deadline_s=deadline_s))

    def overview(self) -> overview.Overview:
        """The site at one glance; see `AsyncClient.overview`."""
        return self._run(self._client.overview())

    def queue(self, *, offset: int = 0, limit: int = 50) -> lists.WorkloadPage:
        """Who waits, in the order of the queue; see `AsyncClient.queue`."""
        return self._run(self._client.queue(offset=offset, limit=limit))

    def search(
        self, text: str = "", states: Sequence[str] = (), *, offset: int = 0, limit: int = 50
    ) -> lists.WorkloadPage:
        """Workloads whose names contain `text`, newest first; see `AsyncClient.search`."""
        return self._run(self._client.search(text, states, offset=offset, limit=limit))

    def decision(self) -> str:
        """What was decided last; see `AsyncClient.decision`."""
        return self._run(self._client.decision())

    def models(self) -> tuple[admin.ModelVersionView, ...]:
        """Every version of every registered model, by name, newest first."""
        return self._run(self._client.models())

    def deploy(
        self,
        model_ref: str,
        *,
        name: str | None = None,
        engine: Engine = "auto",
        replicas: int | tuple[int, int] = 1,
        gpus: float = 1.0,
        tier: str | None = "gpu",
        cpus: float = 2.0,
        memory: str = "3 GiB",
        max_context: int = 512,
        wait: bool = True,
    ) -> admin.WorkloadView:
        """Serve a registered model, and wait until it answers; see `AsyncClient.deploy`."""
        return self._run(
            self._client.deploy(
                model_ref,
                name=name,
                engine=engine,
                replicas=replicas,
                gpus=gpus,
                tier=tier,
                cpus=cpus,
                memory=memory,
                max_context=max_context,
                wait=wait,
            )
        )

    def health(self) -> admin.Health:
        """Whether control works; needs no key."""
        return self._run(self._client.health())

    def shutdown(self, *, kill: bool = False) -> None:
        """End the fabric; see `AsyncClient.shutdown`."""
        return self._run(self._client.shutdown(kill=kill))


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    try:
        loop.run_forever()
    finally:
        loop.close()


async def _next(pieces: AsyncGenerator[T, None], end: T) -> T:
    return await anext(pieces, end)
