"""What Prometheus reads of control."""

from dataclasses import replace

import pytest
from prometheus_client.parser import text_string_to_metric_families

from fabric.config.staging import StagingPriors
from fabric.control.gauges import kind_of
from fabric.control.watched import Change
from fabric.core.resources import Resources
from fabric.scheduler.cycle import decide
from fabric.scheduler.plan import Shortfall, Wait
from fabric.scheduler.policy import Policy
from fabric.scheduler.readiness import Experience
from fabric.scheduler.replay import Decision
from fabric.scheduler.snapshot import Snapshot, Waiting
from fabric.scheduler.staging import Kind, Measured, Stage, observe
from fabric.workloads.record import Grant, Record
from fabric.workloads.spec import Priority
from fabric.workloads.states import State
from tests.builders import group, job, piece, record
from tests.unit.control.world import NODES, SITE, World

Series = dict[tuple[str, tuple[str, ...]], float]


def read(text: str) -> Series:
    """Every sample by its name and the values of its labels, in the order of their names."""
    return {
        (sample.name, tuple(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def asked(world: World) -> Series:
    answer = world.client().get("/metrics")
    assert (answer.status_code, answer.headers["content-type"].partition(";")[0]) == (200, "text/plain")
    return read(answer.text)


def test_tiers_and_work_are_counted_as_they_are_at_this_instant(world: World) -> None:
    for name, priority in (("runs", "batch"), ("waits", "interactive"), ("also", "interactive")):
        world.job(name, priority=Priority(priority), project="alpha")
    world.run("runs")
    world.clock.at += 60
    found = asked(world)
    assert found["fabric_nodes", ("ready", "gpu")] == 2
    assert found["fabric_capacity_cpus", ("commodity",)] == 8
    assert found["fabric_free_cpus", ("commodity",)] == 7
    assert found["fabric_held_memory_bytes", ("batch", "commodity")] == 2**30
    assert found["fabric_capacity_gpus", ("gpu",)] == found["fabric_free_gpus", ("gpu",)] == 4
    assert found["fabric_workloads", ("batch", "job", "alpha", "running")] == 1
    assert found["fabric_queue_length", ("interactive", "alpha", "undecided")] == 2
    assert found["fabric_queue_oldest_seconds", ("interactive",)] == 60
    assert (found["fabric_leads", ()], found["fabric_loop_age_seconds", ()]) == (1, 0.1)


def test_no_workload_and_no_key_is_named(world: World) -> None:
    world.issue("the-key", "admin")
    world.job("a-name-of-work")
    world.run("a-name-of-work")
    world.client("the-key").get("/api/fabric/workloads/a-name-of-work")
    text = world.client("the-key").get("/metrics").text
    assert "a-name-of-work" not in text
    assert "the-key" not in text


def test_requests_are_timed_by_the_route_as_it_was_declared(world: World) -> None:
    client = world.client()
    for path in ("/api/fabric/workloads/none", "/api/fabric/workloads/nothing", "/no/such/path", "/mlflow/x"):
        client.get(path)
    client.request("BREW", "/api/version")
    found = {key[1]: value for key, value in asked(world).items() if key[0] == "fabric_http_request_seconds_count"}
    assert found == {
        ("GET", "/api/fabric/workloads/{name}", "4xx"): 2,
        ("GET", "other", "4xx"): 1,
        ("GET", "/mlflow/{path:path}", "5xx"): 1,
        ("other", "/api/version", "4xx"): 1,
    }


@pytest.mark.parametrize(
    ("wait", "kind"),
    [
        (Wait("a", after=("b",), note="x"), "dependencies"),
        (Wait("a", shortfalls=(Shortfall("g", None, Resources(), 1, 0, Resources()),), ahead=("b",)), "room"),
        (Wait("a", note="project p is at its limit"), "limit"),
        (Wait("a", ahead=("b",), num_ahead=1), "turn"),
        (Wait("a"), "turn"),
    ],
)
def test_what_somebody_waits_for_is_one_of_four_words(wait: Wait, kind: str) -> None:
    assert kind_of(wait) == kind


def decision_of(*waiting: Waiting, known: Experience | None = None) -> Decision:
    """A decision about them on the site's nodes."""
    seen = Snapshot.of(NODES, waiting=waiting, head=SITE.head.resources, known=known or Experience({}))
    return Decision(seen, Policy(), 0.0, decide(seen, Policy(), 0.0))


def test_the_queue_is_counted_by_what_the_last_decision_says(world: World) -> None:
    for name in ("large", "later"):
        world.job(name)
    made = decision_of(
        Waiting("large", 1, 0.0, (group(count=9),), None), Waiting("later", 1, 1.0, (group(),), None, blocked_by=("x",))
    )
    world.decision = made
    found = asked(world)
    assert found["fabric_queue_length", ("batch", "default", "room")] == 1
    assert found["fabric_queue_length", ("batch", "default", "dependencies")] == 1


def test_what_starts_should_take_stands_beside_what_they_took(world: World) -> None:
    known, weights = Measured(), Kind(Stage.WEIGHTS, "gpu", "llama", "streamer")
    for seconds in (4.0, 6.0, 5.0):
        known = observe(known, Kind(Stage.RAY, "gpu"), seconds)
    known = observe(known, weights, 30.0, Resources.of(memory="16 GiB").memory)
    priors = {"gpu": StagingPriors(ray_s=7.0), "commodity": StagingPriors(ray_s=2.0, safe_factor=3.0)}
    world.decision = decision_of(known=Experience(priors, known, "streamer"))
    found = asked(world)
    said = "fabric_staging_predicted_seconds"
    assert found[said, ("", "expected", "Ray start", "gpu")] == 6.0
    assert found[said, ("", "safe", "Ray start", "commodity")] == 6.0
    assert found[said, ("llama", "expected", "weights", "gpu")] >= 30.0
    assert found["fabric_staging_latest_seconds", ("", "Ray start", "gpu")] == 5.0
    assert found["fabric_staging_latest_seconds", ("llama", "weights", "gpu")] == 30.0


def moves(world: World, *steps: Record) -> None:
    """Let the figures see a life, step by step."""
    for before, after in zip((None, *steps), steps, strict=False):
        world.service.figures.changed(Change(before, after, 0.0))


def test_a_life_is_counted_from_submission_to_its_end(world: World) -> None:
    queued = record(job("a"), at=100.0)
    granted = replace(queued, state=State.STARTING, at=replace(queued.at, granted=107.0))
    runs = replace(
        granted, state=State.RUNNING, grant=Grant((piece("c0"),)),
        at=replace(granted.at, cluster_ready=110.0, running=111.0),
    )  # fmt: skip
    lost = replace(runs, state=State.QUEUED, attempt=2, failures=1, at=queued.at, grant=None)
    left = replace(lost, attempt=3, preemptions=1)
    moves(world, queued, granted, runs, lost, left, replace(left, state=State.FAILED))
    found = asked(world)
    assert found["fabric_workloads_submitted_total", ("batch", "job", "default")] == 1
    assert found["fabric_queue_wait_seconds_sum", ("batch",)] == 7.0
    assert found["fabric_staging_seconds_sum", ("Ray start", "commodity")] == 3.0
    assert found["fabric_attempts_lost_total", ("batch", "default")] == 1
    assert found["fabric_preemptions_total", ("batch", "default")] == 1
    assert found["fabric_workloads_ended_total", ("batch", "job", "failed", "default")] == 1


def test_steps_and_decisions_are_timed_also_when_they_fail(world: World) -> None:
    def fails() -> None:
        raise RuntimeError

    figures = world.service.figures
    figures.step_took(0.5, False)
    figures.step_took(0.5, True)
    with pytest.raises(RuntimeError):
        figures.timing_decisions(fails)()
    assert figures.timing_saves(lambda: 7)() == 7
    found = asked(world)
    assert (found["fabric_loop_step_seconds_sum", ()], found["fabric_loop_steps_failed_total", ()]) == (1.0, 1)
    assert found["fabric_decision_seconds_count", ()] == found["fabric_store_save_seconds_count", ()] == 1
