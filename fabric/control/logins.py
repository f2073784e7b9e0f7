"""Who presents a key: its owner, with no more rights than he has at this moment.

Knows nothing of HTTP, or of what a caller asks for.
"""

import hashlib
import logging
from collections.abc import Iterable, Mapping

from fabric.api.people import PROJECT_HEADER
from fabric.config.identity import looks_like_token, roles_of
from fabric.control.callers import Caller, Role
from fabric.control.oidc import OidcTokens
from fabric.control.people_ports import KeyRecord, People
from fabric.control.ports import Ports
from fabric.core.errors import BadInput, Conflict, Denied, FabricError, NotFound, Unauthenticated
from fabric.core.ids import check_name

_log = logging.getLogger(__name__)

TOKEN_OUTLIVES_S = 60.0
"""How long a workload's token is still taken after the workload's end, in seconds."""

USED_EVERY_S = 60.0
"""Seconds between two writings of when a key was used, so that most requests write nothing."""

WHOLE_SITE = ""
"""Stands for the whole site where a project is named."""


class Logins:
    """Recognises keys; safe to call from several threads at once."""

    def __init__(self, ports: Ports, tokens: OidcTokens | None = None) -> None:
        self._ports = ports
        self._tokens = tokens

    def caller_of(self, key: str, project: str | None = None) -> Caller:
        """Who presents `key`, which may be a token of the site's provider.

        Args:
            key: What is shown.
            project: In which project he wants to act, where he may in several.

        Raises:
            Denied: If he may not act there, or must say where.
            Unauthenticated: If nobody issued it, it is over, or its owner may nothing any more.
        """
        if self._tokens is not None and looks_like_token(key):
            return self._person(self._tokens, key, project)
        caller = self._holder(key)
        if project is not None:
            caller.require_project(project)
        return caller

    def _person(self, tokens: OidcTokens, token: str, project: str | None) -> Caller:
        """Who logged in at the provider; known here from the first time on.

        Raises:
            Denied: If he may not act in the project, or must say in which.
            Unauthenticated: If the token is not good, names nobody, or he was disabled.
        """
        # What the provider dates is compared with what it goes by itself, and not with a clock that comes to it slowly.
        claims = tokens.claims_of(token, (self._ports.wall or self._ports.clock.now)())
        named = claims.get(tokens.settings.user_claim)
        if not isinstance(named, str) or not _may_name(named):
            raise Unauthenticated(
                f"this token names nobody in {tokens.settings.user_claim!r} whom a name can be made of"
            )
        roles = self._ports.people.roles(named)
        if roles is None:
            self._get_to_know(named, str(claims.get(tokens.settings.name_claim) or ""))
            roles = {}
        both = _joined(roles, roles_of(claims, tokens.settings.rules))
        return _acting(named, both, project)

    def _get_to_know(self, user: str, full_name: str) -> None:
        """Remember a person who comes for the first time.

        Raises:
            Unauthenticated: If he was here before and is disabled.
        """
        try:
            self._ports.people.add_user(user, full_name[:200])
        except Conflict:
            if self._ports.people.user(user).disabled is not None:
                raise Unauthenticated(f"user {user} is disabled. Ask the site's administrator.") from None

    def _holder(self, key: str) -> Caller:
        """The owner of a key that was issued here.

        Raises:
            Unauthenticated: If there is none, or he may nothing any more.
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
            try:
                self._ports.keys.touch(found.name, now)
            except FabricError as error:  # whoever comes may be about to free the disk
                _log.warning("when key %s was used is not noted: %s", found.name, error.message)
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


def _may_name(user: str) -> bool:
    try:
        return bool(check_name(user, "user"))
    except BadInput:
        return False


def _joined(roles: Mapping[str, str], claimed: Iterable[tuple[str, str]]) -> Mapping[str, str]:
    """The highest role in each project."""
    both = dict(roles)
    for project, role in claimed:
        if project not in both or Role(role).rank > Role(both[project]).rank:
            both[project] = role
    return both


def _acting(user: str, roles: Mapping[str, str], project: str | None) -> Caller:
    """A person in the project that he names, or in the only one, or on the whole site.

    Raises:
        Denied: If he has no role there, or must say where.
    """
    mine = ", ".join(sorted(roles.keys() - {WHOLE_SITE})) or "no project"
    if project is not None:
        role = highest(roles, project)
        if role is None:
            raise Denied(f"user {user} has no role in project {project}, but in {mine}", project=project)
        return Caller(user, role, project, user=user)
    if WHOLE_SITE in roles:
        return Caller(user, Role(roles[WHOLE_SITE]), user=user)
    if len(roles) != 1:
        more = f"say in which to act with the header {PROJECT_HEADER}" if roles else "ask an administrator for a role"
        raise Denied(f"user {user} has a role in {mine}: {more}", user=user)
    ((only, name),) = roles.items()
    return Caller(user, Role(name), only, user=user)


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
