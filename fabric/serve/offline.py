"""Models opened by programs that ask and wait, in the engines that serve: token ids in, greedy token ids out.

Knows nothing of HTTP, nor of what the tokens are for.
"""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

from fabric.serve.engines.choice import Choice, choose, open_engine
from fabric.serve.engines.engine import Engine
from fabric.serve.engines.settings import EngineName, EngineSettings
from fabric.serve.greedy import answer_greedy

Generate = Callable[[Sequence[Sequence[int]], int], list[tuple[int, ...]]]
"""From prompts and the longest answer to the new tokens of each, an end-of-text token included."""


class OfflineEngines:
    """Opens models one after the other; nothing is imported before the first is asked for."""

    def __init__(self, asked: EngineName, sizes: EngineSettings) -> None:
        """Say which engine to use.

        Args:
            asked: An engine's name, or `auto`.
            sizes: How large each may be.
        """
        self._asked = asked
        self._sizes = sizes

    @cached_property
    def choice(self) -> Choice:
        """The engine and the reason for it; the first time this takes seconds, and raises Unavailable if none works."""
        return choose(self._asked)

    @property
    def name(self) -> EngineName:
        """The engine's name, never `auto`."""
        return self.choice.engine

    @contextmanager
    def opened(self, folder: Path) -> Iterator[Generate]:
        """A block with the model in `folder` loaded; prompts given to it at once are computed together.

        Raises:
            NotFound: If the folder holds no model.
            Corrupt: If its files are damaged.
            Unavailable: If no engine imports.
        """
        engine = open_engine(self.choice, folder, self._sizes)
        engine.load()
        try:
            yield lambda prompts, max_tokens: asyncio.run(_answers(engine, prompts, max_tokens))
        finally:
            engine.close()


async def _answers(engine: Engine, prompts: Sequence[Sequence[int]], max_tokens: int) -> list[tuple[int, ...]]:
    found = await asyncio.gather(*(answer_greedy(engine, prompt, max_tokens) for prompt in prompts))
    return [answer.token_ids for answer in found]
