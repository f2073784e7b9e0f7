"""A start is news for everybody behind it, and few are written in one turn."""

import math
from collections.abc import Iterable
from dataclasses import replace

from fabric.scheduler.plan import Wait
from fabric.scheduler.telling import Telling
from fabric.workloads.record import Record
from tests.builders import job, record


def queue(count: int, waits_for: str = "behind x") -> dict[str, Record]:
    return {f"w{n:02d}": replace(record(job(f"w{n:02d}")), waits_for=waits_for) for n in range(count)}


def turn(telling: Telling, records: dict[str, Record], waits: Iterable[Wait], now: float = 0.0) -> list[str]:
    """Names of those who are told something; the records are changed."""
    told = {new.name: new for new in telling.told(tuple(waits), records.__getitem__, now)}
    records |= told
    return list(told)


def behind(records: Iterable[str], what: str) -> list[Wait]:
    return [Wait(name, note=what) for name in records]


def test_everybody_is_told_in_turn_however_often_something_changes() -> None:
    telling, records, told = Telling(0.0, 3), queue(10), []
    for number in range(4):
        told.append(turn(telling, records, behind(records, f"news {number}")))
    assert [len(names) for names in told] == [3, 3, 3, 3]
    assert {name for names in told for name in names} == records.keys()


def test_whoever_knows_it_already_is_not_told_again() -> None:
    telling, records = Telling(0.0, 100), queue(5)
    assert len(turn(telling, records, behind(records, "news"))) == 5
    assert turn(telling, records, behind(records, "news")) == []
    assert turn(telling, records, [*behind(list(records)[:4], "news"), Wait("w04", note="more")]) == ["w04"]
    assert records["w04"].waits_for == "more"


def test_who_came_just_now_and_who_is_promised_something_is_told_at_once() -> None:
    telling = Telling(0.0, 2)
    records = queue(8) | {f"n{n}": record(job(f"n{n}")) for n in range(4)}
    waits = [*behind(records, "news")[1:], Wait("w00", expected_start=50.0, promised=True)]
    assert sorted(turn(telling, records, waits)) == ["n0", "n1", "n2", "n3", "w00", "w01", "w02"]
    assert (records["w00"].promised, records["w00"].expected_start) == (True, 50.0)
    # A promise that is lost is news as well.
    assert "w00" in turn(telling, records, behind(records, "lost"))
    assert not records["w00"].promised


def test_nobody_is_told_before_the_next_telling_is_due() -> None:
    telling, records = Telling(10.0, 5), queue(2)
    assert len(turn(telling, records, behind(records, "1"), now=0.0)) == 2
    assert turn(telling, records, behind(records, "2"), now=9.0) == []
    assert len(turn(telling, records, behind(records, "2"), now=10.0)) == 2


def test_a_site_may_tell_nobody() -> None:
    telling, records = Telling(math.inf, 5), queue(2)
    assert turn(telling, records, behind(records, "1"), now=1e9) == []
