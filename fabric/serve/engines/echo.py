"""An engine that says its prompt again, byte by byte, in a time that is set: for measuring what is around engines.

Knows nothing of models. It never stands in for a real engine: nothing chooses it but its name.
"""

import asyncio
from collections.abc import AsyncGenerator, Sequence

from fabric.core.errors import Unavailable
from fabric.serve.engines.engine import Piece, Sampling
from fabric.serve.engines.text import Turn

END = 256
"""Token after the 256 byte values: end of text."""


class ByteTokeniser:
    """Every byte of UTF-8 is a token."""

    num_tokens = END + 1
    ends = frozenset({END})

    def encode(self, text: str) -> tuple[int, ...]:
        """The bytes of `text`."""
        return tuple(text.encode())

    def encode_turns(self, turns: Sequence[Turn]) -> tuple[int, ...]:
        """The bytes of the last turn."""
        return self.encode(turns[-1].content)

    def decode(self, token_ids: Sequence[int]) -> str:
        """The text that the bytes spell."""
        return bytes(token for token in token_ids if token < END).decode(errors="replace")


class EchoSource:
    """Gives the prompt's tokens again, then end of text; over and over if that is to be ignored."""

    name = "echo"
    takes_seed = True

    def __init__(self, first_token_s: float = 0.0, token_s: float = 0.0) -> None:
        """Set its speed.

        Args:
            first_token_s: Seconds before the first token.
            token_s: Seconds before each further one.
        """
        self._first_token_s = first_token_s
        self._token_s = token_s
        self._closed = False
        self.num_running = 0
        """Answers under way."""

    def load(self) -> None:
        """Nothing is read."""

    async def tokens(self, prompt: Sequence[int], sampling: Sampling, ends: frozenset[int]) -> AsyncGenerator[Piece]:
        """The prompt's tokens.

        Raises:
            Unavailable: If it was closed.
        """
        answer = [*prompt, *ends]
        self.num_running += 1
        try:
            for index in range(sampling.max_tokens):
                await asyncio.sleep(self._token_s if index else self._first_token_s)
                self.check()
                token = answer[index % len(answer)]
                if token in ends:
                    yield Piece((token,), "stop")
                    return
                yield Piece((token,), "length" if index + 1 == sampling.max_tokens else None)
        finally:
            self.num_running -= 1

    def check(self) -> None:
        """Ask whether it still serves.

        Raises:
            Unavailable: If it was closed.
        """
        if self._closed:
            raise Unavailable("the echo engine was closed")

    def close(self) -> None:
        """End every answer under way."""
        self._closed = True
