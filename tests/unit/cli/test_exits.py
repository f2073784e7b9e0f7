"""How a command fails: one line, one code."""

import errno
import sys
import tempfile
from pathlib import Path

import httpx
import pytest

from fabric.cli import main as entry
from fabric.cli.exits import code_of
from fabric.core.errors import ERRORS, FabricError
from tests.unit.cli.conftest import Run
from tests.unit.sdk.fakes import FakeControl, refusal

JOBS = "GET /api/fabric/workloads"

CODES = {
    "internal": 1, "corrupt": 1, "bad_input": 2, "bad_config": 2, "bad_package": 2, "does_not_fit": 2, "conflict": 2,
    "not_found": 3, "unavailable": 4, "storage_full": 4, "cluster_lost": 4, "denied": 5, "unauthenticated": 5,
}  # fmt: skip


@pytest.mark.parametrize("code", ERRORS)
def test_every_error_has_the_exit_code_of_the_help_page(control: FakeControl, run: Run, code: str) -> None:
    control.on(JOBS, refusal(400, code, "first line\nsecond line"))
    said = run("jobs")
    assert said.exit_code == CODES[code] == code_of(ERRORS[code](""))
    assert said.stderr == "error: first line second line\n"
    assert said.stdout == ""


def test_a_fabric_that_is_not_there_says_how_to_start_one(control: FakeControl, run: Run) -> None:
    control.on(JOBS, httpx.ConnectError("refused"))
    said = run("jobs")
    assert said.exit_code == 4
    assert said.stderr.startswith("error: no fabric answers at http://127.0.0.1:8270. Start one with `fabric up`")


def test_a_mistyped_command_is_bad_input(run: Run) -> None:
    said = run("jobz")
    assert said.exit_code == 2
    assert "Did you mean 'jobs'?" in said.stderr


def test_an_interrupted_command_ends_with_130(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("fabric.cli.jobs._listed", interrupted)
    assert run("jobs").exit_code == 130


def test_a_file_that_may_not_be_written_is_one_line(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", "/state")

    monkeypatch.setattr("fabric.cli.jobs._listed", denied)
    said = run("jobs")
    assert (said.exit_code, said.stderr) == (2, "error: /state: Permission denied\n")


def test_a_fault_of_our_own_is_one_line_and_the_trace_is_kept(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def broken(*_: object) -> None:
        raise KeyError("forgotten")

    monkeypatch.setattr("fabric.cli.jobs._listed", broken)
    monkeypatch.setattr(sys, "argv", ["fabric", "jobs"])
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(SystemExit) as end:
        entry.main()
    said = capsys.readouterr().err
    assert end.value.code == 1
    assert said.startswith("error: a fault of the fabric: KeyError: 'forgotten'; trace: ")
    assert said.count("\n") == 1
    assert "Traceback" in next(tmp_path.glob("fabric-fault-*.txt")).read_text()


def test_the_root_of_errors_is_a_failure_of_the_fabric_itself() -> None:
    assert code_of(FabricError("odd")) == 1
