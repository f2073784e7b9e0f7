"""One model over OpenAI's HTTP API: the ASGI application that a replica runs.

Knows nothing of Ray, nor of how many replicas there are.
"""

import asyncio
import hmac
import logging
import time
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, TypeVar

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from fabric.api.openai import (
    DEFAULT_COMPLETION_TOKENS,
    DONE,
    ChatRequest,
    CompletionRequest,
    ModelCard,
    ModelCards,
    SamplingRequest,
    answer_to,
    error_object,
    event,
    parse,
)
from fabric.core.errors import FabricError, NotFound, Unauthenticated, Unavailable
from fabric.serve.endpoints import SECRET_HEADER, ReplicaSpec
from fabric.serve.engines.engine import Delta, Engine, Finish, Sampling
from fabric.serve.engines.text import Turn
from fabric.serve.greedy import Answer
from fabric.serve.shapes import ChatShape, CompletionShape, Envelope, Shape, usage_of

_log = logging.getLogger(__name__)
_T = TypeVar("_T")
GONE = 499
"""Status noted when a client left before its answer began; nobody reads it."""


class Replica:
    """An engine with the names it is served under; not ready until `warm_up` has had a token from it."""

    def __init__(self, engine: Engine, spec: ReplicaSpec, about: Mapping[str, str] | None = None) -> None:
        self._engine = engine
        self._spec = spec
        self._about = dict(about or {})
        self._ready = False

    async def warm_up(self) -> None:
        """Load the model and have it give one token."""
        await self._engine.warm_up()
        self._ready = True

    def health(self) -> Mapping[str, Any]:
        """What is served, by which engine and why, and how many answers are under way.

        Raises:
            Unavailable: If no token has come yet, or the engine has failed.
        """
        if not self._ready:
            raise Unavailable("the model is still loading")
        self._engine.check()
        about = {"model": self._spec.names[0], "engine": self._engine.name, **self._about}
        return {"status": "ok", **about, "running": self._engine.num_running}

    def cards(self) -> ModelCards:
        """The model and its aliases."""
        first = self._spec.names[0]
        return ModelCards(
            data=tuple(
                ModelCard(id=name, created=self._spec.created, root=None if name == first else first)
                for name in self._spec.names
            )
        )

    def card(self, name: str) -> ModelCard:
        """One of the names.

        Raises:
            NotFound: If it is none of them.
        """
        found = [card for card in self.cards().data if card.id == name]
        if not found:
            raise NotFound(
                f"the model {name!r} is not served here. Served: {', '.join(self._spec.names)}.", param="model"
            )
        return found[0]

    async def chat(self, body: bytes, receive: Receive) -> Response:
        """Answer `POST /v1/chat/completions`."""
        request = parse(ChatRequest, body)
        self.card(request.model)
        # A developer's message is what older models call a system message.
        turns = [Turn("system" if m.role == "developer" else m.role, m.content) for m in request.messages]
        prompt = self._engine.encode(turns)
        sampling = _sampling(request, self._engine.room(len(prompt), request.answer_tokens))
        return await self._answer(_Question(request, prompt, sampling), receive, ChatShape)

    async def complete(self, body: bytes, receive: Receive) -> Response:
        """Answer `POST /v1/completions`."""
        request = parse(CompletionRequest, body)
        self.card(request.model)
        prompt = self._engine.encode(request.prompt)
        room = self._engine.room(len(prompt), request.max_tokens)
        sampling = _sampling(request, request.max_tokens or min(room, DEFAULT_COMPLETION_TOKENS))
        return await self._answer(_Question(request, prompt, sampling), receive, CompletionShape)

    def _envelope(self, request: SamplingRequest) -> Envelope:
        return Envelope(
            id=f"fabric-{uuid.uuid4().hex}",
            model=self._spec.names[0],
            created=int(time.time()),
            with_tokens=request.return_token_ids,
            with_usage=request.stream_options.include_usage,
        )

    async def _answer(self, question: "_Question", receive: Receive, shape_of: Callable[[Envelope], Shape]) -> Response:
        shape = shape_of(self._envelope(question.request))
        deltas = self._engine.generate(question.prompt, question.sampling)
        if not question.request.stream:
            answer = await _unless_gone(receive, _gather(question.prompt, deltas))
            if answer is None:
                return Response(status_code=GONE)
            return JSONResponse(shape.whole(answer, usage_of(len(question.prompt), len(answer.token_ids))))
        # With the first token in hand, an engine that cannot answer is told by status, not inside a stream.
        first = await _unless_gone(receive, anext(deltas))
        if first is None:
            await deltas.aclose()
            return Response(status_code=GONE)
        events = _events(question, first, deltas, shape)
        return StreamingResponse(events, media_type="text/event-stream", headers={"Cache-Control": "no-cache"})


@dataclass(frozen=True, slots=True)
class _Question:
    """A request that has been read and judged."""

    request: SamplingRequest
    prompt: tuple[int, ...]
    sampling: Sampling


def _sampling(request: SamplingRequest, max_tokens: int) -> Sampling:
    return Sampling(
        max_tokens=max_tokens,
        temperature=request.temperature,
        top_p=request.top_p,
        top_k=max(0, request.top_k),
        seed=request.seed,
        stop=request.stop,
        ignore_eos=request.ignore_eos,
    )


async def _gather(prompt: tuple[int, ...], deltas: AsyncGenerator[Delta]) -> Answer:
    text, tokens = [], list[int]()
    finish: Finish = "length"
    async with aclosing(deltas):
        async for delta in deltas:
            text.append(delta.text)
            tokens.extend(delta.token_ids)
            finish = delta.finish or finish
    return Answer(prompt, tuple(tokens), "".join(text), finish)


async def _events(
    question: _Question, first: Delta, rest: AsyncGenerator[Delta], shape: Shape
) -> AsyncGenerator[bytes]:
    """The events of a stream; one that fails half-way says so in its last event instead of breaking off."""
    opening = shape.opening(question.prompt)
    num_tokens = len(first.token_ids)
    async with aclosing(rest):
        yield (event(opening) if opening else b"") + event(shape.chunk(first))
        try:
            async for delta in rest:
                num_tokens += len(delta.token_ids)
                if delta.text or delta.finish or question.request.return_token_ids:
                    yield event(shape.chunk(delta))
            if question.request.stream_options.include_usage:
                yield event(shape.counts(usage_of(len(question.prompt), num_tokens)))
        except FabricError as error:
            yield event(answer_to(error)[1])
    yield DONE


async def _unless_gone(receive: Receive, work: Awaitable[_T]) -> _T | None:
    """The result of `work`, which is cancelled if the client leaves; then None."""
    task: asyncio.Task[_T] = asyncio.ensure_future(work)
    gone = asyncio.create_task(_gone(receive))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        return task.result() if task.done() else None
    finally:
        gone.cancel()
        task.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def build_http(replica: Replica, secret: str = "") -> ASGIApp:
    """The application.

    Args:
        replica: What answers; it may become ready later.
        secret: What `X-Fabric-Service` must say, except on `/health`; empty lets everybody in.
    """
    app = FastAPI(openapi_url=None, exception_handlers=dict(_HANDLERS))

    @app.get("/health")
    async def health() -> JSONResponse:
        return JSONResponse(replica.health())

    @app.get("/v1/models")
    async def models() -> JSONResponse:
        return JSONResponse(replica.cards().model_dump())

    @app.get("/v1/models/{name:path}")
    async def model(name: str) -> JSONResponse:
        return JSONResponse(replica.card(name).model_dump())

    @app.post("/v1/chat/completions")
    async def chat(request: Request) -> Response:
        return await replica.chat(await request.body(), request.receive)

    @app.post("/v1/completions")
    async def complete(request: Request) -> Response:
        return await replica.complete(await request.body(), request.receive)

    return _RequireSecret(app, secret) if secret else app


class _RequireSecret:
    """Lets requests through that carry the secret."""

    def __init__(self, app: ASGIApp, secret: str) -> None:
        self._app = app
        self._secret = secret.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] != "/health":
            name = SECRET_HEADER.lower().encode()
            given = next((value for key, value in scope["headers"] if key == name), b"")
            if not hmac.compare_digest(given, self._secret):
                status, body = answer_to(Unauthenticated(f"this service answers its gateway only ({SECRET_HEADER})"))
                await JSONResponse(body, status)(scope, receive, send)
                return
        await self._app(scope, receive, send)


async def _tell_fabric(_: Request, error: Exception) -> Response:
    status, body = answer_to(error if isinstance(error, FabricError) else FabricError(str(error)))
    return JSONResponse(body, status)


async def _tell_http(request: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    message = f"{request.method} {request.url.path}: {error.detail if isinstance(error, HTTPException) else error}"
    return JSONResponse(error_object(message, "invalid_request_error", code="unknown_url"), status)


async def _tell_defect(request: Request, error: Exception) -> Response:
    _log.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return JSONResponse(error_object(f"internal error ({type(error).__name__})", "server_error", code="internal"), 500)


_HANDLERS: Mapping[Any, Callable[[Request, Exception], Coroutine[Any, Any, Response]]] = {
    FabricError: _tell_fabric,
    HTTPException: _tell_http,
    Exception: _tell_defect,
}
