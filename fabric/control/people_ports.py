"""What is needed of the world about people, as ports: users, projects, memberships, and issued keys.

Knows nothing of who implements them; `fabric.control.ports` has the others.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from fabric.store.keys import Key
from fabric.store.ledger import Spell
from fabric.store.occupancy import HeldOverTime


class KeyRecord(Protocol):
    """An issued key; only its hash is kept."""

    @property
    def name(self) -> str:
        """What people call it."""
        ...

    @property
    def role(self) -> str:
        """A `fabric.control.callers.Role`."""
        ...

    @property
    def project(self) -> str:
        """The only project it is for; empty for the whole site."""
        ...

    @property
    def workload(self) -> str | None:
        """The only workload it is for."""
        ...

    @property
    def created(self) -> float | None:
        """When it was issued, in seconds since the epoch, like the next three."""
        ...

    @property
    def expires(self) -> float | None:
        """End of its life; None if it has none."""
        ...

    @property
    def revoked(self) -> float | None:
        """When somebody ended it."""
        ...

    @property
    def used(self) -> float | None:
        """When it last opened something, to about a minute."""
        ...

    @property
    def user(self) -> str:
        """Whose it is; empty where it is nobody's."""
        ...

    @property
    def scopes(self) -> tuple[str, ...]:
        """The permissions that it is limited to; empty for all that its role has."""
        ...

    def valid(self, now: float) -> bool:
        """Whether it opens anything at `now`, in seconds since the epoch."""
        ...


class Keys(Protocol):
    """Issued keys."""

    def find_key(self, sha256: str) -> KeyRecord | None:
        """The key with this hash, valid or not; None if nobody issued it."""
        ...

    def keys_by_hash(self) -> Mapping[str, KeyRecord]:
        """Keys of people and machines, valid or not, by the SHA-256 (hexadecimal) of what their owners show."""
        ...

    def touch(self, name: str, now: float) -> None:
        """Remember that a key opened something."""
        ...

    def add_key(self, sha256: str, key: Key) -> None:
        """Let a new key in.

        Raises:
            Conflict: If the name is taken.
        """
        ...

    def key(self, name: str) -> KeyRecord:
        """The key of that name.

        Raises:
            NotFound: If there is none.
        """
        ...

    def keys(self, project: str | None = None, user: str | None = None) -> Sequence[KeyRecord]:
        """By name; of one project or of one person where that is given."""
        ...

    def rotate(self, name: str, sha256: str, until: float) -> KeyRecord:
        """Let it be shown as something else, and as before until `until`, in seconds since the epoch.

        Raises:
            Conflict: If it was revoked.
        """
        ...

    def revoke(self, name: str) -> None:
        """End it now."""
        ...


class UserRecord(Protocol):
    """A person."""

    @property
    def name(self) -> str:
        """What keys and tokens say."""
        ...

    @property
    def full_name(self) -> str:
        """For people to read."""
        ...

    @property
    def created(self) -> float:
        """Seconds since the epoch, like the next."""
        ...

    @property
    def disabled(self) -> float | None:
        """Since when nothing of this person's is taken."""
        ...


class ProjectRecord(Protocol):
    """A project that somebody made beside those of the site file."""

    @property
    def name(self) -> str:
        """Name."""
        ...

    @property
    def created(self) -> float:
        """Seconds since the epoch, like `closed`."""
        ...

    @property
    def created_by(self) -> str:
        """Who made it."""
        ...

    @property
    def closed(self) -> float | None:
        """Since when it takes no more work."""
        ...


class MemberRecord(Protocol):
    """What a person is in a project."""

    @property
    def user(self) -> str:
        """Name of the person."""
        ...

    @property
    def project(self) -> str:
        """Name of the project; empty for the whole site."""
        ...

    @property
    def role(self) -> str:
        """A `fabric.control.callers.Role`."""
        ...


class People(Protocol):
    """Users, projects that were made, and memberships."""

    def add_user(self, name: str, full_name: str = "") -> UserRecord:
        """Remember a person.

        Raises:
            Conflict: If there is one of that name.
        """
        ...

    def user(self, name: str) -> UserRecord:
        """One person.

        Raises:
            NotFound: If there is none of that name.
        """
        ...

    def users(self) -> Sequence[UserRecord]:
        """Everybody, by name."""
        ...

    def disable_user(self, name: str, disabled: bool = True) -> UserRecord:
        """Take nothing of a person's any more, or take it again."""
        ...

    def add_project(self, name: str, created_by: str) -> ProjectRecord:
        """Remember a project.

        Raises:
            Conflict: If there is one of that name.
        """
        ...

    def projects(self) -> Sequence[ProjectRecord]:
        """Those that were made, by name."""
        ...

    def close_project(self, name: str, closed: bool = True) -> ProjectRecord:
        """Let it take no more work, or take it again."""
        ...

    def set_member(self, user: str, project: str, role: str) -> MemberRecord:
        """Make a person something in a project, whatever it was before."""
        ...

    def remove_member(self, user: str, project: str) -> None:
        """Make a person nothing in a project."""
        ...

    def memberships(self, project: str | None = None) -> Sequence[MemberRecord]:
        """Who is what, by project and name."""
        ...

    def roles(self, user: str) -> Mapping[str, str] | None:
        """What a person is, by project; None if there is no such person or it was disabled."""
        ...


class Ledger(Protocol):
    """Who held what since when and until when."""

    def spells(
        self, since: float, until: float, project: str | None = None, *, workload: str | None = None
    ) -> Iterable[Spell]:
        """What was held between two instants in seconds since the epoch, cut off there; of one or of all.

        One after another, what began last first; it is read to its end at once.
        """
        ...

    def gpu_seconds(self, since: Mapping[str, float], now: float) -> Mapping[str, float]:
        """Accelerators times seconds of each project since an instant."""
        ...

    def held_over_time(self, begins: float, until: float, step_s: float) -> HeldOverTime:
        """How much of each tier was held on average in each step between two instants, of which `until` is now."""
        ...
