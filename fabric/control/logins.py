"""Who presents a key: its owner, with no more rights than he has at this moment.

Knows nothing of HTTP, or of what a caller asks for.
"""

import hashlib
from collections.abc import Mapping

from fabric.control.callers import Caller, Role
from fabric.control.people_ports import KeyRecord, People
from fabric.control.ports import Ports
from fabric.core.errors import NotFound, Unauthenticated

TOKEN_OUTLIVES_S = 60.0
"""How long a workload's token is still taken after the workload's end, in seconds."""

USED_EVERY_S = 60.0
"""Seconds between two writings of when a key was used, so that most requests write nothing."""

WHOLE_SITE = ""
"""Stands for the whole site where a project is named."""


class Logins:
    """Recognises keys; safe to call from several threads at once."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports

    def caller_of(self, key: str) -> Caller:
        """Who presents `key`.

        Raises:
            Unauthenticated: If nobody issued it, it is over, or its owner may nothing any more.
        """
        now = self._ports.clock.now()
        found = self._ports.keys.find_key(digest_of(key))
        if found is None:
            raise Unauthenticated("this key was issued by nobody here. Ask the site's administrator for one.")
        if not found.valid(now):
            raise Unauthenticated(
                f"key {found.name} has expired or was revoked. Ask the site's administrator for a new one."
            )
        if found.role not in list(Role):
            raise Unauthenticated(f"key {found.name} is for {found.role!r}, which this version does not know")
        if found.workload is not None:
            self._require_alive(found.workload)
        caller = Caller(
            found.name, self._role_of(found), found.project or None, found.workload, found.user,
            frozenset(found.scopes), found.expires,
        )  # fmt: skip
        if found.workload is None and (found.used is None or now - found.used >= USED_EVERY_S):
            self._ports.keys.touch(found.name, now)
        return caller

    def _role_of(self, key: KeyRecord) -> Role:
        """What a key's owner may with it now.

        Raises:
            Unauthenticated: If that is nothing.
        """
        role = present_role(key, self._ports.people.roles(key.user) if key.user else None)
        if role is None:
            where = f"in project {key.project}" if key.project else "on the whole site"
            raise Unauthenticated(
                f"key {key.name} is of user {key.user}, who has no role {where} any more. Ask an administrator."
            )
        return role

    def _require_alive(self, workload: str) -> None:
        """Let a workload's token expire with it, a little later, so that its last words arrive.

        Raises:
            Unauthenticated: If the workload has ended or was deleted.
        """
        try:
            ended = self._ports.workloads.get(workload).at.ended
        except NotFound:
            ended = 0.0
        if ended is not None and self._ports.clock.now() > ended + TOKEN_OUTLIVES_S:
            raise Unauthenticated(f"this token has expired with its workload {workload}")


def digest_of(key: str) -> str:
    """SHA-256 of a key in hexadecimal: all of it that is ever stored."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).hexdigest()


def present_role(key: KeyRecord, roles: Mapping[str, str] | None) -> Role | None:
    """The role of a key, or the lower one that its owner has by now.

    Args:
        key: As it was issued.
        roles: What its owner is, by project; None if he is not known or was disabled.

    Returns:
        None if the key opens nothing, or is for a role that this version does not know.
    """
    if key.role not in list(Role):
        return None
    role = Role(key.role)
    if not key.user:
        return role
    mine = highest(roles or {}, key.project)
    return None if mine is None else min(role, mine, key=lambda each: each.rank)


def roles_by_user(people: People) -> Mapping[str, Mapping[str, str]]:
    """What everybody is, by project; who was disabled is left out."""
    found: dict[str, dict[str, str]] = {user.name: {} for user in people.users() if user.disabled is None}
    for member in people.memberships():
        if member.user in found:
            found[member.user][member.project] = member.role
    return found


def highest(roles: Mapping[str, str], project: str) -> Role | None:
    """What somebody with `roles` by project is in one of them; what he is on the whole site counts everywhere."""
    found = [Role(roles[place]) for place in (project, WHOLE_SITE) if roles.get(place) in list(Role)]
    return max(found, key=lambda role: role.rank, default=None)
