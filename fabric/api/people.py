"""What control says and takes about people, projects and keys, as JSON.

Knows nothing of HTTP frameworks; the constants name the routes for server and SDK alike.
"""

from pydantic import Field

from fabric.api.overview import Amounts
from fabric.config.settings import Settings

ME = "/api/fabric/me"
"""GET: who one is."""
PROJECTS = "/api/fabric/projects"
"""GET; `/NAME` GET, PUT `ProjectRequest`; `/NAME/members/USER` PUT `MemberRequest`, DELETE."""
USERS = "/api/fabric/users"
"""GET; `/NAME` PUT `UserRequest`."""
KEYS = "/api/fabric/keys"
"""GET, POST `KeyRequest`; `/NAME` DELETE revokes; `/NAME/rotate` POST `RotateRequest`."""

PROJECT_HEADER = "X-Fabric-Project"
"""Header of any request: the project to act in, for people who have a role in several."""

LONGEST_LIFE_S = 10 * 366 * 86_400.0
"""Longest life of a key that ends, in seconds; a choice."""


class MeView(Settings):
    """Who asks."""

    name: str
    """Of the key."""
    user: str
    """Of the person; empty where the key is nobody's."""
    role: str
    """What one may."""
    project: str | None = None
    """The only project it is for; None for the whole site."""
    scopes: tuple[str, ...] = ()
    """Permissions that the key is limited to; empty for all that the role has."""
    expires: float | None = None
    """When the key ends, in seconds since the epoch; None if it does not."""
    permissions: tuple[str, ...] = ()
    """What all this comes to."""


class MemberView(Settings):
    """What a person is in a project."""

    user: str
    """Name of the person."""
    project: str
    """Name of the project; empty for the whole site."""
    role: str
    """admin, operator, member or viewer."""


class BudgetView(Settings):
    """What a project may use in all, and what it has used of that."""

    gpu_hours: float | None = None
    """Accelerators times hours in one period; None for any amount."""
    every: str = "month"
    """Period: day, week or month."""
    used_gpu_hours: float = 0.0
    """Of the present period, with the projects below it."""
    resets_at: float
    """When the next period begins, in seconds since the epoch."""
    running: int | None = None
    """Most jobs and services that hold nodes at the same time; None for any number."""


class ProjectView(Settings):
    """A project: its claims, and what it holds now."""

    name: str
    """Name."""
    parent: str | None = None
    """Project it belongs to."""
    weight: float = 1.0
    """Relative claim on what nobody has a guarantee for."""
    made: bool = False
    """Whether somebody made it here; else the site file lists it, or it is only named by work."""
    created_at: float | None = None
    """When it was made, in seconds since the epoch."""
    created_by: str = ""
    """Who made it."""
    closed_at: float | None = None
    """Since when it takes no more work."""
    guaranteed: dict[str, Amounts] = {}
    """By tier: what it can always have back."""
    limit: dict[str, str] = {}
    """By tier: the most it may ever hold, in words."""
    held: dict[str, Amounts] = {}
    """By tier: what its work holds now, without the projects below it."""
    budget: BudgetView | None = None
    """What it may use in all; None for any amount."""
    num_waiting: int = 0
    """Its workloads that wait."""
    num_running: int = 0
    """Its workloads that hold nodes."""
    members: tuple[MemberView, ...] = ()
    """Who is what in it; only where one project is asked for."""


class ProjectList(Settings):
    """Projects by name."""

    projects: tuple[ProjectView, ...]
    """By name."""


class ProjectRequest(Settings):
    """How a project that is made here should be."""

    closed: bool = False
    """Whether it takes no more work."""


class MemberRequest(Settings):
    """What a person should be in a project."""

    role: str
    """admin, operator, member or viewer."""


class UserView(Settings):
    """A person."""

    name: str
    """What keys and tokens say."""
    full_name: str = ""
    """For people to read."""
    created_at: float
    """Seconds since the epoch, like the next."""
    disabled_at: float | None = None
    """Since when nothing of this person's is taken."""
    roles: dict[str, str] = {}
    """Role by project within the asker's reach; an empty project stands for the whole site."""


class UserList(Settings):
    """People by name."""

    users: tuple[UserView, ...]
    """By name."""


class UserRequest(Settings):
    """How a person should be; one that is not known is added."""

    full_name: str = Field(default="", max_length=200)
    """For people to read; kept as it was for one that is known."""
    disabled: bool = False
    """Whether nothing of this person's is taken any more."""
    role: str | None = None
    """Role on the whole site; None for none."""


class KeyView(Settings):
    """An issued key; what its owner shows is known to him alone."""

    name: str
    """Unique."""
    project: str
    """The only project it is for; empty for the whole site."""
    role: str
    """The most that it may."""
    user: str = ""
    """Whose it is; empty where it is nobody's, as of a machine."""
    scopes: tuple[str, ...] = ()
    """Permissions that it is limited to; empty for all that its role has."""
    created_at: float | None = None
    """Seconds since the epoch, like the next three."""
    expires_at: float | None = None
    """When it ends by itself."""
    revoked_at: float | None = None
    """When somebody ended it."""
    used_at: float | None = None
    """When it last opened something, here or at the gateway, to about a minute."""


class KeyList(Settings):
    """Keys by name."""

    keys: tuple[KeyView, ...]
    """By name."""


class KeyRequest(Settings):
    """A key to issue."""

    name: str
    """Unique."""
    project: str | None = None
    """The only project it is for; None for the asker's own, which may be the whole site."""
    role: str = "member"
    """admin, operator, member or viewer; gateway for the data plane of the whole site."""
    user: str | None = None
    """Whose it is: empty for a machine's; None for the asker's own."""
    scopes: tuple[str, ...] = ()
    """Permissions that it is limited to."""
    lives_s: float | None = Field(default=None, gt=0, le=LONGEST_LIFE_S)
    """Seconds until it ends by itself; None for never."""


class RotateRequest(Settings):
    """How a key changes what its owner shows."""

    overlap_s: float = Field(default=0.0, ge=0, le=30 * 86_400)
    """Seconds for which what was shown before is still taken."""


class KeyMade(Settings):
    """A key with the text that its owner shows, which is never told again."""

    key: KeyView
    """The key."""
    secret: str
    """What to send as `Authorization: Bearer SECRET`."""
