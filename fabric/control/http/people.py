"""Routes about people, projects, keys and usage.

Knows nothing of what anybody may; bodies are those of `fabric.api.people`.
"""

from fastapi import APIRouter, Query, Response

from fabric.api.description import fails
from fabric.api.people import (
    KEYS,
    ME,
    PROJECTS,
    USERS,
    KeyList,
    KeyMade,
    KeyRequest,
    KeyView,
    MemberRequest,
    MemberView,
    MeView,
    ProjectList,
    ProjectRequest,
    ProjectView,
    RotateRequest,
    UserList,
    UserRequest,
    UserView,
)
from fabric.api.usage import USAGE, UsageView
from fabric.control.callers import Caller, Permission
from fabric.control.http.auth import Guard
from fabric.control.http.bodies import Sent, json_of, takes
from fabric.control.service import Service


def people_router(service: Service, guard: Guard) -> APIRouter:
    """Routes about oneself, users, projects and usage."""
    router = APIRouter(tags=["people"])
    known, see, people, admin = (
        guard.needs(p) for p in (Permission.KNOWN, Permission.SITE, Permission.PEOPLE, Permission.ADMIN)
    )

    @router.get(ME, response_model=MeView)
    def me(caller: Caller = known) -> Response:
        return json_of(service.accounts.me(caller))

    @router.get(PROJECTS, response_model=ProjectList)
    def projects(caller: Caller = see) -> Response:
        return json_of(ProjectList(projects=service.accounts.projects(caller)))

    @router.get(f"{PROJECTS}/{{project}}", response_model=ProjectView)
    def project(project: str, caller: Caller = see) -> Response:
        return json_of(service.accounts.project(project, caller))

    @router.put(f"{PROJECTS}/{{project}}", response_model=ProjectView, responses=fails(409))
    def put_project(
        project: str,
        caller: Caller = admin,
        asked: Sent[ProjectRequest] = takes(ProjectRequest, optional=True),
    ) -> Response:
        return json_of(service.accounts.put_project(project, asked.read(), caller))

    @router.put(f"{PROJECTS}/{{project}}/members/{{user}}", response_model=MemberView)
    def set_member(
        project: str, user: str, caller: Caller = people, asked: Sent[MemberRequest] = takes(MemberRequest)
    ) -> Response:
        return json_of(service.accounts.set_member(project, user, asked.read().role, caller))

    @router.delete(f"{PROJECTS}/{{project}}/members/{{user}}", status_code=204)
    def remove_member(project: str, user: str, caller: Caller = people) -> Response:
        service.accounts.remove_member(project, user, caller)
        return Response(status_code=204)

    @router.get(USERS, response_model=UserList)
    def users(caller: Caller = people) -> Response:
        return json_of(UserList(users=service.accounts.users(caller)))

    @router.put(f"{USERS}/{{user}}", response_model=UserView, responses=fails(409))
    def put_user(
        user: str, caller: Caller = admin, asked: Sent[UserRequest] = takes(UserRequest, optional=True)
    ) -> Response:
        return json_of(service.accounts.put_user(user, asked.read(), caller))

    @router.get(USAGE, response_model=UsageView)
    def usage(
        by: list[str] = Query(default=["project"]),
        since: float | None = Query(default=None, ge=0, allow_inf_nan=False),
        until: float | None = Query(default=None, ge=0, allow_inf_nan=False),
        project: str | None = None,
        workload: str | None = None,
        caller: Caller = see,
    ) -> Response:
        return json_of(service.accounts.usage(caller, by, (since, until), project, workload=workload))

    return router


def keys_router(service: Service, guard: Guard) -> APIRouter:
    """Routes about keys."""
    router = APIRouter(prefix=KEYS, tags=["people"])
    own = guard.needs(Permission.OWN)

    @router.get("", response_model=KeyList)
    def keys(caller: Caller = own) -> Response:
        return json_of(KeyList(keys=service.accounts.keys(caller)))

    @router.post("", status_code=201, response_model=KeyMade, responses=fails(404, 409))
    def make(caller: Caller = own, asked: Sent[KeyRequest] = takes(KeyRequest)) -> Response:
        return json_of(service.accounts.make_key(asked.read(), caller), 201)

    @router.post("/{key}/rotate", response_model=KeyMade, responses=fails(409))
    def rotate(
        key: str, caller: Caller = own, asked: Sent[RotateRequest] = takes(RotateRequest, optional=True)
    ) -> Response:
        return json_of(service.accounts.rotate_key(key, asked.read(), caller))

    @router.delete("/{key}", response_model=KeyView)
    def revoke(key: str, caller: Caller = own) -> Response:
        return json_of(service.accounts.revoke_key(key, caller))

    return router
