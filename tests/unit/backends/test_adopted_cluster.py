"""An object of somebody's is started by one patch, watched, and suspended as it was; the API server is in memory."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from fabric.backends.kuberay import names
from fabric.backends.kuberay.adopted_cluster import AdoptedCluster
from fabric.backends.kuberay.adopted_pods import ForeignSurface
from fabric.backends.kuberay.api import EVENTS, NODES, PODS, RAY_CLUSTERS, RAY_JOBS, Kind, Object
from fabric.backends.kuberay.foreign import Foreign
from fabric.backends.kuberay.layout import adopted_layout_of, written_adopted_layout
from fabric.backends.kuberay.mirror import Mirror
from fabric.backends.kuberay.pods import Home
from fabric.backends.kuberay.silence import Silence
from fabric.backends.kuberay.telling import Sort, Teller
from fabric.core.errors import Conflict, Unavailable
from fabric.core.resources import Resources
from fabric.scheduler.ports import Outcome, Phase, WantedCluster
from fabric.workloads.record import Grant, Slice
from fabric.workloads.spec import AdoptedSpec
from tests.builders import piece, wanted
from tests.fake_api_server import FakeApiServer, kube_node
from tests.foreign import ray_cluster, ray_job, template, workers
from tests.unit.backends.test_kuberay_manifest import pods_site

HEAD = replace(piece("c0", "head", Resources.of(1, 0, "1 GiB"), head=True), name="head")
TOLD = {"FABRIC_ADDRESS": "http://control:8270", "FABRIC_TOKEN": "its key"}
SMALL = replace(piece("g0", "small", Resources.of(2, 2, "2 GiB")), name="small-0", workers=2)


class Theirs:
    """One API server with somebody's objects, and what a fabric has heard of them."""

    def __init__(self) -> None:
        self.api, self.mirrors, self.asked = FakeApiServer(), list[Mirror](), wanted()
        for name, tier in (("c0", "commodity"), ("g0", "gpu"), ("g1", "gpu")):
            self.api.add(NODES, kube_node(name, tier, gpus=2))
        self.surface = self.listen()

    def listen(self) -> ForeignSurface:
        """What a fabric that starts now hears."""
        kinds = ((RAY_CLUSTERS, names.PROJECT), (RAY_JOBS, names.PROJECT), (PODS, names.ADOPTED), (NODES, ""))
        mirrors = [Mirror(self.api, kind, by, lambda: None, grouped_by=names.ADOPTED) for kind, by in kinds]
        for mirror in mirrors:
            mirror.start()
            assert mirror.first_look(5.0)
        self.mirrors += mirrors
        clusters, jobs, pods, nodes = mirrors
        return ForeignSurface(self.api, Home(pods_site()), clusters, jobs, pods, nodes, silence=Silence(0.0))

    def granted(self, kind: Kind, item: Object, *parts: Slice) -> WantedCluster:
        """A grant for an object that is made now."""
        self.api.add(kind, item)
        meta = item["metadata"]
        self.api.operate(kind, meta["name"])
        adopted = AdoptedSpec(kind=item["kind"], name=meta["name"], uid=meta["uid"])
        self.asked = wanted("w-1", *(parts or (HEAD, SMALL)), adopted=adopted, born=7.0, env=TOLD)
        return self.asked

    def cluster(self, kind: Kind, item: Object, *parts: Slice) -> AdoptedCluster:
        """An object with a grant that has yet to be started."""
        asked = self.granted(kind, item, *parts)
        name = item["metadata"]["name"]
        self.until(lambda: any(one.name == name and self.is_latest(kind, one) for one in self.surface.objects()))
        return AdoptedCluster(adopted_layout_of(asked), self.surface, lambda: None, wanted=asked)

    def again(self) -> AdoptedCluster:
        """The attempt after the one that was granted last, which has a key of its own."""
        attempt = self.asked.attempt + 1
        told = {**TOLD, "FABRIC_TOKEN": f"key {attempt}"}
        self.asked = replace(self.asked, name=f"w-{attempt}", attempt=attempt, env=told)
        return AdoptedCluster(adopted_layout_of(self.asked), self.surface, lambda: None, wanted=self.asked)

    def is_latest(self, kind: Kind, one: Foreign) -> bool:
        """Whether an object was heard as the server has it."""
        return one.version == str(self.api.get(kind, one.name)["metadata"]["resourceVersion"])

    def running(self, kind: Kind, item: Object) -> AdoptedCluster:
        """One whose pods all run."""
        made = self.cluster(kind, item)
        self.until(lambda: made.view.phase is Phase.READY, made)
        return made

    def until(self, wish: Callable[[], bool], *turned: AdoptedCluster) -> None:
        """Turn until the wish is true."""
        deadline = time.monotonic() + 20.0
        while not wish():
            assert time.monotonic() < deadline, [cluster.view for cluster in turned]
            for cluster in turned:
                cluster.turn()
            time.sleep(0.002)

    def close(self) -> None:
        """Listen no more."""
        for mirror in self.mirrors:
            mirror.end()
        self.api.close()
        for mirror in self.mirrors:
            mirror.join(5.0)


def life_of(theirs: Theirs, kind: Kind, item: Object) -> None:
    """Start an object, lose a pod of it, suspend it, do so once more, and tell its owner."""
    theirs.api.pulls, released = False, len(theirs.api.released) + 2
    made = theirs.cluster(kind, item, HEAD, replace(SMALL, workers=1))
    theirs.until(lambda: len(theirs.api.released) == released, made)
    made.turn()
    theirs.api.delete(PODS, theirs.api.pod_of("small-0")["metadata"]["name"])
    theirs.until(lambda: made.view.phase is Phase.BROKEN, made)
    made.leave()
    theirs.until(lambda: made.done, made)
    again = theirs.again()
    theirs.until(lambda: len(theirs.api.released) == released + 2, again)
    again.leave()
    theirs.until(lambda: again.done, again)
    Teller(theirs.api).tell(theirs.surface.objects()[-1], Sort.REFUSED, "never")


@pytest.fixture
def theirs() -> Iterator[Theirs]:
    made = Theirs()
    yield made
    made.close()


TWO = workers(2, pods=template("1", "1Gi", 1))
BOTH = pytest.mark.parametrize(
    ("kind", "make"), [(RAY_CLUSTERS, ray_cluster), (RAY_JOBS, ray_job)], ids=["RayCluster", "RayJob"]
)


@BOTH
def test_every_pod_of_a_slice_goes_to_its_node_after_one_patch_of_the_object(
    theirs: Theirs, kind: Kind, make: Callable[..., Object]
) -> None:
    made = theirs.running(kind, make("mine", TWO))
    hosts = sorted((slice_name, host) for _, slice_name, host in theirs.api.released)
    assert hosts == [("head", "host-c0"), ("small-0", "host-g0"), ("small-0", "host-g0")]
    assert [call for call in theirs.api.calls if call[1] == kind.plural] == [("patch", kind.plural, "mine")]
    assert (made.view.born, made.view.held[0].node) == (7.0, "c0")


def test_no_pod_is_released_before_all_of_the_gang_wait_at_the_gate(theirs: Theirs) -> None:
    made = theirs.cluster(RAY_CLUSTERS, ray_cluster("mine", workers(1, pods=template("1", "1Gi", 1))))
    theirs.until(lambda: len(theirs.api.named(PODS)) == 2, made)
    made.turn()
    theirs.until(lambda: "not made all pods of slice" in made.view.message, made)
    assert theirs.api.released == []


@BOTH
def test_when_its_grant_is_over_an_object_is_suspended_as_its_owner_wrote_it(
    theirs: Theirs, kind: Kind, make: Callable[..., Object]
) -> None:
    item = make("mine", workers(2, pods=template("1", "1Gi", 1, schedulingGates=[{"name": "theirs"}])))
    made = theirs.cluster(kind, item)
    theirs.until(lambda: len(theirs.api.named(PODS)) == 3, made)
    made.leave()
    theirs.until(lambda: made.done, made)
    spec = theirs.api.get(kind, "mine")["spec"]
    inside = spec.get("rayClusterSpec", spec)
    (group,) = inside["workerGroupSpecs"]
    assert spec["suspend"] is True
    assert group["template"]["spec"]["schedulingGates"] == [{"name": "theirs"}]
    assert inside["headGroupSpec"]["template"]["spec"] == template()["spec"]
    assert group["template"]["metadata"]["labels"] == inside["headGroupSpec"]["template"]["metadata"]["labels"] == {}
    assert theirs.api.named(PODS) == []


@pytest.mark.parametrize(
    ("how_far", "said", "outcome", "message"),
    [
        ("Running", "PENDING", Outcome.PENDING, ""),
        ("Running", "RUNNING", Outcome.RUNNING, "running"),
        ("Running", "SUCCEEDED", Outcome.NONE, ""),
        ("Complete", "SUCCEEDED", Outcome.SUCCEEDED, "succeeded"),
        ("Complete", "STOPPED", Outcome.STOPPED, "stopped"),
        ("Failed", "FAILED", Outcome.FAILED, "AppFailed: boom"),
        ("Failed", "RUNNING", Outcome.FAILED, "AppFailed: boom"),
        ("ValidationFailed", "", Outcome.FAILED, "AppFailed: boom"),
        ("Suspending", "RUNNING", Outcome.NONE, ""),
    ],
)
def test_a_ray_job_is_what_kuberay_says_of_it(
    theirs: Theirs, how_far: str, said: str, outcome: Outcome, message: str
) -> None:
    made = theirs.running(RAY_JOBS, ray_job("mine", TWO))
    status = {"jobDeploymentStatus": how_far, "jobStatus": said, "reason": "AppFailed", "message": "boom"}
    theirs.api.change(RAY_JOBS, "mine", status=status)
    theirs.until(lambda: theirs.surface.jobs.objects()["mine"].get("status", {}).get("jobDeploymentStatus") == how_far)
    made.turn()
    assert (made.view.outcome, made.view.message) == (outcome, message)


def test_pods_that_go_with_a_finished_job_are_not_lost_however_late_its_end_is_heard(theirs: Theirs) -> None:
    made = theirs.running(RAY_JOBS, ray_job("mine", TWO))
    late = theirs.surface.jobs.objects()["mine"]
    theirs.api.operate(RAY_JOBS, "mine", status={"jobDeploymentStatus": "Complete", "jobStatus": "SUCCEEDED"})
    theirs.until(lambda: not theirs.surface.pods.objects())
    with theirs.surface.jobs._lock:
        theirs.surface.jobs._objects["mine"] = late
    made.turn()
    assert (made.view.outcome, made.view.problem) == (Outcome.SUCCEEDED, "")


@BOTH
def test_one_that_its_owner_deletes_leaves_and_is_over_once_its_pods_are_gone(
    theirs: Theirs, kind: Kind, make: Callable[..., Object]
) -> None:
    made = theirs.running(kind, make("mine", TWO))
    theirs.api.change(kind, "mine", metadata={"deletionTimestamp": "now"})
    theirs.until(lambda: made.view.phase is Phase.LEAVING, made)
    assert not made.done
    theirs.api.take(kind, "mine")
    theirs.until(lambda: made.done, made)
    assert [call for call in theirs.api.calls if call[1] == kind.plural] == [("patch", kind.plural, "mine")]


def test_one_that_names_no_project_any_more_is_suspended(theirs: Theirs) -> None:
    made = theirs.running(RAY_CLUSTERS, ray_cluster("mine", TWO))
    theirs.api.change(RAY_CLUSTERS, "mine", metadata={"labels": {names.PROJECT: None}})
    theirs.until(lambda: made.done, made)
    assert theirs.api.get(RAY_CLUSTERS, "mine")["spec"]["suspend"] is True
    assert theirs.api.named(PODS) == []


@pytest.mark.parametrize(
    ("world", "words"),
    [
        ("the pod is gone", "slice small-0 on node g0 lost: its pod was deleted"),
        ("the node is not ready", "slice small-0 on node g0 lost: its node g0 is not ready"),
        ("its owner suspends it", "somebody suspended RayCluster mine"),
    ],
)
def test_what_is_lost_is_told_with_its_reason(theirs: Theirs, world: str, words: str) -> None:
    made = theirs.running(RAY_CLUSTERS, ray_cluster("mine", TWO))
    if world == "the pod is gone":
        theirs.api.take(PODS, theirs.api.pod_of("small-0")["metadata"]["name"])
    elif world == "the node is not ready":
        theirs.api.change(NODES, "g0", status={"conditions": [{"type": "Ready", "status": "Unknown"}]})
    else:
        theirs.api.operate(RAY_CLUSTERS, "mine", spec={"suspend": True})
    theirs.until(lambda: made.view.phase is Phase.BROKEN, made)
    assert made.view.problem == words


def test_a_restarted_fabric_goes_on_with_what_an_earlier_one_granted(theirs: Theirs) -> None:
    theirs.running(RAY_CLUSTERS, ray_cluster("mine", TWO))
    layout = written_adopted_layout(theirs.api.get(RAY_CLUSTERS, "mine")["metadata"]["annotations"])
    assert layout is not None
    again = AdoptedCluster(layout, theirs.listen(), lambda: None)
    theirs.until(lambda: again.view.phase is Phase.READY, again)
    assert (again.view.outcome, again.view.born, len(theirs.api.released)) == (Outcome.RUNNING, 7.0, 3)
    theirs.api.take(PODS, theirs.api.pod_of("small-0")["metadata"]["name"])
    theirs.until(lambda: again.view.phase is Phase.BROKEN, again)


def autoscaled(theirs: Theirs) -> AdoptedCluster:
    """A cluster whose worker group may have two pods and has one."""
    group = workers(1, pods=template("1", "1Gi", 1), maxReplicas=2)
    asked = theirs.granted(RAY_CLUSTERS, ray_cluster("mine", group, enableInTreeAutoscaling=True))
    assert asked.adopted is not None
    asked = replace(asked, adopted=asked.adopted.model_copy(update={"autoscaled": True}))
    theirs.until(lambda: bool(theirs.surface.objects()))
    made = AdoptedCluster(adopted_layout_of(asked), theirs.surface, lambda: None, wanted=asked)
    theirs.until(lambda: len(theirs.api.released) == 2 and made.view.phase is Phase.READY, made)
    return made


def scaled(theirs: Theirs, replicas: int) -> None:
    """Ray's autoscaler asks for so many pods."""
    (group,) = theirs.api.get(RAY_CLUSTERS, "mine")["spec"]["workerGroupSpecs"]
    theirs.api.operate(RAY_CLUSTERS, "mine", spec={"workerGroupSpecs": [{**group, "replicas": replicas}]})


def test_pods_of_rays_autoscaler_come_and_go_within_the_grant(theirs: Theirs) -> None:
    made = autoscaled(theirs)
    scaled(theirs, 2)
    theirs.until(lambda: len(theirs.api.released) == 3, made)
    assert [host for _, name, host in theirs.api.released if name == "small-0"] == ["host-g0", "host-g0"]
    scaled(theirs, 3)
    theirs.until(lambda: len(theirs.surface.pods.objects()) == 4, made)
    made.turn()
    assert len(theirs.api.released) == 3, "no more than was granted"
    scaled(theirs, 0)
    theirs.until(lambda: len(theirs.surface.pods.objects()) == 1, made)
    made.turn()
    assert (made.view.phase, made.view.problem) == (Phase.READY, "")


def test_a_node_that_is_not_ready_loses_pods_of_rays_autoscaler_too(theirs: Theirs) -> None:
    made = autoscaled(theirs)
    theirs.api.change(NODES, "g0", status={"conditions": [{"type": "Ready", "status": "Unknown"}]})
    theirs.until(lambda: made.view.phase is Phase.BROKEN, made)
    assert made.view.problem == "slice small-0 on node g0 lost: its node g0 is not ready"


def test_an_object_that_changes_while_it_is_started_is_started_as_it_is_then(theirs: Theirs) -> None:
    made = theirs.cluster(RAY_CLUSTERS, ray_cluster("mine", TWO))
    theirs.api.refuses["patch", "rayclusters"] = Conflict("it has changed meanwhile")
    made.turn()
    assert (made.view.phase, made.view.message) == (Phase.STARTING, "it has changed meanwhile")
    theirs.api.refuses.clear()
    theirs.until(lambda: made.view.phase is Phase.READY, made)


def test_one_whose_owner_edits_what_the_fabric_wrote_is_suspended_all_the_same(theirs: Theirs) -> None:
    made = theirs.running(RAY_CLUSTERS, ray_cluster("mine", TWO))
    theirs.api.change(RAY_CLUSTERS, "mine", metadata={"annotations": {names.LAYOUT: "mine now"}})
    made.leave()
    theirs.until(lambda: made.done, made)
    assert theirs.api.get(RAY_CLUSTERS, "mine")["spec"]["suspend"] is True


def test_a_later_object_of_the_same_name_is_not_the_one_that_was_granted(theirs: Theirs) -> None:
    made = theirs.cluster(RAY_CLUSTERS, ray_cluster("mine", TWO))
    theirs.api.take(RAY_CLUSTERS, "mine")
    theirs.api.add(RAY_CLUSTERS, ray_cluster("mine", TWO))
    theirs.until(lambda: made.done, made)
    assert theirs.api.get(RAY_CLUSTERS, "mine")["spec"]["suspend"] is True


class Clock:
    """Seconds as told."""

    at = 100.0

    def now(self) -> float:
        return self.at


def test_news_are_told_once_and_not_more_often_than_is_good_for_the_server() -> None:
    api, clock = FakeApiServer(), Clock()
    api.add(RAY_CLUSTERS, ray_cluster("mine"))
    teller = Teller(api, clock.now)

    def told(after_s: float, sort: Sort, message: str) -> list[Any]:
        clock.at += after_s
        teller.tell(Foreign("RayCluster", api.get(RAY_CLUSTERS, "mine")), sort, message, workload="w", state="queued")
        return [event["message"] for event in api.listing(EVENTS).items]

    assert told(0, Sort.WAITS, "2 GPUs short") == []
    assert told(3, Sort.WAITS, "2 GPUs short") == ["2 GPUs short"]
    assert told(60, Sort.WAITS, "2 GPUs short") == ["2 GPUs short"]
    assert told(0, Sort.WAITS, "1 GPU short") == ["2 GPUs short", "1 GPU short"]
    assert told(29, Sort.WAITS, "0 GPUs short") == ["2 GPUs short", "1 GPU short"]
    assert told(0, Sort.OVER, "stopped") == ["2 GPUs short", "1 GPU short", "stopped"]
    said = api.get(RAY_CLUSTERS, "mine")["metadata"]["annotations"]
    assert said == {names.WORKLOAD: "w", names.STATE: "queued", names.MESSAGE: "stopped"}


def test_a_long_queue_is_told_bit_by_bit_but_refusals_at_once() -> None:
    api, clock = FakeApiServer(), Clock()
    api.add(RAY_CLUSTERS, *(ray_cluster(f"mine-{number}") for number in range(40)))
    teller = Teller(api, clock.now)

    def told(after_s: float, sort: Sort) -> int:
        clock.at += after_s
        for item in api.listing(RAY_CLUSTERS).items:
            teller.tell(Foreign("RayCluster", item), sort, "as it is")
        return len(api.named(EVENTS))

    assert [told(0, Sort.WAITS), told(3, Sort.WAITS), told(5, Sort.WAITS), told(100, Sort.WAITS)] == [0, 10, 15, 25]
    assert told(0, Sort.REFUSED) == 25 + 40


def test_who_cannot_be_told_now_is_told_later() -> None:
    api, clock = FakeApiServer(), Clock()
    api.add(RAY_CLUSTERS, ray_cluster("mine"))
    teller = Teller(api, clock.now)
    api.refuses["patch", "rayclusters"] = Unavailable("Kubernetes throttles")
    foreign = Foreign("RayCluster", api.objects["rayclusters", "mine"])
    teller.tell(foreign, Sort.REFUSED, "no such project")
    api.refuses.clear()
    clock.at += 31
    teller.tell(foreign, Sort.REFUSED, "no such project")
    assert api.get(RAY_CLUSTERS, "mine")["metadata"]["annotations"][names.MESSAGE] == "no such project"


def test_a_grant_that_another_version_wrote_is_none() -> None:
    assert written_adopted_layout({names.LAYOUT: '{"name": "w-1"}'}) is None
    assert written_adopted_layout({}) is None


def test_only_an_adopted_workload_makes_such_a_layout() -> None:
    with pytest.raises(ValueError, match="a cluster of the fabric's own"):
        adopted_layout_of(wanted("w-1", HEAD, grant=Grant((HEAD,))))
