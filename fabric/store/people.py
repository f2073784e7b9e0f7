"""People, the projects that they make, and what they are in which project.

Knows nothing of keys, or of what a role may do.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from sqlalchemy import Connection, Delete, RowMapping, bindparam, delete, insert, select, update

from fabric.core.errors import Conflict, NotFound
from fabric.store.database import SqlTables, reading, writing
from fabric.store.rows import storable
from fabric.store.schema import MEMBERSHIPS, PROJECTS, USERS

WHOLE_SITE = ""
"""Stands for the whole site where a project is named."""

# Asked with every request: putting a statement together takes longer than running it.
_MADE = select(PROJECTS).order_by(PROJECTS.c.name)
_ROLES = (
    select(MEMBERSHIPS.c.project, MEMBERSHIPS.c.role, USERS.c.disabled)
    .select_from(USERS.outerjoin(MEMBERSHIPS))
    .where(USERS.c.name == bindparam("called"))
)


@dataclass(frozen=True, slots=True)
class User:
    """A person."""

    name: str
    """Unique; what keys and tokens say."""
    full_name: str = ""
    """For people to read."""
    created: float = 0.0
    """Seconds since the epoch, like the next."""
    disabled: float | None = None
    """Since when nothing of this person's is taken any more."""


@dataclass(frozen=True, slots=True)
class MadeProject:
    """A project that somebody made beside those of the site file."""

    name: str
    created: float
    """Seconds since the epoch, like `closed`."""
    created_by: str
    """Name of who made it."""
    closed: float | None = None
    """Since when it takes no more work."""


@dataclass(frozen=True, slots=True)
class Membership:
    """What a person is in a project."""

    user: str
    project: str
    """`WHOLE_SITE` for every project."""
    role: str


class SqlPeople(SqlTables):
    """Users, projects and memberships; safe to call from any thread."""

    def add_user(self, name: str, full_name: str = "") -> User:
        """Remember a person.

        Raises:
            Conflict: If there is one of that name.
        """
        with writing(self._engine) as connection:
            if _user_row(connection, name) is not None:
                raise Conflict(f"there is a user {name} already", name=name)
            user = User(name, storable(full_name), self._now())
            connection.execute(insert(USERS), asdict(user))
        return user

    def user(self, name: str) -> User:
        """One person.

        Raises:
            NotFound: If there is none of that name.
        """
        with reading(self._engine) as connection:
            return _user(_existing(connection, name))

    def users(self) -> tuple[User, ...]:
        """Everybody, by name."""
        with reading(self._engine) as connection:
            return tuple(_user(row) for row in connection.execute(select(USERS).order_by(USERS.c.name)).mappings())

    def disable_user(self, name: str, disabled: bool = True) -> User:
        """Take nothing of a person's any more from now on, or take it again.

        Raises:
            NotFound: If there is none of that name.
        """
        with writing(self._engine) as connection:
            row = _existing(connection, name)
            if (row["disabled"] is not None) is not disabled:
                since = self._now() if disabled else None
                connection.execute(update(USERS).where(USERS.c.id == row["id"]).values(disabled=since))
            return _user(_existing(connection, name))

    def add_project(self, name: str, created_by: str) -> MadeProject:
        """Remember a project that somebody makes.

        Raises:
            Conflict: If there is one of that name.
        """
        with writing(self._engine) as connection:
            if _project_row(connection, name) is not None:
                raise Conflict(f"there is a project {name} already", name=name)
            project = MadeProject(name, self._now(), created_by)
            connection.execute(insert(PROJECTS), asdict(project))
        return project

    def projects(self) -> tuple[MadeProject, ...]:
        """Every project that was made, by name."""
        with reading(self._engine) as connection:
            return tuple(_project(row) for row in connection.execute(_MADE).mappings())

    def close_project(self, name: str, closed: bool = True) -> MadeProject:
        """Let a project take no more work from now on, or take it again.

        Raises:
            NotFound: If nobody made one of that name.
        """
        with writing(self._engine) as connection:
            row = _project_row(connection, name)
            if row is None:
                raise NotFound(f"there is no project {name} that somebody made here", name=name)
            if (row["closed"] is not None) is not closed:
                since = self._now() if closed else None
                connection.execute(update(PROJECTS).where(PROJECTS.c.id == row["id"]).values(closed=since))
            again = _project_row(connection, name)
        return _project(row if again is None else again)

    def set_member(self, user: str, project: str, role: str) -> Membership:
        """Make a person something in a project, whatever it was before.

        Raises:
            NotFound: If there is no such person.
        """
        with writing(self._engine) as connection:
            key = {"user_id": _existing(connection, user)["id"], "project": project}
            connection.execute(_memberships_of(key))
            connection.execute(insert(MEMBERSHIPS), {**key, "role": role})
        return Membership(user, project, role)

    def remove_member(self, user: str, project: str) -> None:
        """Make a person nothing in a project.

        Raises:
            NotFound: If there is no such person, or it is nothing there.
        """
        with writing(self._engine) as connection:
            key = {"user_id": _existing(connection, user)["id"], "project": project}
            if not connection.execute(_memberships_of(key)).rowcount:
                where = f"project {project}" if project else "the whole site"
                raise NotFound(f"user {user} has no role in {where}", name=user)

    def memberships(self, project: str | None = None) -> tuple[Membership, ...]:
        """Who is what, by project and name; of one project where one is given."""
        query = select(USERS.c.name, MEMBERSHIPS.c.project, MEMBERSHIPS.c.role).join(MEMBERSHIPS)
        if project is not None:
            query = query.where(MEMBERSHIPS.c.project == project)
        with reading(self._engine) as connection:
            rows = connection.execute(query.order_by(MEMBERSHIPS.c.project, USERS.c.name))
            return tuple(Membership(*row) for row in rows)

    def roles(self, user: str) -> Mapping[str, str] | None:
        """What a person is, by project; None if there is no such person or it was disabled."""
        with reading(self._engine) as connection:
            rows = connection.execute(_ROLES, {"called": user}).all()
        if not rows or rows[0].disabled is not None:
            return None
        return {row.project: row.role for row in rows if row.role is not None}


def _memberships_of(key: Mapping[str, object]) -> Delete:
    return delete(MEMBERSHIPS).where(*(MEMBERSHIPS.c[name] == value for name, value in key.items()))


def _user_row(connection: Connection, name: str) -> RowMapping | None:
    return connection.execute(select(USERS).where(USERS.c.name == name)).mappings().one_or_none()


def _existing(connection: Connection, name: str) -> RowMapping:
    row = _user_row(connection, name)
    if row is None:
        raise NotFound(f"there is no user {name}", name=name)
    return row


def _project_row(connection: Connection, name: str) -> RowMapping | None:
    return connection.execute(select(PROJECTS).where(PROJECTS.c.name == name)).mappings().one_or_none()


def _user(row: RowMapping) -> User:
    return User(row["name"], row["full_name"], row["created"], row["disabled"])


def _project(row: RowMapping) -> MadeProject:
    return MadeProject(row["name"], row["created"], row["created_by"], row["closed"])
