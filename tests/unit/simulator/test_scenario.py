"""Scenarios, good and bad, and what comes of them."""

from pathlib import Path
from typing import Any

import pytest

from fabric.config.load import decode
from fabric.config.projects import Project
from fabric.config.windows import Window
from fabric.core.errors import BadConfig, BadInput, DoesNotFit
from fabric.scheduler.policy import Policy
from fabric.simulator.plot import draw
from fabric.simulator.report import Report, report_of
from fabric.simulator.scenario import Scenario, nodes_of, simulate
from fabric.workloads.states import State
from tests.builders import tiny_site

GPU = {"cpus": 1.0, "gpus": 1.0, "memory": "1 GiB", "tier": "gpu"}


def arrival(name: str, runs_s: float | None = 60.0, **more: Any) -> dict[str, Any]:
    workload = {"name": name, "entrypoint": "run", "walltime_s": 100.0, "groups": [GPU], **more.pop("workload", {})}
    return {"workload": workload, **({} if runs_s is None else {"runs_s": runs_s}), **more}


def service(name: str, **more: Any) -> dict[str, Any]:
    workload = {"name": name, "kind": "service", "groups": [GPU], "service": {"model": "m@champion"}}
    return {"workload": workload, **more}


def scenario(*arrivals: dict[str, Any], **more: Any) -> Scenario:
    return decode(Scenario, {"site": "site.yaml", "arrivals": list(arrivals), **more}, "scenario.yaml")


def grants(what: Scenario, policy: Policy | None = None, seed: int = 0) -> dict[str, float | None]:
    kept = simulate(what, tiny_site(), policy or Policy(), seed).records.kept
    return {name: record.at.granted for name, record in sorted(kept.items())}


def report(what: Scenario, seed: int = 0) -> Report:
    engine = simulate(what, tiny_site(), Policy(), seed)
    return report_of(engine.records.kept.values(), nodes_of(tiny_site()))


def test_work_queues_for_two_gpus_and_staging_counts() -> None:
    assert grants(scenario(arrival("a", staging_s=5.0), arrival("b"), arrival("c", at_s=1.0))) == {
        "a": 0.0,
        "b": 0.0,
        "c": 60.0,
    }
    two = {"groups": [{**GPU, "gpus": 2.0}]}
    late = scenario(arrival("a", staging_s=5.0, workload=two), arrival("b", at_s=1.0))
    assert grants(late) == {"a": 0.0, "b": 65.0}


def test_a_dependent_starts_after_success_and_fails_after_failure() -> None:
    after = {"after": ["a"]}
    assert grants(scenario(arrival("a"), arrival("b", workload=after))) == {"a": 0.0, "b": 60.0}
    engine = simulate(scenario(arrival("a", fails=True), arrival("b", workload=after)), tiny_site(), Policy(), 0)
    assert {name: r.state for name, r in engine.records.kept.items()} == {"a": State.FAILED, "b": State.FAILED}


def test_a_service_stays_until_the_end_of_the_scenario() -> None:
    engine = simulate(scenario(service("chat"), arrival("a"), until_s=500.0), tiny_site(), Policy(), 0)
    chat = engine.records.kept["chat"]
    assert (chat.state, chat.at.ended) == (State.CANCELLED, 500.0)


def test_work_that_overruns_its_walltime_is_ended_within_the_grace() -> None:
    engine = simulate(scenario(arrival("a", runs_s=1e6), arrival("b", at_s=1e4)), tiny_site(grace_s=20.0), Policy(), 0)
    over = engine.records.kept["a"]
    assert over.state is State.FAILED
    assert "walltime" in over.message
    # The loop looks again when something happens; the next thing is the arrival of `b`.
    assert over.at.ended == 1e4


WEEKLY = Window(name="update", tiers=("gpu",), starts="2026-12-01T22:00:00Z", ends="2026-12-01T23:00:00Z", every_days=7)


def test_windows_of_the_site_count_in_a_scenario_that_says_when_it_begins() -> None:
    site = tiny_site(windows=(WEEKLY,))

    def granted(**more: Any) -> float | None:
        what = scenario(arrival("a", workload={"walltime_s": 7200.0}), until_s=1e5, **more)
        return simulate(what, site, Policy(), 0).records.kept["a"].at.granted

    assert granted() == 0.0
    assert granted(begins="2026-12-01T21:00:00Z") == 7200.0
    assert granted(begins="2026-12-08T22:30:00+01:00") == 5400.0, "a week later, half an hour before"
    assert granted(begins="2026-12-02T00:00:00Z") == 0.0


def test_work_that_saves_leaves_for_a_window_and_is_back_after_it() -> None:
    saves = arrival("a", runs_s=7200.0, workload={"walltime_s": None, "checkpoints": True})
    once = WEEKLY.model_copy(update={"every_days": None})
    site = tiny_site(windows=(once,), grace_s=20.0, overhead_s=10.0)
    engine = simulate(scenario(saves, begins="2026-12-01T21:00:00Z"), site, Policy(), 0)
    record = engine.records.kept["a"]
    assert (record.attempt, record.at.granted, record.state) == (2, 7200.0, State.SUCCEEDED)
    left = [event.at for event in engine.records.events if event.state is State.DRAINING]
    assert left == [3600.0 - 30.0]


def test_in_a_capability_week_of_a_scenario_its_project_goes_on() -> None:
    week = {"name": "week", "start_s": 50.0, "end_s": 900.0, "tier": "gpu", "project": "climate"}
    site = tiny_site(projects=(Project(name="climate"), Project(name="nlp")))
    work = [arrival(name, workload={"project": name}) for name in ("climate", "nlp")]
    kept = simulate(scenario(*work, windows=[week]), site, Policy(), 0).records.kept
    assert {name: record.at.granted for name, record in kept.items()} == {"climate": 0.0, "nlp": 900.0}


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"begins": "2026-12-01T21:00:00Z"}, "window update of the site comes again for ever; give until_s"),
        (
            {"windows": [{"name": "w", "start_s": 0.0, "end_s": 1.0, "tier": "gpu", "project": "x"}]},
            "window w: 'x' is no project; the site has none",
        ),
    ],
)
def test_windows_that_cannot_be_are_refused(more: dict[str, Any], says: str) -> None:
    with pytest.raises(BadInput, match=says):
        simulate(scenario(arrival("a"), **more), tiny_site(windows=(WEEKLY,)), Policy(), 0)


def test_a_beginning_without_an_offset_is_refused() -> None:
    with pytest.raises(BadConfig, match="has no offset from UTC"):
        scenario(arrival("a"), begins="2026-12-01T21:00:00")


def test_a_window_keeps_work_away_that_would_run_into_it() -> None:
    window = {"name": "kernel", "start_s": 90.0, "end_s": 150.0, "tier": "gpu"}
    assert grants(scenario(arrival("a"), windows=[window])) == {"a": 150.0}
    # The site allows 30 s beside a walltime.
    assert grants(scenario(arrival("a", workload={"walltime_s": 60.0}), windows=[window])) == {"a": 0.0}
    assert grants(scenario(arrival("a", workload={"walltime_s": 61.0}), windows=[window])) == {"a": 150.0}


def test_chance_follows_from_the_seed_alone() -> None:
    many = scenario(arrival("a", count=20, every_s=30.0, poisson=True, spread=0.5))
    assert grants(many, seed=3) == grants(many, seed=3)
    assert grants(many, seed=3) != grants(many, seed=4)


def test_the_report_counts_what_was_held() -> None:
    found = report(scenario(arrival("a"), arrival("b", at_s=30.0)))
    (gpu,) = [tier for tier in found.occupancy if tier.tier == "gpu"]
    assert gpu.steps == ((0.0, 1.0), (30.0, 2.0), (60.0, 1.0), (90.0, 0.0))
    assert gpu.share(90.0) == pytest.approx(120 / 180)
    assert (found.span_s, found.waits_s, found.avebsld) == (90.0, (0.0, 0.0), 1.0)


def test_the_report_tells_how_late_promises_were_kept() -> None:
    found = report(scenario(arrival("a", count=3)))
    # Promised for the end of a walltime and what the site allows beside it, 130; the work before it ended earlier.
    assert found.late_s == (-70.0,)


def test_a_report_can_be_drawn(tmp_path: Path) -> None:
    found = report(scenario(arrival("a", count=3)))
    draw(found, tmp_path / "report.svg")
    assert (
        b"gpu: GPUs held" in (tmp_path / "report.svg").read_bytes() or (tmp_path / "report.svg").stat().st_size > 1000
    )
    with pytest.raises(BadInput, match=r"report\.tape"):
        draw(found, tmp_path / "report.tape")


@pytest.mark.parametrize(
    ("arrivals", "more", "says"),
    [
        ([], {}, "arrivals"),
        ([arrival("a", runs_s=None)], {}, "needs runs_s"),
        ([arrival("a", at_s=9.0, stops_at_s=9.0)], {}, "not after it came"),
        ([arrival("a", count=2, stops_at_s=9.0)], {}, "comes once, not 2 times"),
        ([arrival("a", staging_s=1.0, attempts=[{"staging_s": 1.0}])], {}, "attempts or staging_s"),
        ([arrival("a", attempts=[{"cleanup_s": -1.0}])], {}, "cleanup_s"),
        ([arrival("a", attempts=[{"runs_s": 1.0}])], {}, "unknown key"),
        ([arrival("a", checkpoint_s=5.0, attempts=[{"leaves_s": 1.0}])], {}, "give save_s, not leaves_s"),
        ([arrival("a", runs_s=-1.0)], {}, "runs_s"),
        ([arrival("a", at_s=-1.0)], {}, "at_s"),
        ([arrival("a", workload={"name": None})], {}, "needs a name"),
        ([arrival("a"), arrival("a")], {}, "different names"),
        ([arrival("a", workload={"after": ["b"]})], {}, "comes after b, which is none"),
        ([arrival("a", workload={"after": ["a"]})], {}, "could ever start: a after a"),
        (
            [arrival("a", workload={"after": ["b"]}), arrival("b", workload={"after": ["a"]})],
            {},
            "could ever start: . after . after .",
        ),
        ([arrival("a", count=2), arrival("b", workload={"after": ["a"]})], {}, "more than once"),
        ([arrival("a", workload={"groups": [{**GPU, "count": 0}]})], {}, "count"),
        ([arrival("a", count=5, poisson=True)], {}, "every_s"),
        ([service("chat")], {}, "give until_s"),
        ([arrival("a")], {"windows": [{"name": "w", "start_s": 5.0, "end_s": 5.0, "tier": "gpu"}]}, "not after"),
        ([arrival("a")], {"seed": 1}, "unknown key"),
    ],
)
def test_a_scenario_that_cannot_be_is_refused(arrivals: list[dict[str, Any]], more: dict[str, Any], says: str) -> None:
    with pytest.raises(BadConfig, match=says):
        scenario(*arrivals, **more)


@pytest.mark.parametrize(
    ("what", "error", "says"),
    [
        (scenario(arrival("a", workload={"groups": [{**GPU, "tier": "tpu"}]})), DoesNotFit, "wants tier 'tpu'"),
        (scenario(arrival("a", workload={"groups": [{**GPU, "count": 3}]})), DoesNotFit, "1 GPUs short"),
        (
            scenario(arrival("a"), windows=[{"name": "w", "start_s": 0.0, "end_s": 5.0, "tier": "tpu"}]),
            BadInput,
            "about tier 'tpu'",
        ),
    ],
)
def test_a_scenario_that_its_site_cannot_hold_is_refused(what: Scenario, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        simulate(what, tiny_site(), Policy(), 0)
