"""Routes about people, projects, keys and usage.

Knows nothing of what anybody may; bodies are those of `fabric.api.people`.
"""

from fastapi import APIRouter, Depends, Query, Response

from fabric.api.people import (
    KEYS,
    ME,
    PROJECTS,
    USERS,
    KeyList,
    KeyRequest,
    MemberRequest,
    ProjectList,
    ProjectRequest,
    RotateRequest,
    UserList,
    UserRequest,
)
from fabric.api.usage import USAGE
from fabric.control.callers import Caller, Permission
from fabric.control.http.auth import Guard
from fabric.control.http.bodies import body_of, json_of, raw_body
from fabric.control.service import Service


def people_router(service: Service, guard: Guard) -> APIRouter:
    """Routes about oneself, users, projects and usage."""
    router = APIRouter()
    known, see, people, admin = (
        guard.needs(p) for p in (Permission.KNOWN, Permission.SITE, Permission.PEOPLE, Permission.ADMIN)
    )
    body = Depends(raw_body)

    @router.get(ME)
    def me(caller: Caller = known) -> Response:
        return json_of(service.accounts.me(caller))

    @router.get(PROJECTS)
    def projects(caller: Caller = see) -> Response:
        return json_of(ProjectList(projects=service.accounts.projects(caller)))

    @router.get(f"{PROJECTS}/{{project}}")
    def project(project: str, caller: Caller = see) -> Response:
        return json_of(service.accounts.project(project, caller))

    @router.put(f"{PROJECTS}/{{project}}")
    def put_project(project: str, raw: bytes = body, caller: Caller = admin) -> Response:
        return json_of(service.accounts.put_project(project, body_of(raw or b"{}", ProjectRequest), caller))

    @router.put(f"{PROJECTS}/{{project}}/members/{{user}}")
    def set_member(project: str, user: str, raw: bytes = body, caller: Caller = people) -> Response:
        return json_of(service.accounts.set_member(project, user, body_of(raw, MemberRequest).role, caller))

    @router.delete(f"{PROJECTS}/{{project}}/members/{{user}}")
    def remove_member(project: str, user: str, caller: Caller = people) -> Response:
        service.accounts.remove_member(project, user, caller)
        return Response(status_code=204)

    @router.get(USERS)
    def users(caller: Caller = people) -> Response:
        return json_of(UserList(users=service.accounts.users(caller)))

    @router.put(f"{USERS}/{{user}}")
    def put_user(user: str, raw: bytes = body, caller: Caller = admin) -> Response:
        return json_of(service.accounts.put_user(user, body_of(raw or b"{}", UserRequest), caller))

    @router.get(USAGE)
    def usage(
        by: list[str] = Query(default=["project"]),
        since: float | None = Query(default=None, ge=0, allow_inf_nan=False),
        until: float | None = Query(default=None, ge=0, allow_inf_nan=False),
        project: str | None = None,
        caller: Caller = see,
    ) -> Response:
        return json_of(service.accounts.usage(caller, by, (since, until), project))

    return router


def keys_router(service: Service, guard: Guard) -> APIRouter:
    """Routes about keys."""
    router = APIRouter(prefix=KEYS)
    own = guard.needs(Permission.OWN)
    body = Depends(raw_body)

    @router.get("")
    def keys(caller: Caller = own) -> Response:
        return json_of(KeyList(keys=service.accounts.keys(caller)))

    @router.post("")
    def make(raw: bytes = body, caller: Caller = own) -> Response:
        return json_of(service.accounts.make_key(body_of(raw, KeyRequest), caller), 201)

    @router.post("/{key}/rotate")
    def rotate(key: str, raw: bytes = body, caller: Caller = own) -> Response:
        return json_of(service.accounts.rotate_key(key, body_of(raw or b"{}", RotateRequest), caller))

    @router.delete("/{key}")
    def revoke(key: str, caller: Caller = own) -> Response:
        return json_of(service.accounts.revoke_key(key, caller))

    return router
