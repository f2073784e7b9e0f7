"""Parts of OpenAPI descriptions that both servers share: bodies that are taken, and what refusals mean.

Knows nothing of HTTP frameworks or of single routes.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, models_json_schema
from pydantic_core import core_schema

from fabric.config.settings import Settings

OPENAPI = "/openapi.json"
"""GET: what a server says of its routes, as OpenAPI 3.1."""

MEANING: Mapping[int, str] = {
    400: "What was asked is wrong, or does not fit anywhere; the message names the place, the limit and the next step",
    401: "There is no key where one is needed, or it opens nothing",
    403: "Whoever asks may not do this, or it is somebody else's",
    404: "There is none of that name",
    408: "The body did not arrive in time",
    409: "It exists already, or its state forbids this",
    413: "The body is larger than the route takes",
    429: "Too many keys that open nothing came from there; `Retry-After` says when to try again",
    503: "Something that should answer does not; `Retry-After` says when to try again",
    504: "What should answer stayed silent for too long",
}
"""What each status of a refusal means."""

_REF = "#/components/schemas/{model}"

Refs = Mapping[type[BaseModel], Mapping[str, Any]]
"""References to the schemas of bodies."""


def fails(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What a route may refuse with, as FastAPI's `responses` takes it."""
    return {status: {"description": MEANING[status]} for status in statuses}


def schemas_of(classes: Iterable[type[Settings]]) -> tuple[Refs, dict[str, Any]]:
    """Schemas of what may be sent as each of `classes`.

    Returns:
        A reference for each class, and the definitions that the references mean.
    """
    refs: dict[type[BaseModel], Mapping[str, Any]] = {}
    definitions: dict[str, Any] = {}
    wanted = sorted(set(classes), key=lambda cls: (cls.__name__, cls.__module__))
    for strict, generator in ((True, GenerateJsonSchema), (False, _Lax)):
        some = [(cls, "validation") for cls in wanted if bool(cls.model_config.get("strict")) is strict]
        found, document = models_json_schema(some, ref_template=_REF, schema_generator=generator)  # type: ignore[arg-type] # a literal
        refs |= {cls: ref for (cls, _), ref in found.items()}  # type: ignore[misc] # only models were asked for
        definitions |= document.get("$defs", {})
    return refs, definitions


def json_body(ref: Mapping[str, Any], *, required: bool) -> dict[str, Any]:
    """A body of JSON."""
    return {"required": required, "content": {"application/json": {"schema": dict(ref)}}}


class _Lax(GenerateJsonSchema):
    """Where a format is somebody else's, numbers may be written as text."""

    def int_schema(self, schema: core_schema.IntSchema) -> JsonSchemaValue:
        return _or_text(super().int_schema(schema))

    def float_schema(self, schema: core_schema.FloatSchema) -> JsonSchemaValue:
        return _or_text(super().float_schema(schema))

    def bool_schema(self, schema: core_schema.BoolSchema) -> JsonSchemaValue:
        return _or_text(super().bool_schema(schema))


def _or_text(schema: JsonSchemaValue) -> JsonSchemaValue:
    return {"anyOf": [schema, {"type": ["string", "number", "boolean"]}]}
