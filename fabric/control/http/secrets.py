"""Routes about secrets of projects; there is none that tells what one holds.

Knows nothing of where they are kept; bodies are those of `fabric.api.secrets`.
"""

from fastapi import APIRouter, Response

from fabric.api.description import fails
from fabric.api.secrets import SECRETS, SecretList, SecretRequest, SecretView
from fabric.control.callers import Caller, Permission
from fabric.control.http.auth import Guard
from fabric.control.http.bodies import Sent, json_of, takes
from fabric.control.service import Service


def secrets_router(service: Service, guard: Guard) -> APIRouter:
    """Routes of whoever may submit to a project."""
    router = APIRouter(prefix=SECRETS, tags=["secrets"])
    change = guard.needs(Permission.CHANGE)

    @router.get("/{project}", response_model=SecretList)
    def listed(project: str, caller: Caller = change) -> Response:
        return json_of(service.accounts.secrets.list(project, caller))

    @router.put("/{project}/{secret}", response_model=SecretView)
    def put(
        project: str, secret: str, caller: Caller = change, asked: Sent[SecretRequest] = takes(SecretRequest)
    ) -> Response:
        return json_of(service.accounts.secrets.put(project, secret, asked.read().value, caller))

    @router.delete("/{project}/{secret}", status_code=204, responses=fails(409))
    def delete(project: str, secret: str, caller: Caller = change) -> Response:
        service.accounts.secrets.delete(project, secret, caller)
        return Response(status_code=204)

    return router
