"""A demo ends what lives in its folder before it empties it, and takes its own fabric down however it ends."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from fabric.cli.processes import Running
from fabric.config import env
from fabric.core.errors import Conflict, FabricError
from scripts import demo_fabric, demo_run
from scripts.demo_fabric import fabric_up, forget
from scripts.demo_site import Home
from tests.unit.cli.test_processes import SLEEP, until

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A folder in which a fabric was."""
    folder = tmp_path / "state"
    (folder / "clusters" / "old-1").mkdir(parents=True)
    (folder / "fabric.db").write_text("records")
    (folder / "up.lock").touch()
    return folder


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A `fabric` that writes down how it is called; it fails at what FAILS names."""
    log = tmp_path / "called"
    program = tmp_path / "fabric"
    program.write_text(
        f'#!/bin/sh\necho "$1 $4 $5" >> {log}\n'
        'if [ "$1" = "$FAILS" ]; then echo "WARN memory" >&2; echo "error: port 8270 is in use" >&2; exit 2; fi\n'
    )
    program.chmod(0o755)
    monkeypatch.setattr(demo_fabric, "FABRIC", program)
    return log


def test_an_earlier_run_is_forgotten_but_for_its_locks(state: Path) -> None:
    forget(Home(state))
    assert sorted(path.name for path in state.iterdir()) == ["control.lock", "up.lock"]
    forget(Home(state))


def test_a_folder_that_is_missing_or_empty_is_fine(tmp_path: Path) -> None:
    forget(Home(tmp_path / "nothing"))
    forget(Home(tmp_path))


def test_a_folder_of_something_else_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(Conflict, match="holds no fabric's records. Give another --state"):
        forget(Home(tmp_path))
    assert (tmp_path / "thesis.tex").exists()


def test_a_fabric_that_lives_there_is_taken_down_first(
    state: Path, fake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there: list[bool] = []
    down = demo_fabric.command

    def watched(verb: str, place: Home, *words: str) -> None:
        there.append((place.state / "fabric.db").exists())
        down(verb, place, *words)

    monkeypatch.setattr(demo_fabric, "command", watched)
    mine = Running.now(os.getpid())
    assert mine is not None
    mine.write(state / "up.pid")
    forget(Home(state))
    assert fake.read_text() == "down --now \n"
    assert there == [True]
    assert not (state / "fabric.db").exists()


def test_a_fabric_that_cannot_be_ended_keeps_its_records(
    state: Path, fake: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAILS", "down")
    mine = Running.now(os.getpid())
    assert mine is not None
    mine.write(state / "up.pid")
    with pytest.raises(FabricError, match="`fabric down` ended with 2: port 8270 is in use"):
        forget(Home(state))
    assert (state / "fabric.db").exists()


def test_a_folder_that_somebody_holds_keeps_its_records(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_fabric, "PREDECESSOR_S", 0.0)
    holder = subprocess.Popen(["flock", str(state / "control.lock"), "sleep", "60"], process_group=0)
    try:
        until(
            lambda: bool(subprocess.run(["flock", "-n", str(state / "control.lock"), "true"], check=False).returncode)
        )
        with pytest.raises(Conflict, match="control.lock. End it, or give another --state"):
            forget(Home(state))
    finally:
        os.killpg(holder.pid, signal.SIGKILL)
        holder.wait()
    assert (state / "fabric.db").exists()


def test_a_cluster_whose_fabric_was_killed_is_ended_and_a_shell_that_is_set_for_it_is_not(state: Path) -> None:
    shell = {**os.environ, env.STATE: str(state)}
    cluster = subprocess.Popen([sys.executable, "-c", SLEEP], env={**shell, env.CLUSTER: "old-1"})
    other = subprocess.Popen([sys.executable, "-c", SLEEP], env=shell)
    try:
        until(lambda: Path(f"/proc/{cluster.pid}/cmdline").read_bytes().startswith(sys.executable.encode()))
        forget(Home(state))
        assert cluster.wait(5) == -signal.SIGTERM
        assert other.poll() is None
    finally:
        for process in (cluster, other):
            process.kill()
            process.wait()


def test_a_fabric_that_does_not_start_is_one_line_and_is_taken_down(
    tmp_path: Path, fake: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FAILS", "up")
    monkeypatch.setattr(sys, "argv", ["demo", "--state", str(tmp_path / "new")])
    monkeypatch.setattr(demo_run, "end_in_order", lambda: None)
    assert demo_run.main() == 1
    assert [line.split()[0] for line in fake.read_text().splitlines()] == ["up", "down"]
    said = capsys.readouterr()
    assert said.out.splitlines()[-1] == "demo: `fabric up` ended with 2: port 8270 is in use"
    assert "Traceback" not in said.out + said.err


def test_ctrl_c_takes_the_fabric_down_and_is_one_line(
    tmp_path: Path, fake: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def pressed(*given: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(demo_run, "live_a_life", pressed)
    monkeypatch.setattr(demo_run, "end_in_order", lambda: None)
    monkeypatch.setattr(sys, "argv", ["demo", "--state", str(tmp_path / "new")])
    assert demo_run.main() == 130
    assert [line.split()[0] for line in fake.read_text().splitlines()] == ["up", "down"]
    assert capsys.readouterr().out.splitlines()[-1] == "demo: interrupted; the fabric was taken down"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.slow
def test_a_demo_that_is_told_to_end_takes_its_fabric_down(tmp_path: Path, fake: Path, number: int) -> None:
    program = f"""
import sys, time
from pathlib import Path
from rich.console import Console
from scripts import demo_fabric
from scripts.demo_site import Home
demo_fabric.FABRIC = Path({str(fake.with_name("fabric"))!r})
demo_fabric.end_in_order()
with demo_fabric.fabric_up(Home(Path({str(tmp_path / "new")!r})), Console(), keep=False):
    print("up", flush=True)
    time.sleep(60)
"""
    demo = subprocess.Popen([sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert demo.stdout is not None
    assert demo.stdout.readline() == "up\n"
    demo.send_signal(number)
    demo.communicate(timeout=20)
    assert demo.returncode == 128 + number
    assert [line.split()[0] for line in fake.read_text().splitlines()] == ["up", "down"]


def test_a_fabric_that_is_to_stay_is_left(tmp_path: Path, fake: Path) -> None:
    with fabric_up(Home(tmp_path / "new"), Console(), keep=True):
        pass
    assert [line.split()[0] for line in fake.read_text().splitlines()] == ["up"]
