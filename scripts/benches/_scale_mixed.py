"""Ten minutes of mixed gangs by our door: all or nothing, no node carries too much, and none is lost.

Knows nothing of who decides. Nothing runs in pods that do not exist: a gang is stopped by its owner when its time is
over, which is counted from when it was ready.
"""

import heapq
import random
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx

from fabric.api.admin import WORKLOADS
from fabric.api.overview import DECISION
from fabric.scheduler.cycle import decide
from fabric.scheduler.replay import read_decision
from scripts.benches._scale_arms import POLL_S, Stage, asked, our_control, pauses, standing, times
from scripts.benches._scale_costs import Costs, about_placement, by_the_fabric, request_counts
from scripts.benches._scale_gangs import Gangs
from scripts.benches._scale_watching import Watching
from scripts.benches._scale_world import HANDS

NUM_GANGS = 500
OVER_S = 600.0
"""They come within so many seconds."""
RUNS_S = (60.0, 300.0)
"""Shortest and longest time of a gang from when it is ready until its owner stops it."""
PATIENCE_S = 3600.0
DECISIONS = 5
"""How often the decision is made again whose time is told."""
SHAPES: Sequence[tuple[float, Mapping[str, Any]]] = (
    (0.30, {"name": "one", "count": 1, "tier": "gpu", "cpus": 4.0, "gpus": 1.0, "memory": "16 GiB"}),
    (0.25, {"name": "node", "count": 1, "tier": "gpu", "cpus": 16.0, "gpus": 4.0, "memory": "64 GiB"}),
    (0.25, {"name": "pair", "count": 2, "tier": "gpu", "cpus": 16.0, "gpus": 4.0, "memory": "64 GiB"}),
    (0.12, {"name": "eight", "count": 8, "tier": "gpu", "cpus": 16.0, "gpus": 4.0, "memory": "64 GiB"}),
    (0.08, {"name": "plain", "count": 4, "tier": "commodity", "cpus": 6.0, "memory": "16 GiB"}),
)
"""Share and workers of each sort of gang; together they ask for more GPUs than there are, so that some wait."""


@dataclass(frozen=True, slots=True, order=True)
class Come:
    """One gang."""

    at_s: float
    """When it is handed in."""
    name: str
    shape: int
    """Number of its sort."""
    runs_s: float


def drawn(seed: int) -> list[Come]:
    """The gangs of a seed, as they come."""
    chance = random.Random(seed)
    shares = [share for share, _ in SHAPES]
    return sorted(
        Come(chance.uniform(0, OVER_S), f"mixed-{i:03}", chance.choices(range(len(SHAPES)), shares)[0],
             chance.uniform(*RUNS_S))
        for i in range(NUM_GANGS)
    )  # fmt: skip


def played(stage: Stage, seed: int) -> dict[str, Any]:
    """Play the gangs of a seed; figures, and what went wrong."""
    gangs, plan = Gangs(stage.world.capacity()), drawn(seed)
    with (
        our_control(stage) as (_, client, pids),
        Watching(stage.rig.api, stage.namespace, gangs) as watching,
        ThreadPoolExecutor(HANDS) as hands,
    ):
        before = request_counts(stage.api.text("/metrics"))
        with Costs({**standing(stage.layout), **pids}) as costs:
            play = Play(client, gangs, plan, hands)
            began = time.time()
            problem = play.until_over(watching)
            ended = time.time()
        counts, found = request_counts(stage.api.text("/metrics")) - before, workloads(client)
    granted = {f"{each['name']}-{each['attempt']}": each["granted_at"] for each in found if each["granted_at"]}
    return {
        "way": "mixed", "seed": seed, "nodes": stage.world.num_nodes, "seconds": round(ended - began, 1),
        "problem": problem or "; ".join([*lost(plan, found), *gangs.overcommitted[:1]]),
        **{name: value for name, value in times(gangs, began, ended, 1).items() if name.count("_half_")},
        "overcommitted": gangs.overcommitted,
        **pauses(gangs, granted),
        "calls_per_gang": round(about_placement(counts) / NUM_GANGS, 1),
        "control_calls_per_gang": round(by_the_fabric(counts) / NUM_GANGS, 2),
        "decide_ms": play.decide_ms(), "queued_then": play.queued,
        "memory_mib": {name: round(peak / 2**20) for name, peak in costs.peak_bytes.items()}, "cpu_s": costs.used_s,
        "requests": dict(counts.most_common(30)),
    }  # fmt: skip


class Play:
    """Hands gangs in when they come, and stops each when its time is over.

    Args:
        client: Asks the fabric.
        gangs: Who sees when each is ready.
        plan: The gangs, as they come.
        hands: Who asks, so that nobody waits for another's answer.
    """

    def __init__(self, client: httpx.Client, gangs: Gangs, plan: Sequence[Come], hands: ThreadPoolExecutor) -> None:
        self._client, self._gangs, self._hands = client, gangs, hands
        self._coming = list(plan)
        self._by_cluster = {f"{come.name}-1": come for come in plan}
        self._ends: list[tuple[float, str]] = []
        self._seen: set[str] = set()
        self._asked: list[Any] = []
        self._decision = ""
        self.queued = 0
        """Workloads that waited when the decision was made whose time is told."""

    def until_over(self, watching: Watching) -> str:
        """Play; why it did not end, or nothing."""
        began = time.time()
        while len(self._seen) < len(self._by_cluster) or self._ends:
            watching.check()
            now = time.time()
            if now > began + PATIENCE_S:
                return f"{len(self._seen)} of {len(self._by_cluster)} gangs were ready after {PATIENCE_S:.0f} s"
            self._turn(began, now)
            time.sleep(POLL_S)
        for each in self._asked:
            each.result()
        while any(not _has_ended(each) for each in workloads(self._client)):
            if time.time() > began + PATIENCE_S:
                return "not all that were stopped have ended"
            time.sleep(1.0)
        return ""

    def decide_ms(self) -> float | None:
        """How long the decision takes that was made when most had come: the best of a few, in milliseconds."""
        if not self._decision:
            return None
        question, _ = read_decision(self._decision, DECISION)
        self.queued = len(question.snapshot.waiting)
        took_s = []
        for _ in range(DECISIONS):
            started = time.perf_counter()
            decide(question.snapshot, question.policy, question.now)
            took_s.append(time.perf_counter() - started)
        return round(min(took_s) * 1000, 1)

    def _turn(self, began: float, now: float) -> None:
        while self._coming and began + self._coming[0].at_s <= now:
            self._ask(WORKLOADS, {"spec": spec_of(self._coming.pop(0))})
        for cluster, at in list(self._gangs.ready_at.items()):
            if cluster not in self._seen and cluster in self._by_cluster:
                self._seen.add(cluster)
                come = self._by_cluster[cluster]
                heapq.heappush(self._ends, (at + come.runs_s, come.name))
        while self._ends and self._ends[0][0] <= now:
            self._ask(f"{WORKLOADS}/{heapq.heappop(self._ends)[1]}/stop", None)
        if not self._decision and now > began + 0.9 * OVER_S:
            self._decision = self._client.get(DECISION).raise_for_status().text

    def _ask(self, path: str, body: Any) -> None:
        self._asked.append(self._hands.submit(asked, self._client, path, body))


def spec_of(come: Come) -> dict[str, Any]:
    """A gang as the fabric is asked for it."""
    group = dict(SHAPES[come.shape][1])
    return {"name": come.name, "entrypoint": "sleep infinity", "groups": [group]}


def workloads(client: httpx.Client) -> list[dict[str, Any]]:
    """All that the fabric knows of."""
    found: list[dict[str, Any]] = client.get(WORKLOADS, params={"limit": "1000"}).raise_for_status().json()["workloads"]
    return found


def lost(plan: Sequence[Come], found: Sequence[Mapping[str, Any]]) -> list[str]:
    """A sentence for each gang of which something else became than that it ran once and was stopped."""
    by_name = {each["name"]: each for each in found}
    sentences = [f"{come.name} is lost" for come in plan if come.name not in by_name]
    for name, each in sorted(by_name.items()):
        if (each["state"], each["attempt"]) != ("cancelled", 1):
            sentences.append(f"{name} is {each['state']} in attempt {each['attempt']}: {each['message']}")
    return sentences


def _has_ended(each: Mapping[str, Any]) -> bool:
    return each["state"] in {"cancelled", "failed", "succeeded"}
