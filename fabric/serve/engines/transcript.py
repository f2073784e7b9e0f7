"""Turn a stream of tokens into a stream of text, and notice stop texts.

Knows nothing of where tokens come from.
"""

from collections.abc import Sequence

from fabric.serve.engines.text import Tokeniser

_CONTEXT_TOKENS = 5
"""Tokens before the answer that are decoded with it, since some tokenizers write a space only between words."""
_BROKEN = "\N{REPLACEMENT CHARACTER}"
_MOST_BROKEN = 3
"""Bytes of UTF-8's longest character but one: with the next token, so many broken ones may become a whole one."""
_LONGEST_WINDOW_TOKENS = 64
"""Tokens decoded together at most; a model that spells no character in so many will spell none."""


class Transcript:
    """The answer so far; what it has given out is never taken back."""

    def __init__(self, tokeniser: Tokeniser, prompt: Sequence[int], stops: Sequence[str]) -> None:
        self._tokeniser = tokeniser
        self._stops = stops
        self._tokens = list(prompt[-_CONTEXT_TOKENS:])
        self._start = 0
        """First token of the window, the tokens that are decoded together."""
        self._read = len(self._tokens)
        """First token whose text is not out, or not wholly."""
        self._out = len(tokeniser.decode(self._tokens))
        """Characters of the window's text that are out."""
        self._held = ""
        """Text that may be the beginning of a stop text."""
        self.stopped = False
        """Whether a stop text has come."""

    def add(self, token_ids: Sequence[int], last: bool) -> tuple[str, int]:
        """Take new tokens.

        Args:
            token_ids: Tokens that follow those given before.
            last: Whether no more will come, so that nothing is held back.

        Returns:
            Text that is now certain, and how many of `token_ids` belong to the answer: all of them unless a stop text
            ended it before.
        """
        for index, token in enumerate(token_ids, start=1):
            self._tokens.append(token)
            self._held += self._new_text(last=last and index == len(token_ids))
            if (at := min((p for s in self._stops if (p := self._held.find(s)) >= 0), default=-1)) >= 0:
                self.stopped = True
                return self._held[:at], index
        keep = 0 if last else self._may_begin_a_stop()
        text, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
        return text, len(token_ids)

    def _new_text(self, last: bool) -> str:
        """Text that the newest token made certain."""
        text = self._tokeniser.decode(self._tokens[self._start :])
        broken = len(text) - len(text.rstrip(_BROKEN))
        if broken and not last and len(self._tokens) - self._start < _LONGEST_WINDOW_TOKENS:
            certain = text[: len(text) - min(broken, _MOST_BROKEN)]
            new, self._out = certain[self._out :], max(self._out, len(certain))
            return new
        new = text[self._out :]
        # What was read now is the context of what comes.
        self._start, self._read = self._read, len(self._tokens)
        self._out = len(self._tokeniser.decode(self._tokens[self._start :]))
        return new

    def _may_begin_a_stop(self) -> int:
        """Length of the longest end of the held text that a stop text begins with."""
        lengths = (
            size for stop in self._stops for size in range(min(len(stop) - 1, len(self._held)), 0, -1)
            if self._held.endswith(stop[:size])
        )  # fmt: skip
        return max(lengths, default=0)
