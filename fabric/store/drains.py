"""Nodes that people take out of service: who, when, why and until when.

Knows nothing of what runs on them.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from sqlalchemy import delete, insert, select

from fabric.store.database import SqlTables, reading, writing
from fabric.store.rows import storable
from fabric.store.schema import DRAINS
from fabric.store.site_events import SiteEvent, note


@dataclass(frozen=True, slots=True)
class Drain:
    """One node that takes no new work, and what has it should leave."""

    node: str
    by: str
    """Who asked for it: a person, or a key that is nobody's."""
    reason: str
    """For people; may be empty."""
    since: float
    """Seconds since the epoch, like the next."""
    deadline: float | None = None
    """By when everything is gone; None lets work that does not save run to its end."""

    @property
    def said(self) -> str:
        """For people, such as `is being drained by ada: bad DIMM`."""
        return f"is being drained by {self.by}" + (f": {self.reason}" if self.reason else "")


class SqlDrains(SqlTables):
    """Drained nodes; safe to call from any thread."""

    def drain(self, drain: Drain) -> None:
        """Remember it, in place of what was said of the node before."""
        with writing(self._engine) as connection:
            connection.execute(delete(DRAINS).where(DRAINS.c.node == drain.node))
            row = asdict(drain) | {"by": storable(drain.by), "reason": storable(drain.reason)}
            connection.execute(insert(DRAINS), row)
            note(connection, [SiteEvent(drain.since, "node_drained", drain.node, drain.reason, by=drain.by)])

    def undrain(self, node: str, by: str = "") -> bool:
        """Forget it, as somebody wants; whether there was one."""
        with writing(self._engine) as connection:
            found = connection.execute(delete(DRAINS).where(DRAINS.c.node == node)).rowcount > 0
            if found:
                said = "takes new work again"
                note(connection, [SiteEvent(self._now(), "node_returned", node, said, by=by)])
            return found

    def drains(self) -> Mapping[str, Drain]:
        """Every drained node, by name."""
        with reading(self._engine) as connection:
            rows = connection.execute(select(DRAINS).order_by(DRAINS.c.node)).mappings()
            return {row["node"]: Drain(**row) for row in rows}
