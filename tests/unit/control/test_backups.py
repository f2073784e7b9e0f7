"""A fabric is backed up while it runs and restored while it does not."""

from pathlib import Path

import pytest

from fabric.control import backups
from fabric.control.process import StateLock
from fabric.core.errors import Conflict
from fabric.store.database import open_store
from fabric.store.records import SqlRecords
from tests.builders import job, record, tiny_site


def test_it_is_backed_up_under_a_running_control_and_restored_only_without_one(tmp_path: Path) -> None:
    state, file = tmp_path / "state", tmp_path / "b.tar"
    engine = open_store(state)
    SqlRecords(engine).submit(record(job("a")))
    with StateLock(state):
        said = backups.back_up(tiny_site(), state, file)
        assert "1 workloads and 0 packages" in said
        assert "It holds secrets" in said
        with pytest.raises(Conflict, match="another fabric runs on"):
            backups.restore(tiny_site(), state, file, force=True)
    with pytest.raises(Conflict, match="--force"):
        backups.restore(tiny_site(), state, file, force=False)
    SqlRecords(engine).submit(record(job("b")))
    assert "1 workloads" in backups.restore(tiny_site(), state, file, force=True)
    assert [each.name for each in SqlRecords(engine).list()] == ["a"]
    engine.dispose()
