"""MLflow's server is kept running until its keeper ends it; `cat` stands for it, which ends with its input too."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fabric.core.errors import FabricError
from fabric.store import mlflow_server as under_test
from fabric.store.mlflow_server import MlflowServer


class FakeServer(MlflowServer):
    """Starts something small in MLflow's place."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.command = ["cat"]
        self.begun: list[subprocess.Popen[bytes]] = []

    def _command(self) -> list[str]:
        return self.command

    def _begun(self) -> subprocess.Popen[bytes]:
        assert self.all_over(), "two at the same time would share a database"
        self.begun.append(super()._begun())
        return self.begun[-1]

    def all_over(self) -> bool:
        return all(process.returncode is not None for process in self.begun)


def until(true: Callable[[], object], seconds: float = 10.0) -> None:
    ends = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < ends
        time.sleep(0.005)


def pid_of(server: MlflowServer) -> int:
    pid = server.pid
    assert pid is not None
    return pid


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    monkeypatch.setattr(under_test, "FIRST_PAUSE_S", 0.01)
    server = FakeServer(tmp_path / "mlflow")
    yield server
    server.end()


def test_a_server_that_dies_is_started_again_and_there_is_never_a_second_one(server: FakeServer) -> None:
    server.start()
    server.start()
    first = pid_of(server)
    os.kill(first, signal.SIGKILL)
    until(lambda: server.pid not in {None, first})
    server.end()
    assert (server.pid, len(server.begun), server.all_over()) == (None, 2, True)


def test_pauses_grow_while_it_dies_soon_and_are_short_again_once_it_has_lived(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(under_test, "LONGEST_PAUSE_S", 0.03)
    server.command = ["true"]
    server.start()
    until(lambda: len(caplog.messages) >= 4)
    monkeypatch.setattr(under_test, "STEADY_S", 0.0)
    said = len(caplog.messages)
    until(lambda: len(caplog.messages) >= said + 2)
    server.end()
    pauses = [message.split("again in ")[1].split(" s")[0] for message in caplog.messages]
    assert pauses[:4] == ["0.01", "0.02", "0.03", "0.03"]
    assert pauses[-1] == "0.01"


def test_one_that_cannot_be_started_again_is_tried_until_it_can(
    server: FakeServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.start()
    server.command = ["/nowhere/mlflow"]
    os.kill(pid_of(server), signal.SIGTERM)
    until(lambda: [each for each in caplog.messages if "cannot be started" in each])
    assert server.pid is None
    server.command = ["cat"]
    until(lambda: server.pid)


def test_one_that_cannot_be_started_at_first_is_told_to_who_starts_it(server: FakeServer) -> None:
    server.command = ["/nowhere/mlflow"]
    with pytest.raises(FabricError):
        server.start()
    server.command = ["cat"]
    server.start()
    assert server.pid is not None


def test_whoever_ends_it_between_two_starts_waits_for_no_pause(
    server: FakeServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(under_test, "FIRST_PAUSE_S", 60.0)
    server.start()
    os.kill(pid_of(server), signal.SIGKILL)
    until(lambda: caplog.messages)
    server.end()
    assert server.pid is None
    assert "mlflow" not in {thread.name for thread in threading.enumerate()}
    server.end()


def test_one_that_does_not_leave_is_killed(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(under_test, "END_S", 0.02)
    server.command = ["sleep", "60"]
    server.start()
    server.end()
    assert server.begun[0].returncode == -signal.SIGKILL
