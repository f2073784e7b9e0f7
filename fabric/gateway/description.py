"""What the gateway says of its own routes, in OpenAPI's words.

Knows nothing of how they answer. The routes pass bytes on, so what is sent and answered is told here and nowhere else;
a test asks for all of it.
"""

import functools
from collections.abc import Mapping
from typing import Any

import fabric
from fabric.api.description import MEANING, OPENAPI, Refs, json_body, schemas_of
from fabric.api.openai import ChatRequest, CompletionRequest, ErrorObject, ModelAnswer, ModelCard, ModelCards
from fabric.config.settings import Settings
from fabric.telemetry.http import METRICS

ABOUT = """
OpenAI's API for every model that the fabric serves. Keys, and tokens of the site's provider, are sent as
`Authorization: Bearer KEY`. Refusals are OpenAI's error object; `X-Request-Id` of every answer is also what the service
was sent.

`/serve/PROJECT/DEPLOYMENT/...` passes requests of any kind on to a project's own Serve applications.
"""
"""What is said of all operations together."""

_ASKS = (400, 401, 403, 404, 413, 429, 503, 504)
_EVENTS = {"text/event-stream": {"schema": {"type": "string"}}}

Operation = dict[str, Any]


@functools.cache
def description_of() -> Mapping[str, Any]:
    """The description, as OpenAPI 3.1; anybody who may ask for models may read it."""
    refs, definitions = schemas_of([ChatRequest, CompletionRequest, ErrorObject, ModelAnswer, ModelCard, ModelCards])
    health = _operation(refs, "Whether the gateway works, and whether control answers", None, (503,))
    return {
        "openapi": "3.1.0",
        "info": {"title": "The fabric's gateway", "version": fabric.__version__, "description": ABOUT.strip()},
        "security": [{"key": []}],
        "paths": {
            "/health": {"get": health | {"security": []}},
            OPENAPI: {"get": _operation(refs, "This description", None, (401, 403, 429, 503))},
            METRICS: {"get": _figures(refs)},
            "/v1/models": {"get": _operation(refs, "Every served model", ModelCards, (401, 403, 429, 503))},
            "/v1/models/{name}": {"get": _of_name(_operation(refs, "One model", ModelCard, (401, 403, 404, 429, 503)))},
            "/v1/chat/completions": {"post": _generation(refs, "Go on with a conversation", ChatRequest)},
            "/v1/completions": {"post": _generation(refs, "Go on with a text", CompletionRequest)},
        },
        "components": {"schemas": definitions, "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}}},
    }


def _operation(refs: Refs, summary: str, answer: type[Settings] | None, refusals: tuple[int, ...]) -> Operation:
    told = dict(refs[answer]) if answer else {"type": "object"}
    answers: Operation = {"200": {"description": "Success", "content": {"application/json": {"schema": told}}}}
    wrong = {"application/json": {"schema": dict(refs[ErrorObject])}}
    answers |= {str(status): {"description": MEANING[status], "content": wrong} for status in refusals}
    return {"summary": summary, "responses": answers}


def _figures(refs: Refs) -> Operation:
    operation = _operation(refs, "Prometheus' figures, for keys of the whole site", None, (401, 403, 503))
    operation["responses"]["200"]["content"] = {"text/plain": {"schema": {"type": "string"}}}
    return operation


def _of_name(operation: Operation) -> Operation:
    name = {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}
    return operation | {"parameters": [name]}


def _generation(refs: Refs, summary: str, asked: type[Settings]) -> Operation:
    operation = _operation(refs, summary, ModelAnswer, _ASKS)
    operation["responses"]["200"]["content"] |= _EVENTS
    return operation | {"requestBody": json_body(refs[asked], required=True)}
