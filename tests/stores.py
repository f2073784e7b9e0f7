"""Stores that are ready at once: the migrations run once, and every test gets a copy of the file.

Knows nothing of what is in them.
"""

import tempfile
from functools import cache
from pathlib import Path

from sqlalchemy import Engine

from fabric.store.database import DATABASE, engine_of, open_store
from fabric.store.files import make_folder


def ready_store(folder: Path) -> Engine:
    """What `open_store` would open in a new folder."""
    file = make_folder(folder) / DATABASE
    file.touch(mode=0o600)
    file.write_bytes(_migrated())
    return engine_of(folder)


@cache
def _migrated() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        open_store(Path(folder)).dispose()
        return (Path(folder) / DATABASE).read_bytes()
