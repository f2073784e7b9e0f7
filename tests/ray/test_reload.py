"""A control process that is told by a signal to read its site file again."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fabric.api.site import RELOADS
from tests.controls import Control, end_sleepers, until

pytestmark = pytest.mark.timeout(300)


@pytest.fixture
def control(tmp_path: Path) -> Iterator[Control]:
    running = Control(tmp_path / "state")
    running.up()
    try:
        yield running
    finally:
        running.end()
        end_sleepers(running.state)


def reloads(control: Control) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = control.ask("GET", RELOADS.removeprefix("/api/fabric/")).json()["reloads"]
    return found


def test_hangup_reads_the_file_again_and_a_wrong_one_changes_nothing(control: Control) -> None:
    file = control.state / "control.yaml"
    site = json.loads(file.read_text())
    file.write_text(json.dumps({**site, "policy": {"protect": 4}, "grace_s": 9.0}))
    control.send(signal.SIGHUP)
    until(lambda: len(reloads(control)) == 1, 30.0, control.last_words)
    assert reloads(control)[0] | {"at": 0.0} == {
        "at": 0.0, "by": "SIGHUP", "changed": ["policy"], "waiting": ["grace_s"], "refused": "",
    }  # fmt: skip
    file.write_text("tiers: [")
    control.send(signal.SIGHUP)
    until(lambda: len(reloads(control)) == 2, 30.0, control.last_words)
    assert "control.yaml" in reloads(control)[0]["refused"]
    assert control.ask("GET", "past").json()["policy"]["protect"] == 4
