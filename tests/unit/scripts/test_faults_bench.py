"""What the bench of kills makes of a run of pytest."""

from dataclasses import dataclass

import pytest

from scripts.benches import faults
from scripts.benches.faults import CLUSTER_TESTS, LOST, OK, TESTS, UNFINISHED, mend, place, table, verdict
from scripts.rigging.errors import RigError
from scripts.tiers import CLUSTER, ROOT


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
        ("the test was skipped, as there is no rig", 0, "1 skipped in 0.1s", 0, UNFINISHED),
    ],
)
def test_only_a_test_that_came_to_its_end_says_something_about_losses(
    world: str, status: int, said: str, left: int, found: str
) -> None:
    assert verdict(status, said, left) == found, world


def test_the_table_counts_runs_losses_and_what_is_unfinished_apart() -> None:
    outcomes = [(OK, 60.0), (LOST, 70.0), (UNFINISHED, 900.0)]
    rows = [
        {
            "killed": "raylet",
            "turn": turn,
            "seed": 10 + turn,
            "outcome": outcome,
            "left": 0,
            "seconds": seconds,
            **({"recovery_s": seconds / 10} if turn else {}),
        }
        for turn, (outcome, seconds) in enumerate(outcomes)
    ]
    assert table(rows).splitlines()[2:] == ["| raylet | 2 | 1 | 1 | 10 11 12 | 70 | 90, at most 90 |"]


def test_a_kill_that_says_nothing_of_recovery_has_none() -> None:
    row = {"killed": "node", "turn": 0, "seed": 1, "outcome": OK, "left": 0, "seconds": 60.0, "recovery_s": None}
    assert table([row]).splitlines()[2:] == ["| node | 1 | 0 | 0 | 1 | 60 | - |"]


def test_every_kill_of_the_tables_is_a_test() -> None:
    for where in (TESTS | CLUSTER_TESTS).values():
        file, _, name = where.partition("::")
        assert f"def {name.partition('[')[0]}(" in (ROOT / file).read_text(), where


@dataclass
class FakeStatus:
    """Whether the rig is whole."""

    up: bool


@dataclass
class FakeRig:
    """Becomes whole by itself, or once it is brought up."""

    whole: bool
    ups: int = 0

    def status(self) -> FakeStatus:
        return FakeStatus(self.whole)

    def up(self) -> None:
        self.ups += 1


@pytest.mark.parametrize(("whole", "ups"), [(True, 0), (False, 1)])
def test_what_a_test_left_dead_of_the_rig_is_started_again(
    monkeypatch: pytest.MonkeyPatch, whole: bool, ups: int
) -> None:
    monkeypatch.setattr(faults, "WHOLE_S", 0.0)
    monkeypatch.setattr("scripts.rigging.api.POLL_S", 0.0)
    rig = FakeRig(whole)
    mend(rig)  # type: ignore[arg-type]
    assert rig.ups == ups


def test_kills_on_a_cluster_need_the_rig(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CLUSTER, "/somewhere/kubeconfig")
    with pytest.raises(RigError, match="names another cluster, and these kills break parts of the rig"):
        place("cluster").__enter__()
    with place("processes") as here:
        assert list(here.own()) == []
