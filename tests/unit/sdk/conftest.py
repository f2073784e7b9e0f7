"""What all tests of the SDK share: no address, key or pause of the machine they run on.

Knows nothing of what is tested.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import event

from fabric.config import env
from fabric.sdk import transport, work
from fabric.store.database import open_store
from tests.unit.control.world import World
from tests.unit.sdk.fakes import FakeControl


@pytest.fixture(autouse=True)
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (env.ADDRESS, env.TOKEN, env.WORKLOAD):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(env.STATE, str(tmp_path / "state"))


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(transport, "LONGEST_PAUSE_S", 0.002)
    monkeypatch.setattr(work, "FIRST_LOOK_S", 0.001)
    monkeypatch.setattr(work, "SLOWEST_LOOK_S", 0.002)


@pytest.fixture
def control() -> FakeControl:
    return FakeControl()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Control itself, without sockets."""
    engine = open_store(tmp_path / "store")
    event.listen(engine, "connect", lambda connection, record: connection.execute("PRAGMA synchronous=OFF"))
    yield World(tmp_path / "store", engine)
    engine.dispose()
