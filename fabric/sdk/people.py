"""People, projects, keys and usage of a fabric: `AsyncClient.people`, and the same without `await` as `Client.people`.

Knows nothing of how a request is sent or repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from fabric.sdk.derived import Runs, derived
from fabric.sdk.later import Later
from fabric.sdk.paths import below

if TYPE_CHECKING:
    from fabric.api import people as wire
    from fabric.api import usage as using
    from fabric.config.settings import Settings
    from fabric.sdk import transport as sending
else:
    wire, using = Later("fabric.api.people"), Later("fabric.api.usage")

S = TypeVar("S", bound="Settings")


class AsyncPeople:
    """People, projects, keys and usage, asynchronous."""

    def __init__(self, control: Callable[[], sending.Transport], patience_s: float) -> None:
        self._control = control
        self._patience_s = patience_s

    async def me(self) -> wire.MeView:
        """Who one is, and what one may."""
        return await self._read(wire.MeView, "GET", wire.ME)

    async def projects(self) -> tuple[wire.ProjectView, ...]:
        """Every project within reach, by name."""
        return (await self._read(wire.ProjectList, "GET", wire.PROJECTS)).projects

    async def project(self, name: str) -> wire.ProjectView:
        """One project and its members.

        Raises:
            NotFound: If there is none of that name.
        """
        return await self._read(wire.ProjectView, "GET", _path(wire.PROJECTS, name))

    async def put_project(self, name: str, *, closed: bool = False) -> wire.ProjectView:
        """Make a project, or close or open it; for administrators of the site.

        Raises:
            BadInput: If the site file lists it.
        """
        body = wire.ProjectRequest(closed=closed)
        return await self._read(wire.ProjectView, "PUT", _path(wire.PROJECTS, name), body)

    async def set_member(self, project: str, user: str, role: str = "member") -> wire.MemberView:
        """Make a person something in a project, whatever it was before.

        Raises:
            BadInput: If there is no such role.
            NotFound: If there is no such person.
        """
        path = _path(wire.PROJECTS, project, "members", user)
        return await self._read(wire.MemberView, "PUT", path, wire.MemberRequest(role=role))

    async def remove_member(self, project: str, user: str) -> None:
        """Make a person nothing in a project; its keys for it open nothing from now on.

        Raises:
            NotFound: If it is nothing there.
        """
        path = _path(wire.PROJECTS, project, "members", user)
        await self._control().ask("DELETE", path, patience_s=self._patience_s)

    async def users(self) -> tuple[wire.UserView, ...]:
        """People, by name; for administrators."""
        return (await self._read(wire.UserList, "GET", wire.USERS)).users

    async def put_user(
        self, name: str, *, full_name: str = "", role: str | None = None, disabled: bool = False
    ) -> wire.UserView:
        """Add a person, or say how it should be; for administrators of the site.

        Args:
            name: What keys and tokens say.
            full_name: For people to read; of a new person only.
            role: What it is on the whole site; None for nothing.
            disabled: Whether nothing of this person's is taken any more.

        Raises:
            BadInput: If there is no such role.
        """
        body = wire.UserRequest(full_name=full_name, role=role, disabled=disabled)
        return await self._read(wire.UserView, "PUT", _path(wire.USERS, name), body)

    async def keys(self) -> tuple[wire.KeyView, ...]:
        """Keys within reach, by name: one's own, or all for administrators."""
        return (await self._read(wire.KeyList, "GET", wire.KEYS)).keys

    async def make_key(
        self,
        name: str,
        *,
        role: str = "member",
        project: str | None = None,
        user: str | None = None,
        scopes: Sequence[str] = (),
        lives_s: float | None = None,
    ) -> wire.KeyMade:
        """Issue a key; its text is in the answer and is never told again.

        Args:
            name: Unique.
            role: The most that it may.
            project: The only project it is for; None for the asker's own.
            user: Whose it is: empty for a machine's, None for the asker's own.
            scopes: Permissions that it is limited to; empty for all that the role has.
            lives_s: Seconds until it ends by itself; None for never.

        Raises:
            BadInput: If it would open nothing.
            Conflict: If the name is taken.
            Denied: If it would have more than the asker.
        """
        body = wire.KeyRequest(name=name, role=role, project=project, user=user, scopes=tuple(scopes), lives_s=lives_s)
        # Not repeated: of a key whose text was lost on the way, a second one must not be made under the same name.
        return await self._control().read(wire.KeyMade, "POST", wire.KEYS, **_sent(body))

    async def rotate_key(self, name: str, *, overlap_s: float = 0.0) -> wire.KeyMade:
        """Give a key a new text; the old one is still taken for `overlap_s` seconds.

        Raises:
            Conflict: If it was revoked.
            NotFound: If there is none of that name.
        """
        path = _path(wire.KEYS, name, "rotate")
        return await self._control().read(wire.KeyMade, "POST", path, **_sent(wire.RotateRequest(overlap_s=overlap_s)))

    async def revoke_key(self, name: str) -> wire.KeyView:
        """End a key now.

        Raises:
            NotFound: If there is none of that name.
        """
        return await self._read(wire.KeyView, "DELETE", _path(wire.KEYS, name))

    async def usage(
        self,
        by: Sequence[str] = ("project",),
        *,
        since: float | None = None,
        until: float | None = None,
        project: str | None = None,
        workload: str | None = None,
    ) -> using.UsageView:
        """What was used, added up.

        Args:
            by: Of `fabric.api.usage.BY`, such as hour, project, user, model.
            since: Seconds since the epoch; None for a day before the end.
            until: Seconds since the epoch; None for this instant.
            project: Only of this one.
            workload: Only of those that had this name.

        Raises:
            BadInput: If it cannot be added up so.
        """
        given = {"by": list(by), "since": since, "until": until, "project": project, "workload": workload}
        query = {name: value for name, value in given.items() if value is not None}
        return await self._control().read(
            using.UsageView, "GET", using.USAGE, patience_s=self._patience_s, params=query
        )

    async def _read(self, cls: type[S], method: str, path: str, body: Settings | None = None) -> S:
        sent = {} if body is None else _sent(body)
        return await self._control().read(cls, method, path, patience_s=self._patience_s, **sent)


class People:
    """People, projects, keys and usage; every method is the one of `AsyncPeople`."""

    def __init__(self, people: AsyncPeople, run: Runs) -> None:
        self._client = people
        self._run = run

    me = derived(AsyncPeople.me)
    projects = derived(AsyncPeople.projects)
    project = derived(AsyncPeople.project)
    put_project = derived(AsyncPeople.put_project)
    set_member = derived(AsyncPeople.set_member)
    remove_member = derived(AsyncPeople.remove_member)
    users = derived(AsyncPeople.users)
    put_user = derived(AsyncPeople.put_user)
    keys = derived(AsyncPeople.keys)
    make_key = derived(AsyncPeople.make_key)
    rotate_key = derived(AsyncPeople.rotate_key)
    revoke_key = derived(AsyncPeople.revoke_key)
    usage = derived(AsyncPeople.usage)


def _sent(body: Settings) -> dict[str, Any]:
    return {"content": body.model_dump_json(), "headers": {"Content-Type": "application/json"}}


def _path(root: str, *parts: str) -> str:
    """Path of something below `root`.

    Raises:
        BadInput: If a name is empty or would lead elsewhere.
    """
    return below(root, *parts, otherwise=f"{'/'.join(parts)!r}: a name is missing, or is none")
