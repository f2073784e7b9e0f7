"""The command line with a fake control behind it, and nothing of the machine it runs on.

Knows nothing of what is tested.
"""

import functools
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer import testing
from typer.main import get_command
from typer.testing import CliRunner, Result

from fabric.cli.main import app
from fabric.cli.session import Session
from fabric.config import env
from fabric.sdk import client
from tests.unit.sdk.fakes import FakeControl

Run = Callable[..., Result]


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
    monkeypatch.setattr(client, "FIRST_LOOK_S", 0.001)
    monkeypatch.setattr(client, "SLOWEST_LOOK_S", 0.002)


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
