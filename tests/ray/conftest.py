"""One live fabric for the tests that only need some fabric."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from fabric.store.database import open_store
from tests.postgres import Postgres, emptied, postgres, programs
from tests.ray.live import Live

LONGEST = (
    "test_resizing.py", "test_stock_cli.py", "test_same_answers.py", "test_faults.py", "test_kills.py", "test_drain.py",
    "test_local_backend.py", "test_told.py", "test_stock_serve.py", "test_training_faults.py", "test_pretrain.py",
    "test_engines.py", "test_prepare.py",
)  # fmt: skip
"""Files that take minutes; begun first, so that nobody waits for one of them at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest; everything else stays in its order."""
    rank = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path.name, len(rank)))


@pytest.fixture(scope="session")
def shared() -> Iterator[Live]:
    """A fabric with the laptop site; everything of it is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="fab-") as folder:
        with Live(Path(folder)) as fabric:
            yield fabric


@pytest.fixture
def live(shared: Live) -> Iterator[Live]:
    """The fabric that tests share; what the test submitted has ended afterwards, so that the next finds room."""
    before = shared.active()
    yield shared
    shared.stop_all(shared.active() - before)


@pytest.fixture
def own(request: pytest.FixtureRequest) -> Iterator[Live]:
    """A fabric of the test's own, to be killed; its parameter is the grace in seconds, where it matters."""
    with tempfile.TemporaryDirectory(prefix="fab-") as folder:
        with Live(Path(folder), grace_s=getattr(request, "param", 5.0)) as fabric:
            yield fabric


@pytest.fixture(scope="session")
def server() -> Iterator[Postgres]:
    """A real PostgreSQL; everything of it is gone afterwards."""
    if programs() is None:
        pytest.skip("PostgreSQL is not installed; scripts/postgres installs it")
    with postgres() as running:
        yield running


@pytest.fixture(scope="module")
def database(server: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """A database of one file's own, with the schema of the code."""
    engine = open_store(tmp_path_factory.mktemp("state"), server.store())
    yield engine
    engine.dispose()


@pytest.fixture
def engine(database: Engine) -> Engine:
    """The same with empty tables."""
    return emptied(database)
