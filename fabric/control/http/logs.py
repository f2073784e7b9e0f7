"""Logs of workloads: whole, from an offset, or followed, for Ray's clients and for ours.

Knows nothing of where logs are kept.
"""

import json
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import anyio
from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import APIRouter, Query, Response, WebSocket, WebSocketDisconnect
from starlette.responses import PlainTextResponse, StreamingResponse

from fabric.api.admin import COMPLETE, NEXT_OFFSET, WORKLOADS
from fabric.api.jobs import JOBS, JobLogs
from fabric.control.callers import Caller, Permission
from fabric.control.following import Following
from fabric.control.http.auth import Guard
from fabric.control.http.jobs import find_job
from fabric.control.http.settings import HttpSettings
from fabric.control.http.standing import LetsIn, Standing
from fabric.control.http.text import TextOf
from fabric.control.ports import LogPart
from fabric.control.service import Service
from fabric.core.errors import NotFound

CHUNK_BYTES = 2**16
"""Most that one message of a followed log carries; Ray's clients take up to 4 MiB."""

MOST_BYTES = 2**22
"""Most that one answer of the admin API carries."""

SLOWEST_LOOK = 5
"""A log where nothing happens is looked at so many times less often."""

MOST_LOOKING = 4
"""Readers that look at a log at the same time, so that hundreds of them leave threads to everybody else."""

_FOLLOW = (
    "All that was written; the web socket `/tail` below it sends the same and then what follows, over all attempts."
)
_PART: dict[int | str, dict[str, Any]] = {
    200: {
        "headers": {
            NEXT_OFFSET: {"description": "Byte to ask for next", "schema": {"type": "string"}},
            COMPLETE: {"description": "`true` when nothing will follow", "schema": {"enum": ["true", "false"]}},
        }
    }
}

_START = LogPart(b"", 0, False)


def logs_router(service: Service, guard: Guard, settings: HttpSettings) -> APIRouter:
    """Routes of logs."""
    router, looks = APIRouter(), CapacityLimiter(MOST_LOOKING)
    standing = Standing(service, settings.standing_s)
    look = guard.needs(Permission.LOOK)

    @router.get(f"{JOBS}/{{job}}/logs", response_model=JobLogs, tags=["ray jobs"], description=_FOLLOW)
    def whole(job: str, caller: Caller = look) -> Response:
        find_job(service, job, caller)
        return StreamingResponse(_whole_log(service, job, caller), media_type="application/json")

    @router.websocket(f"{JOBS}/{{job}}/logs/tail")
    async def tail(socket: WebSocket, job: str, caller: Caller = look) -> None:
        record = await run_sync(find_job, service, job, caller)
        await socket.accept()
        sending = _relay(socket, follow(service, job, caller, settings.follow_interval_s, looks))
        lets_in = LetsIn.of(socket, Permission.LOOK, lambda caller: caller.require_workload(record))
        await standing.while_let_in(socket, lets_in, sending)

    @router.get(f"{WORKLOADS}/{{name}}/logs", response_class=PlainTextResponse, responses=_PART, tags=["workloads"])
    async def part(
        name: str,
        offset: int = Query(default=0, ge=0),
        max_bytes: int = Query(default=2**20, ge=1, le=MOST_BYTES),
        wait_s: float = Query(default=0.0, ge=0, allow_inf_nan=False),
        caller: Caller = look,
    ) -> Response:
        ends = time.monotonic() + min(wait_s, settings.max_wait_s)
        reader, pause_s = (
            Following(service.logs, name, caller, max_bytes=max_bytes, offset=offset),
            settings.follow_interval_s,
        )
        found = await run_sync(reader.look, limiter=looks)
        while not found.content and not found.complete and time.monotonic() < ends:
            await anyio.sleep(pause_s)
            pause_s = _longer(pause_s, settings.follow_interval_s)
            found = await run_sync(reader.look, limiter=looks)
        headers = {NEXT_OFFSET: str(found.next_offset), COMPLETE: "true" if found.complete else "false"}
        return Response(found.content, headers=headers, media_type="text/plain; charset=utf-8")

    return router


def _whole_log(service: Service, job: str, caller: Caller) -> Iterator[str]:
    """The JSON of Ray's `JobLogsResponse`, piece by piece, so that no log is held in memory."""
    yield '{"logs": "'
    text, part = TextOf(), _START
    while True:
        part = service.logs.read(job, caller, part.next_offset, CHUNK_BYTES)
        yield json.dumps(text.more(part.content, last=not part.content))[1:-1]
        if not part.content:
            break
    yield '"}'


async def follow(
    service: Service, job: str, caller: Caller, interval_s: float, looks: CapacityLimiter | None = None
) -> AsyncIterator[str]:
    """The text of a log as it grows, until nothing will follow; over all attempts, and while the job still waits.

    Args:
        service: Who knows the log.
        job: Name of the workload.
        caller: Who asks.
        interval_s: Shortest pause between two looks; nothing is read before the last piece was taken.
        looks: How many may look at the same time.
    """
    text, reader, pause_s = TextOf(), Following(service.logs, job, caller, max_bytes=CHUNK_BYTES), interval_s
    while True:
        try:
            part = await run_sync(reader.look, limiter=looks)
        except NotFound:
            # Deleted meanwhile.
            return
        if piece := text.more(part.content, last=part.complete):
            yield piece
        if part.complete:
            return
        pause_s = interval_s if part.content else _longer(pause_s, interval_s)
        if not part.content:
            await anyio.sleep(pause_s)


def _longer(pause_s: float, interval_s: float) -> float:
    """The next pause where nothing happens."""
    return min(1.5 * pause_s, SLOWEST_LOOK * interval_s)


async def _relay(socket: WebSocket, pieces: AsyncIterator[str]) -> None:
    """Send `pieces` until they or the reader end; a slow reader only holds up its own sending."""
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_until_gone, socket, tasks.cancel_scope)
        try:
            async for piece in pieces:
                await socket.send_text(piece)
            await socket.close()
        except WebSocketDisconnect:
            pass
        tasks.cancel_scope.cancel()


async def _until_gone(socket: WebSocket, scope: anyio.CancelScope) -> None:
    """Notice that the reader left, also while there is nothing to send."""
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass
    scope.cancel()
