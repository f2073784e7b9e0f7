"""Routes about aliases of models.

Knows nothing of where models are; bodies are those of `fabric.api.models`.
"""

from fastapi import APIRouter, Response

from fabric.api.description import fails
from fabric.api.models import ALIASES, AliasMoveList, AliasMoveView, AliasRequest
from fabric.control.callers import Caller, Permission
from fabric.control.http.auth import Guard
from fabric.control.http.bodies import Sent, json_of, takes
from fabric.control.service import Service


def models_router(service: Service, guard: Guard) -> APIRouter:
    """Routes of operators, and of administrators within their projects."""
    router = APIRouter(tags=["models"])
    see, move = guard.needs(Permission.SITE), guard.needs(Permission.ALIASES)

    @router.get(ALIASES, response_model=AliasMoveList)
    def past(project: str, model: str, caller: Caller = see) -> Response:
        return json_of(service.models.moves(project, model, caller))

    @router.put(f"{ALIASES}/{{alias}}", response_model=AliasMoveView, responses=fails(409))
    def moved(
        project: str,
        model: str,
        alias: str,
        caller: Caller = move,
        asked: Sent[AliasRequest] = takes(AliasRequest),
    ) -> Response:
        return json_of(service.models.move_alias(project, model, alias, asked=asked.read(), caller=caller))

    return router
