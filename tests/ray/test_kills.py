"""Control is killed at random instants under load; what was accepted happens once, and nothing of it is lost."""

import subprocess
from pathlib import Path

import pytest

from fabric.store.database import DATABASE
from tests.disturbances import fill_of, kill, restart_of, step_clock
from tests.kills import audit, disturb, playing
from tests.postgres import Postgres

pytestmark = pytest.mark.timeout(600)

TIMES = 5
"""Kills in this tier; `scripts/bench kills` does hundreds."""


def test_five_kills_of_control_lose_nothing_and_run_nothing_twice(tmp_path: Path, seed: int) -> None:
    with playing(tmp_path / "state", seed) as play:
        disturb(play, TIMES, kill)
    assert audit(play) == []
    assert len(play.accepted) > len(play.done), "there was load"


def test_kills_and_restarts_of_postgresql_lose_nothing_either(server: Postgres, tmp_path: Path, seed: int) -> None:
    with playing(tmp_path / "state", seed, server.store()) as play:
        disturb(play, 4, restart_of(server))
    assert audit(play) == []
    assert len(play.accepted) > len(play.done), "there was load"


def test_a_clock_that_is_stepped_loses_nothing_and_runs_nothing_twice(tmp_path: Path, seed: int) -> None:
    with playing(tmp_path / "state", seed) as play:
        disturb(play, 3, step_clock)
    assert audit(play) == []
    assert len(play.accepted) > len(play.done), "there was load"


def test_a_full_disk_under_the_records_refuses_work_and_loses_none_that_was_accepted(tmp_path: Path, seed: int) -> None:
    disk, state = tmp_path / "disk", tmp_path / "state"
    disk.mkdir()
    state.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("only who may mount can make a small disk")
    try:
        (state / DATABASE).symlink_to(disk / DATABASE)
        with playing(state, seed) as play:
            disturb(play, 3, fill_of(disk))
        assert play.refused_while_full == 3, "it was full"
        assert audit(play) == []
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)
