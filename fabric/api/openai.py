"""The part of OpenAI's HTTP API that the fabric speaks, as types that refuse what they do not know.

Knows nothing of engines or HTTP frameworks. `return_token_ids`, `ignore_eos` and `top_k` are vLLM's extensions and
spelt as there.
"""

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BeforeValidator, ConfigDict, Field, GetJsonSchemaHandler, ValidationError, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError

from fabric.config.settings import Settings
from fabric.core.errors import BadInput, Denied, FabricError, NotFound, Unauthenticated, Unavailable
from fabric.core.failures import TooOften

MAX_STOPS = 16
"""Stop strings in one request; each is searched for in every piece of text."""
MAX_STOP_CHARS = 256
"""Longest stop string; as much text is held back while a stream could still turn out to contain it."""
DEFAULT_COMPLETION_TOKENS = 16
"""Answer length of `/v1/completions` where the request names none, as OpenAI documents it."""
DONE = b"data: [DONE]\n\n"
"""Last event of every stream."""

_NEUTRAL: Mapping[str, tuple[Any, ...]] = {
    "n": (1,), "best_of": (1,), "logprobs": (False,), "top_logprobs": (0,), "echo": (False,), "suffix": ("",),
    "tools": ([],), "tool_choice": ("none", "auto"), "functions": ([],), "function_call": ("none", "auto"),
    "response_format": ({"type": "text"},), "logit_bias": ({},),
    "presence_penalty": (0, 0.0), "frequency_penalty": (0, 0.0),
    "modalities": (["text"],), "audio": (), "prediction": (), "web_search_options": (), "reasoning_effort": ("none",),
}  # fmt: skip
"""Parameters of OpenAI's that are not supported, with the values that ask for nothing and may therefore be sent."""

_UNUSED: Mapping[str, tuple[Any, ...]] = {"annotations": ([],), "tool_calls": ([],), "refusal": ()}
"""Fields of an answer that may be sent back, with the values that say nothing."""

_WITHOUT_EFFECT = frozenset(
    {"user", "metadata", "store", "service_tier", "safety_identifier", "prompt_cache_key", "parallel_tool_calls"}
)
"""Parameters that change no answer; they are taken and dropped."""


def _text(content: Any) -> Any:
    # Refusals become problems of the parsed body.
    if not isinstance(content, list):
        return content
    kinds = {part.get("type") if isinstance(part, dict) else None for part in content}
    if kinds - {"text"}:
        raise ValueError(f"only text parts are understood, got {sorted(map(str, kinds - {'text'}))}")
    return "".join(str(part.get("text", "")) for part in content)


def _one_prompt(prompt: Any) -> Any:
    # A list that holds a single prompt means that prompt.
    if isinstance(prompt, list) and len(prompt) == 1 and isinstance(prompt[0], str | list):
        return prompt[0]
    if isinstance(prompt, list) and len(prompt) > 1 and isinstance(prompt[0], str | list):
        raise ValueError(f"takes one prompt per request, got {len(prompt)}; send one request for each")
    tokens = isinstance(prompt, list) and prompt and all(type(token) is int and token >= 0 for token in prompt)
    if not tokens and not isinstance(prompt, str):
        raise ValueError("must be a text or a list of token ids")
    return prompt


def _listed(stop: Any) -> Any:
    return [stop] if isinstance(stop, str) else stop


class Message(Settings):
    """One turn of a conversation."""

    role: Literal["system", "developer", "user", "assistant"]
    """Who speaks."""
    content: Annotated[str, BeforeValidator(_text, json_schema_input_type=str | list[dict[str, Any]])]
    """What was said; a list of text parts is joined."""
    name: str | None = None
    """Taken and not shown to the model."""

    @model_validator(mode="before")
    @classmethod
    def _answers_may_be_sent_back(cls, message: Any) -> Any:
        """Clients send an answer back as it came, with every field that it did not use."""
        return _without_nulls(message, _UNUSED)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return _with_nulls(handler.resolve_ref_schema(handler(schema)), _UNUSED)


class StreamOptions(Settings):
    """What a stream carries besides text."""

    include_usage: bool = False
    """Whether a last chunk tells the token counts."""


PromptText = str | list[int] | list[str] | list[list[int]]
StopText = Annotated[str, Field(min_length=1, max_length=MAX_STOP_CHARS)]
Tokens = Annotated[tuple[int, ...], Field(min_length=1, strict=False)]


class SamplingRequest(Settings):
    """What chat and completion requests have in common."""

    model: str
    """Model id or alias."""
    max_tokens: int | None = Field(default=None, ge=1)
    """Longest answer in tokens."""
    temperature: float = Field(default=1.0, ge=0, le=2)
    """0 always takes the likeliest token."""
    top_p: float = Field(default=1.0, gt=0, le=1)
    """Share of probability that is sampled from."""
    top_k: int = Field(default=0, ge=-1)
    """Number of likeliest tokens that are sampled from; 0 and -1 mean all."""
    seed: int | None = Field(default=None, ge=0)
    """Makes sampling repeatable, where the engine can."""
    stop: Annotated[
        tuple[StopText, ...],
        Field(max_length=MAX_STOPS, strict=False),
        BeforeValidator(_listed, json_schema_input_type=StopText | list[StopText]),
    ] = ()
    """Texts before which the answer ends."""
    stream: bool = False
    """Whether the answer comes as server-sent events."""
    stream_options: StreamOptions = StreamOptions()
    """What a stream carries besides text."""
    ignore_eos: bool = False
    """Go on after the end-of-text token, up to `max_tokens`; for measurements."""
    return_token_ids: bool = False
    """Tell the token ids of prompt and answer."""

    @model_validator(mode="before")
    @classmethod
    def _known(cls, body: Any) -> Any:
        return _without_nulls(body, _NEUTRAL, dropped=_WITHOUT_EFFECT)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return _with_nulls(handler.resolve_ref_schema(handler(schema)), _NEUTRAL, dropped=_WITHOUT_EFFECT)


class ChatRequest(SamplingRequest):
    """Body of `POST /v1/chat/completions`."""

    messages: tuple[Message, ...] = Field(min_length=1, strict=False)
    """The conversation so far, oldest first."""
    max_completion_tokens: int | None = Field(default=None, ge=1)
    """Newer name of `max_tokens`; goes before it."""

    @property
    def answer_tokens(self) -> int | None:
        """Longest answer in tokens; None for what the context leaves."""
        return self.max_completion_tokens or self.max_tokens


class CompletionRequest(SamplingRequest):
    """Body of `POST /v1/completions`."""

    prompt: Annotated[str | Tokens, BeforeValidator(_one_prompt, json_schema_input_type=PromptText)]
    """Text or token ids to go on from."""


class Usage(Settings):
    """Token counts of one request."""

    prompt_tokens: int
    """Tokens of the prompt, special ones included."""
    completion_tokens: int
    """Tokens of the answer, an end-of-text token included."""
    total_tokens: int
    """Their sum."""


class ModelCard(Settings):
    """One served model."""

    id: str
    """What requests put into `model`."""
    object: Literal["model"] = "model"
    """Always `model`."""
    created: int = 0
    """When it was first served, seconds since the epoch."""
    owned_by: str = "fabric"
    """Project that serves it."""
    root: str | None = Field(default=None, exclude_if=lambda root: root is None)
    """Of an alias: the model it stands for."""


class ModelCards(Settings):
    """Answer of `GET /v1/models`."""

    object: Literal["list"] = "list"
    """Always `list`."""
    data: tuple[ModelCard, ...]
    """By id."""


R = TypeVar("R", bound=SamplingRequest)


def parse(cls: type[R], body: bytes) -> R:
    """Read a request body.

    Raises:
        BadInput: With `param` where one parameter is to blame.
    """
    try:
        return cls.model_validate_json(body)
    except ValidationError as error:
        problem = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in problem["loc"])
    text = {
        "json_invalid": "the body is no JSON",
        "missing": f"{place}: is required",
        "extra_forbidden": f"{place}: is not a known parameter",
    }.get(problem["type"], f"{place}: {problem['msg']}" if place else problem["msg"])
    param = problem["loc"][0] if place else problem.get("ctx", {}).get("name")
    raise BadInput(text.replace("Value error, ", ""), param=param)


def _without_nulls(body: Any, neutral: Mapping[str, tuple[Any, ...]], dropped: frozenset[str] = frozenset()) -> Any:
    # Nulls, parameters without effect and unsupported ones that ask for nothing are taken out; the others are refused.
    if not isinstance(body, dict):
        return body
    kept = {}
    for name, value in body.items():
        if value is None or name in dropped:
            continue
        if name in neutral:
            if not any(type(value) is type(harmless) and value == harmless for harmless in neutral[name]):
                raise PydanticCustomError("unsupported", "{name}: is not supported here; leave it out", {"name": name})
            continue
        kept[name] = value
    return kept


def _with_nulls(
    schema: JsonSchemaValue, neutral: Mapping[str, tuple[Any, ...]], dropped: frozenset[str] = frozenset()
) -> JsonSchemaValue:
    """The schema of what `_without_nulls` lets through: nulls, what has no effect, and what asks for nothing."""
    required = set(schema.get("required", ()))
    for name, told in schema["properties"].items():
        if name not in required:
            schema["properties"][name] = {"anyOf": [told, {"type": "null"}]}
    schema["properties"] |= {name: {"enum": [*values, None]} for name, values in neutral.items()}
    schema["properties"] |= {name: {} for name in sorted(dropped)}
    schema["additionalProperties"] = {"type": "null"}
    return schema


class Refusal(Settings):
    """What is wrong."""

    message: str
    """Place, limit and next step."""
    type: str
    """Family, such as `invalid_request_error`."""
    param: str | None
    """Request parameter to blame."""
    code: str | None
    """Stable word that programs compare."""


class ErrorObject(Settings):
    """Body of every refusal: OpenAI's error object."""

    error: Refusal
    """What is wrong."""


class ModelAnswer(Settings):
    """What an answer to a chat or completion request certainly says; other servers say more."""

    model_config = ConfigDict(extra="allow")

    id: str
    """Unique id of the answer."""
    object: Literal["chat.completion", "text_completion"]
    """What kind of answer it is."""
    created: int
    """Seconds since the epoch."""
    model: str
    """The model's own name, whatever alias was asked for."""
    choices: tuple[dict[str, Any], ...]
    """One answer: a `message`, or a `text`."""
    usage: Usage
    """Token counts."""


def error_object(message: str, kind: str, *, param: str | None = None, code: str | None = None) -> dict[str, Any]:
    """OpenAI's error object.

    Args:
        message: Place, limit and next step.
        kind: Family, such as `invalid_request_error`.
        param: Request parameter to blame.
        code: Stable word that programs compare.
    """
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


_STATUS: tuple[tuple[type[FabricError], int, str, str | None], ...] = (
    (BadInput, 400, "invalid_request_error", None),
    (NotFound, 404, "invalid_request_error", "model_not_found"),
    (Unauthenticated, 401, "authentication_error", "invalid_api_key"),
    (Denied, 403, "permission_error", "denied"),
    (TooOften, 429, "rate_limit_error", "too_many_failed_logins"),
    (Unavailable, 503, "service_unavailable", "unavailable"),
)
"""Status, type and code by error, more special ones before their bases; OpenAI's client raises by status."""


def answer_to(error: FabricError) -> tuple[int, dict[str, Any]]:
    """Status and body with which `error` is told to a client."""
    found = ((status, kind, code) for cls, status, kind, code in _STATUS if isinstance(error, cls))
    status, kind, usual = next(found, (500, "server_error", "internal"))
    param, code = error.fields.get("param"), error.fields.get("code") or usual
    return status, error_object(
        error.message, kind, param=str(param) if param else None, code=str(code) if code else None
    )


def event(value: Mapping[str, Any]) -> bytes:
    """One server-sent event."""
    return b"data: " + json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"
