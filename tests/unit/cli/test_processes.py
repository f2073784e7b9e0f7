"""Locks, process numbers, and children that end with their parent."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from fabric.cli.processes import Lock, Running

SLEEP = "import time; time.sleep(60)"


def until(true: Callable[[], bool], seconds: float = 10.0) -> None:
    ends = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < ends, "it did not happen in time"
        time.sleep(0.01)


def test_a_lock_is_held_by_one_at_a_time(tmp_path: Path) -> None:
    one, two = Lock(tmp_path / "lock"), Lock(tmp_path / "lock")
    assert one.take()
    assert not two.take()
    one.release()
    assert two.take()
    two.release()


def test_the_lock_of_a_process_that_was_killed_is_free(tmp_path: Path) -> None:
    program = f"""
        import pathlib, time
        from fabric.cli.processes import Lock
        lock = Lock(pathlib.Path({str(tmp_path / "lock")!r}))
        print(lock.take(), flush=True)
        time.sleep(60)
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "True\n"
        assert not Lock(tmp_path / "lock").take()
        holder.kill()
    lock = Lock(tmp_path / "lock")
    assert lock.take()
    lock.release()


def test_a_process_is_found_again_by_its_file_while_it_lives(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", SLEEP]) as process:
        running = Running.now(process.pid)
        assert running is not None
        running.write(tmp_path / "pid")
        assert (tmp_path / "pid").read_text().splitlines()[0] == str(process.pid)
        assert Running.read(tmp_path / "pid") == running
        process.kill()
        until(lambda: not running.alive)
        assert Running.read(tmp_path / "pid") is None


def test_another_process_with_the_same_number_is_not_taken_for_it(tmp_path: Path) -> None:
    Running(os.getpid(), "1").write(tmp_path / "pid")
    assert Running.read(tmp_path / "pid") is None


@pytest.mark.parametrize("text", ["", "x", "12", "-1\n5", "999999999\n5"])
def test_a_file_that_names_no_process_is_no_process(tmp_path: Path, text: str) -> None:
    (tmp_path / "pid").write_text(text)
    assert Running.read(tmp_path / "pid") is None
    assert Running.read(tmp_path / "missing") is None


def _alive(pid: int) -> bool:
    return Running.now(pid) is not None


def test_children_end_when_their_parent_is_killed() -> None:
    program = f"""
        import subprocess, sys
        from fabric.cli.processes import dies_with_parent
        options = dict(preexec_fn=dies_with_parent(), start_new_session=True)
        child = subprocess.Popen([sys.executable, "-c", {SLEEP!r}], **options)
        print(child.pid, flush=True)
        child.wait()
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert _alive(child)
        parent.send_signal(signal.SIGKILL)
    until(lambda: not _alive(child))
