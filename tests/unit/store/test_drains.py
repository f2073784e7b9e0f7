"""What is drained is there again after a restart, and says who, when, why and until when."""

from pathlib import Path

from fabric.store.database import open_store
from fabric.store.drains import Drain
from fabric.store.records import SqlRecords


def test_a_drain_outlives_the_process_and_undoing_it_too(tmp_path: Path) -> None:
    bad = Drain("gpu-1", "ada", "bad DIMM", 5.0, 65.0)
    SqlRecords(open_store(tmp_path)).drain(bad)
    again = SqlRecords(open_store(tmp_path))
    assert again.drains() == {"gpu-1": bad}
    assert again.undrain("gpu-1")
    assert SqlRecords(open_store(tmp_path)).drains() == {}


def test_what_is_said_anew_of_a_node_takes_the_place_of_what_was_said(records: SqlRecords) -> None:
    records.drain(Drain("gpu-1", "ada", "bad DIMM", 5.0))
    records.drain(Drain("gpu-0", "bob", "", 6.0))
    records.drain(Drain("gpu-1", "bob", "worse than thought \0\ud800", 7.0, 8.0))
    found = records.drains()
    assert list(found) == ["gpu-0", "gpu-1"]
    assert found["gpu-1"] == Drain("gpu-1", "bob", "worse than thought \\x00\\ud800", 7.0, 8.0)
    assert found["gpu-0"].said == "is being drained by bob"


def test_undoing_what_is_not_drained_says_so(records: SqlRecords) -> None:
    assert not records.undrain("gpu-1")
