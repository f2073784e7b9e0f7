"""Drained nodes in the loop: nothing new starts there, and what is there leaves as gently as it can."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fabric.control.drained_backend import DrainedBackend
from fabric.control.draining import LONGEST_START_S, Drains, Emptying, ready_replicas
from fabric.core.errors import NotFound
from fabric.scheduler.cycle import decide
from fabric.scheduler.loop import Loop, Settings
from fabric.scheduler.policy import Policy
from fabric.scheduler.replay import replay, write_decision
from fabric.scheduler.snapshot import NodeState, Told
from fabric.simulator.records import SimulatedBlueprint
from fabric.store.drains import Drain
from fabric.workloads.record import Record
from fabric.workloads.spec import Group, Priority, ServiceSpec, WorkloadSpec
from fabric.workloads.states import State
from tests.builders import HEAD, FakeRecords, group, job, record
from tests.fake_backend import FakeBackend
from tests.scenario.test_loop import FakeClock

NOW = 1_750_000_000.0
GRACE_S, OVERHEAD_S = 20.0, 10.0


class FakeDrains(dict[str, Drain]):
    """Drains in a dictionary; implements `fabric.control.draining.KeptDrains`."""

    def drain(self, drain: Drain) -> None:
        self[drain.node] = drain

    def undrain(self, node: str, by: str = "") -> bool:
        return self.pop(node, None) is not None

    def drains(self) -> Mapping[str, Drain]:
        return dict(self)


class Site:
    """A loop over two GPU and two commodity nodes."""

    def __init__(self, *records: Record, kept: FakeDrains | None = None) -> None:
        self.records, self.backend, self.clock = FakeRecords(), FakeBackend(), FakeClock(NOW)
        self.records.add(*records)
        self.drains = Drains(FakeDrains() if kept is None else kept, lambda: self.clock.at)
        self.emptying = Emptying(self.drains, self._find, decide, self.backend.observe)
        settings = Settings(head=HEAD, grace_s=GRACE_S, overhead_s=OVERHEAD_S, policy=Policy(min_run_s=0.0))
        self.eyes = DrainedBackend(self.backend, self.drains)
        self.loop = Loop(
            self.records, self.eyes, SimulatedBlueprint(), clock=self.clock, settings=settings,
            decider=self.emptying.planned,
        )  # fmt: skip
        self.later(0)

    def _find(self, name: str) -> Record:
        if name not in self.records.kept:
            raise NotFound(name)
        return self.records.kept[name]

    def later(self, seconds: float) -> "Site":
        self.clock.at += seconds
        for _ in range(4):
            self.clock.at += 1.0
            self.loop.step()
        return self

    def drain(self, node: str, in_s: float | None = None, reason: str = "bad DIMM") -> "Site":
        at = self.clock.at
        self.drains.put(Drain(node, "ada", reason, at, None if in_s is None else at + in_s))
        return self.later(0)

    def state(self, name: str) -> State:
        return self.records.kept[name].state

    def nodes_of(self, name: str) -> list[str]:
        grant = self.records.kept[name].grant
        return [part.node for part in grant.slices if not part.only_head] if grant else []

    def history(self, name: str) -> str:
        return "\n".join(event.reason for event in self.records.events if event.workload == name)


def gpu_job(name: str = "crop", gpus: float = 2.0, **more: Any) -> Record:
    spec = job(name, "wait", group("t", 1, "gpu", gpus=gpus))
    return record(spec.model_copy(update=more), at=NOW)


def elastic(name: str = "swarm") -> Record:
    spec = job(name, "wait", Group(name="t", min=1, max=2, count=2, tier="gpu", gpus=2.0, memory="1 GiB"))
    return record(spec, at=NOW)


def chat() -> Record:
    spec = WorkloadSpec(
        name="chat", kind="service", priority=Priority.SERVING, service=ServiceSpec(model="m@champion", group="t"),
        groups=(Group(name="t", count=1, tier="gpu", gpus=2.0, memory="1 GiB"),),
    )  # fmt: skip
    return Record("chat", spec, State.QUEUED, record(spec, at=NOW).at)


def test_a_job_that_saves_leaves_within_the_grace_and_goes_on_elsewhere() -> None:
    site = Site(gpu_job(checkpoints=True))
    (node,) = site.nodes_of("crop")
    site.drain(node).later(5)
    assert "asked to leave: " + node + ", which is being drained by ada: bad DIMM" in site.history("crop")
    assert site.state("crop") is State.RUNNING
    assert site.nodes_of("crop") != [node]
    assert (site.records.kept["crop"].preemptions, site.records.kept["crop"].failures) == (1, 0)


def test_a_job_that_does_not_save_runs_to_its_end_if_there_is_no_deadline() -> None:
    site = Site(gpu_job())
    (node,) = site.nodes_of("crop")
    site.drain(node).later(3600)
    assert (site.state("crop"), site.nodes_of("crop")) == (State.RUNNING, [node])
    assert site.records.kept["crop"].preemptions == 0


def test_with_a_deadline_everybody_is_away_by_then_and_asked_no_earlier_than_need_be() -> None:
    site = Site(gpu_job())
    (node,) = site.nodes_of("crop")
    site.drain(node, in_s=100.0).later(100.0 - GRACE_S - OVERHEAD_S - 15.0)
    assert site.nodes_of("crop") == [node]
    site.later(15.0)
    assert site.state("crop") is State.RUNNING
    assert site.nodes_of("crop") != [node]


def test_nothing_new_starts_on_a_drained_node_and_what_waits_starts_when_it_is_undone() -> None:
    site = Site().drain("g0").drain("g1")
    site.records.add(gpu_job("new", walltime_s=5.0))
    assert site.later(1).state("new") is State.QUEUED
    assert site.drains.remove("g1")
    assert not site.drains.remove("g1")
    assert site.later(1).nodes_of("new") == ["g1"]


def test_an_elastic_job_shrinks_to_what_it_has_elsewhere() -> None:
    site = Site(elastic())
    assert sorted(site.nodes_of("swarm")) == ["g0", "g1"]
    site.records.told["swarm"] = Told(attempt=1, workers=2)
    site.later(1).drain("g1")
    assert site.state("swarm") is State.RESIZING
    site.records.told["swarm"] = Told(attempt=1, workers=1)
    site.later(2)
    assert (site.state("swarm"), site.nodes_of("swarm")) == (State.RUNNING, ["g0"])
    assert "goes on with 1 of 2 workers: g1, which is being drained by ada" in site.history("swarm")
    site.drains.remove("g1")
    assert sorted(site.later(2).nodes_of("swarm")) == ["g0", "g1"]


def test_a_service_has_joined_elsewhere_before_it_leaves() -> None:
    site = Site(chat())
    (node,) = site.nodes_of("chat")
    holds = site.backend.realise
    site.backend.realise = lambda wanted: None  # type: ignore[method-assign] # its new slice takes its time
    site.eyes.realise = site.backend.realise
    site.drain(node).later(600)
    assert site.state("chat") is State.RESIZING
    assert len(site.nodes_of("chat")) == 2
    assert node in site.nodes_of("chat")
    site.eyes.realise = holds
    site.later(5).later(5)
    assert (site.state("chat"), len(site.nodes_of("chat"))) == (State.RUNNING, 1)
    assert node not in site.nodes_of("chat")
    assert site.backend.started == ["chat-1"], "it is the same cluster all the time"
    assert "in place of those on " + node + ", which is being drained by ada" in site.history("chat")


def test_a_service_leaves_only_once_its_new_replicas_are_ready_or_that_took_too_long() -> None:
    for ready_after_s in (300.0, 1000.0):
        site = Site(chat())
        (node,) = site.nodes_of("chat")
        serves(site, 1)
        site.drain(node).later(ready_after_s)
        if ready_after_s < LONGEST_START_S:
            assert (site.state("chat"), len(site.nodes_of("chat"))) == (State.RUNNING, 2)
            serves(site, 2)
            site.later(5).later(5)
        assert site.later(5).nodes_of("chat") == ["g0" if node == "g1" else "g1"]


def serves(site: Site, ready: int) -> None:
    """Let the service have so many replicas that serve, and one that starts."""
    replicas = [*[{"state": "RUNNING"}] * ready, {"state": "STARTING"}]
    details = {"applications": {"chat": {"deployments": {"LLM": {"replicas": replicas}}}}}
    site.backend.views["chat-1"] = replace(site.backend.views["chat-1"], details=details)


def test_replicas_are_those_that_serve_of_the_deployment_that_has_the_fewest() -> None:
    deployments = {"a": {"replicas": [{"state": "RUNNING"}] * 3}, "b": {"replicas": [{"state": "RUNNING"}, {}]}}
    assert ready_replicas({"applications": {"x": {"deployments": deployments}}}) == 1
    assert ready_replicas({}) == 0


def test_a_service_that_still_grows_at_the_deadline_leaves_all_the_same() -> None:
    site = Site(chat())
    (node,) = site.nodes_of("chat")
    site.eyes.realise = lambda wanted: None
    site.drain(node, in_s=60.0).later(16.0)
    assert site.nodes_of("chat") == [node]
    assert len(site.later(5.0).nodes_of("chat")) == 2
    site.later(5.0)
    assert (site.state("chat"), len(site.nodes_of("chat"))) == (State.RESIZING, 1)
    assert site.nodes_of("chat") != [node]


def test_what_was_granted_a_node_and_has_not_begun_moves_at_once() -> None:
    site = Site()
    site.eyes.realise = lambda wanted: None
    site.records.add(gpu_job())
    (node,) = site.later(0).nodes_of("crop")
    site.drain(node)
    assert site.nodes_of("crop") != [node]


def test_a_drained_node_is_shown_as_such_until_it_is_undone_and_a_dead_one_as_dead() -> None:
    site = Site()
    before = site.eyes.nodes()
    assert site.eyes.nodes() is before
    site.drains.put(Drain("g0", "ada", "", NOW))
    states = {node.name: node.state for node in site.eyes.nodes()}
    assert states == {"g0": NodeState.DRAINING, **dict.fromkeys(("g1", "c0", "c1"), NodeState.READY)}
    assert site.eyes.nodes() is site.eyes.nodes()
    site.drains.remove("g0")
    assert site.eyes.nodes() == before


def test_drains_of_nodes_that_the_site_does_not_have_change_nothing() -> None:
    site = Site(gpu_job(checkpoints=True)).drain("g77")
    assert site.state("crop") is State.RUNNING
    assert site.records.kept["crop"].preemptions == 0


def test_a_restart_knows_what_is_drained_and_another_control_hears_of_it() -> None:
    kept = FakeDrains(g0=Drain("g0", "ada", "", NOW))
    site = Site(gpu_job(checkpoints=True), kept=kept)
    assert site.nodes_of("crop") == ["g1"]
    kept["g1"] = Drain("g1", "bob", "", NOW)
    assert site.later(2).state("crop") is State.QUEUED


def test_a_recorded_decision_about_a_drain_is_the_same_when_it_is_decided_again() -> None:
    site = Site(gpu_job(checkpoints=True))
    site.drains.put(Drain(site.nodes_of("crop")[0], "ada", "", site.clock.at))
    site.clock.at += 1
    site.loop.step()
    decision = site.emptying.decided(site.loop.last_decision)
    assert decision is not None
    assert decision.plan.preempted
    assert replay(write_decision(decision), "test").same
