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
    MEMBER = "member"
    """Submit, stop and delete the workloads of its project."""
    VIEWER = "viewer"
    """Look at the workloads of its project."""
    GATEWAY = "gateway"
    """Ask for the routes and keys that the data plane needs."""
    WORKLOAD = "workload"
    """One workload: look at itself, report of itself, use MLflow."""


class Permission(StrEnum):
    """What a route asks of its caller; which workload is checked where the workload is known."""

    PUBLIC = "public"
    """Nothing, not even a key."""
    KNOWN = "known"
    """Any key that was issued."""
    LOOK = "look"
    """See workloads."""
    SITE = "site"
    """See nodes and models."""
    CHANGE = "change"
    """Submit, stop and delete workloads, upload packages."""
    REPORT = "report"
    """Say how a workload gets on."""
    GATEWAY = "gateway"
    """Be told every route and key hash."""
    ADMIN = "admin"
    """End the fabric."""


_ROLES: dict[Permission, frozenset[Role]] = {
    Permission.PUBLIC: frozenset(Role),
    Permission.KNOWN: frozenset(Role),
    Permission.LOOK: frozenset({Role.ADMIN, Role.MEMBER, Role.VIEWER, Role.WORKLOAD}),
    Permission.SITE: frozenset({Role.ADMIN, Role.MEMBER, Role.VIEWER}),
    Permission.CHANGE: frozenset({Role.ADMIN, Role.MEMBER}),
    Permission.REPORT: frozenset({Role.ADMIN, Role.WORKLOAD}),
    Permission.GATEWAY: frozenset({Role.ADMIN, Role.GATEWAY}),
    Permission.ADMIN: frozenset({Role.ADMIN}),
}
_WHOLE_SITE = frozenset({Permission.GATEWAY, Permission.ADMIN})
"""What a project's own administrator has no part in."""


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

    def may(self, permission: Permission) -> bool:
        """Whether its role covers `permission`."""
        if permission in _WHOLE_SITE and self.role is Role.ADMIN and self.project is not None:
            return False
        return self.role in _ROLES[permission]

    def require(self, permission: Permission) -> None:
        """Check that its role covers `permission`.

        Raises:
            Denied: If it does not.
        """
        if not self.may(permission):
            scope = f" of project {self.project}" if self.project else ""
            raise Denied(
                f"key {self.name} ({self.role}{scope}) may not do this: it needs the permission {permission!s}. "
                "Ask the site's administrator for another key.",
                permission=str(permission),
            )

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
