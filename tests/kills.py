"""A fabric under load whose control is killed again and again, and the audit of what is left.

Knows nothing of pytest: the ray tier plays a few kills, `scripts/bench kills` hundreds. Control, its store, the
processes and signals are real; only the Ray nodes are processes that sleep (`tests/fake_ray.py`).
"""

import random
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from sqlalchemy import select

from fabric.backends.local import processes
from fabric.config.store import Store
from fabric.core.resources import Resources
from fabric.store.database import engine_of, reading
from fabric.store.records import SqlRecords
from fabric.store.schema import LEDGER
from fabric.workloads.record import Record
from fabric.workloads.states import State
from tests.controls import TIERS, Control, end_sleepers, runs, sleepers, until
from tests.kill_work import KINDS, asked

SERVICE = "serves"
MOST_WAITING = 25
"""Jobs that have not ended while more are handed in."""
END_S = 240.0
"""Longest wait for everything to end once the load is over."""

Disturb = Callable[["Play", random.Random], str]
"""Does something to the fabric, and says what."""


@dataclass
class Play:
    """One fabric, its load and its disturbances."""

    control: Control
    seed: int
    accepted: dict[str, str] = field(default_factory=dict)
    """Names of what was accepted (answered with success), and what should become of it."""
    stopped: set[str] = field(default_factory=set)
    """Whose end was asked for, whether the answer came or not."""
    refused_while_full: int = 0
    """How often new work was refused because it could not be kept."""
    done: list[dict[str, Any]] = field(default_factory=list)
    """A row for each disturbance."""
    ended: list[int] = field(default_factory=list)
    """Exit codes with which control ended by itself."""
    drained: set[str] = field(default_factory=set)
    """Nodes that are out of service."""
    changing: threading.Lock = field(default_factory=threading.Lock)
    """Held by who ends control and starts it again."""
    _over: threading.Event = field(default_factory=threading.Event)
    _ending: threading.Event = field(default_factory=threading.Event)

    def keep(self) -> None:
        """Start control again when it has ended by itself, as `fabric up` does: where its database is away, say."""
        while not self._ending.wait(0.5):
            with self.changing:
                ended = self.control.process.poll() if self.control.process else None
                if ended is not None:
                    self.ended.append(ended)
                    self.control.start()

    def load(self) -> None:
        """Hand in, stop and scale work until it is over; what is not answered is asked again."""
        draw = random.Random(self.seed)
        for number in range(10**6):
            if self._over.wait(draw.uniform(0.05, 0.4)):
                return
            try:
                if len(self.waiting()) < MOST_WAITING:
                    self.submit(f"{draw.choice(KINDS)}-{number}", draw)
                self._ask_for_something(draw)
            except (httpx.HTTPError, AssertionError):
                continue  # it is away, or was when it answered; nothing was accepted

    def waiting(self) -> list[str]:
        """Accepted jobs that have not ended."""
        return [n for n, state in self.control.states().items() if not state.final and n != SERVICE]

    def submit(self, name: str, draw: random.Random) -> None:
        """Hand in a job of the kind that its name begins with, again until it is answered."""
        kind = name.partition("-")[0]
        entrypoint, more = asked(kind, draw)
        while not self._over.is_set():
            try:
                answer = self.control.submit(name, entrypoint, **more)
            except httpx.HTTPError:
                time.sleep(0.2)
                continue
            if answer.is_success:
                self.accepted[name] = kind
                return
            assert answer.status_code in {429, 503}, answer.text
            time.sleep(0.2)

    def _ask_for_something(self, draw: random.Random) -> None:
        chance = draw.random()
        if chance < 0.25:
            self.control.ask("POST", f"workloads/{SERVICE}/scale", {"workers": draw.randint(1, 3)})
        elif chance < 0.35 and (names := self.waiting()):
            name = draw.choice(names)
            self.stopped.add(name)
            self.control.ask("POST", f"workloads/{name}/stop")

    def drain(self, node: str) -> None:
        """Take a node out of service, with hardly any time for what is there."""
        self.drained.add(node)
        self.control.ask("POST", f"nodes/{node}/drain", {"reason": "a test", "deadline_s": 1.5})

    def undrain(self) -> bool:
        """Put every node into service again, as far as control answers; whether all are."""
        for node in sorted(self.drained):
            try:
                answer = self.control.ask("DELETE", f"nodes/{node}/drain")
            except httpx.HTTPError:
                continue
            # 404: what was asked for never arrived.
            if answer.is_success or answer.status_code == 404:
                self.drained.discard(node)
        return not self.drained

    def serve(self) -> None:
        """Hand in a service that is scaled up and down."""
        group = {"name": "workers", "min": 1, "max": 3, "count": 1, "cpus": 0.5, "memory": "256 MiB"}
        model = {"model": "echo", "engine": "echo", "group": "workers"}
        spec = {"name": SERVICE, "kind": "service", "priority": "serving", "groups": [group], "service": model}
        answer = self.control.ask("POST", "workloads", {"spec": spec}, **{"Idempotency-Key": SERVICE})
        assert answer.is_success, answer.text
        self.accepted[SERVICE] = "service"

    def finish(self) -> None:
        """No more load; everything ends by itself, and then control."""
        self._over.set()
        until(self.undrain, END_S, self.control.last_words)
        until(self._all_ended, END_S, lambda: f"{self._left()}\n{self.control.last_words()}")
        # One that has just started may not lead yet.
        until(lambda: self.control.ask("POST", f"workloads/{SERVICE}/stop").is_success, END_S, self.control.last_words)
        self.control.wait(SERVICE, "cancelled", within_s=END_S)
        until(lambda: not self._clusters(), END_S, lambda: f"{self._clusters()} stay\n{self.control.last_words()}")
        self._ending.set()
        with self.changing:
            self.control.end()

    def _clusters(self) -> dict[str, list[str]]:
        """What is left of clusters."""
        return {folder.name: _files(folder) for folder in (self.control.state / "clusters").iterdir()}

    def _all_ended(self) -> bool:
        try:
            return self.waiting() == []
        except httpx.HTTPError:
            return False

    def _left(self) -> list[Any]:
        return [self.control.get(name) for name in self.waiting()]


def _files(folder: Path) -> list[str]:
    try:
        return sorted(file.name for file in folder.iterdir())
    except FileNotFoundError:  # it has just been taken away
        return []


@contextmanager
def playing(state: Path, seed: int, store: Store | None = None) -> Iterator[Play]:
    """A fabric under load; everything has ended afterwards, or is ended."""
    play = Play(Control(state, store or Store()), seed)
    loading = threading.Thread(target=play.load, name="load", daemon=True)
    keeping = threading.Thread(target=play.keep, name="keep", daemon=True)
    try:
        play.control.up()
        until(lambda: play.control.leads, 60.0, play.control.last_words)
        play.serve()
        loading.start()
        keeping.start()
        yield play
        play.finish()
    finally:
        play._over.set()
        play._ending.set()
        for thread in (loading, keeping):
            if thread.ident is not None:
                thread.join(30.0)
        play.control.kill()
        left = sleepers(state)
        told = [processes.command(process) for process in left]
        end_sleepers(state)
    assert left == [], f"processes of clusters are left: {told}"


def disturb(play: Play, times: int, how: Disturb) -> None:
    """Do so many disturbances at instants that the seed gives."""
    draw = random.Random(play.seed + 1)
    for number in range(times):
        # On a slow machine the load must not fall behind.
        until(lambda number=number: len(play.accepted) > number + 1, END_S, play.control.last_words)  # type: ignore[misc]
        began = time.monotonic()
        seen = how(play, draw)
        row = {"number": number, "seen": seen, "accepted": len(play.accepted), "s": time.monotonic() - began}
        play.done.append(row)


def audit(play: Play) -> list[str]:
    """What is wrong, a line each; empty if nothing is."""
    state = play.control.state
    engine = engine_of(state, play.control.store)
    records = SqlRecords(engine)
    kept = {record.name: record for record in records.list(limit=10**6)}
    with reading(engine) as connection:
        rows = [dict(row) for row in connection.execute(select(LEDGER).order_by(LEDGER.c.id)).mappings()]
    corrections = records.reconcile()
    engine.dispose()
    wrong = [f"{name} was accepted and is lost" for name in sorted(play.accepted.keys() - kept.keys())]
    wrong += [line for record in kept.values() for line in _wrong_end(play, record)]
    wrong += _wrong_runs(state, kept)
    wrong += _wrong_ledger(rows)
    wrong += [f"the ledger had to be corrected: {each}" for each in corrections]
    log = play.control.log.read_text(errors="replace")
    wrong += [line for line in log.splitlines() if "the ledger was brought" in line or "Traceback" in line]
    return wrong


def _wrong_end(play: Play, record: Record) -> Iterator[str]:
    kind = "service" if record.name == SERVICE else record.name.partition("-")[0]
    right = {State.FAILED} if kind == "fails" else {State.CANCELLED} if kind == "service" else {State.SUCCEEDED}
    if record.name in play.stopped:
        right |= {State.CANCELLED}
    if record.state not in right:
        yield f"{record.name} is {record.state}, not {'/'.join(sorted(right))}: {record.message}"
    if record.failures:
        yield f"{record.name} lost {record.failures} attempts: {record.message}"
    if record.grant is not None and record.state.holds_grant:
        yield f"{record.name} has ended and holds {record.grant}"


def _wrong_runs(state: Path, kept: dict[str, Record]) -> Iterator[str]:
    """Each attempt began at most once, each success exactly once, and nobody ran of whom nothing is recorded."""
    began: Counter[str] = Counter(run.cluster for run in runs(state) if run.what == "began")
    by_name: dict[str, list[str]] = defaultdict(list)
    for cluster, times in began.items():
        by_name[cluster.rpartition("-")[0]].append(cluster)
        if times > 1:
            yield f"{cluster} was run {times} times"
    for name in sorted(by_name.keys() - kept.keys()):
        yield f"{name} ran, and nothing is recorded of it"
    for record in kept.values():
        if record.spec.kind == "job" and record.state is State.SUCCEEDED and not began[record.cluster]:
            yield f"{record.name} is said to have succeeded, and never ran"
        if len(by_name[record.name]) > record.preemptions + 1:
            yield f"{record.name} ran {len(by_name[record.name])} times after {record.preemptions} preemptions"


def _wrong_ledger(rows: list[dict[str, Any]]) -> Iterator[str]:
    """What is granted is given back once, and no node is ever granted twice."""
    room = {
        f"{tier['name']}-{number}": Resources.of(**{"gpus": 0, **tier["capacity"]})  # type: ignore[dict-item]
        for tier in TIERS
        for number in range(tier["nodes"])  # type: ignore[call-overload]
    }
    open_: Counter[tuple[Any, ...]] = Counter()
    held: dict[str, Counter[str]] = defaultdict(Counter)
    last = 0.0
    for at, together in _by_instant(rows):
        if at < last:
            yield f"the ledger goes back from {last} to {at}"
        last = at
        for row in together:
            key = tuple(row[name] for name in ("workload", "submitted", "attempt", "slice", "node", "milli_cpus"))
            open_[key] += row["sign"]
            if open_[key] not in {0, 1}:
                yield f"{key} is held {open_[key]} times"
            for amount in ("milli_cpus", "milli_gpus", "memory_bytes"):
                held[row["node"]][amount] += row["sign"] * row[amount]
        for node, amounts in held.items():
            full = room[node]
            if amounts["milli_cpus"] > full.cpus.count or amounts["milli_gpus"] > full.gpus.count:
                yield f"{node} has {dict(amounts)} granted at {at}, more than there is"
            if amounts["memory_bytes"] > full.memory.count:
                yield f"{node} has {dict(amounts)} granted at {at}, more than there is"
    yield from (f"{key} was never given back" for key, count in open_.items() if count)


def _by_instant(rows: list[dict[str, Any]]) -> Iterator[tuple[float, list[dict[str, Any]]]]:
    """Rows of one batch of the loop together: within it somebody gives back what another gets."""
    together: list[dict[str, Any]] = []
    for row in rows:
        if together and row["at"] != together[0]["at"]:
            yield together[0]["at"], together
            together = []
        together.append(row)
    if together:
        yield together[0]["at"], together
