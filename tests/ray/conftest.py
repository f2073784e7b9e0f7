"""One live fabric for the tests that only need some fabric."""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ray.live import Live


@pytest.fixture(scope="session")
def live() -> Iterator[Live]:
    """A fabric with the laptop site; everything of it is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="fab-") as folder:
        fabric = Live(Path(folder))
        fabric.up()
        try:
            yield fabric
        finally:
            fabric.down()
            assert fabric.cluster_processes() == []


@pytest.fixture
def own() -> Iterator[Live]:
    """A fabric of the test's own, to be killed."""
    with tempfile.TemporaryDirectory(prefix="fab-") as folder:
        fabric = Live(Path(folder))
        fabric.up()
        try:
            yield fabric
        finally:
            fabric.down()
            assert fabric.cluster_processes() == []
