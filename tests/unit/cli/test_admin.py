"""The group `admin` passes on to control, and passes on what it says."""

import json
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fabric.api.retention import PRUNE, PassView, PruneView, RemovalView, TotalView
from fabric.api.site import RELOADS, ReloadList, ReloadView
from fabric.cli.local import LocalFabric
from fabric.cli.main import app
from fabric.config.load import load
from fabric.config.site import Site
from tests.unit.cli.conftest import Run
from tests.unit.sdk.fakes import FakeControl as FakeHttp
from tests.unit.sdk.fakes import answer, refusal


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


def test_a_new_key_is_made_by_control_and_old_ones_go_only_where_somebody_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    control = FakeControl(said="2 secrets of projects are sealed anew\n")
    monkeypatch.setattr(subprocess, "run", control.run)
    words = ["admin", "rekey", "--state", str(tmp_path), "--site", "s.yaml"]
    done = CliRunner().invoke(app, words)
    assert (done.exit_code, done.stdout) == (0, "2 secrets of projects are sealed anew\n")
    assert control.words[3:] == ["rekey", "--site", "s.yaml", "--state", str(tmp_path)]
    CliRunner().invoke(app, [*words, "--forget-old"])
    assert control.words[-1] == "--forget-old"


@pytest.mark.parametrize(("code", "ours"), [(3, 2), (2, 2), (1, 1)])
def test_what_control_complains_of_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, ours: int
) -> None:
    monkeypatch.setattr(subprocess, "run", FakeControl(code, "", "noise\nerror: b.tar is no backup\n").run)
    done = CliRunner().invoke(app, ["admin", "restore", "b.tar", "--state", str(tmp_path), "--site", "s.yaml"])
    assert (done.exit_code, done.stderr) == (ours, "error: b.tar is no backup\n")


DONE = ReloadView(at=0.0, by="ada", changed=("policy",), waiting=("grace_s",))
TIER = "tiers: [{name: all, nodes: 1, capacity: {cpus: 4, memory: 6 GiB}, heads: true}]"


def test_a_reload_says_what_changed_and_what_waits(control: FakeHttp, run: Run) -> None:
    control.on(f"POST {RELOADS}", answer(DONE))
    said = run("admin", "reload")
    assert (said.stdout, said.stderr) == ("changed: policy\n", "waits for a restart: grace_s\n")
    assert json.loads(run("admin", "reload", "--json").stdout)["changed"] == ["policy"]


def test_a_file_that_control_refuses_is_told_with_its_words(control: FakeHttp, run: Run) -> None:
    control.on(f"POST {RELOADS}", refusal(400, "bad_config", "site.yaml: policy: protects: unknown key"))
    said = run("admin", "reload")
    assert (said.exit_code, said.stderr) == (2, "error: site.yaml: policy: protects: unknown key\n")


def test_past_reloads_are_listed(control: FakeHttp, run: Run) -> None:
    control.on(f"GET {RELOADS}", answer(ReloadList(reloads=(DONE,))))
    assert "policy" in run("admin", "reload", "--past").stdout
    assert json.loads(run("admin", "reload", "--past", "--json").stdout)["reloads"][0]["by"] == "ada"


def test_the_file_of_a_local_fabric_gives_control_what_may_change_and_nothing_else(
    control: FakeHttp, run: Run, tmp_path: Path
) -> None:
    control.on(f"POST {RELOADS}", answer(DONE.model_copy(update={"waiting": ()})))
    local = LocalFabric(tmp_path / "state")
    local.folder.mkdir()
    first, later = tmp_path / "first.yaml", tmp_path / "later.yaml"
    first.write_text(f"name: s\n{TIER}\n")
    later.write_text(f"name: s\n{TIER}\ngrace_s: 5.0\npolicy: {{protect: 3}}\n")
    assert "no `fabric up` runs here" in run("admin", "reload", "--site", str(later)).stderr
    local.remember(load(Site, first))
    said = run("admin", "reload", "--site", str(later))
    assert (said.exit_code, said.stderr) == (0, "waits for a restart: grace_s\n")
    read = load(Site, local.site_file)
    assert (read.policy, read.grace_s) == ({"protect": 3}, 20.0)


def test_a_wrong_file_of_a_local_fabric_is_refused_before_control_is_asked(
    control: FakeHttp, run: Run, tmp_path: Path
) -> None:
    local = LocalFabric(tmp_path / "state")
    local.folder.mkdir()
    file = tmp_path / "site.yaml"
    file.write_text(f"name: s\n{TIER}\n")
    local.remember(load(Site, file))
    file.write_text(f"name: s\n{TIER}\npolicy: {{protects: 3}}\n")
    said = run("admin", "reload", "--site", str(file))
    assert (said.exit_code, "unknown key" in said.stderr, control.asked) == (2, True, [])
    assert load(Site, local.site_file).policy is None


GOES = PruneView(
    removals=(RemovalView(kind="log", project="alpha", name="old", num_bytes=2048, since=0.0),),
    totals=(TotalView(kind="log", number=1, num_bytes=2048), TotalView(kind="report", number=0, num_bytes=0)),
    stays=("2 artifacts of project beta (1 KiB): work of it waits or runs",),
    last=PassView(at=0.0, removed=(), failures=("report: the disk refuses",)),
)


def test_a_dry_run_lists_what_would_go_and_removes_nothing(control: FakeHttp, run: Run) -> None:
    control.on(f"GET {PRUNE}", answer(GOES))
    said = run("admin", "prune", "--dry-run")
    assert said.exit_code == 0
    assert [line.split()[:4] for line in said.stdout.splitlines()[1:2]] == [["log", "alpha", "2", "KiB"]]
    assert said.stdout.splitlines()[-1] == "in all: 1 log (2 KiB)"
    assert "stays: 2 artifacts of project beta" in said.stderr
    assert "not removed: report: the disk refuses" in said.stderr
    assert json.loads(run("admin", "prune", "--dry-run", "--json").stdout)["removals"][0]["name"] == "old"
    assert {request.method for request in control.asked} == {"GET"}


def test_nothing_is_removed_before_somebody_says_yes(control: FakeHttp, run: Run) -> None:
    control.on(f"GET {PRUNE}", answer(GOES)).on(f"POST {PRUNE}", answer(GOES))
    refused = run("admin", "prune")
    assert (refused.exit_code, "give --yes" in refused.stderr, len(control.asked)) == (2, True, 1)
    assert run("admin", "prune", "--yes").exit_code == 0
    assert control.asked[-1].method == "POST"


def test_what_was_not_looked_at_is_said_and_nothing_of_it_goes_unasked(control: FakeHttp, run: Run) -> None:
    seen = PruneView(removals=(), totals=GOES.totals[1:], unseen="artifacts after a of project alpha: it takes long")
    control.on(f"GET {PRUNE}", answer(seen)).on(f"POST {PRUNE}", answer(seen))
    said = run("admin", "prune")
    assert (said.exit_code, "not looked at: artifacts after a of project alpha" in said.stderr) == (2, True)
    assert {request.method for request in control.asked} == {"GET"}
    assert run("admin", "prune", "--yes").exit_code == 0


def test_where_nothing_is_old_enough_nobody_is_asked(control: FakeHttp, run: Run) -> None:
    control.on(f"GET {PRUNE}", answer(PruneView(removals=(), totals=GOES.totals[1:])))
    assert run("admin", "prune").stdout == "in all: nothing\n"
