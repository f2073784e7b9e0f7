"""The rig's components are found again by id and start time, and ended by nobody else's hand."""

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.rigging.errors import RigError
from scripts.rigging.processes import Component, Process, Processes, process

SLEEP = Component("sleeper", ("sleep", "60"), {"PATH": os.defpath})


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[Processes]:
    processes = Processes(tmp_path / "records", tmp_path / "logs")
    yield processes
    processes.end(processes.names())


def test_a_component_is_started_once_and_found_by_another_run(processes: Processes, tmp_path: Path) -> None:
    assert processes.start(SLEEP)
    assert not processes.start(SLEEP)
    found = Processes(tmp_path / "records", tmp_path / "logs").find("sleeper")
    assert found is not None
    assert found == process(found.pid) == processes.find("sleeper")


def test_what_was_ended_is_dead_and_can_be_started_again(processes: Processes) -> None:
    processes.start(SLEEP)
    assert processes.end(["sleeper", "unknown"]) == ["sleeper"]
    assert processes.find("sleeper") is None
    assert processes.start(SLEEP)


def test_who_ignores_the_request_is_killed(processes: Processes) -> None:
    stubborn = Component("stubborn", ("sh", "-c", "trap '' TERM; echo ready; exec sleep 60"), {"PATH": os.defpath})
    processes.start(stubborn)
    deadline = time.monotonic() + 10
    while "ready" not in processes.last_words("stubborn") and time.monotonic() < deadline:
        time.sleep(0.01)
    processes.end(["stubborn"], patience_s=0.1)
    assert processes.find("stubborn") is None


def test_a_process_that_was_given_an_old_id_is_not_ours(processes: Processes, tmp_path: Path) -> None:
    ourselves = process(os.getpid())
    assert ourselves is not None
    record = {"pid": ourselves.pid, "started": ourselves.started - 1, "command": []}
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "old.json").write_text(json.dumps(record))
    assert processes.find("old") is None
    assert processes.end(["old"]) == []
    assert Process(ourselves.pid, ourselves.started).is_alive()


def test_a_missing_program_names_the_command_that_builds_it(processes: Processes) -> None:
    with pytest.raises(RigError, match=r"kubelet-gpu-0 needs /absent/kubelet, which is missing: scripts/rig build"):
        processes.start(Component("kubelet-gpu-0", ("/absent/kubelet",)))


def test_last_words_are_the_end_of_what_it_printed(processes: Processes) -> None:
    processes.start(Component("speaker", ("sh", "-c", "seq 9"), {"PATH": os.defpath}))
    deadline = time.monotonic() + 10
    while processes.find("speaker") and time.monotonic() < deadline:
        time.sleep(0.01)
    assert processes.last_words("speaker", lines=2) == "8\n9"
    assert processes.last_words("silent") == ""
