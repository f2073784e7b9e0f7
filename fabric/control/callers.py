"""Who asks, and what such a caller may do.

Knows nothing of keys or HTTP: callers arrive here already recognised.
"""

from dataclasses import dataclass
from enum import StrEnum

from fabric.core.errors import Denied
from fabric.workloads.record import Record


class Role(StrEnum):
    """What a key is for."""

    ADMIN = "admin"
    """Everything; limited to its project where it has one."""
    OPERATOR = "operator"
    """Steer everybody's work, but neither people nor keys; limited to its project where it has one."""
    MEMBER = "member"
    """Submit, stop and delete the workloads of its project."""
    VIEWER = "viewer"
    """Look at the workloads of its project."""
    GATEWAY = "gateway"
    """Ask for the routes and keys that the data plane needs."""
    WORKLOAD = "workload"
    """One workload: look at itself, report of itself, use MLflow."""

    @property
    def rank(self) -> int:
        """Larger for more rights; 0 for what no person has."""
        return _RANKS.index(self) + 1 if self in _RANKS else 0

    @property
    def personal(self) -> bool:
        """Whether a person may have it in a project."""
        return self.rank > 0


_RANKS = (Role.VIEWER, Role.MEMBER, Role.OPERATOR, Role.ADMIN)


class Permission(StrEnum):
    """What a route asks of its caller; which workload is checked where the workload is known."""

    PUBLIC = "public"
    """Nothing, not even a key."""
    KNOWN = "known"
    """Any key that was issued."""
    LOOK = "look"
    """See workloads."""
    SITE = "site"
    """See nodes, models, projects and usage."""
    ARTIFACTS = "artifacts"
    """List and read the files of projects."""
    METRICS = "metrics"
    """See the whole site in figures."""
    CHANGE = "change"
    """Submit, stop and delete workloads, upload packages and artifacts."""
    REPORT = "report"
    """Say how a workload gets on."""
    GATEWAY = "gateway"
    """Be told every route and key hash."""
    OWN = "own"
    """Have keys of one's own."""
    PEOPLE = "people"
    """Say who is what in a project, and issue its keys."""
    ALIASES = "aliases"
    """Move aliases of models by hand."""
    OPERATE = "operate"
    """See and steer the whole site's work."""
    ADMIN = "admin"
    """Make users and projects; end the fabric."""
    ASK = "ask"
    """Ask served models; no route of control asks for it, but the gateway does."""


_SEE = frozenset({Role.ADMIN, Role.OPERATOR, Role.MEMBER, Role.VIEWER})
_DO = frozenset({Role.ADMIN, Role.OPERATOR, Role.MEMBER})
_ROLES: dict[Permission, frozenset[Role]] = {
    Permission.PUBLIC: frozenset(Role),
    Permission.KNOWN: frozenset(Role),
    Permission.LOOK: _SEE | {Role.WORKLOAD},
    Permission.SITE: _SEE,
    Permission.ARTIFACTS: _SEE,
    Permission.METRICS: _SEE,
    Permission.CHANGE: _DO,
    Permission.REPORT: frozenset({Role.ADMIN, Role.WORKLOAD}),
    Permission.GATEWAY: frozenset({Role.ADMIN, Role.GATEWAY}),
    Permission.OWN: _SEE,
    Permission.PEOPLE: frozenset({Role.ADMIN}),
    Permission.ALIASES: frozenset({Role.ADMIN, Role.OPERATOR}),
    Permission.OPERATE: frozenset({Role.ADMIN, Role.OPERATOR}),
    Permission.ADMIN: frozenset({Role.ADMIN}),
    Permission.ASK: _SEE,
}
_WHOLE_SITE = frozenset({Permission.GATEWAY, Permission.METRICS, Permission.OPERATE, Permission.ADMIN})
"""What nobody has a part in whose key is for one project."""
_ADMINS_ONLY = frozenset({Permission.ALIASES})
"""What within a project only its administrators may, and operators on the whole site."""
_ALWAYS = frozenset({Permission.PUBLIC, Permission.KNOWN})
"""What no scope takes away."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks."""

    name: str
    """Of the key."""
    role: Role
    project: str | None = None
    """The only project it may touch; None for the whole site."""
    workload: str | None = None
    """The only workload it may touch; None for all of its projects'."""
    user: str = ""
    """The person it is; empty where it is nobody's key."""
    scopes: frozenset[str] = frozenset()
    """Permissions that it is limited to; empty for all that its role has."""
    expires: float | None = None
    """When its key ends, in seconds since the epoch."""

    @property
    def submits_as(self) -> str:
        """Who its work is recorded for: the person, or the name of a key that is nobody's."""
        return self.user or self.name

    def may(self, permission: Permission) -> bool:
        """Whether its role covers `permission`, and its scopes do."""
        if self.scopes and permission not in self.scopes | _ALWAYS:
            return False
        if permission in _WHOLE_SITE and self.project is not None:
            return False
        if permission in _ADMINS_ONLY and self.project is not None and self.role is not Role.ADMIN:
            return False
        return self.role in _ROLES[permission]

    def require(self, permission: Permission) -> None:
        """Check that its role covers `permission`.

        Raises:
            Denied: If it does not.
        """
        if not self.may(permission):
            scope = f" of project {self.project}" if self.project else ""
            scope += f", limited to {', '.join(sorted(self.scopes))}" if self.scopes else ""
            raise Denied(
                f"key {self.name} ({self.role}{scope}) may not do this: it needs the permission {permission!s}. "
                "Ask the site's administrator for another key.",
                permission=str(permission),
            )

    def require_project(self, project: str) -> None:
        """Check that `project` is within its reach.

        Raises:
            Denied: If it is another one than its own.
        """
        if self.project not in (None, project):
            raise Denied(f"key {self.name} is for project {self.project}, not for {project}", project=project)

    def require_workload(self, record: Record) -> None:
        """Check that `record` is within its reach.

        Raises:
            Denied: If it belongs to somebody else.
        """
        if self.workload is not None and record.name != self.workload:
            raise Denied(
                f"this token is for workload {self.workload} only, not for {record.name}", workload=record.name
            )
        if self.project not in (None, record.spec.project):
            raise Denied(
                f"key {self.name} is for project {self.project}, and workload {record.name} is not in it",
                workload=record.name,
            )


LOCAL_ADMIN = Caller("local administrator", Role.ADMIN)
"""Who a request without a key comes from, where the site allows such."""
