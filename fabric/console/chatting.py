"""A conversation with a served model through the gateway, in pieces as they come.

Knows nothing of pages.
"""

import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import httpx

from fabric.config.trust import trust
from fabric.core.errors import FabricError, Unavailable

CONNECT_S, SILENCE_S = 5.0, 300.0
"""Longest waits, in seconds: for a connection, and for the next piece of an answer."""
MOST_TOKENS = 512
"""Longest answer, in tokens."""
_DATA, _DONE = "data:", "[DONE]"

Turn = tuple[str, str]
"""Who speaks (`user` or `assistant`), and what."""


class Chatting:
    """Asks the gateway with a person's key."""

    def __init__(
        self, gateway: str, key: str, transport: httpx.AsyncBaseTransport | None = None, *, ca: Path | None = None
    ) -> None:
        """Remember whom to ask; nothing is opened before the first call.

        Args:
            gateway: Base URL of the gateway.
            key: The person's key.
            transport: What carries the requests instead of the network; for tests.
            ca: File of certificates that are believed beside the system's.
        """
        self._gateway, self._key, self._transport = gateway, key, transport
        self._verify = trust(gateway, ca)

    def _http(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(
            base_url=self._gateway,
            headers={"Authorization": f"Bearer {self._key}"},
            timeout=httpx.Timeout(SILENCE_S, connect=CONNECT_S),
            transport=self._transport,
            trust_env=False,
            verify=self._verify,
        )

    async def models(self) -> tuple[str, ...]:
        """Names of the models that are served now.

        Raises:
            FabricError: If the gateway refuses.
            Unavailable: If it does not answer.
        """
        try:
            async with self._http() as http:
                answer = await http.get("/v1/models")
                await _require_success(answer)
            return tuple(str(model["id"]) for model in answer.json()["data"])
        except httpx.HTTPError as error:
            raise Unavailable(_silent(error)) from None
        except (ValueError, KeyError, TypeError):
            raise FabricError("the gateway's list of models is not understood") from None

    async def answer(self, model: str, turns: Sequence[Turn]) -> AsyncIterator[str]:
        """What the model says next.

        Args:
            model: Name of a served model.
            turns: The conversation so far, oldest first.

        Yields:
            Text as it comes.

        Raises:
            FabricError: If the gateway refuses.
            Unavailable: If it does not answer, or breaks off.
        """
        messages = [{"role": who, "content": said} for who, said in turns]
        body = {"model": model, "messages": messages, "stream": True, "max_tokens": MOST_TOKENS}
        try:
            async with self._http() as http, http.stream("POST", "/v1/chat/completions", json=body) as answer:
                await _require_success(answer)
                async for line in answer.aiter_lines():
                    if line.startswith(_DATA) and (piece := _text_of(line.removeprefix(_DATA).strip())):
                        yield piece
        except httpx.HTTPError as error:
            raise Unavailable(_silent(error)) from None


def _text_of(event: str) -> str:
    """The text that an event adds.

    Raises:
        FabricError: If the event says that the answer broke off, or is none.
    """
    if event == _DONE:
        return ""
    try:
        told = json.loads(event)
        if "error" in told:
            raise FabricError(str(told["error"].get("message", told["error"])))
        return "".join(choice["delta"].get("content") or "" for choice in told["choices"])
    except (ValueError, KeyError, TypeError, AttributeError):
        raise FabricError("the gateway's answer is not understood") from None


async def _require_success(answer: httpx.Response) -> None:
    if answer.is_success:
        return
    text = (await answer.aread()).decode(errors="replace")
    try:
        text = str(json.loads(text)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        text = f"the gateway answered {answer.status_code}"
    raise FabricError(text)


def _silent(error: httpx.HTTPError) -> str:
    return f"the gateway does not answer ({type(error).__name__}). Try again."
