"""Open-loop clients: requests go out at instants that were fixed before, and latency counts from those instants.

Knows nothing of what is asked. A client that waits for one answer before it asks the next would ask less of a slow
server, and so never see how slow it is. The clients are aiohttp's, because httpx needs more than a millisecond of
processor time for a request, which 500 a second would not leave to the server.
"""

import asyncio
import json
import math
import random
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp

GIVES_UP_S = 20.0
"""Seconds after which a client no longer waits for an answer."""
ACCEPTED = 200
"""Status of what was taken in."""
REFUSED = frozenset({429, 503})
"""Statuses that ask to come again."""


@dataclass(frozen=True, slots=True)
class Request:
    """What one client asks."""

    path: str
    body: Mapping[str, Any] | None = None
    """None for a GET."""
    headers: Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one request."""

    number: int
    """Of the request, from 0."""
    sent_late_s: float
    """By how much the client itself was late: it is too slow where this is much."""
    latency_s: float
    """Seconds from the intended instant to the last byte of the answer."""
    status: int
    """Of HTTP; 0 where there was no answer."""
    comes_again: bool
    """Whether it was told when to come again."""
    body: bytes = b""
    at: float = 0.0
    """Instant of the answer, in seconds since the epoch."""


def arrivals(rate: float, seconds: float, seed: int) -> list[float]:
    """Instants of a Poisson process, in seconds from its beginning."""
    draw, at, found = random.Random(seed), 0.0, list[float]()
    while (at := at + draw.expovariate(rate)) < seconds:
        found.append(at)
    return found


async def offered(
    session: aiohttp.ClientSession, instants: Sequence[float], request_of: Callable[[int], Request]
) -> list[Answer]:
    """Ask at each of the instants, whatever became of what was asked before; every answer, in order of asking.

    Args:
        session: Connections.
        instants: In seconds from now, in order.
        request_of: What to ask, by number.
    """
    began = time.perf_counter()

    async def ask(number: int, at: float) -> Answer:
        sent = time.perf_counter() - began
        status, headers, body = await _asked(session, request_of(number))
        took = time.perf_counter() - began - at
        return Answer(number, sent - at, took, status, "retry-after" in headers, body, time.time())

    tasks = []
    for number, at in enumerate(instants):
        pause = began + at - time.perf_counter()
        # Without a pause others must be let on all the same.
        await asyncio.sleep(max(0.0, pause))
        tasks.append(asyncio.create_task(ask(number, at)))
    return list(await asyncio.gather(*tasks))


async def _asked(session: aiohttp.ClientSession, request: Request) -> tuple[int, Mapping[str, str], bytes]:
    method = "GET" if request.body is None else "POST"
    data = None if request.body is None else json.dumps(request.body).encode()
    headers = {"Content-Type": "application/json", **(request.headers or {})}
    try:
        async with session.request(method, request.path, data=data, headers=headers) as answer:
            told = {name.lower(): value for name, value in answer.headers.items()}
            return answer.status, told, await answer.read()
    except (aiohttp.ClientError, TimeoutError):
        return 0, {}, b""


def session_of(address: str, key: str) -> aiohttp.ClientSession:
    """Connections to a server, as many as are needed, by which a key is shown."""
    return aiohttp.ClientSession(
        address,
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=4.0),
        timeout=aiohttp.ClientTimeout(total=GIVES_UP_S),
        headers={"Authorization": f"Bearer {key}"},
    )


def share_below(values: Sequence[float], share: float) -> float | None:
    """The smallest of the values that is at least as large as `share` of them; None where there are none."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def summary(answers: Sequence[Answer], seconds: float) -> dict[str, Any]:
    """What was offered, taken and refused, and how long it took; in seconds and per second.

    Args:
        answers: Of everything that was asked.
        seconds: How long it was offered.
    """
    taken = [answer for answer in answers if answer.status == ACCEPTED]
    refused = [answer for answer in answers if answer.status in REFUSED]
    latencies = [answer.latency_s for answer in taken]
    return {
        "offered_per_s": round(len(answers) / seconds, 1),
        "accepted": len(taken),
        "accepted_per_s": round(len(taken) / seconds, 1),
        "p50_s": _rounded(share_below(latencies, 0.5)),
        "p99_s": _rounded(share_below(latencies, 0.99)),
        "most_s": _rounded(share_below([answer.latency_s for answer in answers], 1.0)),
        "refused": len(refused),
        "refused_without_retry_after": sum(not answer.comes_again for answer in refused),
        "refused_p99_s": _rounded(share_below([answer.latency_s for answer in refused], 0.99)),
        "others": dict(Counter(str(a.status) for a in answers if not _expected(a.status))),
        "client_late_p99_s": _rounded(share_below([answer.sent_late_s for answer in answers], 0.99)),
    }


def _expected(status: int) -> bool:
    return status == ACCEPTED or status in REFUSED


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
