"""What projects used and how long runs took is there again after a restart."""

from pathlib import Path

import pytest

from fabric.scheduler.estimates import KEPT_RUNS, Run
from fabric.scheduler.history import History
from fabric.scheduler.usage import Usage
from fabric.store.database import open_store
from fabric.store.records import SqlRecords


def test_nothing_is_known_at_first(records: SqlRecords) -> None:
    assert records.recall() == History()


def test_what_was_remembered_is_there_for_another_control(tmp_path: Path) -> None:
    first = SqlRecords(open_store(tmp_path))
    runs = [Run("nlp/ann", 10.0, 60.0), Run("nlp/bob", 7.0), Run("nlp/ann", 12.5)]
    first.remember(Usage(99.0, {"nlp": 4.25, "climate": 1e-9}), runs)
    found = SqlRecords(open_store(tmp_path)).recall()
    assert found.usage == Usage(99.0, {"nlp": 4.25, "climate": 1e-9})
    assert found.runs.by_owner == {"nlp/ann": (runs[0], runs[2]), "nlp/bob": (runs[1],)}


def test_use_takes_the_place_of_what_was_kept_and_runs_are_added(records: SqlRecords) -> None:
    records.remember(Usage(1.0, {"a": 1.0, "gone": 2.0}), [Run("x", 1.0)])
    records.remember(Usage(2.0, {"a": 3.0}), [Run("x", 2.0)])
    found = records.recall()
    assert found.usage == Usage(2.0, {"a": 3.0})
    assert [run.ran_s for run in found.runs.by_owner["x"]] == [1.0, 2.0]


@pytest.mark.parametrize("at_once", [True, False])
def test_only_the_newest_runs_of_each_owner_are_kept(records: SqlRecords, at_once: bool) -> None:
    runs = [Run("x", float(number)) for number in range(KEPT_RUNS + 5)]
    for batch in [runs] if at_once else [runs[:18], runs[18:]]:
        records.remember(Usage(1.0), [*batch, Run("y", 1.0)])
    kept = [run.ran_s for run in records.recall().runs.by_owner["x"]]
    assert kept == [float(number) for number in range(5, KEPT_RUNS + 5)]
    with records._engine.connect() as connection:
        count = connection.exec_driver_sql("SELECT count(*) FROM runs WHERE owner = 'x'").scalar()
    assert count == KEPT_RUNS
