"""What people may ask about people, projects and keys, each checked against who asks.

Knows nothing of HTTP or SQL. Nobody gives more than he has: neither a role, nor a project, nor a longer life.
"""

from collections.abc import Iterable, Mapping, Sequence

from fabric.api.people import (
    KeyMade,
    KeyRequest,
    KeyView,
    MemberView,
    MeView,
    ProjectRequest,
    ProjectView,
    RotateRequest,
    UserRequest,
    UserView,
)
from fabric.api.usage import UsageView
from fabric.config.site import Site
from fabric.control.budgets import Budgets, budget_view
from fabric.control.callers import Caller, Permission, Role
from fabric.control.logins import WHOLE_SITE, digest_of
from fabric.control.named_secrets import NamedSecrets
from fabric.control.people_ports import KeyRecord, MemberRecord, UserRecord
from fabric.control.ports import Ports
from fabric.control.projects import all_projects
from fabric.control.usage import HOUR_S, added_up, check_by
from fabric.core.errors import BadInput, Denied, NotFound
from fabric.core.ids import check_name
from fabric.store.keys import Key

KEY_BYTES = 32
"""Entropy of a key."""

DAY_S = 24 * HOUR_S
"""How far back usage goes that is asked for without a beginning, in seconds."""

MOST_HOURS = 24 * 366
"""Hours that one answer about usage may tell apart."""

Window = tuple[float | None, float | None]
"""From when to when."""


class Accounts:
    """People, projects and keys; safe to call from several threads at once."""

    def __init__(self, ports: Ports, site: Site) -> None:
        self._ports = ports
        self._site = site
        self._budgets = Budgets(site, ports.ledger)
        self.secrets = NamedSecrets(
            ports.named_secrets, ports.clock, site=site, projects=ports.people.projects, active=ports.workloads.active
        )
        """What processes of a project's work may be told."""

    def me(self, caller: Caller) -> MeView:
        """Who asks, and what that comes to."""
        return MeView(
            name=caller.name, user=caller.user, role=str(caller.role), project=caller.project,
            scopes=tuple(sorted(caller.scopes)), expires=caller.expires,
            permissions=tuple(sorted(str(each) for each in Permission if caller.may(each))),
        )  # fmt: skip

    def projects(self, caller: Caller) -> tuple[ProjectView, ...]:
        """Every project within reach, by name."""
        active = [record for record in self._ports.workloads.active().values() if not record.state.final]
        named = {member.project for member in self._ports.people.memberships()} - {WHOLE_SITE}
        found = all_projects(self._site, self._ports.people.projects(), active, named)
        now = self._ports.clock.now()
        accounts = self._budgets.accounts(now)
        return tuple(
            view.model_copy(update={"budget": budget_view(accounts[view.name], now)}) if view.name in accounts else view
            for view in found
            if caller.project in (None, view.name)
        )

    def project(self, name: str, caller: Caller) -> ProjectView:
        """One project and who is what in it.

        Raises:
            Denied: If it is out of reach.
            NotFound: If there is none of that name.
        """
        caller.require_project(name)
        view = next((view for view in self.projects(caller) if view.name == name), None)
        if view is None:
            raise NotFound(f"there is no project {name}; `fabric projects` lists them", project=name)
        members = tuple(map(_member_view, self._ports.people.memberships(name)))
        return view.model_copy(update={"members": members})

    def put_project(self, name: str, request: ProjectRequest, caller: Caller) -> ProjectView:
        """Make a project, or close or open one that was made.

        Raises:
            BadInput: If the site file lists it, or nothing may be called so.
        """
        caller.require(Permission.ADMIN)
        check_name(name, "project")
        if any(entry.name == name for entry in self._site.projects):
            raise BadInput(f"project {name} is one of the site file's; change it there", project=name)
        if all(made.name != name for made in self._ports.people.projects()):
            self._ports.people.add_project(name, caller.submits_as)
            self._ports.projects_changed()
        self._ports.people.close_project(name, request.closed)
        return self.project(name, caller)

    def set_member(self, project: str, user: str, role: str, caller: Caller) -> MemberView:
        """Make a person something in a project, whatever it was before.

        Raises:
            BadInput: If nobody may be that, or there can be no such project.
            Denied: If the project is out of reach.
            NotFound: If there is no such person.
        """
        caller.require(Permission.PEOPLE)
        self._check_project(project, caller)
        return _member_view(self._ports.people.set_member(user, project, str(_role(role, caller))))

    def remove_member(self, project: str, user: str, caller: Caller) -> None:
        """Make a person nothing in a project; its keys for it open nothing from now on.

        Raises:
            NotFound: If it is nothing there.
        """
        caller.require(Permission.PEOPLE)
        caller.require_project(check_name(project, "project"))
        self._ports.people.remove_member(user, project)

    def users(self, caller: Caller) -> tuple[UserView, ...]:
        """Everybody by name; for the administrator of a project those who are something in it."""
        caller.require(Permission.PEOPLE)
        found = self._ports.people.memberships(caller.project)
        views = (_user_view(user, found) for user in self._ports.people.users())
        return tuple(view for view in views if caller.project is None or view.roles)

    def put_user(self, name: str, request: UserRequest, caller: Caller) -> UserView:
        """Add a person, or change whether anything of it is taken and what it is on the whole site.

        Raises:
            BadInput: If nobody may be called so, or be that.
        """
        caller.require(Permission.ADMIN)
        check_name(name, "user")
        people = self._ports.people
        if all(user.name != name for user in people.users()):
            people.add_user(name, request.full_name)
        user = people.disable_user(name, request.disabled)
        if request.role is not None:
            people.set_member(name, WHOLE_SITE, str(_role(request.role, caller)))
        elif any(member.user == name for member in people.memberships(WHOLE_SITE)):
            people.remove_member(name, WHOLE_SITE)
        return _user_view(user, people.memberships())

    def keys(self, caller: Caller) -> tuple[KeyView, ...]:
        """The keys of people and machines within reach; one's own for who may not manage others'."""
        caller.require(Permission.OWN)
        found = self._ports.keys.keys(caller.project)
        return tuple(_key_view(key) for key in found if key.workload is None and self._sees(key, caller))

    def make_key(self, request: KeyRequest, caller: Caller) -> KeyMade:
        """Issue a key.

        Raises:
            BadInput: If it can never open anything.
            Conflict: If the name is taken.
            Denied: If it would have more than who asks.
        """
        caller.require(Permission.OWN)
        user = caller.user if request.user is None else request.user
        project = (caller.project or WHOLE_SITE) if request.project is None else request.project
        self._check_owner(user, project, caller)
        if project != WHOLE_SITE:
            self._check_project(project, caller)
        elif caller.project is not None:
            raise Denied(f"key {caller.name} is for project {caller.project} and makes none for the whole site")
        now = self._ports.clock.now()
        key = Key(
            check_name(request.name, "key"), project, str(_key_role(request, project, caller)), created=now,
            expires=_ends(request, now, caller), user=user, scopes=_scopes(request, caller),
        )  # fmt: skip
        secret = self._new_secret()
        self._ports.keys.add_key(digest_of(secret), key)
        return KeyMade(key=_key_view(key), secret=secret)

    def rotate_key(self, name: str, request: RotateRequest, caller: Caller) -> KeyMade:
        """Give a key a new text; the old one is still taken as long as asked.

        Raises:
            Conflict: If it was revoked.
            Denied: If it is somebody else's, or may more or longer than the key that asks.
            NotFound: If there is none of that name.
        """
        key = self._reachable(name, caller)
        wider = bool(caller.scopes) and not (key.scopes and caller.scopes.issuperset(key.scopes))
        longer = caller.expires is not None and (key.expires is None or key.expires > caller.expires)
        if wider or longer:
            raise Denied(
                f"key {name} may more, or longer, than key {caller.name}, which asks; use one that may as much",
                key=name,
            )
        theirs = key.user != caller.user if key.user else not caller.may(Permission.PEOPLE)
        if theirs or Role(key.role).rank > caller.role.rank:
            raise Denied(f"key {name} is not yours to rotate: who holds its text acts as its owner", key=name)
        secret = self._new_secret()
        self._ports.keys.rotate(name, digest_of(secret), self._ports.clock.now() + request.overlap_s)
        return KeyMade(key=_key_view(key), secret=secret)

    def revoke_key(self, name: str, caller: Caller) -> KeyView:
        """End a key now.

        Raises:
            NotFound: If there is none of that name within reach.
        """
        self._reachable(name, caller)
        self._ports.keys.revoke(name)
        return _key_view(self._ports.keys.key(name))

    def usage(
        self,
        caller: Caller,
        by: Sequence[str],
        window: Window,
        project: str | None = None,
        *,
        workload: str | None = None,
    ) -> UsageView:
        """What was used, added up.

        Args:
            caller: Who asks; he is told of his own project.
            by: What to add up by, of `fabric.api.usage.BY`.
            window: From when to when, in seconds since the epoch; None for the last day until this instant.
            project: Only of this one.
            workload: Only of those that had this name.

        Raises:
            BadInput: If it cannot be added up so, or the end is before the beginning.
            Denied: If the project is out of reach.
        """
        check_by(by)
        now = self._ports.clock.now()
        until = now if window[1] is None else min(window[1], now)
        since = until - DAY_S if window[0] is None else window[0]
        if since > until:
            raise BadInput("since: is later than until, or than now", since=since)
        if "hour" in by and until - since > MOST_HOURS * HOUR_S:
            raise BadInput(f"since: at most {MOST_HOURS} hours can be told apart; add up by day", since=since)
        if project is not None:
            caller.require_project(project)
        of = project if caller.project is None else caller.project
        spells = self._ports.ledger.spells(since, until, of, workload=workload)
        return UsageView(since=since, until=until, rows=added_up(spells, by))

    def _reachable(self, name: str, caller: Caller) -> KeyRecord:
        """The key of that name, if the caller may see it.

        Raises:
            NotFound: If he may not, or there is none.
        """
        caller.require(Permission.OWN)
        key = self._ports.keys.key(name)
        reached = caller.project in (None, key.project) and self._sees(key, caller)
        if key.workload is not None or not reached:
            raise NotFound(f"there is no key {name}", name=name)
        return key

    def _sees(self, key: KeyRecord, caller: Caller) -> bool:
        return caller.may(Permission.PEOPLE) or bool(key.user and key.user == caller.user)

    def _check_owner(self, user: str, project: str, caller: Caller) -> None:
        """Check for whom a key may be issued.

        Raises:
            BadInput: If it is a person who is nothing there.
            Denied: If it is another's, or nobody's, and the caller manages no people.
        """
        if not user or user != caller.user:
            caller.require(Permission.PEOPLE)
        if user:
            roles = self._ports.people.roles(user)
            if roles is None or not roles.keys() & {project, WHOLE_SITE}:
                where = f"project {project}" if project else "the whole site"
                raise BadInput(f"user {user} has no role in {where}, so a key would open nothing", user=user)

    def _check_project(self, project: str, caller: Caller) -> None:
        """Check for which project a key may be issued.

        Raises:
            BadInput: If there can be no such project.
            Denied: If it is out of reach.
        """
        caller.require_project(check_name(project, "project"))
        known = {view.name for view in self.projects(caller)}
        if self._site.projects and project not in known:
            raise BadInput(f"there is no project {project}; the site's are {', '.join(sorted(known))}", project=project)

    def _new_secret(self) -> str:
        return f"fab-{self._ports.entropy(KEY_BYTES).hex()}"


def _role(name: str, caller: Caller) -> Role:
    """A role that people have, and not above the caller's.

    Raises:
        BadInput: If there is no such role.
        Denied: If it is above the caller's.
    """
    wanted = next((role for role in Role if role.personal and role == name), None)
    if wanted is None:
        raise BadInput(f"role: {name!r} is none. Roles: admin, operator, member, viewer.", role=name)
    if wanted.rank > caller.role.rank:
        raise Denied(f"key {caller.name} is {caller.role} and makes nobody {wanted}", role=name)
    return wanted


def _key_role(request: KeyRequest, project: str, caller: Caller) -> Role:
    """The role of a key.

    Raises:
        BadInput: If there is no such role, or it is not for one project.
        Denied: If it is above the caller's.
    """
    if request.role != Role.GATEWAY:
        return _role(request.role, caller)
    caller.require(Permission.ADMIN)
    if project != WHOLE_SITE or request.user:
        raise BadInput("role: a gateway serves the whole site and is nobody's; leave project and user out")
    return Role.GATEWAY


def _scopes(request: KeyRequest, caller: Caller) -> tuple[str, ...]:
    """The scopes of a key.

    Raises:
        BadInput: If there is no such permission.
        Denied: If the caller has not all of them.
    """
    unknown = sorted(set(request.scopes) - set(Permission))
    if unknown:
        raise BadInput(f"scopes: {unknown[0]!r} is no permission. Permissions: {', '.join(sorted(Permission))}.")
    wanted = tuple(sorted(set(request.scopes)))
    if caller.scopes and not (wanted and set(wanted) <= caller.scopes):
        raise Denied(f"key {caller.name} is limited to {', '.join(sorted(caller.scopes))}, and so are those it makes")
    return wanted


def _ends(request: KeyRequest, now: float, caller: Caller) -> float | None:
    """When a key ends: as asked, but not after the one that makes it."""
    asked = None if request.lives_s is None else now + request.lives_s
    return min((end for end in (asked, caller.expires) if end is not None), default=None)


def _member_view(member: MemberRecord) -> MemberView:
    return MemberView(user=member.user, project=member.project, role=member.role)


def _user_view(user: UserRecord, members: Iterable[MemberRecord]) -> UserView:
    roles: Mapping[str, str] = {each.project: each.role for each in members if each.user == user.name}
    return UserView(
        name=user.name, full_name=user.full_name, created_at=user.created, disabled_at=user.disabled, roles=dict(roles)
    )


def _key_view(key: KeyRecord) -> KeyView:
    return KeyView(
        name=key.name, project=key.project, role=key.role, user=key.user, scopes=key.scopes, created_at=key.created,
        expires_at=key.expires, revoked_at=key.revoked, used_at=key.used,
    )  # fmt: skip
