"""Objects that people made themselves wait, start, leave and end like any other work; the API server is in memory."""

import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fabric.backends.keeping.surroundings import Surroundings
from fabric.backends.kuberay import names
from fabric.backends.kuberay.adopter import Adopter
from fabric.backends.kuberay.api import EVENTS, NODES, PODS, RAY_CLUSTERS, RAY_JOBS, Kind, Object
from fabric.backends.kuberay.backend import KubeRayBackend
from fabric.config.projects import Project
from fabric.control.adoption import Adoptions
from fabric.control.blueprint import SiteBlueprint
from fabric.control.draining import Drains
from fabric.control.ports import Ports
from fabric.control.reloading import Source
from fabric.core.errors import Unavailable
from fabric.core.resources import Resources
from fabric.scheduler.loop import Loop, Settings
from fabric.scheduler.policy import Policy
from fabric.store.artifacts import Artifacts
from fabric.store.database import DATABASE, engine_at
from fabric.store.records import SqlRecords
from fabric.workloads.record import Record
from fabric.workloads.states import State
from tests.builders import FakeLogs, FakePackages
from tests.fake_api_server import FakeApiServer, kube_node
from tests.foreign import ray_cluster, ray_job, template, workers
from tests.unit.backends.test_kuberay_manifest import pods_site
from tests.unit.control.world import FakeClock, FakeModels, FakeProcess

SITE = pods_site(projects=(Project(name="chem"), Project(name="default")))


class Cluster:
    """An API server with two GPU nodes of two devices and two commodity nodes, and a fabric beside it."""

    def __init__(self, folder: Path, database: Path) -> None:
        self.folder, self.api, self.clock = folder, FakeApiServer(), FakeClock()
        for name, tier in (("c0", "commodity"), ("c1", "commodity"), ("g0", "gpu"), ("g1", "gpu")):
            self.api.add(NODES, kube_node(name, tier, gpus=2))
        shutil.copy(database, folder / DATABASE)
        self.engine = engine_at(f"sqlite:///{folder / DATABASE}")
        self.records = SqlRecords(self.engine, self.clock.now)
        self.begin()

    def begin(self) -> None:
        """Start a fabric that knows what is in the records and in Kubernetes, and nothing else."""
        logs, packages, models = FakeLogs(), FakePackages(), FakeModels()
        around = Surroundings(self.folder, logs, packages, threading.Event())
        self.backend = KubeRayBackend(SITE, around, self.api)
        ports: Any = Ports(
            workloads=self.records, reports=self.records, keys=self.records, people=self.records, ledger=self.records,
            packages=packages, artifacts=Artifacts(self.folder, 0), logs=logs, models=models,  # type: ignore[arg-type]
            nodes=self.backend.nodes, views=self.backend.observe,
            process=FakeProcess(), clock=self.clock, entropy=bytes, drains=Drains(self.records, self.clock.now),
            named_secrets=None,  # type: ignore[arg-type]
            reloads=self.records, alias_moves=self.records, site_events=self.records,
            source=Source(lambda: SITE, lambda site: None), pruning=None,  # type: ignore[arg-type]
        )  # fmt: skip
        blueprint = SiteBlueprint(SITE, self.folder, self.folder, self.records, models, lambda *_: {}, None)  # type: ignore[arg-type]
        settings = Settings(head=SITE.head.resources, grace_s=0.0, policy=Policy(), review_s=0.0)
        self.loop = Loop(self.records, self.backend, blueprint, clock=self.clock, settings=settings)
        # Turned by the test, without the pauses of a thread.
        self.backend._adopted.run = lambda: None  # type: ignore[method-assign]
        self.backend.start()
        holds = self.backend._adopted.holds
        self.adopter = Adopter(self.backend._foreign, Adoptions(ports, SITE), holds, now=self.clock.now)

    def restart(self) -> None:
        """Let another fabric take over."""
        self.backend._adopted.end()
        for mirror in self.backend._mirrors:
            mirror.end()
        self.begin()

    def close(self) -> None:
        """Look no more."""
        self.backend.close()
        self.engine.dispose()

    def make(self, kind: Kind, item: Object) -> None:
        """Somebody creates an object."""
        item["metadata"]["creationTimestamp"] = f"{self.api._version:08}"
        self.api.create(kind, item)

    def until(self, wish: Callable[[], bool]) -> None:
        """Let everything turn until the wish is true; a second passes with each turn."""
        deadline = time.monotonic() + 30.0
        while not wish():
            assert time.monotonic() < deadline, [(r.name, r.state, r.message, r.waits_for) for r in self.records.list()]
            self.turn()
            time.sleep(0.002)

    def turn(self) -> None:
        """Everything looks once."""
        self.clock.at += 1.0
        self.adopter.turn()
        self.loop.step()
        self.backend._adopted.turn()

    def of(self, name: str) -> Record:
        """The newest workload of an object."""
        return next(r for r in self.records.list() if r.spec.adopted and r.spec.adopted.name == name)

    def state(self, name: str) -> State | None:
        """The state of an object's newest workload; None before there is one."""
        return next((r.state for r in self.records.list() if r.spec.adopted and r.spec.adopted.name == name), None)

    def says(self, kind: Kind, name: str) -> tuple[str, str]:
        """State and message that an object carries."""
        said = self.api.get(kind, name)["metadata"].get("annotations", {})
        return said.get(names.STATE, ""), said.get(names.MESSAGE, "")

    def where(self) -> dict[str, list[str]]:
        """Nodes of all pods that were released, by slice."""
        found: dict[str, list[str]] = {}
        for pod in self.api.listing(PODS).items:
            name = pod["metadata"].get("annotations", {}).get(names.SLICE, "gated")
            found.setdefault(name, []).append(pod["spec"].get("nodeName", ""))
        return found

    def job_says(self, name: str, how_far: str, said: str) -> None:
        """KubeRay writes down how a RayJob is."""
        self.api.operate(RAY_JOBS, name, status={"jobDeploymentStatus": how_far, "jobStatus": said})


@pytest.fixture
def cluster(tmp_path: Path, empty_database: Path) -> Iterator[Cluster]:
    made = Cluster(tmp_path, empty_database)
    yield made
    made.close()


def whole_tier(name: str, kind: Callable[..., Object] = ray_cluster, **more: Any) -> Object:
    """An object that takes all GPUs, two for each of two pods."""
    return kind(name, workers(2, pods=template("2", "2Gi", 2)), **more)


def test_a_ray_cluster_is_started_by_one_patch_and_each_pod_goes_to_the_node_of_its_slice(cluster: Cluster) -> None:
    pods = template("1", "1Gi", 1)
    cluster.make(RAY_CLUSTERS, ray_cluster("mine", workers(3, pods=pods), project="chem"))
    cluster.until(lambda: cluster.state("mine") is State.RUNNING)
    record = cluster.of("mine")
    assert record.grant is not None
    assert record.spec.project == "chem"
    granted = {part.name: [part.node] * part.workers for part in record.grant.slices}
    assert cluster.where() == granted
    assert sorted(part.workers for part in record.grant.slices if part.group == "small") == [1, 2]
    assert [call for call in cluster.api.calls if call[1] == RAY_CLUSTERS.plural and call[0] != "create"] == [
        ("patch", "rayclusters", "mine")
    ]
    spec = cluster.api.get(RAY_CLUSTERS, "mine")["spec"]
    assert spec["suspend"] is False
    (group,) = spec["workerGroupSpecs"]
    assert group["template"]["spec"]["tolerations"] == [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}]
    for _ in range(40):
        cluster.turn()
    assert cluster.says(RAY_CLUSTERS, "mine") == ("granted", f"granted {record.grant.reason}")
    assert cluster.api.named(EVENTS) == [], "who does not wait is told nothing more"


@pytest.mark.parametrize("groups", [(), (workers(0),)])
def test_a_ray_cluster_without_workers_runs_and_is_in_nobodys_way(cluster: Cluster, groups: tuple[Object, ...]) -> None:
    cluster.make(RAY_CLUSTERS, ray_cluster("alone", *groups))
    cluster.until(lambda: cluster.state("alone") is State.RUNNING)
    cluster.make(RAY_CLUSTERS, whole_tier("next"))
    cluster.until(lambda: cluster.state("next") is State.RUNNING)


def test_who_waits_reads_why_on_his_own_object_and_starts_when_the_other_has_gone(cluster: Cluster) -> None:
    cluster.make(RAY_CLUSTERS, whole_tier("first"))
    cluster.until(lambda: cluster.state("first") is State.RUNNING)
    cluster.make(RAY_JOBS, whole_tier("second", ray_job))
    cluster.until(lambda: "waits: " in cluster.says(RAY_JOBS, "second")[1])
    state, message = cluster.says(RAY_JOBS, "second")
    assert (state, "GPUs" in message) == ("queued", True), message
    (event,) = cluster.api.listing(EVENTS).items
    assert (event["involvedObject"]["uid"], event["reason"], event["message"], event["type"]) == (
        cluster.api.get(RAY_JOBS, "second")["metadata"]["uid"], "Waiting", message, "Normal",
    )  # fmt: skip
    cluster.api.delete(RAY_CLUSTERS, "first")
    cluster.until(lambda: cluster.state("second") is State.STARTING)
    assert cluster.state("first") is State.CANCELLED
    assert cluster.of("first").failures == 0


@pytest.mark.slow
def test_a_ray_job_ends_as_kuberay_says_and_gives_its_nodes_back(cluster: Cluster) -> None:
    cluster.make(RAY_JOBS, whole_tier("good", ray_job))
    cluster.until(lambda: cluster.state("good") is not None)
    cluster.make(RAY_JOBS, whole_tier("bad", ray_job))
    for name, how_far, said, state in (
        ("good", "Complete", "SUCCEEDED", State.SUCCEEDED),
        ("bad", "Failed", "FAILED", State.FAILED),
    ):
        cluster.until(lambda: len(cluster.where()) == 3 and "gated" not in cluster.where())
        cluster.job_says(name, "Running", "RUNNING")
        cluster.until(lambda name=name: cluster.state(name) is State.RUNNING)  # type: ignore[misc]
        cluster.job_says(name, how_far, said)
        cluster.until(lambda name=name, state=state: cluster.state(name) is state)  # type: ignore[misc]
        cluster.until(lambda name=name, state=state: cluster.says(RAY_JOBS, name)[0] == state.value)  # type: ignore[misc]
    assert cluster.where() == {}
    assert cluster.of("bad").attempt == 1
    assert not cluster.api.get(RAY_JOBS, "good")["spec"]["suspend"], "one that has ended is left as it is"


def test_who_is_preempted_is_suspended_as_he_was_and_resumes_as_another_attempt(cluster: Cluster) -> None:
    harvest = {names.PRIORITY: "harvest"}
    cluster.make(RAY_CLUSTERS, whole_tier("low", labels=harvest))
    cluster.until(lambda: cluster.state("low") is State.RUNNING)
    cluster.make(RAY_CLUSTERS, whole_tier("high", labels={names.PRIORITY: "interactive"}))
    cluster.until(lambda: cluster.state("high") is State.RUNNING)
    assert cluster.of("low").preemptions == 1
    low = cluster.api.get(RAY_CLUSTERS, "low")["spec"]
    assert low["suspend"] is True
    heads = low["headGroupSpec"]["template"]
    assert (heads["metadata"]["labels"], "schedulingGates" in heads["spec"]) == ({}, False)
    cluster.api.delete(RAY_CLUSTERS, "high")
    cluster.until(lambda: cluster.state("low") is State.RUNNING)
    assert cluster.of("low").attempt == 2
    pods = [pod for pod in cluster.api.listing(PODS).items if pod["metadata"]["labels"][names.ATTEMPT] == "2"]
    assert len(pods) == 3


def test_a_lost_pod_costs_an_attempt_and_the_object_is_started_again(cluster: Cluster) -> None:
    cluster.make(RAY_JOBS, whole_tier("robbed", ray_job))
    cluster.until(lambda: len(cluster.where()) == 3 and "gated" not in cluster.where())
    cluster.api.take(PODS, cluster.api.pod_of("small-1")["metadata"]["name"])
    cluster.until(lambda: cluster.of("robbed").attempt == 2 and len(cluster.where()) == 3)
    assert cluster.of("robbed").failures == 1
    lost = [event.reason for event in cluster.records.events(cluster.of("robbed").name)]
    assert any("slice small-1 on node" in reason and "its pod was deleted" in reason for reason in lost), lost
    cluster.job_says("robbed", "Running", "RUNNING")
    cluster.until(lambda: cluster.state("robbed") is State.RUNNING)


@pytest.mark.parametrize("runs", [False, True])
def test_a_fabric_that_starts_again_neither_submits_twice_nor_loses_an_object(cluster: Cluster, runs: bool) -> None:
    cluster.make(RAY_CLUSTERS, whole_tier("first"))
    cluster.until(lambda: cluster.state("first") is not None)
    cluster.make(RAY_JOBS, whole_tier("second", ray_job))
    cluster.until(lambda: cluster.state("second") is State.QUEUED)
    if runs:
        cluster.until(lambda: cluster.state("first") is State.RUNNING)
    uids = {pod["metadata"]["uid"] for pod in cluster.api.listing(PODS).items}
    cluster.restart()
    cluster.until(lambda: cluster.state("first") is State.RUNNING and cluster.state("second") is State.QUEUED)
    assert len(cluster.records.list()) == 2
    assert {name: cluster.of(name).attempt for name in ("first", "second")} == {"first": 1, "second": 1}
    assert not runs or {pod["metadata"]["uid"] for pod in cluster.api.listing(PODS).items} == uids
    cluster.restart()
    cluster.api.delete(RAY_CLUSTERS, "first")
    cluster.until(lambda: cluster.state("first") is State.CANCELLED and cluster.state("second") is State.STARTING)


def test_what_ended_or_went_while_no_fabric_looked_is_found_by_the_next(cluster: Cluster) -> None:
    cluster.make(RAY_JOBS, ray_job("done", workers()))
    cluster.make(RAY_CLUSTERS, ray_cluster("gone", workers()))
    cluster.until(lambda: cluster.state("gone") is State.RUNNING and cluster.state("done") is State.STARTING)
    cluster.job_says("done", "Running", "RUNNING")
    cluster.until(lambda: cluster.state("done") is State.RUNNING)
    cluster.job_says("done", "Complete", "SUCCEEDED")
    cluster.api.delete(RAY_CLUSTERS, "gone")
    cluster.restart()
    cluster.until(lambda: cluster.state("done") is State.SUCCEEDED and cluster.state("gone") is State.CANCELLED)


def test_a_job_that_ends_while_its_attempt_is_given_up_is_not_started_again(cluster: Cluster) -> None:
    cluster.make(RAY_JOBS, whole_tier("bad", ray_job))
    cluster.until(lambda: len(cluster.where()) == 3 and "gated" not in cluster.where())
    cluster.api.refuses["patch", "rayjobs"] = Unavailable("Kubernetes throttles")
    cluster.api.take(PODS, cluster.api.pod_of("small-1")["metadata"]["name"])
    cluster.until(lambda: cluster.state("bad") is State.RECOVERING)
    cluster.api.operate(RAY_JOBS, "bad", status={"jobDeploymentStatus": "Failed", "reason": "AppFailed"})
    cluster.api.refuses.clear()
    cluster.until(lambda: cluster.of("bad").state.final)
    assert "AppFailed" in cluster.of("bad").message
    assert cluster.api.get(RAY_JOBS, "bad")["spec"]["suspend"] is False, "it is left as it ended"


def test_one_that_names_no_project_any_more_ends_and_comes_in_again_once_it_does(cluster: Cluster) -> None:
    cluster.make(RAY_CLUSTERS, ray_cluster("mine", workers()))
    cluster.until(lambda: cluster.state("mine") is State.RUNNING)
    cluster.api.change(RAY_CLUSTERS, "mine", metadata={"labels": {names.PROJECT: None}})
    cluster.until(lambda: cluster.state("mine") is State.CANCELLED)
    assert (cluster.where(), cluster.api.get(RAY_CLUSTERS, "mine")["spec"]["suspend"]) == ({}, True)
    cluster.api.change(RAY_CLUSTERS, "mine", metadata={"labels": {names.PROJECT: "chem"}})
    cluster.until(lambda: cluster.state("mine") is State.RUNNING)


def test_stopped_work_is_suspended_and_does_not_come_back_by_itself(cluster: Cluster) -> None:
    cluster.make(RAY_CLUSTERS, ray_cluster("mine", workers()))
    cluster.until(lambda: cluster.state("mine") is State.RUNNING)
    cluster.records.request_stop(cluster.of("mine").name, "stopped by ann")
    cluster.until(lambda: cluster.says(RAY_CLUSTERS, "mine") == ("cancelled", "stopped by ann"))
    assert cluster.api.get(RAY_CLUSTERS, "mine")["spec"]["suspend"] is True
    assert cluster.where() == {}
    cluster.restart()
    assert cluster.backend.observe() == {}
    cluster.records.delete(cluster.of("mine").name)
    for _ in range(3):
        cluster.turn()
    assert cluster.state("mine") is None
    cluster.api.change(RAY_CLUSTERS, "mine", metadata={"annotations": {names.AGAIN: "1"}})
    cluster.until(lambda: cluster.state("mine") is State.RUNNING)


def test_who_waits_and_is_changed_waits_anew_as_what_he_asks_now(cluster: Cluster) -> None:
    cluster.make(RAY_CLUSTERS, whole_tier("first"))
    cluster.until(lambda: cluster.state("first") is State.RUNNING)
    cluster.make(RAY_CLUSTERS, whole_tier("mine"))
    cluster.until(lambda: cluster.state("mine") is State.QUEUED)
    before = cluster.of("mine").name
    cluster.api.change(RAY_CLUSTERS, "mine", spec={"workerGroupSpecs": [workers(1, pods=template())]})
    cluster.until(lambda: cluster.state("mine") is State.RUNNING)
    assert cluster.records.get(before).state is State.CANCELLED
    assert "was changed" in cluster.records.get(before).message
    assert cluster.where()["small-0"]


def test_who_holds_a_grant_and_is_changed_keeps_it_and_is_told(cluster: Cluster) -> None:
    cluster.make(RAY_CLUSTERS, ray_cluster("mine", workers(name="a"), workers(name="b")))
    cluster.until(lambda: cluster.state("mine") is State.RUNNING)
    cluster.api.change(RAY_CLUSTERS, "mine", metadata={"labels": {names.PRIORITY: "harvest"}})
    cluster.until(lambda: "was changed while it holds its grant" in cluster.says(RAY_CLUSTERS, "mine")[1])
    assert len(cluster.records.list()) == 1


def test_who_starts_his_object_himself_finds_it_suspended_again_while_he_waits(cluster: Cluster) -> None:
    cluster.make(RAY_CLUSTERS, whole_tier("first"))
    cluster.until(lambda: cluster.state("first") is State.RUNNING)
    cluster.make(RAY_CLUSTERS, whole_tier("mine"))
    cluster.until(lambda: cluster.state("mine") is State.QUEUED)
    cluster.api.operate(RAY_CLUSTERS, "mine", spec={"suspend": False})
    cluster.until(lambda: cluster.api.get(RAY_CLUSTERS, "mine")["spec"]["suspend"] is True)
    assert len(cluster.api.named(PODS)) == 3


def test_what_runs_already_is_not_touched_and_is_told_how_to_come_in(cluster: Cluster) -> None:
    cluster.make(RAY_CLUSTERS, ray_cluster("mine", workers(), suspend=False))
    cluster.until(lambda: "set suspend: true" in cluster.says(RAY_CLUSTERS, "mine")[1])
    assert (cluster.state("mine"), cluster.api.get(RAY_CLUSTERS, "mine")["spec"]["suspend"]) == (None, False)


@pytest.mark.parametrize(
    ("item", "words"),
    [
        (ray_cluster("mine", workers(), project="physics"), "there is no project 'physics' on pods"),
        (ray_cluster("mine", workers(pods=template("9", "1Gi"))), "the largest node .* has"),
        (ray_cluster("mine", workers(5, pods=template("2", "1Gi", 2))), "cannot be placed even on the empty site"),
        (ray_cluster("mine", workers(numOfHosts=2)), "leave out suspend, and numOfHosts"),
    ],
)
def test_what_cannot_be_taken_is_told_and_tried_again_when_it_changes(
    cluster: Cluster, item: Object, words: str
) -> None:
    cluster.make(RAY_CLUSTERS, item)
    cluster.until(lambda: re.search(words, cluster.says(RAY_CLUSTERS, "mine")[1]) is not None)
    assert (cluster.state("mine"), cluster.says(RAY_CLUSTERS, "mine")[0]) == (None, "refused")
    assert [event["type"] for event in cluster.api.listing(EVENTS).items] == ["Warning"]
    good = {"workerGroupSpecs": [workers()]}
    cluster.api.change(RAY_CLUSTERS, "mine", metadata={"labels": {names.PROJECT: "chem"}}, spec=good)
    cluster.until(lambda: cluster.state("mine") is State.RUNNING)


def test_its_own_head_is_all_that_is_charged(cluster: Cluster) -> None:
    cluster.make(RAY_CLUSTERS, ray_cluster("mine", workers(pods=template("1", "1Gi", 1)), head=template("3", "4Gi")))
    cluster.until(lambda: cluster.state("mine") is State.RUNNING)
    grant = cluster.of("mine").grant
    assert grant is not None
    assert {(part.name, part.head, part.resources) for part in grant.slices} == {
        ("head", True, Resources.of(3, 0, "4 GiB")),
        ("small-0", False, Resources.of(1, 1, "1 GiB")),
    }
