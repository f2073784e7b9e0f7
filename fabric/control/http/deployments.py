"""Deployments over time, over HTTP.

Knows nothing of how anything is done; bodies are those of `fabric.api.deployments`.
"""

from fastapi import APIRouter, Response

from fabric.api.admin import WorkloadView
from fabric.api.deployments import DEPLOYED, DeploymentList, DeploymentView, RollbackRequest
from fabric.api.description import fails
from fabric.control.callers import Caller, Permission
from fabric.control.deployments import Target
from fabric.control.http.auth import Guard
from fabric.control.http.bodies import Sent, json_of, takes
from fabric.control.revisions import Revisions
from fabric.control.service import Service


def deployments_router(service: Service, guard: Guard, revisions: Revisions) -> APIRouter:
    """Routes about what a project serves, and served before."""
    router = APIRouter(prefix=DEPLOYED, tags=["deployments"])
    look, change = (guard.needs(p) for p in (Permission.LOOK, Permission.CHANGE))

    @router.get("", response_model=DeploymentList, responses=fails(403))
    def listed(project: str | None = None, caller: Caller = look) -> Response:
        return json_of(revisions.list(caller, project))

    @router.get("/{deployment}", response_model=DeploymentView)
    def get(deployment: str, project: str | None = None, caller: Caller = look) -> Response:
        return json_of(revisions.get(caller, Target(deployment, project)))

    @router.post("/{deployment}/rollback", response_model=WorkloadView, responses=fails(409))
    def rollback(
        deployment: str,
        caller: Caller = change,
        asked: Sent[RollbackRequest] = takes(RollbackRequest, optional=True),
        project: str | None = None,
    ) -> Response:
        made = revisions.rollback(caller, Target(deployment, project), asked.read().to)
        return json_of(service.view(made, caller))

    return router
