"""A tier's line says what passed, what was skipped and why, and how long it took."""

from pathlib import Path

import pytest

from scripts import tiers
from scripts.junit import Counts, read_counts

REPORT = """<testsuites><testsuite tests="5">
  <testcase name="a"/>
  <testcase classname="tests.b" name="b"><failure message="no,&#10;  not  so"/></testcase>
  <testcase name="c"><skipped type="pytest.skip" message="no GPU"/></testcase>
  <testcase name="d"><skipped type="pytest.skip" message="no GPU"/></testcase>
  <testcase classname="tests.e" name="e"><error message="set-up"/></testcase>
</testsuite></testsuites>"""


def test_counts_are_read_from_the_report(tmp_path: Path) -> None:
    (tmp_path / "junit.xml").write_text(REPORT)
    failures = {"tests.b::b": "no, not so", "tests.e::e": "set-up"}
    assert read_counts(tmp_path / "junit.xml") == Counts(1, 2, 2, {"no GPU": 2}, failures)
    assert read_counts(tmp_path / "absent.xml") == Counts()


def test_a_tier_is_summed_up_in_one_line() -> None:
    fine = tiers.Outcome("fast", Counts(7, 0, 2, {"no GPU": 2}), 12.3)
    slow = tiers.Outcome("fast", Counts(7, 1), 61.0, "pytest ended with 1")
    assert str(fine) == "fast: 7 passed, 0 failed, 2 skipped (2 x no GPU), 12 s of 60 s"
    assert str(slow) == "fast: 7 passed, 1 failed, 0 skipped, 61 s of 60 s OVER BUDGET, pytest ended with 1"


def test_what_a_failed_test_said_stands_below_its_tier(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    failed = tiers.Outcome("fast", Counts(7, 1, failures={"tests.b::b": "no"}), 12.3, "pytest ended with 1")
    monkeypatch.setattr(tiers, "run_tier", lambda name, extra: failed)
    assert tiers.main(["fast"]) == 1
    assert f"{failed}\n  tests.b::b: no\ntotal: 7 passed, 1 failed" in capsys.readouterr().out


def test_an_unknown_tier_is_answered_with_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert tiers.main(["quick"]) == 2
    assert "no tier 'quick'; there are fast, validation, ray, models, cluster, gpu" in capsys.readouterr().err


def test_tests_do_not_see_the_callers_own_fabric(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FABRIC_ADDRESS", "http://mine")
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    seen = tiers.environment("abc")
    assert {"FABRIC_ADDRESS", "RAY_ADDRESS", "PYTHONDONTWRITEBYTECODE"} & set(seen) == set()
    assert seen[tiers.MARKER] == "abc"


def test_tests_see_where_the_caller_keeps_data(monkeypatch: pytest.MonkeyPatch) -> None:
    data = {"FABRIC_CACHE": "/scratch/cache", "FABRIC_TRACES": "/scratch/traces"}
    for name, folder in data.items():
        monkeypatch.setenv(name, folder)
    assert data.items() <= tiers.environment("abc").items()


def test_a_tier_without_its_machine_is_skipped_with_the_reason(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tiers, "ROOT", tmp_path)
    outcome = tiers.run_tier("cluster", [])
    assert (outcome.wrong, outcome.counts.reasons) == ("", {"tests/cluster has no tests yet": 1})


def test_a_tier_that_may_not_end_in_time_is_not_begun_unless_it_is_asked_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tiers, "run_tier", lambda name, extra: tiers.Outcome(name, Counts(1)))
    monkeypatch.setattr(tiers, "ALL_S", 2000.0)
    assert tiers.main([]) == 0
    assert "cluster: 0 passed, 0 failed, 1 skipped (1 x it may take 2100 s, and 0 s of" in capsys.readouterr().out
    assert tiers.main(["cluster"]) == 0
    assert "cluster: 1 passed" in capsys.readouterr().out
    monkeypatch.setattr(tiers, "ALL_S", 4500.0)
    assert (tiers.too_late("cluster", 2400.0), tiers.too_late("cluster", 2401.0)[:3]) == ("", "it ")


def test_files_are_kept_in_memory_only_where_there_is_room(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tiers, "MEMORY", tmp_path)
    monkeypatch.setattr(tiers, "MEMORY_BYTES", 1)
    assert tiers.memory() == tmp_path
    monkeypatch.setattr(tiers, "MEMORY_BYTES", 1 << 60)
    assert tiers.memory() is None
    monkeypatch.setattr(tiers, "MEMORY", tmp_path / "nowhere")
    assert tiers.memory() is None


def test_only_parts_of_a_rig_that_was_up_before_a_tier_stay_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from scripts.rigging import leaving

    up: set[int] = set()
    monkeypatch.setattr(leaving, "standing", lambda layout: up)
    assert list(tiers.staying("fast")()) == list(tiers.staying("cluster")()) == []
    up |= {17}
    found = tiers.staying("cluster")
    up |= {18}
    assert (found(), list(tiers.staying("ray")())) == ({17, 18}, [])
