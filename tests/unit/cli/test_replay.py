"""`fabric replay` of what the running fabric decided."""

import json
from pathlib import Path

import httpx
import pytest

from fabric.api.overview import DECISION
from fabric.scheduler.cycle import decide
from fabric.scheduler.policy import Policy
from fabric.scheduler.replay import Decision, write_decision
from tests.builders import waiting, world
from tests.unit.cli.conftest import Run
from tests.unit.sdk.fakes import FakeControl, refusal

ASK = f"GET {DECISION}"


@pytest.fixture
def text() -> str:
    snapshot = world(waiting("a"), waiting("b", blocked_by=("a",)))
    return write_decision(Decision(snapshot, Policy(), 5.0, decide(snapshot, Policy(), 5.0)))


def test_the_last_decision_is_decided_again(control: FakeControl, run: Run, text: str, tmp_path: Path) -> None:
    control.on(ASK, httpx.Response(200, text=text))
    assert run("replay", "--live").stdout == "the same plan: 1 start, 1 wait\n"
    kept = tmp_path / "kept.json"
    assert run("replay", "--live", "--record", str(kept)).exit_code == 0
    assert kept.read_text() == text
    assert run("replay", str(kept)).stdout == "the same plan: 1 start, 1 wait\n"


def test_a_live_decision_that_comes_out_otherwise_fails(control: FakeControl, run: Run, text: str) -> None:
    changed = {**json.loads(text), "now": 5.0, "plan": {**json.loads(text)["plan"], "placed": []}}
    control.on(ASK, httpx.Response(200, text=json.dumps(changed)))
    said = run("replay", "--live")
    assert said.exit_code == 1
    assert '+   "workload": "a"' in said.stdout


@pytest.mark.parametrize("words", [[], ["x.json", "--live"], ["x.json", "--record", "y.json"]])
def test_it_must_be_clear_which_decision_is_meant(run: Run, words: list[str]) -> None:
    said = run("replay", *words)
    assert said.exit_code == 2
    assert "which decision?" in said.stderr


def test_what_cannot_be_kept_is_said(control: FakeControl, run: Run, text: str, tmp_path: Path) -> None:
    control.on(ASK, httpx.Response(200, text=text))
    said = run("replay", "--live", "--record", str(tmp_path / "no" / "x.json"))
    assert said.exit_code == 2
    assert "cannot be written" in said.stderr


def test_only_administrators_see_what_was_decided(control: FakeControl, run: Run) -> None:
    control.on(ASK, refusal(403, "denied", "key a may not do this"))
    said = run("replay", "--live")
    assert said.exit_code != 0
    assert "may not do this" in said.stderr
