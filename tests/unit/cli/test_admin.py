"""The group `admin` passes on to control, and passes on what it says."""

import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fabric.cli.main import app


class FakeControl:
    """In place of the process that would be started."""

    def __init__(self, code: int = 0, said: str = "", complained: str = "") -> None:
        self.code, self.said, self.complained = code, said, complained
        self.words: list[str] = []

    def run(self, words: list[str], **more: object) -> subprocess.CompletedProcess[str]:
        self.words = words
        return subprocess.CompletedProcess(words, self.code, self.said, self.complained)


def test_a_backup_is_of_the_site_that_was_in_force(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    control = FakeControl(said="b.tar: 2 workloads\n")
    monkeypatch.setattr(subprocess, "run", control.run)
    (tmp_path / "site.yaml").write_text("{}")
    done = CliRunner().invoke(app, ["admin", "backup", "b.tar", "--state", str(tmp_path)])
    assert (done.exit_code, done.stdout) == (0, "b.tar: 2 workloads\n")
    site, state = str(tmp_path / "site.yaml"), str(tmp_path)
    assert control.words[1:] == [
        "-m", "fabric.control", "backup", "--site", site, "--state", state, "--file", "b.tar",
    ]  # fmt: skip


def test_a_restore_is_forced_only_where_somebody_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    control = FakeControl()
    monkeypatch.setattr(subprocess, "run", control.run)
    words = ["admin", "restore", "b.tar", "--state", str(tmp_path), "--site", "s.yaml"]
    CliRunner().invoke(app, words)
    assert "--force" not in control.words
    CliRunner().invoke(app, [*words, "--force"])
    assert control.words[-1] == "--force"
    assert control.words[4:6] == ["--site", "s.yaml"]


@pytest.mark.parametrize(("code", "ours"), [(3, 2), (2, 2), (1, 1)])
def test_what_control_complains_of_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, ours: int
) -> None:
    monkeypatch.setattr(subprocess, "run", FakeControl(code, "", "noise\nerror: b.tar is no backup\n").run)
    done = CliRunner().invoke(app, ["admin", "restore", "b.tar", "--state", str(tmp_path), "--site", "s.yaml"])
    assert (done.exit_code, done.stderr) == (ours, "error: b.tar is no backup\n")
