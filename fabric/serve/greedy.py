"""Greedy answers through the same engines that serve, one prompt at a time, for programs without an event loop.

Knows nothing of HTTP. A prompt is never computed together with another, so an answer does not depend on its neighbours.
"""

import asyncio
from collections.abc import Iterable
from contextlib import aclosing
from dataclasses import dataclass

from fabric.serve.engines.engine import Engine, Finish, Prompt, Sampling


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model said."""

    prompt_token_ids: tuple[int, ...]
    """The prompt as the model saw it."""
    token_ids: tuple[int, ...]
    """The answer, an end-of-text token included."""
    text: str
    """The answer in words."""
    finish: Finish
    """Why it ended."""


def generate_greedy(
    engine: Engine, prompts: Iterable[Prompt], max_tokens: int, stop: tuple[str, ...] = ()
) -> list[Answer]:
    """Answer every prompt with the likeliest tokens, loading the model first if need be.

    Args:
        engine: From `fabric.serve.engines.choice.open_engine`; close it when done.
        prompts: Texts, token ids or conversations, answered one after the other.
        max_tokens: Longest answer; shorter where the context ends.
        stop: Texts before which an answer ends.

    Raises:
        BadInput: If a prompt does not fit the context.
        Unavailable: If the engine fails.
    """
    engine.load()

    async def answer_all() -> list[Answer]:
        return [await answer_greedy(engine, prompt, max_tokens, stop) for prompt in prompts]

    return asyncio.run(answer_all())


async def answer_greedy(engine: Engine, prompt: Prompt, max_tokens: int, stop: tuple[str, ...] = ()) -> Answer:
    """Answer one prompt with the likeliest tokens, from a loaded engine.

    Raises:
        BadInput: If the prompt does not fit the context.
        Unavailable: If the engine fails.
    """
    ids = engine.encode(prompt)
    sampling = Sampling(max_tokens=min(max_tokens, engine.room(len(ids))), stop=stop)
    tokens: list[int] = []
    text = ""
    finish: Finish = "length"
    async with aclosing(engine.generate(ids, sampling)) as deltas:
        async for delta in deltas:
            tokens.extend(delta.token_ids)
            text += delta.text
            finish = delta.finish or finish
    return Answer(ids, tuple(tokens), text, finish)
