"""The parts of the load benchmark that do more than offer submissions.

Knows nothing of files or of the command line; each part returns its figures, and what it missed of its goals.
"""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from scripts.benches._load_client import ACCEPTED, REFUSED, Answer, arrivals, offered, session_of, share_below, summary
from scripts.benches._load_crowd import crowd
from scripts.benches._load_fabric import WORKLOADS_PATH, Loaded, loaded, submission, within
from tests.controls import Run, runs, until

FLOOD_RATE, FLOOD_S, FLOOD_ANSWER_S = 500, 10.0, 5.0
QUICK, SLOW = 180, 20
CROWD_RATE, CROWD_S = 20, 30.0
LATE_S = 2.0
"""Goal: seconds within which quick readers see a line, whatever slow ones do."""
CROWD_P99_S = 2.0
"""Goal: of submissions beside the crowd."""
THROUGH = 10_000
GROWS_MIB = 64.0
"""Goal: by how much memory may grow between half of the jobs and all of them."""
SEQUENTIAL, OVERHEAD_P99_S = 200, 0.2
LARGE = [
    {"name": "gpu", "nodes": 2, "capacity": {"cpus": 16, "gpus": 2, "memory": "64 GiB"}, "pretend": True},
    {"name": "commodity", "nodes": 2, "capacity": {"cpus": 64, "memory": "256 GiB"}, "heads": True},
]
"""Tiers on which hundreds of jobs run at the same time."""


def flooded() -> dict[str, Any]:
    """Far more than is borne, and then kill -9: what was accepted is there once."""
    with loaded() as fabric:
        answers = asyncio.run(_flood(fabric))
        fabric.control.kill()
        fabric.control.up()
        kept = kept_words(fabric.ask(WORKLOADS_PATH, limit=10_000).json()["workloads"])
    found = summary(answers, FLOOD_S)
    return {**found, "kept": sum(map(len, kept.values())), "missed": flood_missed(answers, kept)}


async def _flood(fabric: Loaded) -> list[Answer]:
    async with session_of(fabric.control.address, fabric.key) as session:
        instants = arrivals(FLOOD_RATE, FLOOD_S, seed=FLOOD_RATE)
        return await offered(session, instants, lambda number: submission(f"flood-{number}"))


def kept_words(views: Iterable[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Names of the jobs that are there, by the word that tells them apart."""
    found: dict[str, list[str]] = {}
    for view in views:
        found.setdefault(view["metadata"]["word"], []).append(view["name"])
    return found


def flood_missed(answers: Sequence[Answer], kept: Mapping[str, Sequence[str]]) -> list[str]:
    """What is wrong after a flood and a kill, a line each.

    Args:
        answers: Of every submission.
        kept: What is there after the kill, by word.
    """
    late = [answer for answer in answers if answer.latency_s > FLOOD_ANSWER_S]
    odd = Counter(answer.status for answer in answers if answer.status not in {ACCEPTED, *REFUSED})
    mute = [answer for answer in answers if answer.status in REFUSED and not answer.comes_again]
    wrong = [f"{len(late)} were answered after more than {FLOOD_ANSWER_S:g} s"] if late else []
    wrong += [f"{count} were answered {status}" for status, count in sorted(odd.items())]
    wrong += [f"{len(mute)} were refused without Retry-After"] if mute else []
    for answer in answers:
        word = f"flood-{answer.number}"
        there = kept.get(word, ())
        if answer.status == ACCEPTED and list(there) != [json.loads(answer.body)["name"]]:
            wrong.append(f"{word} was accepted, and {list(there)} is there")
        elif len(there) > 1:
            wrong.append(f"{word} is there {len(there)} times")
    return wrong


def crowded(fabric: Loaded) -> dict[str, Any]:
    """Submissions beside thousands who wait and hundreds who follow logs."""
    until(lambda: fabric.control.health() is not None, 120.0, fabric.control.last_words)
    return asyncio.run(_crowded(fabric))


async def _crowded(fabric: Loaded) -> dict[str, Any]:
    address, state, rss = fabric.control.address, fabric.control.state, fabric.rss_mib()
    async with session_of(address, fabric.key) as session:
        instants = arrivals(CROWD_RATE, CROWD_S, seed=1)
        alone = await offered(session, instants, lambda number: submission(f"alone-{number}"))
        before = await asyncio.to_thread(fabric.steps)
        async with crowd(session, address, fabric.key, state, quick=QUICK, slow=SLOW) as seen:
            # Until everybody has connected.
            await asyncio.sleep(5.0)
            seen.late_s.clear()
            answers = await offered(session, instants, lambda number: submission(f"beside-{number}"))
            after = await asyncio.to_thread(fabric.steps)
            full = fabric.rss_mib()
    found = summary(answers, CROWD_S)
    told = before is not None and after is not None
    figures = {
        **{name: found[name] for name in ("accepted", "refused", "others", "p50_s", "p99_s")},
        "p99_s_without_readers": summary(alone, CROWD_S)["p99_s"],
        "loop_p50_s_below": within(before, after, 0.5) if told else None,  # type: ignore[arg-type]
        "loop_p99_s_below": within(before, after, 0.99) if told else None,  # type: ignore[arg-type]
        "lines_read": len(seen.late_s),
        "line_late_p50_s": share_below(seen.late_s, 0.5),
        "line_late_p99_s": share_below(seen.late_s, 0.99),
        "slow_readers_bytes": [min(seen.slow_read), max(seen.slow_read)],
        "broken": sorted(set(seen.broken)),
        "rss_mib": [rss, full],
    }
    return {**figures, "missed": crowd_missed(figures)}


def crowd_missed(figures: Mapping[str, Any]) -> list[str]:
    """What is wrong beside a crowd, a line each."""
    late, p99 = figures["line_late_p99_s"], figures["p99_s"]
    wrong = [f"readers were cut off: {each}" for each in figures["broken"]]
    wrong += ["some submissions got no answer"] if figures["others"] else []
    wrong += [f"p99 of lines is {late} s, above {LATE_S} s"] if late is None or late > LATE_S else []
    wrong += [f"p99 of submissions is {p99} s, above {CROWD_P99_S} s"] if p99 is None or p99 > CROWD_P99_S else []
    return wrong


def through() -> dict[str, Any]:
    """Thousands of jobs that are taken in, run and end."""
    with loaded(LARGE) as fabric:
        sizes, seconds = asyncio.run(_through(fabric))
    half, full = sizes[len(sizes) // 2], sizes[-1]
    missed = [f"memory grew from {half} to {full} MiB in the second half"] if full > half + GROWS_MIB else []
    return {
        "jobs": THROUGH, "seconds": round(seconds, 1), "jobs_per_s": round(THROUGH / seconds, 1),
        "rss_mib_by_tenths": sizes, "missed": missed,
    }  # fmt: skip


async def _through(fabric: Loaded) -> tuple[list[float], float]:
    """Memory before, and after each tenth has ended, in MiB; seconds in all."""
    sizes, began = [fabric.rss_mib()], time.monotonic()
    async with session_of(fabric.control.address, fabric.key) as session:
        for tenth in range(10):
            numbers = iter(range(tenth * THROUGH // 10, (tenth + 1) * THROUGH // 10))
            await asyncio.gather(*(_hand_in(session, numbers) for _ in range(16)))
            while (await asyncio.to_thread(fabric.control.health) or {}).get("active", 1):
                await asyncio.sleep(0.5)
            sizes.append(fabric.rss_mib())
    return sizes, time.monotonic() - began


async def _hand_in(session: Any, numbers: Iterable[int]) -> None:
    for number in numbers:
        asked = submission(f"through-{number}", "true", cpus=0.5)
        while True:
            async with session.post(asked.path, json=asked.body, headers=asked.headers) as answer:
                if answer.status == ACCEPTED:
                    break
                await asyncio.sleep(float(answer.headers.get("Retry-After", 1)))


def overhead() -> dict[str, Any]:
    """One submission after the other on an idle fabric: from the accepted answer to the backend being asked."""
    with loaded(LARGE) as fabric:
        answered = asyncio.run(_one_by_one(fabric))
        asked = first_asked(runs(fabric.control.state))
    delays = [asked[f"{name}-1"] - at for name, at in answered.items() if f"{name}-1" in asked]
    p99 = share_below(delays, 0.99)
    missed = [f"{len(answered) - len(delays)} never reached the backend"] if len(delays) < len(answered) else []
    missed += [f"p99 {p99} s is above {OVERHEAD_P99_S} s"] if p99 is None or p99 > OVERHEAD_P99_S else []
    return {
        "jobs": len(delays), "p50_s": share_below(delays, 0.5), "p99_s": p99, "most_s": share_below(delays, 1.0),
        "missed": missed,
    }  # fmt: skip


def first_asked(found: Iterable[Run]) -> dict[str, float]:
    """When the backend was first asked for each cluster, in seconds since the epoch."""
    asked: dict[str, float] = {}
    for run in found:
        if run.what == "asked":
            asked.setdefault(run.cluster, run.at)
    return asked


async def _one_by_one(fabric: Loaded) -> dict[str, float]:
    """When each was answered, by name; the next is handed in when it has ended."""
    answered: dict[str, float] = {}
    async with session_of(fabric.control.address, fabric.key) as session:
        for number in range(SEQUENTIAL):
            (answer,) = await offered(session, [0.0], lambda _, n=number: submission(f"idle-{n}", "true"))  # type: ignore[misc]
            name = json.loads(answer.body)["name"]
            answered[name] = answer.at
            await asyncio.sleep(0.3)
            while not (await asyncio.to_thread(fabric.control.get, name))["ended_at"]:
                await asyncio.sleep(0.1)
    return answered
