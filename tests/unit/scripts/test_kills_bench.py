"""The table of kills says what was under way, and every loss."""

from scripts.benches.kills import table

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
