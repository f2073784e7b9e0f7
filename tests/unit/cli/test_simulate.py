"""`fabric simulate` and `fabric replay` as people and scripts use them."""

import csv
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from fabric.cli.main import app
from fabric.simulator import windows
from tests.architecture.tree import ROOT


def run(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def log(folder: Path, *jobs: tuple[int, int, int]) -> Path:
    file = folder / "log.swf"
    unknown = " ".join(["-1"] * 9)
    lines = [
        f"{number} {at} -1 {runs_s} {wide} -1 -1 {wide} {2 * runs_s} {unknown}"
        for number, (at, runs_s, wide) in enumerate(jobs, 1)
    ]
    file.write_text("\n".join(lines))
    return file


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Ten processors' worth of a queue: the second job waits for the first, the third passes."""
    return log(tmp_path, (0, 100, 6), (1, 50, 10), (2, 40, 4))


def test_a_log_is_run_and_its_waits_are_written(small: Path, tmp_path: Path) -> None:
    out = tmp_path / "waits.csv"
    found = run("simulate", "swf", small, "--processors", 10, "--waits", out, "--json")
    assert found.exit_code == 0
    told = json.loads(found.stdout)
    assert (told["jobs"], told["mean_wait_s"]) == (3, 33.0)
    assert set(told) >= {"avebsld", "mean_wait_s", "utilisation"}
    with out.open(newline="") as file:
        rows = [",".join(row) for row in csv.reader(file)]
    assert rows == ["job_id,submit,wait", "1,0,0", "2,1,99", "3,2,0"]


def test_the_table_has_the_same_figures(small: Path) -> None:
    shown = run("simulate", "swf", small, "--processors", 10, "--order", "sjf", "--estimates", "exact").stdout
    assert "mean_wait_s  33.0000" in shown


def test_a_broken_log_ends_with_the_line_and_the_code_of_bad_input(tmp_path: Path) -> None:
    found = run("simulate", "swf", log(tmp_path, (0, 10, 11)), "--processors", 10)
    assert found.exit_code == 2
    assert "line 1: job 1 needs 11 processors" in found.stderr


def test_windows_need_a_long_log(small: Path) -> None:
    found = run("simulate", "windows", small, "--processors", 10, "--policy", "f1", "--backfill", "on")
    assert found.exit_code == 2
    assert "has 3 jobs" in found.stderr


def test_windows_are_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windows, "STARTS", (0, 3))
    monkeypatch.setattr(windows, "LENGTH", 20)
    many = log(tmp_path, *((number, 1, 1) for number in range(23)))
    found = run("simulate", "windows", many, "--processors", 4, "--policy", "fcfs", "--backfill", "off", "--json")
    told = json.loads(found.stdout)
    # Twenty jobs of one second on four processors, the last of which starts after 19 seconds.
    assert told == {"passes": 80, "bsld": 1.0, "utilisation": 20 / (4 * 19)}


@pytest.mark.slow
def test_a_scenario_is_run_drawn_recorded_and_replayed(tmp_path: Path) -> None:
    picture, decision = tmp_path / "day.svg", tmp_path / "decision.json"
    scenario = ROOT / "configs" / "simulate" / "busy-day.yaml"
    found = run("simulate", "run", scenario, "--json", "--plot", picture, "--record", decision)
    assert found.exit_code == 0
    told = json.loads(found.stdout)
    assert set(told) >= {"avebsld", "mean_wait_s", "utilisation", "seeds"}
    assert told["seeds"][0]["states"] == {"succeeded": 102, "cancelled": 1}
    assert picture.stat().st_size > 1000
    again = run("replay", decision)
    assert (again.exit_code, again.stdout.startswith("the same plan")) == (0, True)


@pytest.mark.slow
def test_a_scenario_takes_another_policy_and_several_seeds() -> None:
    folder = ROOT / "configs"
    policy = folder / "policies" / "strict.yaml"
    shown = run("simulate", "run", folder / "simulate" / "busy-day.yaml", "--policy", policy, "--seeds", 2).stdout
    assert len(shown.splitlines()) == 3


@pytest.mark.slow
def test_a_decision_that_comes_out_otherwise_fails(tmp_path: Path) -> None:
    decision = tmp_path / "decision.json"
    run("simulate", "run", ROOT / "configs" / "simulate" / "busy-day.yaml", "--record", decision)
    document = json.loads(decision.read_text())
    document["plan"]["waits"][0]["reason"] = "no reason"
    decision.write_text(json.dumps(document))
    found = run("replay", decision)
    assert found.exit_code == 1
    assert '-   "reason": "no reason"' in found.stdout.replace("-   ", "-   ")
    assert run("replay", tmp_path / "none.json").exit_code == 2


@pytest.mark.slow
def test_a_scenario_tells_how_promises_were_kept() -> None:
    found = json.loads(run("simulate", "run", ROOT / "configs" / "simulate" / "busy-day.yaml", "--json").stdout)
    for report in found["seeds"]:
        promises = report["promises"]
        assert promises["num"] == report["promised"]
        assert promises["worst_s"] == report["latest_after_promise_s"]
        assert 0 < promises["num_kept"] <= promises["num"]
