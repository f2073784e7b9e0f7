"""Commands about secrets: a value comes from the terminal, a pipe or a file, and never from the command line."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from fabric.api.secrets import SecretList, SecretView
from fabric.cli.main import app
from fabric.cli.session import Session
from tests.unit.cli.conftest import Run
from tests.unit.sdk.fakes import FakeControl, answer, refusal

PATH = "/api/fabric/secrets/alpha"
HF = SecretView(name="hf", project="alpha", set_by="ann", set_at=1_000.0)
Piped = Callable[..., Result]


@pytest.fixture
def piped(control: FakeControl) -> Piped:
    def typed(text: str, *words: str) -> Result:
        return CliRunner().invoke(app, list(words), input=text, obj=Session(control.transport, patience_s=0.0))

    return typed


def test_the_first_line_of_a_pipe_is_the_value(control: FakeControl, piped: Piped) -> None:
    control.on(f"PUT {PATH}/hf", answer(HF))
    said = piped("hf-1\nmore\n", "secrets", "set", "hf", "--project", "alpha")
    assert said.stdout == "secret hf of project alpha is set; a spec says `secrets: {VARIABLE: hf}`\n"
    assert json.loads(control.asked[0].content) == {"value": "hf-1"}
    assert "hf-1" not in said.output


def test_a_file_is_taken_as_it_is(control: FakeControl, run: Run, tmp_path: Path) -> None:
    control.on(f"PUT {PATH}/hf", answer(HF))
    (tmp_path / "key.pem").write_text("a\nb\n")
    assert run("secrets", "set", "hf", "--from", "key.pem", "--project", "alpha").exit_code == 0
    assert json.loads(control.asked[0].content) == {"value": "a\nb\n"}


def test_nothing_and_what_is_no_text_are_bad_input(control: FakeControl, piped: Piped, tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff")
    assert piped("", "secrets", "set", "hf", "--project", "alpha").exit_code == 2
    assert piped("", "secrets", "set", "hf", "--from", "binary", "--project", "alpha").exit_code == 2
    assert control.asked == []


def test_they_are_listed_with_who_set_them(control: FakeControl, run: Run) -> None:
    control.on(f"GET {PATH}", answer(SecretList(secrets=(HF,))), answer(SecretList(secrets=())))
    heads, row = (line.split() for line in run("secrets", "list", "--project", "alpha").stdout.splitlines())
    assert (heads[0], row[:3]) == ("SECRET", ["hf", "alpha", "ann"])
    assert "no secrets" in run("secrets", "list", "--project", "alpha").stderr


def test_one_is_forgotten_once_somebody_is_sure(control: FakeControl, run: Run, piped: Piped) -> None:
    control.on(f"DELETE {PATH}/hf", refusal(404, "not_found", "no"))
    words = ("secrets", "delete", "hf", "--project", "alpha")
    assert (piped("n\n", *words).exit_code, control.asked) == (1, [])
    assert piped("y\n", *words).exit_code == 3
    assert run(*words, "--yes").exit_code == 3
