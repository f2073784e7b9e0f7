"""Secrets of workloads, and the keys with which people and workloads ask.

Knows nothing of how a key is shown or what a role may do.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from sqlalchemy import Connection, RowMapping, String, bindparam, insert, select, update

from fabric.core.errors import Conflict, NotFound
from fabric.store.database import SqlTables, reading, writing
from fabric.store.schema import API_KEYS, SECRETS, WORKLOADS

_SHOWN = bindparam("shown", type_=String)
# Asked with every request: putting a statement together takes longer than running it.
_OF_PEOPLE = select(API_KEYS).where(API_KEYS.c.workload.is_(None))
_BY_HASH = select(API_KEYS).where((API_KEYS.c.sha256 == _SHOWN) | (API_KEYS.c.previous_sha256 == _SHOWN))


@dataclass(frozen=True, slots=True)
class Key:
    """Who may ask. What is shown is never stored, only its hash."""

    name: str
    """Unique; how people speak of it."""
    project: str
    role: str
    workload: str | None = None
    """The only workload it is for; gone with it."""
    created: float | None = None
    """Seconds since the epoch, like the next two; left out, the instant at which it is added."""
    expires: float | None = None
    revoked: float | None = None
    user: str = ""
    """Whose it is; empty where it is nobody's, as of a machine."""
    scopes: tuple[str, ...] = ()
    """Permissions that it is limited to; empty for all that its role has."""
    used: float | None = None
    """When it last opened something, to about a minute."""

    def valid(self, now: float) -> bool:
        """Whether it opens anything at `now`, in seconds since the epoch."""
        return self.revoked is None and (self.expires is None or now < self.expires)


class SqlKeys(SqlTables):
    """Secrets by workload and kind; keys by the hash of what is shown."""

    def secret(self, workload: str, kind: str, make: Callable[[], str]) -> str:
        """The secret of a workload, made by `make` the first time; it is on the disk before anybody sees it.

        `make` may take its time, as nobody waits for it; if two make one at once, both get the first.

        Raises:
            NotFound: If there is no such workload.
        """
        with reading(self._engine) as connection:
            kept = _secret(connection, workload, kind)
        if kept is not None:
            return kept
        value = make()
        with writing(self._engine) as connection:
            kept = _secret(connection, workload, kind)
            if kept is not None:
                return kept
            owner = select(WORKLOADS.c.id).where(WORKLOADS.c.name == workload).scalar_subquery()
            connection.execute(insert(SECRETS).values(workload_id=owner, kind=kind, value=value))
        return value

    def kept_secret(self, workload: str, kind: str) -> str | None:
        """The secret of a workload; None if none was made, or there is no such workload."""
        try:
            with reading(self._engine) as connection:
                return _secret(connection, workload, kind)
        except NotFound:
            return None

    def add_key(self, sha256: str, key: Key) -> None:
        """Remember a key by the SHA-256 (hexadecimal) of what its owner shows; the same again changes nothing.

        Raises:
            Conflict: If the name is taken, or another key has the same hash.
        """
        with reading(self._engine) as connection:
            # It is asked for at every step of the loop, which should not wait for those who write.
            if _is_there(connection, sha256, key):
                return
        created = self._now() if key.created is None else key.created
        with writing(self._engine) as connection:
            if not _is_there(connection, sha256, key):
                connection.execute(insert(API_KEYS), {**_row(key), "created": created, "sha256": sha256})

    def find_key(self, sha256: str) -> Key | None:
        """The key with that hash, whether it is valid or not; None if nobody issued it.

        What was shown before a rotation finds it too; it expires when that is no longer taken.
        """
        with reading(self._engine) as connection:
            row = connection.execute(_BY_HASH, {"shown": sha256}).mappings().first()
        return None if row is None else dict(_hashes(row))[sha256]

    def keys_by_hash(self) -> Mapping[str, Key]:
        """Keys of people and machines, valid or not, by the SHA-256 of what their owners show or, rotated, showed.

        Those of workloads are left out: there is one for each workload that ever ran.
        """
        with reading(self._engine) as connection:
            rows = connection.execute(_OF_PEOPLE).mappings()
            return {sha256: key for row in rows for sha256, key in _hashes(row)}

    def keys(self, project: str | None = None, user: str | None = None) -> tuple[Key, ...]:
        """All keys by name, or those of one project or of one person."""
        query = select(API_KEYS).order_by(API_KEYS.c.name)
        if project is not None:
            query = query.where(API_KEYS.c.project == project)
        if user is not None:
            query = query.where(API_KEYS.c.user == user)
        with reading(self._engine) as connection:
            return tuple(_key(row) for row in connection.execute(query).mappings())

    def key(self, name: str) -> Key:
        """The key of that name.

        Raises:
            NotFound: If there is no such key.
        """
        with reading(self._engine) as connection:
            return _key(_named(connection, name))

    def rotate(self, name: str, sha256: str, until: float) -> Key:
        """Let a key be shown as something else from now on.

        Args:
            name: Of the key.
            sha256: Hash of what is shown from now on.
            until: How long what was shown before is still taken, in seconds since the epoch.

        Raises:
            NotFound: If there is no such key.
            Conflict: If it was revoked, or another key has the same hash.
        """
        with writing(self._engine) as connection:
            row = _named(connection, name)
            if row["revoked"] is not None:
                raise Conflict(f"key {name} was revoked. Make a new one instead.", name=name)
            change = {"sha256": sha256, "previous_sha256": row["sha256"], "previous_until": until}
            connection.execute(update(API_KEYS).where(API_KEYS.c.id == row["id"]).values(change))
            return _key(row)

    def touch(self, name: str, now: float) -> None:
        """Remember that a key opened something at `now`, in seconds since the epoch; one that is gone is no mistake."""
        with writing(self._engine) as connection:
            connection.execute(update(API_KEYS).where(API_KEYS.c.name == name).values(used=now))

    def revoke(self, name: str) -> None:
        """End a key now; one that was revoked before stays as it is.

        Raises:
            NotFound: If there is no such key.
        """
        with writing(self._engine) as connection:
            _named(connection, name)
            valid = (API_KEYS.c.name == name) & API_KEYS.c.revoked.is_(None)
            connection.execute(update(API_KEYS).where(valid).values(revoked=self._now()))


def _secret(connection: Connection, workload: str, kind: str) -> str | None:
    """What is kept; None if there is none yet.

    Raises:
        NotFound: If there is no such workload.
    """
    mine = (SECRETS.c.workload_id == WORKLOADS.c.id) & (SECRETS.c.kind == kind)
    query = select(SECRETS.c.value).select_from(WORKLOADS.outerjoin(SECRETS, mine)).where(WORKLOADS.c.name == workload)
    row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFound(f"there is no workload {workload}", name=workload)
    return None if row.value is None else str(row.value)


def _is_there(connection: Connection, sha256: str, key: Key) -> bool:
    """Whether the very key is kept.

    Raises:
        Conflict: If its name or its hash is another key's.
    """
    either = (API_KEYS.c.name == key.name) | (API_KEYS.c.sha256 == sha256)
    kept = connection.execute(select(API_KEYS).where(either)).mappings().all()
    if any((k["name"], k["sha256"], k["project"], k["role"], k["workload"]) != _identity(sha256, key) for k in kept):
        raise Conflict(f"there is a key {key.name} already. Revoke it, or choose another name.", name=key.name)
    return bool(kept)


def _identity(sha256: str, key: Key) -> tuple[str, str, str, str, str | None]:
    return key.name, sha256, key.project, key.role, key.workload


def _named(connection: Connection, name: str) -> RowMapping:
    """The row of a key.

    Raises:
        NotFound: If there is no such key.
    """
    row = connection.execute(select(API_KEYS).where(API_KEYS.c.name == name)).mappings().one_or_none()
    if row is None:
        raise NotFound(f"there is no key {name}", name=name)
    return row


def _row(key: Key) -> dict[str, object]:
    return {field: getattr(key, field) for field in Key.__dataclass_fields__} | {"scopes": " ".join(key.scopes)}


def _key(row: RowMapping) -> Key:
    fields = {field: row[field] for field in Key.__dataclass_fields__}
    return Key(**{**fields, "scopes": tuple(row["scopes"].split())})


def _hashes(row: RowMapping) -> Iterator[tuple[str, Key]]:
    """What finds a key: what its owner shows, and what he showed before, as long as that is taken."""
    key = _key(row)
    if row["previous_sha256"] is not None:
        ends = min(row["previous_until"], math.inf if key.expires is None else key.expires)
        yield row["previous_sha256"], replace(key, expires=ends)
    yield row["sha256"], key
