"""The lease by which one of several controls leads, and the fence around what it writes.

Knows nothing of what leading is. Whoever leads renews the lease; if it does not, another one takes it, and its number
(the fencing token) grows. The database refuses a write of an older number in the transaction itself, so a former leader
that was stopped for an hour cannot record anything, however late it learns that it leads no more.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Engine, Float, literal_column, select, update

from fabric.core.errors import Unavailable
from fabric.store.database import FENCE, is_postgres, place_of, reading, writing
from fabric.store.errors import sql_errors
from fabric.store.postgres import end_sessions
from fabric.store.schema import LEASES

CONTROL = "control"
"""Name of the only lease."""

_MINE = LEASES.c.name == CONTROL


class LostLead(Unavailable):
    """Somebody else leads by now, or may: nothing was written or done."""


@dataclass(frozen=True, slots=True)
class Leader:
    """Who leads."""

    holder: str
    """Name of the process; empty if nobody does."""
    address: str
    """URL of its HTTP interface."""
    token: int
    """How often the lead has changed hands."""


class Lease:
    """One process's view of the lease; safe to call from any thread."""

    def __init__(
        self,
        engine: Engine,
        holder: str,
        *,
        address: str = "",
        lease_s: float = 5.0,
        clock: Callable[[], float] = lambda: time.clock_gettime(time.CLOCK_BOOTTIME),
    ) -> None:
        """Holds nothing yet.

        Args:
            engine: Where the lease is.
            holder: Name of this process, nobody else's; as the engine was told it.
            address: URL under which it answers.
            lease_s: Seconds after which a lease that was not renewed is anybody's.
            clock: Seconds that also pass while this process or machine sleeps.
        """
        self._engine, self._holder, self._address = engine, holder, address
        self._lease_s, self._clock = lease_s, clock
        self._token = 0
        self._until = -1.0

    @property
    def token(self) -> int:
        """The number under which this process leads or led; 0 before it ever did."""
        return self._token

    def take(self) -> bool:
        """Lead from now on if nobody does; whether that worked."""
        now = self._clock()
        self._end_former()
        with writing(self._engine, alone=False) as connection:
            free = _MINE & (LEASES.c.expires < _now(connection))
            mine = {"holder": self._holder, "address": self._address, "token": LEASES.c.token + 1}
            if not self._prolong(connection, free, mine):
                return False
            token = connection.execute(select(LEASES.c.token).where(_MINE)).scalar_one()
        self._token, self._until = token, now + self._lease_s
        return True

    def _end_former(self) -> None:
        """End what a leader whose lease has run out has open, so that no lock of its keeps the lead from moving."""
        if not is_postgres(self._engine):
            return
        with sql_errors(place_of(self._engine)), self._engine.connect() as connection, connection.begin():
            ran_out = _MINE & (LEASES.c.expires < _now(connection))
            former = connection.execute(select(LEASES.c.holder).where(ran_out)).scalar()
            if former and former != self._holder:
                end_sessions(connection, former)

    def renew(self) -> bool:
        """Lead on; False if somebody else does by now, and then it is over for this process."""
        now = self._clock()
        with writing(self._engine, alone=False) as connection:
            renewed = self._prolong(connection, _MINE & (LEASES.c.token == self._token), {})
        self._until = now + self._lease_s if renewed else -1.0
        return renewed

    def release(self) -> None:
        """Let another one lead at once."""
        self._until = -1.0
        with writing(self._engine, alone=False) as connection:
            connection.execute(update(LEASES).where(_MINE, LEASES.c.token == self._token).values(expires=0.0))

    @property
    def leads(self) -> bool:
        """Whether nobody else can lead at this moment."""
        return self._clock() < self._until

    def check(self) -> None:
        """Go on only if nobody else can lead at this moment; asks no database.

        Raises:
            LostLead: If somebody may.
        """
        if not self.leads:
            raise LostLead(f"the lease of {self._holder} has run out; somebody else may lead by now")

    def check_in(self, connection: Connection) -> None:
        """Let nobody take the lead before the end of a transaction.

        Raises:
            LostLead: If somebody has.
        """
        query = select(LEASES.c.token, LEASES.c.holder).where(_MINE).with_for_update(read=True)
        token, holder = connection.execute(query).one()
        if token != self._token:
            raise LostLead(
                f"{holder} leads (number {token}); what {self._holder} writes under {self._token} is refused"
            )

    def leader(self) -> Leader:
        """Who leads now."""
        with reading(self._engine) as connection:
            row = connection.execute(select(LEASES, (LEASES.c.expires < _now(connection)).label("over"))).one()
        return Leader("", "", row.token) if row.over else Leader(row.holder, row.address, row.token)

    def _prolong(self, connection: Connection, where: ColumnElement[bool], more: Mapping[str, Any]) -> bool:
        change = {**more, "expires": _now(connection) + self._lease_s}
        return connection.execute(update(LEASES).where(where).values(change)).rowcount == 1

    def fenced(self) -> Engine:
        """The same database for one who leads: each write is refused once somebody else does."""
        return self._engine.execution_options(**{FENCE: self.check_in})


def _now(connection: Connection) -> ColumnElement[float]:
    """The present instant by the clock of the database, in seconds since the epoch."""
    postgres, sqlite = "extract(epoch FROM clock_timestamp())", "((julianday('now') - 2440587.5) * 86400.0)"
    return literal_column(postgres if is_postgres(connection.engine) else sqlite, Float)
