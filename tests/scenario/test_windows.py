"""A maintenance window comes in the live loop: who runs there is asked to leave in time, and comes back afterwards."""

from fabric.config.projects import Project
from fabric.config.windows import Window, instant
from fabric.scheduler.policy import Policy
from fabric.scheduler.quota import tree
from fabric.workloads.record import Record
from fabric.workloads.spec import Group, Priority, ServiceSpec, WorkloadSpec
from fabric.workloads.states import State
from tests.builders import group, job, record
from tests.scenario.test_site_in_the_loop import NIGHT, Site

STARTS = instant("2026-12-01T22:00:00Z")
ENDS = instant("2026-12-01T23:00:00Z")
EAGER = Policy(min_run_s=0.0)


def window(*nodes: str, **more: object) -> Window:
    return Window.model_validate(
        {"name": "update", "nodes": nodes, "starts": "2026-12-01T22:00:00Z", "ends": "2026-12-01T23:00:00Z", **more}
    )


def crop(name: str = "crop", **more: object) -> Record:
    """A job without an end that leaves when it is asked to."""
    spec = job(name, "wait", group("t", 1, "gpu", gpus=2.0), checkpoints=True)
    return record(spec.model_copy(update=more), at=NIGHT)


def chat() -> Record:
    """A service of one replica that takes a whole GPU node."""
    spec = WorkloadSpec(
        name="chat", kind="service", priority=Priority.SERVING, service=ServiceSpec(model="m@champion", group="t"),
        groups=(Group(name="t", count=1, tier="gpu", gpus=2.0, memory="1 GiB"),),
    )  # fmt: skip
    return Record("chat", spec, State.QUEUED, record(spec, at=NIGHT).at)


def nodes_of(site: Site, name: str) -> list[str]:
    grant = site.records.kept[name].grant
    return [part.node for part in grant.slices if not part.only_head] if grant else []


def test_work_without_an_end_leaves_in_time_and_goes_on_once_the_window_is_over() -> None:
    site = Site(crop(), windows=(window("g0", "g1"),), policy=EAGER, grace_s=20.0, overhead_s=10.0).at(NIGHT)
    assert site.state("crop") is State.RUNNING
    assert site.at(STARTS - 40).state("crop") is State.RUNNING
    assert site.at(STARTS - 30).state("crop") is State.QUEUED
    waits = site.records.kept["crop"]
    assert "left (asked to leave: g0, taken away by window update" in "".join(
        event.reason for event in site.records.events
    )
    assert (waits.preemptions, waits.failures) == (1, 0)
    assert site.at(STARTS + 60).state("crop") is State.QUEUED
    assert site.at(ENDS + 1).state("crop") is State.RUNNING


def test_a_service_is_on_another_node_before_the_window_and_never_down() -> None:
    site = Site(chat(), windows=(window("g0"),), policy=EAGER, grace_s=20.0, overhead_s=10.0)
    site.at(STARTS - 25 * 3600)
    assert nodes_of(site, "chat") == ["g1"], "it prefers the node that stays"
    stays = Site(chat(), windows=(window("g1"),), policy=EAGER, grace_s=20.0, overhead_s=10.0)
    stays.records.kept["chat"] = site.records.kept["chat"]
    stays.backend.views |= site.backend.views
    stays.at(STARTS - 3600)
    assert nodes_of(stays, "chat") == ["g1"]
    stays.at(STARTS - 30)
    for later in range(5):
        assert stays.at(STARTS - 25 + 4 * later).state("chat") in {State.RUNNING, State.RESIZING}
    assert (nodes_of(stays, "chat"), stays.state("chat")) == (["g0"], State.RUNNING)
    assert stays.backend.started == [], "it is the same cluster all the time"


def test_in_a_capability_week_the_nodes_are_for_one_project() -> None:
    week = window("g0", "g1", kind="capability", project="climate")
    projects = tree((Project(name="climate"), Project(name="nlp")))
    works = (crop("mine", project="climate"), crop("other", project="nlp"))
    site = Site(*works, windows=(week,), policy=EAGER, tree=projects).at(NIGHT)
    assert (site.state("mine"), site.state("other")) == (State.RUNNING, State.RUNNING)
    site.at(STARTS - 1).at(STARTS + 60)
    assert (site.state("mine"), site.state("other")) == (State.RUNNING, State.QUEUED)
    assert site.at(ENDS + 1).state("other") is State.RUNNING
