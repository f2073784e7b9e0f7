"""What keeps an object of somebody's from running is told on its workload; its pods are told what all work is told."""

from base64 import b64decode
from collections.abc import Callable, Iterator

import pytest

from fabric.backends.kuberay import names
from fabric.backends.kuberay.adopted_manifest import told_name
from fabric.backends.kuberay.api import EVENTS, NODES, PODS, RAY_CLUSTERS, RAY_JOBS, SECRETS, Kind, Object
from fabric.core.errors import Denied, Unavailable
from fabric.scheduler.ports import Phase
from tests.builders import wanted
from tests.foreign import ray_cluster, ray_job, template, workers
from tests.unit.backends.test_adopted_cluster import BOTH, TOLD, TWO, Theirs


@pytest.fixture
def theirs() -> Iterator[Theirs]:
    made = Theirs()
    yield made
    made.close()


@BOTH
def test_every_pod_finds_control_and_its_own_key_in_a_secret_and_its_owners_variables_hold(
    theirs: Theirs, kind: Kind, make: Callable[..., Object]
) -> None:
    pods = template("1", "1Gi", 1)
    pods["spec"]["containers"][0] |= {"env": [{"name": "FABRIC_ADDRESS", "value": "mine"}]}
    pods["spec"]["containers"][0] |= {"envFrom": [{"configMapRef": {"name": "theirs"}}]}
    made = theirs.running(kind, make("mine", workers(2, pods=pods)))
    (name_of_secret,) = theirs.api.named(SECRETS)
    secret = theirs.api.get(SECRETS, name_of_secret)
    told = {name: b64decode(value).decode() for name, value in secret["data"].items()}
    assert told == {**TOLD, "FABRIC_CLUSTER": "w-1"}
    assert [(owner["kind"], owner["name"]) for owner in secret["metadata"]["ownerReferences"]] == [
        ("RayCluster" if kind == RAY_CLUSTERS else "RayJob", "mine")
    ]
    ours = {"secretRef": {"name": name_of_secret}}
    for name, beside in (("head", []), ("small-0", [{"configMapRef": {"name": "theirs"}}])):
        container = theirs.api.pod_of(name)["spec"]["containers"][0]
        assert container["envFrom"] == [ours, *beside]
    assert container["env"] == [{"name": "FABRIC_ADDRESS", "value": "mine"}]
    made.leave()
    theirs.until(lambda: made.done, made)
    spec = theirs.api.get(kind, "mine")["spec"]
    inside = spec.get("rayClusterSpec", spec)
    assert inside["workerGroupSpecs"][0]["template"]["spec"]["containers"] == pods["spec"]["containers"]
    assert inside["headGroupSpec"]["template"]["spec"] == template()["spec"]


def test_a_secret_that_an_earlier_try_has_made_is_taken(theirs: Theirs) -> None:
    made = theirs.cluster(RAY_CLUSTERS, ray_cluster("mine", TWO))
    theirs.api.refuses["patch", "rayclusters"] = Unavailable("away")
    made.turn()
    assert len(theirs.api.named(SECRETS)) == 1
    theirs.api.refuses.clear()
    theirs.until(lambda: made.view.phase is Phase.READY, made)
    assert len(theirs.api.named(SECRETS)) == 1


@BOTH
def test_what_an_earlier_attempt_was_told_goes_when_the_next_one_begins(
    theirs: Theirs, kind: Kind, make: Callable[..., Object]
) -> None:
    made = theirs.running(kind, make("mine", TWO))
    for _ in range(2):
        (before,) = theirs.api.named(SECRETS)
        made.leave()
        theirs.until(lambda made=made: made.done, made)  # type: ignore[misc]
        assert theirs.api.named(SECRETS) == [before]
        made = theirs.again()
        theirs.until(lambda made=made: made.view.phase is Phase.READY, made)  # type: ignore[misc]
        (now,) = theirs.api.named(SECRETS)
        assert now != before
    container = theirs.api.pod_of("head")["spec"]["containers"][0]
    assert container["envFrom"] == [{"secretRef": {"name": now}}]


def test_what_was_told_to_pods_that_never_came_goes_with_the_grant(theirs: Theirs) -> None:
    made = theirs.cluster(RAY_CLUSTERS, ray_cluster("mine", TWO))
    theirs.api.refuses["patch", "rayclusters"] = Unavailable("away")
    made.turn()
    assert len(theirs.api.named(SECRETS)) == 1
    made.leave()
    theirs.until(lambda: made.done, made)
    assert theirs.api.named(SECRETS) == []


@pytest.mark.parametrize("right", ["get", "delete"])
def test_where_the_fabric_may_take_no_secret_away_the_next_attempt_runs_all_the_same(
    theirs: Theirs, right: str
) -> None:
    made = theirs.running(RAY_CLUSTERS, ray_cluster("mine", TWO))
    made.leave()
    theirs.until(lambda: made.done, made)
    theirs.api.refuses[right, "secrets"] = Denied("grant it")
    made = theirs.again()
    theirs.until(lambda: made.view.phase is Phase.READY, made)
    assert len(theirs.api.named(SECRETS)) == 2


@pytest.mark.parametrize("whose", ["another's", "none of the fabric's"])
def test_a_secret_that_somebody_else_wrote_on_the_object_stays(theirs: Theirs, whose: str) -> None:
    name = "fabric-told-other-1-00000000" if whose == "another's" else "hub"
    owners = [{"uid": "uid-other" if whose == "another's" else "uid-mine"}]
    theirs.api.add(SECRETS, {"metadata": {"name": name, "ownerReferences": owners}})
    item = ray_cluster("mine", TWO)
    item["metadata"].setdefault("annotations", {})[names.TOLD] = name
    theirs.running(RAY_CLUSTERS, item)
    assert name in theirs.api.named(SECRETS)


def test_a_secret_of_an_earlier_workload_of_the_name_is_not_taken_for_ones_own() -> None:
    told = [told_name(wanted("w-1", env={"FABRIC_TOKEN": token})) for token in ("old", "new", "new")]
    assert told[0] != told[1] == told[2]
    assert all(name.startswith("fabric-told-w-1-") for name in told)


def test_what_the_fabric_may_not_do_is_told_at_once_and_ends_the_attempt_at_its_deadline(
    theirs: Theirs, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = theirs.cluster(RAY_CLUSTERS, ray_cluster("mine", TWO))
    theirs.api.refuses["patch", "rayclusters"] = Denied("grant verb patch on resource rayclusters")
    made.turn()
    assert (made.view.phase, made.view.message) == (Phase.STARTING, "grant verb patch on resource rayclusters")
    monkeypatch.setattr(made, "_since", float("-inf"))
    made.turn()
    reason = "could not be started within 600 s: grant verb patch on resource rayclusters"
    assert (made.view.phase, made.view.problem) == (Phase.BROKEN, reason)


def test_an_api_server_that_refuses_for_a_moment_costs_an_object_no_attempt_and_no_run(theirs: Theirs) -> None:
    made = theirs.cluster(RAY_CLUSTERS, ray_cluster("mine", TWO))
    theirs.api.refuses["patch", "rayclusters"] = Denied("role not found")
    made.turn()
    theirs.api.refuses.clear()
    theirs.until(lambda: made.view.phase is Phase.READY, made)
    theirs.api.refuses["get", "rayclusters"] = Denied("role not found")
    theirs.api.take(PODS, theirs.api.pod_of("head")["metadata"]["name"])
    theirs.until(lambda: len(theirs.surface.pods.objects()) == 2)
    made.turn()
    assert made.view.phase is Phase.READY
    theirs.api.refuses.clear()
    theirs.until(lambda: made.view.phase is Phase.BROKEN, made)
    assert made.view.problem == "slice head on node c0 lost: its pod was deleted"


def test_pods_that_do_not_run_in_time_end_the_attempt_with_the_reason(
    theirs: Theirs, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs.api.pulls = False
    made = theirs.cluster(RAY_CLUSTERS, ray_cluster("mine", TWO))
    theirs.until(lambda: len(theirs.api.released) == 3, made)
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "no such image ray:2"}}
    name = theirs.api.pod_of("head")["metadata"]["name"]
    theirs.api.change(PODS, name, status={"containerStatuses": [{"name": "ray", "state": waiting}]})
    theirs.until(lambda: "ImagePullBackOff" in made.view.message, made)
    monkeypatch.setattr(made, "_since", float("-inf"))
    made.turn()
    reason = "its pods did not run within 600 s: slice head on c0: ImagePullBackOff: no such image ray:2"
    assert (made.view.phase, made.view.problem) == (Phase.BROKEN, reason)


def test_an_image_for_another_architecture_ends_the_attempt_at_once(theirs: Theirs) -> None:
    theirs.api.pulls = False
    made = theirs.cluster(RAY_CLUSTERS, ray_cluster("mine", TWO))
    theirs.until(lambda: len(theirs.api.released) == 3, made)
    pulls = {"waiting": {"reason": "ErrImagePull", "message": "no match for platform in manifest: not found"}}
    name = theirs.api.pod_of("head")["metadata"]["name"]
    theirs.api.change(PODS, name, status={"containerStatuses": [{"name": "ray", "state": pulls}]})
    theirs.until(lambda: made.view.phase is Phase.BROKEN, made)
    assert made.view.problem.startswith("RayCluster mine: its image is for another architecture than the node (")


@BOTH
def test_a_node_that_vanishes_after_the_grant_is_the_reason_and_nothing_is_started(
    theirs: Theirs, kind: Kind, make: Callable[..., Object]
) -> None:
    made = theirs.cluster(kind, make("mine", TWO))
    theirs.api.take(NODES, "g0")
    theirs.until(lambda: theirs.surface.nodes.get("g0") is None)
    made.turn()
    assert made.view.problem == "slice small-0 on node g0 lost: Kubernetes has no node g0 any more"
    assert made.view.phase is Phase.BROKEN
    assert theirs.api.get(kind, "mine")["spec"]["suspend"] is True


@BOTH
def test_a_node_that_vanishes_before_a_pod_is_there_is_the_reason(
    theirs: Theirs, kind: Kind, make: Callable[..., Object]
) -> None:
    theirs.api.makes_pods = False
    made = theirs.cluster(kind, make("mine", TWO))
    theirs.until(lambda: theirs.api.get(kind, "mine")["spec"]["suspend"] is False, made)
    theirs.api.take(NODES, "g0")
    theirs.until(lambda: made.view.phase is Phase.BROKEN, made)
    assert made.view.problem == "slice small-0 on node g0 lost: Kubernetes has no node g0 any more"


@pytest.mark.parametrize(
    ("kind", "make", "cluster"),
    [(RAY_CLUSTERS, ray_cluster, "mine"), (RAY_JOBS, ray_job, "mine-raycluster")],
    ids=["RayCluster", "RayJob"],
)
def test_a_quota_that_refuses_pods_is_told_in_the_operators_words_and_ends_the_attempt_at_its_deadline(
    theirs: Theirs, monkeypatch: pytest.MonkeyPatch, kind: Kind, make: Callable[..., Object], cluster: str
) -> None:
    make_pod = theirs.api._make

    def refused(of: Object, group: Object, name: str, node_type: str) -> None:
        if node_type == "head":
            make_pod(of, group, name, node_type)

    monkeypatch.setattr(theirs.api, "_make", refused)
    made = theirs.cluster(kind, make("mine", TWO))
    theirs.until(lambda: len(theirs.api.named(PODS)) == 1 and cluster in theirs.api.named(RAY_CLUSTERS), made)
    uid = theirs.api.get(RAY_CLUSTERS, cluster)["metadata"]["uid"]
    told = {"reason": "FailedToCreateWorkerPod", "message": "exceeded quota: small", "type": "Warning"}
    theirs.api.add(EVENTS, {"metadata": {"name": "warns"}, "involvedObject": {"uid": uid}, **told})
    made._pods._events._known.clear()  # it asks only every few seconds
    says = "KubeRay has not made all pods of slice head: FailedToCreateWorkerPod: exceeded quota: small"
    theirs.until(lambda: made.view.message == says, made)
    monkeypatch.setattr(made, "_since", float("-inf"))
    made.turn()
    assert (made.view.phase, made.view.problem) == (Phase.BROKEN, f"its pods did not run within 600 s: {says}")
