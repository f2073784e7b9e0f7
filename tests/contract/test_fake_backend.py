"""The in-memory backend keeps the contract."""

import pytest

from fabric.scheduler.ports import Backend
from tests.contract.backend_contract import BackendContract
from tests.fake_backend import FakeBackend


class TestFakeBackend(BackendContract):
    """In memory."""

    @pytest.fixture
    def backend(self) -> FakeBackend:
        """A fresh one."""
        return FakeBackend()

    def lose_a_node(self, backend: Backend, cluster: str) -> None:
        """Say so."""
        assert isinstance(backend, FakeBackend)
        backend.lose(cluster)
