"""Back up a fabric while it runs, and restore one that does not.

Knows nothing of what is copied.
"""

import os
import secrets
import time
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path

from fabric.config.site import Site
from fabric.control.process import StateLock
from fabric.control.sealing import keyring_of, words_of
from fabric.core.errors import Conflict
from fabric.store import backup
from fabric.store.backup import closing_store
from fabric.store.database import engine_of, open_store
from fabric.store.lease import Lease
from fabric.store.named_secrets import lost_of

LONGEST_S = 3600.0
"""How long a restore may hold the lead, in seconds; it lets go once it is done."""


def back_up(site: Site, state: Path, file: Path) -> str:
    """Write everything into `file`; control may run.

    Returns:
        What was written, for people.

    Raises:
        Conflict: If the file is there, or the records are of another schema.
        FabricError: If something cannot be read or written.
    """
    with closing_store(engine_of(state, site.store)) as engine:
        made = backup.back_up(engine, state, file, time.time())
    said = f"{file}: {_words(made)}, {file.stat().st_size} bytes. It holds secrets: only its owner may read it."
    keys = keyring_of(site, state).file
    return said if keys is None else f"{said} The key that opens secrets of projects is not in it: keep {keys} apart."


def restore(site: Site, state: Path, file: Path, *, force: bool) -> str:
    """Make the records those of a backup; no control may run meanwhile.

    Returns:
        What was restored, for people.

    Raises:
        Conflict: If control runs, there are records and nothing forces it, or a newer fabric wrote the file.
        FabricError: If something cannot be read or written.
    """
    process = f"restore/{os.getpid()}/{secrets.token_hex(4)}"
    alone = StateLock(state) if site.store.url is None else nullcontext()
    with alone, closing_store(open_store(state, site.store, process)) as engine:
        lease = None if site.store.url is None else Lease(engine, process, lease_s=LONGEST_S)
        if lease is not None and not lease.take():
            raise Conflict(f"a control leads ({lease.leader().address}). End every control, then restore.")
        try:
            made = backup.restore(engine, state, file, force=force, change=lease.fenced() if lease else None)
            lost = words_of(lost_of(engine, keyring_of(site, state)))
        finally:
            if lease is not None:
                lease.release()
    said = f"restored from {file}: {_words(made)}. Work that ran then is started again unless it still runs."
    return f"{said} But {lost}" if lost else said


def _words(made: backup.Backup) -> str:
    when = datetime.fromtimestamp(made.at, UTC).isoformat(timespec="seconds")
    return f"{made.workloads} workloads and {made.packages} packages as of {when}"
