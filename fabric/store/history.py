"""What projects have used of late and how long runs took, in SQL, so that a new control knows it.

Knows nothing of how it is counted.
"""

from collections.abc import Sequence

from sqlalchemy import Connection, delete, insert, select

from fabric.scheduler.estimates import KEPT_RUNS, Run, Runs
from fabric.scheduler.history import History
from fabric.scheduler.usage import Usage
from fabric.store.database import SqlTables, reading, writing
from fabric.store.rows import storable
from fabric.store.schema import RUNS, USAGE


class SqlHistory(SqlTables):
    """Implements `fabric.scheduler.history.Memory`."""

    def recall(self) -> History:
        """What was kept last."""
        with reading(self._engine) as connection:
            used = connection.execute(select(USAGE.c.entry, USAGE.c.at, USAGE.c.seconds)).all()
            ended = connection.execute(select(RUNS.c.owner, RUNS.c.ran_s, RUNS.c.walltime_s).order_by(RUNS.c.id)).all()
        runs = Runs()
        for owner, ran_s, walltime_s in ended:
            runs = runs.after(Run(owner, ran_s, walltime_s))
        at = max((row[1] for row in used), default=0.0)
        return History(Usage(at, {entry: seconds for entry, _, seconds in used}), runs)

    def remember(self, usage: Usage, runs: Sequence[Run]) -> None:
        """Keep what was used in place of what was kept before, and runs that have ended; the oldest of an owner go."""
        used = [
            {"entry": storable(entry), "at": usage.at, "seconds": seconds} for entry, seconds in usage.seconds.items()
        ]
        ended = [{"owner": storable(run.owner), "ran_s": run.ran_s, "walltime_s": run.walltime_s} for run in runs]
        with writing(self._engine) as connection:
            connection.execute(delete(USAGE))
            if used:
                connection.execute(insert(USAGE), used)
            if ended:
                connection.execute(insert(RUNS), ended)
            for owner in sorted({str(run["owner"]) for run in ended}):
                _forget_old(connection, owner)


def _forget_old(connection: Connection, owner: str) -> None:
    """Delete all but the newest runs of one owner."""
    mine = RUNS.c.owner == owner
    newest = select(RUNS.c.id).where(mine).order_by(RUNS.c.id.desc()).offset(KEPT_RUNS).limit(1)
    oldest_gone = connection.execute(newest).scalar()
    if oldest_gone is not None:
        connection.execute(delete(RUNS).where(mine, RUNS.c.id <= oldest_gone))
