"""An empty store for each test, and a disk that fills up."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from fabric.store.records import SqlRecords
from tests.stores import ready_store


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    engine = ready_store(tmp_path / "state")
    yield engine
    engine.dispose()


@pytest.fixture
def records(engine: Engine) -> SqlRecords:
    return SqlRecords(engine, now=lambda: 1000.0)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB of its own."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only who may mount can make a small disk")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)
