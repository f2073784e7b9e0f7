"""The command line with a fake control behind it, and nothing of the machine it runs on.

Knows nothing of what is tested.
"""

import functools
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer import testing
from typer.main import get_command
from typer.testing import CliRunner, Result

from fabric.cli import checks, startup
from fabric.cli.checks import Check
from fabric.cli.local import LocalFabric
from fabric.cli.main import app
from fabric.cli.session import Session
from fabric.cli.supervisor import Program
from fabric.config import env
from fabric.sdk import work
from tests.unit.cli.test_processes import SLEEP, until
from tests.unit.sdk.fakes import FakeControl

Run = Callable[..., Result]
SITE = """\
name: tiny
tiers: [{name: all, nodes: 2, capacity: {cpus: 4, gpus: 2, memory: 6 GiB}, heads: true, pretend: true}]
"""


@pytest.fixture(autouse=True, scope="session")
def built_once() -> Iterator[None]:
    """Typer builds all commands each time that one is typed, which takes longer than most commands here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(testing, "_get_command", functools.cache(get_command))
        yield


@pytest.fixture(autouse=True)
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (env.ADDRESS, env.TOKEN, env.WORKLOAD):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(env.STATE, str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(work, "FIRST_LOOK_S", 0.001)
    monkeypatch.setattr(work, "SLOWEST_LOOK_S", 0.002)


@pytest.fixture
def control() -> FakeControl:
    return FakeControl()


@pytest.fixture
def run(control: FakeControl) -> Run:
    """Type a command; what it said is `stdout` and `stderr` of the answer."""

    def typed(*words: str) -> Result:
        session = Session(control.transport, patience_s=0.0)
        return CliRunner().invoke(app, list(words), obj=session, catch_exceptions=False)

    return typed


@pytest.fixture
def local(tmp_path: Path) -> LocalFabric:
    (tmp_path / "site.yaml").write_text(SITE)
    (tmp_path / "state").mkdir()
    return LocalFabric(tmp_path / "state")


@pytest.fixture
def small(local: LocalFabric, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Put programs, given as source, in the place of control and gateway; the machine has all that is needed."""
    monkeypatch.setattr(checks, "quick", lambda site, state: [Check("memory", "warning", "little", "buy some")])
    monkeypatch.setattr(checks, "port_is_free", lambda host, number: True)
    monkeypatch.setattr(startup, "LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(startup, "PREDECESSOR_S", 0.05)

    def put(control: str = SLEEP, gateway: str = SLEEP, healthy: Callable[[], bool] = lambda: True) -> None:
        sources = {"control": control, "gateway": gateway}
        programs = tuple(
            Program(name, (sys.executable, "-IS", "-c", source), local.log(name), ends_all=name == "control")
            for name, source in sources.items()
        )
        monkeypatch.setattr(startup, "programs", lambda site, local: programs)
        monkeypatch.setattr(startup, "healthy", lambda site: healthy())

    return put


def once_up(local: LocalFabric, then: Callable[[], object]) -> None:
    """Do something once the fabric says where it answers."""

    def watch() -> None:
        until(lambda: local.address() is not None)
        then()

    threading.Thread(target=watch, daemon=True).start()


def interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)
