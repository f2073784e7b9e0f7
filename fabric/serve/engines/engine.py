"""What every engine does: prompts in, pieces of text with their token ids out.

Knows nothing of HTTP or Ray, nor of what produces the tokens: that is a `TokenSource`. Text is made from tokens here
and only here, so answers read the same whichever engine gave them.
"""

import asyncio
import threading
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Literal, Protocol

from fabric.core.errors import BadInput
from fabric.serve.engines.text import Tokeniser, Turn
from fabric.serve.engines.transcript import Transcript

Finish = Literal["stop", "length"]
"""Why an answer ended: it said so (end-of-text token, stop text), or it was as long as it may be."""

Prompt = str | Sequence[int] | Sequence[Turn]
"""Text to go on from, token ids, or a conversation."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How to choose tokens, and when to stop."""

    max_tokens: int
    """Longest answer."""
    temperature: float = 0.0
    """0 always takes the likeliest token."""
    top_p: float = 1.0
    """Share of probability that is sampled from."""
    top_k: int = 0
    """Number of likeliest tokens that are sampled from; 0 means all."""
    seed: int | None = None
    """Makes sampling repeatable."""
    stop: tuple[str, ...] = ()
    """Texts before which the answer ends."""
    ignore_eos: bool = False
    """Go on after end-of-text tokens."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Tokens as a source gives them, one or more at a time."""

    token_ids: tuple[int, ...]
    """In order; an end-of-text token is the last."""
    finish: Finish | None = None
    """Set on the last piece."""


@dataclass(frozen=True, slots=True)
class Delta:
    """What an answer grows by."""

    text: str
    """May be empty: text that could still become a stop text, or half a character, is held back."""
    token_ids: tuple[int, ...]
    """New tokens, whether or not their text is out."""
    finish: Finish | None = None
    """Set on the last one."""


class TokenSource(Protocol):
    """What an engine is made of; `load` once, then `tokens` as often and as concurrently as wanted."""

    name: str
    """As in `engine:` of a configuration."""
    takes_seed: bool
    """Whether `Sampling.seed` is honoured."""

    def load(self) -> None:
        """Read the model; takes seconds and blocks. Raises BadInput, or Corrupt if it is damaged."""

    def tokens(self, prompt: Sequence[int], sampling: Sampling, ends: frozenset[int]) -> AsyncGenerator[Piece]:
        """Continue `prompt` up to one of `ends`; closing the generator frees what it holds. Raises Unavailable."""

    def check(self) -> None:
        """Raises Unavailable, with the first cause, if it can serve no more."""

    def close(self) -> None:
        """Free everything; answers under way end with Unavailable."""


class Engine:
    """A loaded model that answers prompts, any number at a time."""

    def __init__(self, source: TokenSource, tokeniser: Tokeniser, max_context: int) -> None:
        self._source = source
        self._tokeniser = tokeniser
        self._loading = threading.Lock()
        self._loaded = False
        self.max_context = max_context
        self.num_running = 0
        """Answers under way."""

    @property
    def name(self) -> str:
        """Which engine it is."""
        return self._source.name

    def load(self) -> None:
        """Read the model, once; takes seconds and blocks.

        Raises:
            BadInput: If the engine cannot serve this model.
            Corrupt: If its files are damaged.
        """
        with self._loading:
            if not self._loaded:
                self._source.load()
                self._loaded = True

    async def warm_up(self) -> None:
        """Load the model and make it give one real token, after which it is ready.

        Raises:
            Unavailable: If no token comes.
        """
        await asyncio.to_thread(self.load)
        async for _ in self.generate([0], Sampling(max_tokens=1, ignore_eos=True)):
            pass

    def encode(self, prompt: Prompt) -> tuple[int, ...]:
        """The token ids of `prompt`.

        Raises:
            BadInput: If it is empty, holds an id that the model does not have, or is a conversation and the model has
                no chat template.
        """
        if isinstance(prompt, str):
            ids = self._tokeniser.encode(prompt)
        elif prompt and isinstance(prompt[0], Turn):
            ids = self._tokeniser.encode_turns([turn for turn in prompt if isinstance(turn, Turn)])
        else:
            ids = tuple(token for token in prompt if isinstance(token, int))
        if not ids:
            raise BadInput("the prompt has no tokens; give it some text", param="prompt")
        if max(ids) >= self._tokeniser.num_tokens or min(ids) < 0:
            raise BadInput(
                f"the prompt has token id {max(ids)}, the model knows 0 to {self._tokeniser.num_tokens - 1}",
                param="prompt",
            )
        return ids

    def room(self, num_prompt_tokens: int, asked_tokens: int | None = None) -> int:
        """How long an answer may be: `asked_tokens`, or whatever the context leaves.

        Raises:
            BadInput: If prompt and answer together are longer than the context.
        """
        left = self.max_context - num_prompt_tokens
        if left < max(1, asked_tokens or 1):
            answer = f" and {asked_tokens} of answer" if asked_tokens else ""
            raise BadInput(
                f"the prompt has {num_prompt_tokens} tokens{answer}, but the context holds {self.max_context}. "
                "Shorten the prompt or lower max_tokens.",
                code="context_length_exceeded",
            )
        return asked_tokens or left

    async def generate(self, prompt: Sequence[int], sampling: Sampling) -> AsyncGenerator[Delta]:
        """Continue `prompt`, whose length `room` has judged; the last delta says why it ended.

        Closing the generator frees what the answer holds.

        Raises:
            BadInput: If a seed is given and the engine takes none.
            Unavailable: If the engine stops working.
        """
        if sampling.seed is not None and not self._source.takes_seed:
            raise BadInput(f"seed: the {self.name} engine takes no seed for one request; leave it out", param="seed")
        ends = frozenset[int]() if sampling.ignore_eos else self._tokeniser.ends
        transcript = Transcript(self._tokeniser, prompt, sampling.stop)
        self.num_running += 1
        try:
            async with aclosing(self._source.tokens(prompt, sampling, ends)) as pieces:
                async for piece in pieces:
                    text, num_kept = transcript.add(piece.token_ids, last=piece.finish is not None)
                    if transcript.stopped:
                        yield Delta(text, piece.token_ids[:num_kept], "stop")
                        return
                    yield Delta(text, piece.token_ids, piece.finish)
        finally:
            self.num_running -= 1

    def check(self) -> None:
        """Ask whether it still serves.

        Raises:
            Unavailable: With the first cause if it does not.
        """
        self._source.check()

    def close(self) -> None:
        """Free everything."""
        self._source.close()
