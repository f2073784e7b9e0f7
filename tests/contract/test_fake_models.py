"""The registry in memory keeps the contract."""

import pytest

from tests.contract.models_contract import ModelsContract
from tests.fake_models import FakeModelStore


class TestFakeModelStore(ModelsContract):
    """In memory."""

    @pytest.fixture
    def models(self) -> FakeModelStore:
        """An empty one."""
        return FakeModelStore()
