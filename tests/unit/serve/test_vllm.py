"""Who asks vLLM's thread for tokens gets them or hears why not, also while it fails or ends."""

import asyncio
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fabric.core.errors import BadInput, Unavailable
from fabric.serve.engines import vllm
from fabric.serve.engines.engine import Piece, Sampling
from fabric.serve.engines.settings import EngineSettings
from fabric.serve.engines.vllm import VllmSource

PATIENCE_S = 10.0
"""Far more than any of this takes; who is never told waits for ever."""


class FakeEngine:
    """Gives each request one token a step; a test may say what else happens there."""

    def __init__(self) -> None:
        self.running: list[str] = []
        self.adds: Callable[[], None] = lambda: None
        self.steps: Callable[[], None] = lambda: None

    def has_unfinished_requests(self) -> bool:
        return bool(self.running)

    def add_request(self, name: str, prompt: Any, params: Any) -> None:
        self.adds()
        self.running.append(name)

    def abort_request(self, names: list[str]) -> None:
        self.running = [name for name in self.running if name not in names]

    def step(self) -> list[Any]:
        self.steps()
        named, self.running = self.running, []
        answer = SimpleNamespace(token_ids=[7], finish_reason="length")
        return [SimpleNamespace(request_id=name, outputs=[answer], finished=True) for name in named]


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def source(engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> Iterator[VllmSource]:
    """A source with the fake engine in place of vLLM, which takes seconds to import."""
    monkeypatch.setitem(sys.modules, "vllm", SimpleNamespace(SamplingParams=lambda **chosen: chosen))
    monkeypatch.setitem(sys.modules, "vllm.inputs", SimpleNamespace(tokens_input=list))
    monkeypatch.setattr(vllm, "model_config", lambda folder: {"architectures": []})
    monkeypatch.setattr(vllm, "_deltas", lambda: None)
    monkeypatch.setattr(vllm, "_engine", lambda *_: engine)
    monkeypatch.setattr(vllm, "_forget", lambda engine: None)
    source = VllmSource(Path("no/model/needed"), EngineSettings())
    source.load()
    yield source
    source.close()


def asked(source: VllmSource) -> AsyncIterator[Piece]:
    return source.tokens([1, 2], Sampling(max_tokens=1), frozenset())


def asking(source: VllmSource) -> "asyncio.Task[Piece]":
    """The first token of a request."""

    async def first() -> Piece:
        return await asyncio.wait_for(anext(asked(source)), PATIENCE_S)

    return asyncio.create_task(first())


async def test_a_request_gets_its_tokens(source: VllmSource) -> None:
    assert await asking(source) == Piece((7,), "length")


async def test_requests_that_came_during_the_step_that_failed_hear_of_it(
    source: VllmSource, engine: FakeEngine
) -> None:
    stepping, goes_on = threading.Event(), threading.Event()

    def fails() -> None:
        stepping.set()
        goes_on.wait(PATIENCE_S)
        raise RuntimeError("out of memory")

    engine.steps = fails
    first = asking(source)
    await asyncio.to_thread(stepping.wait, PATIENCE_S)
    meanwhile = [asking(source) for _ in range(3)]
    await asyncio.sleep(0)  # each of them has asked now
    goes_on.set()
    for each in (first, *meanwhile, asking(source)):
        with pytest.raises(Unavailable, match="the vLLM engine failed: RuntimeError: out of memory"):
            await each


async def test_who_asks_just_as_the_engine_ends_hears_of_it(
    source: VllmSource, monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed_meanwhile(**_: Any) -> None:
        source.close()

    monkeypatch.setattr(source, "_params", closed_meanwhile)
    with pytest.raises(Unavailable, match="the vLLM engine was closed"):
        await asking(source)


async def test_a_request_that_ends_the_engine_as_it_is_taken_hears_of_it_too(
    source: VllmSource, engine: FakeEngine
) -> None:
    def fails() -> None:
        raise TypeError("no such parameter")

    engine.adds = fails
    with pytest.raises(Unavailable, match="the vLLM engine failed: TypeError: no such parameter"):
        await asking(source)


async def test_a_request_that_is_refused_harms_no_other(source: VllmSource, engine: FakeEngine) -> None:
    def refuses() -> None:
        raise ValueError("too long")

    engine.adds = refuses
    with pytest.raises(BadInput, match="vLLM refuses this request: too long"):
        await asking(source)
    engine.adds = lambda: None
    assert await asking(source) == Piece((7,), "length")
