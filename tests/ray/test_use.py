"""What real work uses, by the kernel's count, is what the fabric tells of it."""

import json
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from fabric.control.metering import MEASURE_EVERY_S
from tests.ray.live import Live, spec_file, until

pytestmark = pytest.mark.timeout(500)
READINGS_S = 4 * MEASURE_EVERY_S + 60
"""Until a whole span between two looks lies in the work, on a machine that is busy."""
BURNER = """
import json, pathlib, sys, time

while True:
    until = time.monotonic() + 0.5
    while time.monotonic() < until:
        pass
    with open(sys.argv[1], "a") as told:
        told.write(json.dumps([time.time(), time.process_time()]) + "\\n")
"""
"""Never rests, and writes down how much processor time it got by when: on a busy machine that is less than a core."""


def used(live: Live, name: str) -> Mapping[str, Any] | None:
    """What was read last of a workload."""
    found: Mapping[str, Any] | None = live.get(f"/api/fabric/workloads/{name}/use")["latest"]
    return found


def got(file: Path, since: float, until: float) -> float | None:
    """Cores that the burner itself says it got between two instants; None while it has not told of all of it."""
    told = [json.loads(line) for line in file.read_text().splitlines() if line.endswith("]")] if file.exists() else []
    if not told or told[0][0] > since or told[-1][0] < until:
        return None
    first, last = ([entry for entry in told if entry[0] <= at][-1] for at in (since, until))
    return float((last[1] - first[1]) / (last[0] - first[0]))


def test_a_burning_job_uses_what_it_got_and_a_sleeping_one_next_to_nothing(live: Live, tmp_path: Path) -> None:
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "burn.py").write_text(textwrap.dedent(BURNER))
    told = tmp_path / "told.jsonl"
    group = {"name": "workers", "tier": "commodity", "count": 1, "cpus": 1.0, "memory": "1 GiB"}
    job = {"kind": "job", "groups": [group], "runtime_env": {"working_dir": str(tmp_path / "code")}, "walltime_s": 900}
    for name, entrypoint in (("burns", f"python burn.py {told}"), ("sleeps", "sleep 800")):
        live.fabric("submit", str(spec_file(tmp_path, name=name, entrypoint=entrypoint, **job)))
    for name in ("burns", "sleeps"):
        live.wait(name, "running")
    seen: dict[str, float] = {}

    def agrees() -> bool:
        use = used(live, "burns")
        if use is None or (mine := got(told, use["at"] - use["over_s"], use["at"])) is None:
            return False
        # Its workers that only wait, and the clocks' difference, are worth a tenth.
        seen.update(read=use["cpus"], got=mine)
        return bool(abs(use["cpus"] - mine) < 0.1 + 0.1 * mine)

    until(agrees, READINGS_S, lambda: f"{seen}; {live.explained('burns')}")
    assert seen["read"] > 0.2, "it never rests"
    # What starts is busy; the span after that is not.
    until(lambda: (used(live, "sleeps") or {"cpus": 9.0})["cpus"] < 0.1, READINGS_S, lambda: live.explained("sleeps"))
    use = used(live, "sleeps")
    assert use is not None
    assert 0 < use["memory_bytes"] < use["of_memory_bytes"]
    assert (use["gpus"], use["of_gpus"], use["unmeasured"]) == (0.0, 0.0, [])
    assert f"of {use['of_cpus']:g} CPUs" in live.explained("sleeps")
    assert live.get("/api/fabric/workloads/burns/use")["points"]


def test_pretend_accelerators_are_said_to_have_no_counter(live: Live, tmp_path: Path) -> None:
    group = {"name": "workers", "tier": "gpu", "count": 1, "cpus": 1.0, "gpus": 1.0, "memory": "1 GiB"}
    job = {"name": "holds", "kind": "job", "entrypoint": "sleep 800", "groups": [group], "walltime_s": 900}
    job["runtime_env"] = {"working_dir": str(tmp_path)}
    live.fabric("submit", str(spec_file(tmp_path, **job)))
    live.wait("holds", "running")
    # Its head is measured, and its worker's accelerator is not.
    until(lambda: used(live, "holds") is not None, READINGS_S, lambda: live.explained("holds"))
    use = used(live, "holds")
    assert use is not None
    assert (use["gpus"], use["of_gpus"]) == (None, 1.0)
    assert "pretend" in use["unmeasured"][0]
