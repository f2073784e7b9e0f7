"""What control says of its own routes, made from the routes themselves, so that the two cannot disagree.

Knows nothing of what the routes do. A route says what it answers (`response_model`), what it takes (`bodies.takes`) and
what it may refuse (`responses=fails(...)`); what follows from its key, its parameters and its body is added here.
"""

import functools
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from fastapi import APIRouter, FastAPI, Response
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute
from starlette.routing import BaseRoute

import fabric
from fabric.api.admin import ErrorBody
from fabric.api.description import MEANING, OPENAPI, Refs, json_body, schemas_of
from fabric.api.people import PROJECT_HEADER
from fabric.control.callers import Caller, Permission
from fabric.control.http.auth import Guard, dependencies_of, permission_of
from fabric.control.http.bodies import Takes
from fabric.control.http.errors import is_rays

ABOUT = """
Keys are sent as `Authorization: Bearer KEY`, or as `X-Ray-Authorization` where a proxy uses the first itself. Every
operation names the one permission that it needs in `x-fabric-permission`.

Refusals are `ErrorBody`. The paths that Ray's own clients ask answer them as plain text, unless `Accept` names
`application/json`. Anything that goes wrong inside is 500 with the number of an incident.
"""
"""What is said of all operations together."""

ALWAYS = (401, 403, 429, 503)
"""What every operation may refuse with: keys are looked at, and counted, even where none is needed."""

_JSON, _TEXT = "application/json", "text/plain"
_ERROR = {"$ref": f"#/components/schemas/{ErrorBody.__name__}"}


def description_router(app: FastAPI, guard: Guard) -> APIRouter:
    """The route that tells of all routes of `app`, of its own too; made when it is first asked for."""
    router = APIRouter(tags=["fabric"])
    known = guard.needs(Permission.KNOWN)

    @functools.cache
    def made() -> str:
        return json.dumps(description_of(app.routes))

    @router.get(OPENAPI, response_model=dict[str, Any])
    def description(caller: Caller = known) -> Response:
        """What this server says of its routes."""
        return Response(made(), media_type=_JSON)

    return router


def description_of(routes: Sequence[BaseRoute]) -> dict[str, Any]:
    """The description of `routes`, as OpenAPI 3.1.

    Raises:
        ValueError: If two different bodies have one name; a mistake of ours.
    """
    document = get_openapi(title="The fabric", version=fabric.__version__, description=ABOUT.strip(), routes=routes)
    described = [route for route in routes if isinstance(route, APIRoute) and route.include_in_schema]
    bodies = {taken.cls for route in described if (taken := _taken(route))}
    refs, definitions = schemas_of(bodies | {ErrorBody})
    for route in described:
        for method in route.methods or ():
            _complete(document["paths"][route.path_format][method.lower()], route, refs)
    components = document.setdefault("components", {})
    components["schemas"] = _merged(components.get("schemas", {}), definitions)
    components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
    components["parameters"] = {"project": _project_header()}
    return document


def _complete(operation: dict[str, Any], route: APIRoute, refs: Refs) -> None:
    """Add what FastAPI cannot see: the body, the permission and the refusals."""
    permission, taken = permission_of(route), _taken(route)
    operation["x-fabric-permission"] = str(permission)
    operation["security"] = [{"key": []}, *([{}] if permission is Permission.PUBLIC else [])]
    if taken:
        operation["requestBody"] = json_body(refs[taken.cls], required=not taken.optional)
    answers = operation["responses"]
    answers.pop("422", None)
    for status in _refusals(operation):
        answers.setdefault(str(status), {"description": MEANING[status]})
    for status, answer in answers.items():
        if status.isdigit() and int(status) in MEANING:
            answer["content"] = _error_content(route.path)
    operation.setdefault("parameters", []).append({"$ref": "#/components/parameters/project"})


def _refusals(operation: dict[str, Any]) -> Iterator[int]:
    """What follows from its key, its parameters and its body."""
    yield from ALWAYS
    places = {parameter["in"] for parameter in operation.get("parameters", ())}
    if places or "requestBody" in operation:
        yield 400
    if "path" in places:
        yield 404
    if "requestBody" in operation:
        yield from (408, 413)


def _error_content(path: str) -> dict[str, Any]:
    ours = {_JSON: {"schema": _ERROR}}
    return ours | {_TEXT: {"schema": {"type": "string"}}} if is_rays(path) else ours


def _taken(route: APIRoute) -> Takes[Any] | None:
    return next((call for call in dependencies_of(route) if isinstance(call, Takes)), None)


def _project_header() -> dict[str, Any]:
    about = "The project to act in, for people who have a role in several"
    return {"name": PROJECT_HEADER, "in": "header", "required": False, "description": about, "schema": _text()}


def _text() -> dict[str, Any]:
    return {"type": "string"}


def _merged(answers: dict[str, Any], bodies: dict[str, Any]) -> dict[str, Any]:
    """All schemas by name.

    Raises:
        ValueError: If one name means two things.
    """
    twice = sorted(name for name in answers.keys() & bodies.keys() if answers[name] != bodies[name])
    if twice:
        raise ValueError(f"schemas that are sent and answered differ: {', '.join(twice)}")
    return dict(sorted({**bodies, **answers}.items()))


def undescribed(routes: Iterable[BaseRoute], document: dict[str, Any]) -> list[str]:
    """Method and path of the HTTP routes that a description leaves out, other than those that only lack a slash."""
    paths = document["paths"]
    return [
        f"{method} {route.path_format}"
        for route in routes
        if isinstance(route, APIRoute)
        for method in sorted(route.methods or ())
        if method.lower() not in paths.get(route.path_format, {})
        and method.lower() not in paths.get(f"{route.path_format}/", {})
    ]
