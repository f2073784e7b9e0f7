"""Answers in the shapes of OpenAI's chat and completion objects, whole and in chunks.

Knows nothing of engines' insides or HTTP.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from fabric.api.openai import Usage
from fabric.serve.engines.engine import Delta
from fabric.serve.greedy import Answer

Json = Mapping[str, Any]
"""A JSON object."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """What every object of one answer carries."""

    id: str
    """Unique id of the answer."""
    model: str
    """The model's own name, whatever alias was asked for."""
    created: int
    """Seconds since the epoch."""
    with_tokens: bool
    """Whether token ids are told (`return_token_ids`)."""
    with_usage: bool
    """Whether a stream ends with token counts (`stream_options.include_usage`)."""

    def around(self, kind: str, choices: list[Json], **more: Any) -> Json:
        """An object of `kind`."""
        return {"id": self.id, "object": kind, "created": self.created, "model": self.model, "choices": choices, **more}


class Shape(Protocol):
    """How one endpoint puts answers."""

    def opening(self, prompt_token_ids: tuple[int, ...]) -> Json | None:
        """First chunk of a stream, before any text."""

    def chunk(self, delta: Delta) -> Json:
        """One chunk of a stream."""

    def counts(self, usage: Usage) -> Json:
        """Last chunk of a stream that tells token counts."""

    def whole(self, answer: Answer, usage: Usage) -> Json:
        """An answer that is not streamed."""


@dataclass(frozen=True, slots=True)
class ChatShape:
    """`/v1/chat/completions`."""

    envelope: Envelope
    """What every object carries."""

    def opening(self, prompt_token_ids: tuple[int, ...]) -> Json:
        """Says who speaks, and the prompt's tokens if they are wanted."""
        more = {"prompt_token_ids": prompt_token_ids} if self.envelope.with_tokens else {}
        return self._chunk([self._choice({"role": "assistant", "content": ""}, None)], **more)

    def chunk(self, delta: Delta) -> Json:
        """What the message grows by."""
        more = {"token_ids": delta.token_ids} if self.envelope.with_tokens else {}
        return self._chunk([self._choice({"content": delta.text} if delta.text else {}, delta.finish, **more)])

    def counts(self, usage: Usage) -> Json:
        """No choices, only token counts."""
        return self.envelope.around("chat.completion.chunk", [], usage=usage.model_dump())

    def whole(self, answer: Answer, usage: Usage) -> Json:
        """One message."""
        tokens = self.envelope.with_tokens
        choice = {
            "index": 0,
            "message": {"role": "assistant", "content": answer.text, "refusal": None},
            "logprobs": None,
            "finish_reason": answer.finish,
            **({"token_ids": answer.token_ids} if tokens else {}),
        }
        more = {"prompt_token_ids": answer.prompt_token_ids} if tokens else {}
        return self.envelope.around("chat.completion", [choice], usage=usage.model_dump(), **more)

    def _chunk(self, choices: list[Json], **more: Any) -> Json:
        return self.envelope.around("chat.completion.chunk", choices, **_no_usage(self.envelope), **more)

    def _choice(self, delta: Json, finish: str | None, **more: Any) -> Json:
        return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish, **more}


@dataclass(frozen=True, slots=True)
class CompletionShape:
    """`/v1/completions`."""

    envelope: Envelope
    """What every object carries."""

    def opening(self, prompt_token_ids: tuple[int, ...]) -> Json | None:
        """Only the prompt's tokens, if they are wanted."""
        if not self.envelope.with_tokens:
            return None
        return self._around(self._choice("", None, prompt_token_ids=prompt_token_ids, token_ids=()))

    def chunk(self, delta: Delta) -> Json:
        """What the text grows by."""
        more = {"token_ids": delta.token_ids} if self.envelope.with_tokens else {}
        return self._around(self._choice(delta.text, delta.finish, **more))

    def counts(self, usage: Usage) -> Json:
        """No choices, only token counts."""
        return self.envelope.around("text_completion", [], usage=usage.model_dump())

    def whole(self, answer: Answer, usage: Usage) -> Json:
        """One text."""
        more: dict[str, Any] = {}
        if self.envelope.with_tokens:
            more = {"token_ids": answer.token_ids, "prompt_token_ids": answer.prompt_token_ids}
        choice = self._choice(answer.text, answer.finish, **more)
        return self.envelope.around("text_completion", [choice], usage=usage.model_dump())

    def _around(self, choice: Json) -> Json:
        return self.envelope.around("text_completion", [choice], **_no_usage(self.envelope))

    def _choice(self, text: str, finish: str | None, **more: Any) -> Json:
        return {"index": 0, "text": text, "logprobs": None, "finish_reason": finish, **more}


def _no_usage(envelope: Envelope) -> dict[str, None]:
    """Where a stream will tell token counts, its other chunks say that they do not."""
    return {"usage": None} if envelope.with_usage else {}


def usage_of(num_prompt_tokens: int, num_answer_tokens: int) -> Usage:
    """Token counts with their sum."""
    return Usage(
        prompt_tokens=num_prompt_tokens,
        completion_tokens=num_answer_tokens,
        total_tokens=num_prompt_tokens + num_answer_tokens,
    )
