"""Control is killed at random instants under load; what was accepted happens once, and nothing of it is lost."""

from pathlib import Path

import pytest

from tests.kills import audit, disturb, playing, restart_of
from tests.postgres import Postgres

pytestmark = pytest.mark.timeout(600)

TIMES = 5
"""Kills in this tier; `scripts/bench kills` does hundreds."""


def test_five_kills_of_control_lose_nothing_and_run_nothing_twice(tmp_path: Path, seed: int) -> None:
    with playing(tmp_path / "state", seed) as play:
        disturb(play, TIMES)
    assert audit(play) == []
    assert len(play.accepted) > TIMES, "there was load"


def test_kills_and_restarts_of_postgresql_lose_nothing_either(server: Postgres, tmp_path: Path, seed: int) -> None:
    with playing(tmp_path / "state", seed, server.store()) as play:
        disturb(play, TIMES, restart_of(server))
    assert audit(play) == []
    assert len(play.accepted) > TIMES, "there was load"
