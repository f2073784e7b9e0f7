"""Moves of aliases by hand are kept, newest first, and those that came to nothing are forgotten."""

from dataclasses import replace

from fabric.store.alias_moves import AliasMove
from fabric.store.records import SqlRecords

MOVE = AliasMove("alpha", "play", "champion", 2, None, "ann", "better \0 answers", 5.0)


def test_the_newest_of_a_model_come_first(records: SqlRecords) -> None:
    back = replace(MOVE, version=1, before=2, at=6.0)
    for move in (MOVE, back, replace(MOVE, model="other"), replace(MOVE, project="beta")):
        records.add_alias_move(move)
    assert records.alias_moves("alpha", "play", limit=1) == (replace(back, reason="better \\x00 answers"),)
    assert [each.at for each in records.alias_moves("alpha", "play")] == [6.0, 5.0]


def test_one_that_came_to_nothing_is_forgotten(records: SqlRecords) -> None:
    records.drop_alias_move(records.add_alias_move(MOVE))
    assert records.alias_moves("alpha", "play") == ()
