"""Whoever types a command that takes something away is asked first; programs are taken at their word."""

from collections.abc import Callable

import pytest
from typer.testing import CliRunner, Result

from fabric.cli import show
from fabric.cli.local import LocalFabric
from fabric.cli.main import app
from fabric.cli.processes import Running
from fabric.cli.session import Session
from tests.unit.sdk.fakes import FakeControl

Typed = Callable[..., Result]


@pytest.fixture
def typed(control: FakeControl, monkeypatch: pytest.MonkeyPatch) -> Typed:
    """Type a command at a terminal, and what is asked then."""
    monkeypatch.setattr(show, "at_terminal", lambda: True)

    def type_it(then: str, *words: str) -> Result:
        return CliRunner().invoke(app, list(words), input=then, obj=Session(control.transport, patience_s=0.0))

    return type_it


@pytest.mark.parametrize(
    "words",
    [
        ("stop", "a"),
        ("delete", "a"),
        ("arrays", "stop", "a"),
        ("secrets", "delete", "hf", "--project", "alpha"),
        ("drain", "gpu-0"),
        ("projects", "close", "alpha"),
        ("projects", "remove", "alpha", "ann"),
        ("users", "disable", "ann"),
        ("keys", "revoke", "ann-1"),
    ],
)
def test_nothing_happens_unless_one_is_sure(control: FakeControl, typed: Typed, words: tuple[str, ...]) -> None:
    said = typed("n\n", *words)
    assert (said.exit_code, control.asked) == (1, [])
    assert "[y/N]" in said.stderr
    typed("y\n", *words)
    assert len(control.asked) == 1
    typed("", *words, "--yes")
    assert len(control.asked) == 2


def test_looking_and_undoing_need_no_answer(control: FakeControl, typed: Typed) -> None:
    for words in (("drain", "gpu-0", "--undo"), ("drain", "gpu-0", "--preview"), ("explain", "a"), ("jobs",)):
        typed("", *words)
    assert len(control.asked) == 4


def test_a_backup_replaces_nothing_unless_one_is_sure(typed: Typed) -> None:
    assert typed("n\n", "admin", "restore", "b.tar", "--force").exit_code == 1


def test_killing_all_work_is_asked_for(control: FakeControl, typed: Typed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LocalFabric, "running", lambda self: Running(1, "1"))
    monkeypatch.setattr(LocalFabric, "control_address", lambda self: "http://control.test")
    assert typed("n\n", "down", "--now").exit_code == 1
    assert control.asked == []
