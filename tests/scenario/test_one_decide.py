"""There is one decision: every simulation and the live process reach the same function."""

import inspect
import re
from collections.abc import Callable
from pathlib import Path

import pytest

import fabric.control.build as live
from fabric.scheduler import loop
from fabric.scheduler.cycle import decide
from fabric.scheduler.plan import Plan
from fabric.scheduler.policy import Policy
from fabric.scheduler.snapshot import Snapshot
from fabric.simulator import engine
from fabric.simulator.batch import run_batch
from fabric.simulator.scenario import simulate
from fabric.simulator.swf import SwfJob
from fabric.simulator.windows import LENGTH, STARTS, run_windows
from tests.builders import tiny_site
from tests.unit.simulator.test_scenario import arrival, scenario


def windows() -> object:
    log = [SwfJob(number, float(number), 1.0, 1, 1.0) for number in range(max(STARTS) + LENGTH)]
    return run_windows(log, 4, order="sjf", backfill=True)


class Seen(Exception):
    """The decision was reached."""


@pytest.mark.parametrize(
    "run",
    [
        lambda: run_batch([SwfJob(1, 0.0, 5.0, 2, 5.0)], 4),
        windows,
        lambda: simulate(scenario(arrival("a")), tiny_site(), Policy(), 0),
    ],
    ids=["swf", "windows", "run"],
)
def test_every_simulation_decides_with_the_one_function(
    run: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    reached = []

    def watched(snapshot: Snapshot, policy: Policy, now: float) -> Plan:
        reached.append(now)
        raise Seen

    monkeypatch.setattr(loop, "decide", watched)
    with pytest.raises(Seen):
        run()
    assert len(reached) == 1


def test_the_live_process_runs_the_loop_that_the_simulator_runs() -> None:
    found = [vars(module)["Loop"] for module in (live, engine, loop)]
    assert found == [found[0]] * 3
    assert found[0].__init__.__globals__["decide"] is decide


def test_nobody_decides_but_the_loop_and_who_asks_what_it_would_do() -> None:
    library = Path(inspect.getfile(loop)).parents[1]
    peers = library / "simulator" / "peers"  # other schedulers, whose decisions are functions of their own
    files = (file for file in library.rglob("*.py") if not file.is_relative_to(peers))
    said = re.compile(r"\bdecide\(|\bor decide\b|decider=decide\b")
    callers = {file.relative_to(library).as_posix() for file in files if said.search(file.read_text(encoding="utf-8"))}
    asking = {"control/render.py", "control/warming.py", "scheduler/replay.py"}
    within_limits = {"control/budgets.py", "control/drains.py"}
    assert callers == {"scheduler/cycle.py", "scheduler/loop.py"} | asking | within_limits
