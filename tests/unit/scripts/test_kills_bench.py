"""The table of kills says what was under way, and every loss."""

import random

import pytest

from fabric.config.load import decode
from fabric.workloads.spec import WorkloadSpec
from scripts.benches.kills import table
from tests.kill_work import KINDS, asked

CLEAN = {
    "store": "SQLite", "round": 0, "seed": 7, "times": 2, "seen": ["placing running", "starting up"],
    "accepted": 9, "wrong": [], "s": 20.0,
}  # fmt: skip


def test_kills_and_what_was_under_way_are_counted_by_store() -> None:
    other = {**CLEAN, "store": "PostgreSQL", "seen": ["PostgreSQL SIGQUIT", ""], "s": 40.0}
    said = table([CLEAN, {**CLEAN, "round": 1, "accepted": 5, "s": 30.0}, other])
    assert "| SQLite | 2 | 4 | 14 | 0 | 30 |" in said
    assert "| PostgreSQL | 1 | 2 | 9 | 0 | 40 |" in said
    for line in ("| placing | 2 |", "| starting up | 2 |", "| PostgreSQL SIGQUIT | 1 |", "| nothing | 1 |"):
        assert line in said


def test_a_loss_is_told_with_the_seed_that_repeats_it() -> None:
    said = table([{**CLEAN, "wrong": ["short-3 was accepted and is lost"]}])
    assert "| SQLite | 1 | 2 | 9 | 1 | 20 |" in said
    assert "round 0, seed 7: short-3 was accepted and is lost" in said


@pytest.mark.parametrize("kind", sorted(set(KINDS)))
def test_every_kind_of_work_that_is_handed_in_is_a_job(kind: str) -> None:
    entrypoint, more = asked(kind, random.Random(7))
    group = {"memory": "256 MiB", **more.pop("group")}
    spec = decode(WorkloadSpec, {"entrypoint": entrypoint, "groups": [group], **more}, "body")
    assert "\n" not in spec.entrypoint, "the head of a sleeping cluster reads one line"
    assert (spec.elastic is not None) is (kind == "elastic")
