"""A world for each test; the schema is made once.

Knows nothing of single tests.
"""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event

from fabric.store.database import DATABASE, engine_at
from tests.unit.control.world import World


@pytest.fixture
def engine(tmp_path: Path, empty_database: Path) -> Iterator[Engine]:
    shutil.copy(empty_database, tmp_path / DATABASE)
    engine = engine_at(f"sqlite:///{tmp_path / DATABASE}")
    # No test here pulls the plug.
    event.listen(engine, "connect", lambda connection, record: connection.execute("PRAGMA synchronous=OFF"))
    yield engine
    engine.dispose()


@pytest.fixture
def make_world(tmp_path: Path, engine: Engine) -> Callable[..., World]:
    """Build a world with other HTTP settings."""

    def make(**settings: Any) -> World:
        return World(tmp_path, engine, **settings)

    return make


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    return make_world()
