"""Taking the fabric down goes on until everything has left, whatever fails on the way."""

import threading
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import pytest

from fabric.control import endings
from fabric.control.endings import Endings
from fabric.control.process import LoopThread
from fabric.core.errors import Conflict, FabricError, StorageFull
from fabric.workloads.record import Record
from fabric.workloads.states import State
from tests.builders import job, record, wanted
from tests.fake_backend import FakeBackend


@dataclass
class Refusing:
    """Records that end once they have been asked often enough; each refusal is an error that is raised."""

    live: list[Record]
    refusals: list[Exception] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def list(self, *, states: Collection[State] | None = None) -> Sequence[Record]:
        return list(self.live)

    def request_stop(self, name: str, reason: str) -> Record:
        self.asked.append(name)
        if self.refusals:
            raise self.refusals.pop(0)
        ended = next(item for item in self.live if item.name == name)
        self.live.remove(ended)
        return ended


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endings, "_LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(endings, "_AFTER_ERROR_S", 0.01)


def ending(records: Refusing, backend: FakeBackend) -> Endings:
    return Endings(records, backend, LoopThread(lambda: True, threading.Event()))


@pytest.mark.parametrize("error", [Conflict("ended"), StorageFull("full"), FabricError("odd"), KeyError("mistake")])
def test_an_error_while_asking_delays_the_end_and_does_not_prevent_it(error: Exception) -> None:
    records = Refusing([record(job("a"), State.RUNNING), record(job("b"), State.QUEUED)], [error])
    closing = ending(records, FakeBackend())
    closing.shutdown(kill=False)
    assert closing.over.wait(5)
    assert records.asked.count("a") == 2
    assert records.live == []


def test_the_same_error_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    records = Refusing([record(job("a"), State.RUNNING)], [StorageFull("full")] * 5)
    closing = ending(records, FakeBackend())
    closing.shutdown(kill=False)
    assert closing.over.wait(5)
    assert [entry.message for entry in caplog.records] == ["taking the fabric down goes on in spite of an error"]


def test_clusters_are_killed_although_nobody_can_be_asked() -> None:
    backend = FakeBackend()
    backend.realise(wanted("a-1", entrypoint="sleep"))
    records = Refusing([record(job("a"), State.RUNNING)], [StorageFull("full")] * 3)
    closing = ending(records, backend)
    closing.shutdown(kill=True)
    assert closing.over.wait(5)
    assert dict(backend.observe()) == {}


def test_while_a_cluster_is_there_it_is_not_over() -> None:
    backend = FakeBackend()
    backend.realise(wanted("a-1", entrypoint="sleep"))
    closing = ending(Refusing([]), backend)
    closing.shutdown(kill=False)
    assert not closing.over.wait(0.1)
    backend.remove("a-1")
    assert closing.over.wait(5)
