"""Two controls on one PostgreSQL: one leads, the other takes over when the first is killed or hangs, and fences it."""

import signal
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import text

from fabric.control.leading import EXIT_FOLLOWS
from fabric.store.database import engine_of
from fabric.store.records import SqlRecords
from tests.controls import Control, end_sleepers, runs, sleepers, until
from tests.postgres import Postgres

pytestmark = pytest.mark.timeout(300)

WITHIN_S = 10.0
"""Longest time from the death of a leader until another one leads."""


@dataclass
class Pair:
    """Two controls that share a folder and a database."""

    first: Control
    second: Control

    @property
    def state(self) -> Path:
        return self.first.state

    def take_over_s(self) -> float:
        """Wait until the second leads."""
        return until(lambda: self.second.leads, 60.0, self.second.last_words)


@pytest.fixture
def pair(server: Postgres, tmp_path: Path) -> Iterator[Pair]:
    """The first leads; nothing of them is left afterwards."""
    store, state = server.store(), tmp_path / "state"
    both = Pair(Control(state, store, "first"), Control(state, store, "second"))
    both.first.up()
    until(lambda: both.first.leads, 30.0, both.first.last_words)
    both.second.up()
    try:
        yield both
    finally:
        for control in (both.first, both.second):
            control.end()
        end_sleepers(state)


def test_the_second_answers_questions_and_leads_within_seconds_when_the_first_is_killed(pair: Pair) -> None:
    assert (pair.first.leads, pair.second.leads) == (True, False)
    assert pair.first.submit("a", "sleep 600").status_code == 200
    pair.first.wait("a", "running")
    assert pair.second.get("a")["state"] == "running"
    assert pair.second.ask("GET", "workloads/a/explain").status_code == 200
    assert pair.second.health()["status"] == "ok"  # type: ignore[index]
    refused = pair.second.submit("b")
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "2")
    assert pair.first.address in refused.json()["message"]
    assert pair.second.states().keys() == {"a"}

    for number in range(4):
        pair.first.submit(f"long-{number}", "sleep 600")
    pair.first.submit("whole", "sleep 600", group={"cpus": 6.0})  # waits
    pair.first.wait("long-3", "running")
    began = Counter(run.cluster for run in runs(pair.state) if run.what == "began")
    pair.first.kill()
    took_s = pair.take_over_s()
    print(f"killed: the other led after {took_s:.2f} s")
    assert took_s <= WITHIN_S
    assert pair.second.submit("after", "true").status_code == 200
    pair.second.wait("after", "succeeded")
    states = pair.second.states()
    assert {states[f"long-{number}"] for number in range(4)} == {"running"}
    begun = Counter(run.cluster for run in runs(pair.state) if run.what == "began")
    assert begun == {**began, "after-1": 1}, "none was run again"


def test_a_leader_that_hangs_is_followed_and_when_it_wakes_up_can_do_nothing(pair: Pair) -> None:
    pair.first.submit("stays", "sleep 600")
    pair.first.submit("goes", "sleep 600")
    pair.first.wait("goes", "running")
    # So that it has something to do when it wakes up: it has read these and not placed them, or placed and not started.
    for number in range(6):
        pair.first.submit(f"work-{number}", "sleep 600", group={"cpus": 0.5})
    pair.first.send(signal.SIGSTOP)
    took_s = pair.take_over_s()
    print(f"hung: the other led after {took_s:.2f} s")
    assert took_s <= WITHIN_S
    for name in ("goes", *(f"work-{number}" for number in range(6))):
        assert pair.second.ask("POST", f"workloads/{name}/stop").status_code == 200
    pair.second.wait("goes", "cancelled")
    for number in range(6):
        pair.second.wait(f"work-{number}", "cancelled")
    until(lambda: _clusters(pair.state) == {"stays-1"}, 30.0, lambda: str(_clusters(pair.state)))
    before, written = runs(pair.state), _written(pair)
    assert pair.second.process is not None
    assert (written[0], f"/{pair.second.process.pid}/" in written[1]) == (2, True)
    pair.first.send(signal.SIGCONT)
    assert pair.first.process is not None
    assert pair.first.process.wait(20) == EXIT_FOLLOWS
    time.sleep(1.0)
    assert _clusters(pair.state) == {"stays-1"}, "it started nothing"
    assert (runs(pair.state), _written(pair)) == (before, written), "it did nothing and recorded nothing"
    assert pair.second.get("stays")["state"] == "running"
    assert all(count == 1 for count in Counter(run.cluster for run in before if run.what == "began").values())
    # Whoever keeps it running starts it again, and it follows.
    pair.first.up()
    assert (pair.first.leads, pair.second.leads) == (False, True)


def _written(pair: Pair) -> tuple[int, str, dict[str, object]]:
    """Number and holder of the lease, and the history of everything as it is recorded."""
    engine = engine_of(pair.state, pair.second.store)
    with engine.connect() as connection:
        token, holder = connection.execute(text("SELECT token, holder FROM leases")).one()
    records = SqlRecords(engine)
    history: dict[str, object] = {each.name: records.events(each.name) for each in records.list()}
    assert records.reconcile() == (), "the ledger says what is held"
    engine.dispose()
    return token, holder, history


def _clusters(state: Path) -> set[str]:
    """What has processes or a folder."""
    folders = {folder.name for folder in (state / "clusters").iterdir()}
    told = (Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0") for process in sleepers(state))
    marks = {mark.decode() for environment in told for mark in environment if mark.startswith(b"FABRIC_CLUSTER=")}
    return folders | {mark.partition("=")[2] for mark in marks}
