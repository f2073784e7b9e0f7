"""The echo engine keeps the engines' contract."""

import pytest

from fabric.serve.engines.echo import ByteTokeniser, EchoSource
from tests.contract.engine_contract import ClosingContract, EngineContract, Loaded


class TestEcho(EngineContract):
    @pytest.fixture(scope="class")
    @classmethod
    def loaded(cls) -> Loaded:
        return Loaded(EchoSource(), ByteTokeniser())

    def is_busy(self, loaded: Loaded) -> bool:
        assert isinstance(loaded.source, EchoSource)
        return loaded.source.num_running > 0


class TestEchoCloses(ClosingContract):
    @pytest.fixture
    def to_close(self) -> Loaded:
        return Loaded(EchoSource(token_s=0.01), ByteTokeniser())
