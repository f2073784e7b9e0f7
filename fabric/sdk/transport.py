"""One request to control: sent, repeated while that may help, and its failure raised as the fabric's own error.

Knows nothing of what is asked.
"""

import asyncio
import random
import time
from collections.abc import AsyncGenerator, AsyncIterable, Callable, Coroutine
from functools import partial
from typing import Any, TypeVar

import httpx
from pydantic import ValidationError

from fabric.config.settings import Settings
from fabric.config.trust import trust
from fabric.core.errors import FabricError, Unavailable
from fabric.sdk.failures import error_of, misunderstood, unreachable
from fabric.sdk.target import Target

S = TypeVar("S", bound=Settings)

Body = Callable[[], AsyncIterable[bytes]]
"""Makes the content of a request, in pieces."""


FIRST_PAUSE_S = 0.1
"""Pause before the first repetition, in seconds; it doubles each time."""

LONGEST_PAUSE_S = 2.0
"""Longest pause between two tries, in seconds, unless the server asks for more."""

CONNECT_S = 5.0
"""Longest wait for a connection, in seconds."""

TRY_AGAIN = frozenset({429, 502, 503, 504})
"""Answers after which the same request may succeed."""

_chance = random.SystemRandom()


class Transport:
    """Connections to one fabric; belongs to one event loop."""

    def __init__(self, to: Target, timeout_s: float, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self.address = to.address
        self._timeout_s = timeout_s
        self._http = httpx.AsyncClient(
            base_url=to.address,
            # Routes that Ray's clients use too answer them in plain text unless JSON is asked for.
            headers={"Accept": "application/json"} | ({"Authorization": f"Bearer {to.token}"} if to.token else {}),
            timeout=httpx.Timeout(timeout_s, connect=min(CONNECT_S, timeout_s)),
            transport=transport,
            # A proxy of the environment cannot reach this machine's own ports.
            trust_env=not to.local,
            verify=trust(to.address, to.ca),
        )

    async def ask(
        self,
        method: str,
        path: str,
        *,
        patience_s: float = 0.0,
        body: Body | None = None,
        answer_s: float | None = None,
        **request: Any,
    ) -> httpx.Response:
        """Send a request and return its answer, which is below 400.

        Args:
            method: HTTP method.
            path: Path on control.
            patience_s: How long to repeat it, in seconds, while nobody answers; 0 for what must not be repeated.
            body: Makes the content anew for each try, in pieces.
            answer_s: Longest wait for one answer, in seconds, where it is longer than usual.
            **request: As httpx takes it: `params`, `json`, `content`, `headers`.

        Raises:
            FabricError: What the server raised, or Unavailable if it cannot be reached.
        """
        if answer_s is not None:
            request["timeout"] = httpx.Timeout(max(answer_s, self._timeout_s), connect=min(CONNECT_S, self._timeout_s))

        def send() -> Coroutine[Any, Any, httpx.Response]:
            content: dict[str, Any] = {} if body is None else {"content": body()}
            return self._http.request(method, path, **request, **content)

        return await self._repeated(send, patience_s)

    async def pieces(self, path: str, *, version: str, offset: int = 0, patience_s: float) -> AsyncGenerator[bytes]:
        """What is at a path, from byte `offset` on; where the connection breaks, it goes on with another one.

        Args:
            path: Path on control, which takes `offset`.
            version: Header of the answer that is another one once the content has changed.
            offset: First byte.
            patience_s: How long to repeat each request, in seconds, while nobody answers.

        Raises:
            FabricError: What the server raised.
            Unavailable: If it cannot be reached, or changes meanwhile.
        """
        seen, broken_at = None, -1
        while True:
            answer = await self._repeated(partial(self._opened, path, offset), patience_s)
            try:
                if seen is not None and answer.headers.get(version) != seen:
                    raise Unavailable(f"{self.address}{path}: changed while it was being read. Read it again.")
                seen = answer.headers.get(version)
                # As it comes: what would be gathered first is lost where the connection breaks.
                async for piece in answer.aiter_bytes():
                    offset += len(piece)
                    yield piece
                return
            except httpx.HTTPError as error:
                if offset == broken_at or patience_s <= 0:
                    failure = unreachable(error, self.address)
                    raise failure from None
                broken_at = offset
            finally:
                await answer.aclose()

    async def _opened(self, path: str, offset: int) -> httpx.Response:
        """An answer whose content is not read yet."""
        return await self._http.send(self._http.build_request("GET", path, params={"offset": str(offset)}), stream=True)

    async def _repeated(
        self, send: Callable[[], Coroutine[Any, Any, httpx.Response]], patience_s: float
    ) -> httpx.Response:
        """The first answer below 400, as long as there is patience.

        Raises:
            FabricError: What the server raised, or Unavailable if it cannot be reached.
        """
        ends = time.monotonic() + patience_s
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                response = await send()
                if response.status_code < 400:  # noqa: PLR2004 - where errors begin in HTTP
                    return response
                await response.aread()
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                failure, wait_s = unreachable(error, self.address), pause_s
                again = isinstance(error, httpx.TransportError) and not isinstance(error, httpx.UnsupportedProtocol)
            else:
                failure, wait_s = error_of(response), max(pause_s, _retry_after_s(response))
                again = response.status_code in TRY_AGAIN
            wait_s *= 1 + 0.2 * _chance.random()
            if not again or time.monotonic() + wait_s > ends:
                raise failure
            await asyncio.sleep(wait_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    async def read(self, cls: type[S], method: str, path: str, *, patience_s: float = 0.0, **request: Any) -> S:
        """Send a request and read its answer as a `cls`.

        Raises:
            FabricError: What the server raised, or that its answer is no `cls`.
        """
        response = await self.ask(method, path, patience_s=patience_s, **request)
        try:
            return cls.model_validate_json(response.content)
        except ValidationError as error:
            raise FabricError(misunderstood(error, f"{method} {self.address}{path}")) from None

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()


def _retry_after_s(response: httpx.Response) -> float:
    """Seconds that the server asks to wait; 0 if it does not say, or says it as a date."""
    try:
        return max(0.0, float(response.headers.get("Retry-After", 0)))
    except ValueError:
        return 0.0
