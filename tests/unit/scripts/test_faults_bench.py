"""What the bench of kills makes of a run of pytest."""

import pytest

from scripts.benches.faults import LOST, OK, UNFINISHED, table, verdict


@pytest.mark.parametrize(
    ("world", "status", "said", "left", "found"),
    [
        ("all is there", 0, "1 passed", 0, OK),
        ("a test says that something is lost", 1, "AssertionError: not within 90 s", 0, LOST),
        ("nothing is lost, but a process stays", 0, "1 passed", 1, LOST),
        ("the test ran out of time", 1, "E   Failed: Timeout (>900.0s) from pytest-timeout.", 2, UNFINISHED),
        ("somebody pressed Ctrl-C", 2, "", 0, UNFINISHED),
        ("pytest was killed", -9, "", 0, UNFINISHED),
        ("the test was not found", 4, "ERROR: not found", 0, UNFINISHED),
    ],
)
def test_only_a_test_that_came_to_its_end_says_something_about_losses(
    world: str, status: int, said: str, left: int, found: str
) -> None:
    assert verdict(status, said, left) == found, world


def test_the_table_counts_runs_losses_and_what_is_unfinished_apart() -> None:
    outcomes = [(OK, 60.0), (LOST, 70.0), (UNFINISHED, 900.0)]
    rows = [
        {"killed": "raylet", "turn": turn, "seed": 10 + turn, "outcome": outcome, "left": 0, "seconds": seconds}
        for turn, (outcome, seconds) in enumerate(outcomes)
    ]
    assert table(rows).splitlines()[2:] == ["| raylet | 2 | 1 | 1 | 10 11 12 | 70 |"]
