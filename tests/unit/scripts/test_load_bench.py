"""What the load benchmark makes of answers, and what it finds wrong."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from fabric.store.database import engine_of
from fabric.store.records import SqlRecords
from scripts.benches._load_client import Answer, Request, arrivals, offered, share_below, summary
from scripts.benches._load_fabric import STEP, buckets, filled, submission, within
from scripts.benches._load_parts import crowd_missed, first_asked, flood_missed, kept_words
from scripts.benches.load import table
from tests.controls import Run
from tests.stores import ready_store


def answer(number: int = 0, status: int = 200, latency_s: float = 0.1, **more: Any) -> Answer:
    body = json.dumps({"name": f"job-{number}"}).encode()
    return Answer(number, 0.0, latency_s, status, more.pop("comes_again", status == 503), body, **more)


def test_arrivals_are_fixed_by_their_seed_and_as_many_as_are_offered() -> None:
    instants = arrivals(100, 60.0, seed=3)
    assert instants == sorted(instants) == arrivals(100, 60.0, seed=3)
    assert instants != arrivals(100, 60.0, seed=4)
    assert 5500 < len(instants) < 6500
    assert instants[-1] < 60.0


@pytest.mark.parametrize(
    ("values", "share", "found"),
    [
        ([], 0.5, None),
        ([3.0], 0.99, 3.0),
        ([4.0, 1.0, 2.0, 3.0], 0.5, 2.0),
        ([float(n) for n in range(100)], 0.99, 98.0),
    ],
)
def test_a_share_is_of_values_that_were_seen(values: list[float], share: float, found: float | None) -> None:
    assert share_below(values, share) == found


def test_a_summary_tells_what_was_taken_refused_and_left_without_an_answer() -> None:
    answers = [answer(0), answer(1, latency_s=0.3), answer(2, 503, 0.01), answer(3, 429, 0.02), answer(4, 0, 20.0)]
    found = summary(answers, 2.0)
    rates = {"offered_per_s": 2.5, "accepted": 2, "accepted_per_s": 1.0}
    times = {"p50_s": 0.1, "p99_s": 0.3, "most_s": 20.0}
    assert {name: found[name] for name in rates | times} == rates | times
    assert (found["refused"], found["refused_without_retry_after"], found["others"]) == (2, 1, {"0": 1})


def test_requests_do_not_wait_for_the_answers_of_those_before(monkeypatch: pytest.MonkeyPatch) -> None:
    async def world() -> list[Answer]:
        all_there, there = asyncio.Event(), 0

        async def asked(session: object, request: Request) -> tuple[int, dict[str, str], bytes]:
            nonlocal there
            there += 1
            if there == 3:
                all_there.set()
            await all_there.wait()
            return 503, {"retry-after": "2"}, b"busy"

        monkeypatch.setattr("scripts.benches._load_client._asked", asked)
        return await offered(None, [0.0, 0.0, 0.0], lambda number: submission(f"w-{number}"))  # type: ignore[arg-type]

    found = asyncio.run(world())
    assert [(each.number, each.status, each.comes_again) for each in found] == [(n, 503, True) for n in range(3)]


FLOOD = {"flood-0": ["job-0"], "flood-2": ["job-2"]}


@pytest.mark.parametrize(
    ("world", "answers", "kept", "wrong"),
    [
        ("all is well", [answer(0), answer(1, 503)], FLOOD, []),
        ("what got no answer may have been kept", [answer(2, 503)], FLOOD, []),
        ("one is lost", [answer(1)], FLOOD, ["flood-1 was accepted, and [] is there"]),
        (
            "one is doubled",
            [answer(0)],
            {"flood-0": ["job-0", "job-9"]},
            ["flood-0 was accepted, and ['job-0', 'job-9'] is"],
        ),
        ("a refused one is doubled", [answer(0, 503)], {"flood-0": ["a", "b"]}, ["flood-0 is there 2 times"]),
        ("one waits too long", [answer(0, latency_s=5.1)], FLOOD, ["1 were answered after more than 5 s"]),
        ("one hangs", [answer(1, 0, 4.0)], FLOOD, ["1 were answered 0"]),
        ("one is not told when", [answer(1, 503, comes_again=False)], FLOOD, ["1 were refused without Retry-After"]),
    ],
)
def test_after_a_flood_and_a_kill_every_success_is_there_once(
    world: str, answers: list[Answer], kept: dict[str, list[str]], wrong: list[str]
) -> None:
    found = flood_missed(answers, kept)
    assert len(found) == len(wrong), (world, found)
    assert all(said.startswith(words) for said, words in zip(found, wrong, strict=True)), (world, found)


def test_jobs_are_told_apart_by_their_word() -> None:
    views = [{"name": "a", "metadata": {"word": "w"}}, {"name": "b", "metadata": {"word": "w"}}]
    assert kept_words(views) == {"w": ["a", "b"]}


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({}, []),
        ({"broken": ["a slow reader was cut off"]}, ["readers were cut off: a slow reader was cut off"]),
        ({"line_late_p99_s": 9.0}, ["p99 of lines is 9.0 s, above 2.0 s"]),
        ({"line_late_p99_s": None}, ["p99 of lines is None s, above 2.0 s"]),
        ({"p99_s": 3.0}, ["p99 of submissions is 3.0 s, above 2.0 s"]),
        ({"others": {"500": 1}}, ["some submissions got no answer"]),
    ],
)
def test_readers_slow_down_neither_each_other_nor_submissions(change: dict[str, Any], wrong: list[str]) -> None:
    assert crowd_missed({"broken": [], "others": {}, "line_late_p99_s": 0.5, "p99_s": 0.2, **change}) == wrong


def test_steps_between_two_looks_are_told_by_the_bound_of_their_bucket() -> None:
    def text(*counts: int) -> str:
        bounds = ("0.1", "0.5", "+Inf")
        return "".join(f'{STEP}_bucket{{le="{b}"}} {c}.0\n' for b, c in zip(bounds, counts, strict=True))

    before, after = buckets(text(10, 10, 10)), buckets("# HELP x\n" + text(15, 19, 20))
    assert before is not None
    assert after is not None
    assert [within(before, after, share) for share in (0.5, 0.9, 0.99)] == [0.1, 0.5, float("inf")]
    assert within(after, after, 0.5) is None
    assert buckets("nothing of it") is None


def test_the_instant_of_asking_the_backend_is_the_first_one() -> None:
    found = [Run("a-1", "asked", 1.0), Run("a-1", "began", 2.0), Run("a-1", "asked", 3.0), Run("b-1", "ended", 4.0)]
    assert first_asked(found) == {"a-1": 1.0}


def test_a_store_can_be_filled_with_jobs_that_wait(tmp_path: Path) -> None:
    ready_store(tmp_path).dispose()
    filled(tmp_path, 3)
    engine = engine_of(tmp_path)
    names = [record.name for record in SqlRecords(engine).list()]
    engine.dispose()
    assert names == ["waits-00002", "waits-00001", "waits-00000"]


def test_the_table_has_rates_first_and_says_what_was_missed() -> None:
    rate = {"rate": 50, "accepted_per_s": 49.8, "p50_s": 0.01, "missed": []}
    said = table({"knee-50": rate, "overhead": {"p99_s": 0.4, "missed": ["p99 0.4 s is above 0.2 s"], "on": {}}})
    assert said.splitlines()[2].startswith("| 50 | 49.8 | 0.01 |")
    assert "| overhead | p99_s | 0.4 |" in said
    assert "MISSED overhead: p99 0.4 s is above 0.2 s" in said
    assert "| overhead | on |" not in said
