"""The benchmark's settings, and made-up traces that are drawn from once."""

from pathlib import Path

import pytest

from fabric.config.load import load
from fabric.simulator.hti.planning import ReplicaTable
from fabric.simulator.hti.settings import HtiSettings
from fabric.simulator.hti.traces.folder import Traces
from tests.unit.simulator.hti.small_traces import small_traces, tables

ROOT = Path(__file__).resolve().parents[4]


@pytest.fixture(scope="session")
def settings() -> HtiSettings:
    return load(HtiSettings, ROOT / "configs" / "simulate" / "hti-14.yaml")


@pytest.fixture(scope="session")
def traces(tmp_path_factory: pytest.TempPathFactory) -> Traces:
    return small_traces(tmp_path_factory.mktemp("traces"))


@pytest.fixture(scope="session")
def replica_tables(settings: HtiSettings) -> tuple[ReplicaTable, ...]:
    return tables(settings)
