"""The bench of truth: what people do in it, what it watches, and what its table says."""

import time
from pathlib import Path
from typing import Any

import pytest

from fabric.config.site_file import load_site
from fabric.scheduler.policy import Policy
from fabric.simulator.recorded import RecordedRun
from fabric.simulator.report import Start, report_of
from fabric.simulator.scenario import Scenario, simulate
from fabric.simulator.truth import LivePromise, Truth, compare
from fabric.workloads.spec import Priority
from scripts.benches import truth as bench
from scripts.benches._own_fabric import LAPTOP
from scripts.benches._truth_work import deeds
from tests.unit.simulator.test_recorded import LIVE


def test_the_same_seed_is_the_same_work_and_another_is_not() -> None:
    assert deeds(3) == deeds(3)
    assert deeds(3) != deeds(4)


def test_the_work_is_mixed_and_people_stop_what_they_submitted() -> None:
    specs = {deed.submits.name: deed.submits for deed in deeds(1) if deed.submits}
    assert len(specs) >= 24
    assert {spec.priority for spec in specs.values()} == set(Priority)
    assert any(len(spec.groups) > 1 for spec in specs.values())
    at = {deed.submits.name: deed.at_s for deed in deeds(1) if deed.submits}
    for deed in deeds(1):
        assert not deed.stops or at[deed.stops] < deed.at_s
        assert all(at[first] < deed.at_s for first in (deed.submits.after if deed.submits else ()))


def test_the_work_queues_on_the_laptop_site_and_few_clusters_exist_at_once() -> None:
    arrivals: list[dict[str, Any]] = []
    stops = {deed.stops: deed.at_s for deed in deeds(1) if deed.stops}
    for deed in deeds(1):
        if deed.submits is not None:
            name = str(deed.submits.name)
            lasts = {"stops_at_s": stops[name]} if name in stops else {"runs_s": 20.0}
            times = [{"staging_s": 6.0, "cleanup_s": 1.0}]
            arrivals.append({"workload": deed.submits, "at_s": deed.at_s, "attempts": times, **lasts})
    scenario = Scenario.model_validate({"site": "s", "arrivals": arrivals}, strict=False)
    engine = simulate(scenario, load_site(LAPTOP, policy=Policy), Policy(), 0)
    found = report_of(engine.records.kept.values(), engine.cluster.nodes())
    assert sum(wait_s > 1.0 for wait_s in found.waits_s) > len(arrivals) // 3
    held = [(h.start_s, h.end_s) for h in engine.records.holdings if h.end_s is not None]
    assert max(sum(start <= at < end for start, end in held) for at, _ in held) <= 4


def test_a_cluster_is_gone_when_its_folder_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "LOOK_S", 0.005)
    (tmp_path / "a-1").mkdir()
    with bench.watching(tmp_path) as gone:
        time.sleep(0.2)
        assert gone == {}
        (tmp_path / "a-1").rmdir()
        deadline = time.monotonic() + 5.0
        while not gone and time.monotonic() < deadline:
            time.sleep(0.005)
    assert list(gone) == ["a-1"]


SAME = [Start("a", 1, 0.2), Start("b", 1, 21.0), Start("c", 1, 22.0)]


@pytest.mark.parametrize(
    ("world", "starts", "promises", "holds"),
    [
        ("all the same", SAME, [LivePromise("b", 0.9, ())], True),
        ("a promise broken by nobody", SAME, [LivePromise("b", 1.1, ())], False),
        ("a promise broken by more urgent work", SAME, [LivePromise("b", 9.0, ("u",))], True),
        ("one start is missing", SAME[:2], [], False),
        ("another order", [SAME[0], Start("b", 1, 0.1), SAME[2]], [], False),
        ("late starts", [SAME[0], Start("b", 1, 25.0), Start("c", 1, 26.0)], [], False),
    ],
)
def test_every_bound_counts(world: str, starts: list[Start], promises: list[LivePromise], holds: bool) -> None:
    assert bench.true(compare(LIVE, starts), promises) is holds, world


def test_the_table_has_a_line_for_each_start_and_says_what_is_wrong() -> None:
    text = bench.table(LIVE, compare(LIVE, [Start("b", 1, 0.0), Start("a", 1, 0.5)]), [LivePromise("b", 2.0, ())])
    assert "(a before b)" in text
    assert "only one run has: c-1" in text
    assert "latest 2.0 s after the promise" in text
    assert text.splitlines()[-1] == "| b | 1 | 1.00 | 21.00 | 0.00 | 105.00 |"
    nothing = bench.table(RecordedRun(workloads=LIVE.workloads, gone_at={}), Truth((), ()), [])
    assert "another order (none)" in nothing
