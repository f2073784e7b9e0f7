"""Pods of a cluster are made, released as one gang, watched, adopted and ended; the API server is one in memory."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from fabric.backends.kuberay.api import EVENTS, NODES, PODS, RAY_CLUSTERS, SECRETS, Kind, Object, Patch
from fabric.backends.kuberay.layout import PodLayout, layout_of, written_layout
from fabric.backends.kuberay.manifest import cluster_secret
from fabric.backends.kuberay.mirror import Mirror
from fabric.backends.kuberay.names import CLUSTER
from fabric.backends.kuberay.pods import Home
from fabric.backends.kuberay.ray_pods import RayPods, Surface
from fabric.backends.kuberay.silence import Silence
from fabric.core.errors import Conflict, Denied, Unavailable
from fabric.scheduler.ports import WantedCluster
from tests.builders import piece
from tests.fake_api_server import FakeApiServer, kube_node
from tests.unit.backends.test_kuberay_manifest import HEAD, LOADER, TRAINERS, asked, pods_site

GANG = (HEAD, LOADER, *TRAINERS)
NAMES = tuple(part.name for part in GANG)


class World:
    """One API server, and what a fabric has heard of it."""

    def __init__(self) -> None:
        self.api = FakeApiServer()
        for name, tier in (("c0", "commodity"), ("c1", "commodity"), ("g0", "gpu"), ("g1", "gpu")):
            self.api.add(NODES, kube_node(name, tier, gpus=2))
        self.mirrors: list[Mirror] = []
        self.surface = self.listen()

    def listen(self) -> Surface:
        """What a fabric that starts now hears."""
        kinds = (RAY_CLUSTERS, PODS, NODES)
        mirrors = [Mirror(self.api, kind, "", lambda: None, grouped_by=CLUSTER) for kind in kinds]
        for mirror in mirrors:
            mirror.start()
            assert mirror.first_look(5.0)
        self.mirrors += mirrors
        clusters, pods, nodes = mirrors
        return Surface(self.api, Home(pods_site()), clusters, pods, nodes, silence=Silence(0.0))

    def cluster(self, wanted: WantedCluster | None = None) -> RayPods:
        """A cluster that is wanted and of which nothing exists."""
        wanted = wanted or asked()
        return RayPods(layout_of(wanted), self.surface, wanted)

    def running(self) -> RayPods:
        """A gang that was released whole."""
        pods = self.cluster()
        tended(pods, lambda: len(self.api.released) == len(GANG) and pods.head()[0] != "")
        return pods

    def close(self) -> None:
        """Listen no more."""
        for mirror in self.mirrors:
            mirror.end()
        self.api.close()
        for mirror in self.mirrors:
            mirror.join(5.0)


def tended(pods: RayPods, wish: Callable[[], bool]) -> None:
    """Tend until the wish is true."""
    deadline = time.monotonic() + 5.0
    while not wish():
        assert time.monotonic() < deadline, pods.awaits(pods.layout.staying)
        pods.tend()
        time.sleep(0.005)


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.close()


def test_every_pod_goes_to_the_node_of_its_slice_and_is_patched_once(world: World) -> None:
    pods = world.running()
    assert sorted((name, host) for _, name, host in world.api.released) == sorted(
        (part.name, f"host-{part.node}") for part in GANG
    )
    assert {name: world.api.pod_of(name)["spec"]["nodeName"] for name in NAMES} == {p.name: p.node for p in GANG}
    assert pods.lost() == []
    writes = [(verb, kind) for verb, kind, _ in world.api.calls]
    assert writes == [("create", "rayclusters"), ("create", "secrets"), *[("patch", "pods")] * len(GANG)]
    assert ("get", "secrets") not in world.api.asked


def test_a_secret_whose_making_was_not_answered_is_read_and_not_made_again(world: World) -> None:
    world.api.refuses["create", "secrets"] = Unavailable("no answer")
    pods = world.cluster()
    tended(pods, lambda: world.api.named(RAY_CLUSTERS) == ["w-1"] and bool(pods.awaits(pods.layout.staying)))
    owner = world.api.objects["rayclusters", "w-1"]
    world.api.add(SECRETS, cluster_secret(asked(), world.surface.home, "its token", owner))
    world.api.refuses["create", "secrets"] = Conflict("it is there")
    tended(pods, lambda: len(world.api.released) == len(GANG) and pods.head()[1] != "")
    assert pods.head()[1] == "its token"


def test_no_pod_is_released_before_all_of_the_gang_wait_at_the_gate(world: World) -> None:
    world.api.makes_pods = False
    pods = world.cluster()
    tended(pods, lambda: world.api.named(SECRETS) == ["w-1"])
    pods.tend()
    assert (world.api.released, pods.lost()) == ([], [])
    assert "KubeRay has not made its pod" in pods.awaits(pods.layout.staying)
    world.api.makes_pods = True
    world.api.change(RAY_CLUSTERS, "w-1", metadata={"labels": {"seen": "yes"}})
    world.api.delete(SECRETS, "nobody")  # anything that lets the operator look again
    tended(pods, lambda: len(world.api.released) == len(GANG))


def test_a_server_that_is_away_holds_nothing_up_for_ever_and_loses_nothing(world: World) -> None:
    world.api.refuses["patch", "pods"] = Unavailable("Kubernetes throttles")
    pods = world.cluster()
    tended(pods, lambda: "throttles" in pods.awaits(pods.layout.staying))
    assert (world.api.released, pods.lost()) == ([], [])
    world.api.refuses.clear()
    tended(pods, lambda: len(world.api.released) == len(GANG))


def test_a_pod_that_cannot_be_released_keeps_none_of_the_others(world: World) -> None:
    pods = world.cluster()
    world.api.makes_pods = False
    tended(pods, lambda: world.api.named(SECRETS) == ["w-1"])
    refused: list[str] = []

    def refuse_one(kind: Kind, name: str, patch: Patch) -> Object:
        if kind == PODS and not refused:
            refused.append(name)
            raise Unavailable("Kubernetes throttles")
        return FakeApiServer.patch(world.api, kind, name, patch)

    world.api.patch = refuse_one  # type: ignore[method-assign]
    world.api.makes_pods = True
    world.api.delete(SECRETS, "nobody")  # anything that lets the operator look again
    tended(pods, lambda: bool(refused))
    assert len(world.api.released) == len(GANG) - 1
    tended(pods, lambda: len(world.api.released) == len(GANG))
    assert pods.lost() == []


def test_what_the_fabric_may_not_do_is_told_at_once(world: World) -> None:
    world.api.refuses["create", "rayclusters"] = Denied("grant verb create on resource rayclusters")
    pods = world.cluster()
    pods.tend()
    assert pods.awaits(NAMES) == "grant verb create on resource rayclusters"


def test_a_pod_that_is_gone_or_ended_or_on_a_node_that_is_not_ready_is_lost_with_its_reason(world: World) -> None:
    pods = world.running()
    for change, words in (
        ({"phase": "Failed", "reason": "Evicted", "message": "out of memory"}, "Evicted: out of memory"),
        (
            {"phase": "Running", "containerStatuses": [
                {"name": "ray", "state": {"terminated": {"reason": "OOMKilled"}}}]},
            "it used more than its limit of 2147483648 bytes of memory; ask for more in its group",
        ),
        (
            {"phase": "Running", "containerStatuses": [
                {"name": "ray", "state": {"terminated": {"reason": "Error", "exitCode": 1}}}]},
            "its Ray process ended with code 1 (Error)",
        ),
    ):  # fmt: skip
        world.api.change(PODS, world.api.pod_of(LOADER.name)["metadata"]["name"], status={"reason": "", **change})
        tended(pods, lambda words=words: pods.last_words(LOADER.name) == words)  # type: ignore[misc]
        assert pods.lost() == [LOADER.name]
    world.api.change(NODES, "g1", status={"conditions": [{"type": "Ready", "status": "Unknown"}]})
    tended(pods, lambda: pods.lost() == [LOADER.name, TRAINERS[1].name])
    assert pods.last_words(TRAINERS[1].name) == "its node g1 is not ready"
    world.api.take(PODS, world.api.pod_of(TRAINERS[0].name)["metadata"]["name"])
    tended(pods, lambda: TRAINERS[0].name in pods.lost())
    assert pods.last_words(TRAINERS[0].name) == "its pod was deleted"


def test_a_replacement_of_a_lost_pod_waits_at_the_gate(world: World) -> None:
    pods = world.running()
    world.api.take(PODS, world.api.pod_of(TRAINERS[0].name)["metadata"]["name"])
    world.api.delete(SECRETS, "nobody")
    tended(pods, lambda: pods.lost() == [TRAINERS[0].name])
    tended(pods, lambda: len(world.api.named(PODS)) == len(GANG))
    pods.tend()
    assert len(world.api.released) == len(GANG)


def test_a_raycluster_that_somebody_deletes_is_lost_and_not_made_again(world: World) -> None:
    pods = world.running()
    world.api.take(RAY_CLUSTERS, "w-1")
    tended(pods, lambda: pods.lost() == list(pods.layout.staying))
    assert pods.last_words(HEAD.name) == "its RayCluster was deleted by somebody else"
    pods.tend()
    assert world.api.named(RAY_CLUSTERS) == []


def test_an_image_that_cannot_be_pulled_is_the_reason_why_a_slice_does_not_join(world: World) -> None:
    world.api.pulls = False
    pods = world.cluster()
    tended(pods, lambda: len(world.api.released) == len(GANG))
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "no such image fabric:1"}}
    name = world.api.pod_of(LOADER.name)["metadata"]["name"]
    world.api.change(PODS, name, status={"containerStatuses": [{"name": "ray", "state": waiting}]})
    tended(pods, lambda: "ImagePullBackOff" in pods.awaits(NAMES))
    assert pods.awaits(NAMES) == f"slice {LOADER.name} on c1: ImagePullBackOff: no such image fabric:1"


def test_what_only_an_event_tells_is_the_reason_too(world: World) -> None:
    world.api.pulls = False
    pods = world.cluster()
    tended(pods, lambda: len(world.api.released) == len(GANG))
    uid = world.api.pod_of(LOADER.name)["metadata"]["uid"]

    def event(name: str, about: str, kind: str, at: int, says: str) -> Object:
        told = {"reason": "FailedMount", "message": says, "type": kind, "lastTimestamp": f"2026-01-01T00:00:{at:02}Z"}
        return {"metadata": {"name": name}, "involvedObject": {"uid": about}, **told}

    world.api.add(
        EVENTS,
        event("a", uid, "Warning", 2, "hostPath type check failed: /dev/cxi0 is not a character device"),
        event("b", uid, "Warning", 1, "an older one"),
        event("c", uid, "Normal", 3, "nothing to warn of"),
        event("d", "another", "Warning", 4, "of somebody else"),
    )
    tended(pods, lambda: pods.awaits(NAMES) != "")
    said = "FailedMount: hostPath type check failed: /dev/cxi0 is not a character device"
    assert pods.awaits(NAMES) == f"slice {LOADER.name} on c1: {said}"


def adopted(world: World) -> RayPods:
    """The same cluster as a fabric sees it that starts now."""
    surface = world.listen()
    (found,) = surface.clusters.objects().values()
    pods = RayPods(written_layout(found), surface)
    pods.adopt()
    return pods


def test_a_fabric_that_starts_again_finds_slices_nodes_and_token(world: World) -> None:
    first = world.running()
    again = adopted(world)
    tended(again, lambda: again.head()[1] != "")
    assert again.head() == first.head()
    assert (again.lost(), again.layout.nodes, again.layout.born) == ([], first.layout.nodes, first.layout.born)
    assert again.layout.start_of(HEAD.name) == world.api.pod_of(HEAD.name)["metadata"]["uid"]


def test_a_gang_that_still_waits_is_released_by_the_fabric_that_adopts_it(world: World) -> None:
    world.api.refuses["patch", "pods"] = Unavailable("away")
    first = world.cluster()
    tended(first, lambda: len(world.api.named(PODS)) == len(GANG))
    world.api.refuses.clear()
    again = adopted(world)
    tended(again, lambda: len(world.api.released) == len(GANG))
    assert again.lost() == []


def test_a_slice_that_was_lost_while_nobody_looked_is_lost_for_the_fabric_that_adopts(world: World) -> None:
    world.running()
    world.api.take(PODS, world.api.pod_of(TRAINERS[0].name)["metadata"]["name"])
    assert adopted(world).lost() == [TRAINERS[0].name]


def test_a_cluster_grows_by_a_gated_pod_and_shrinks_by_the_named_one(world: World) -> None:
    pods = world.running()
    more = piece("g1", "evaluators", TRAINERS[0].resources)
    assert pods.wanted is not None
    pods.wanted = replace(pods.wanted, grant=replace(pods.wanted.grant, slices=(*GANG, more)))
    pods.change(lambda layout: layout.with_slices([more]))
    tended(pods, lambda: more.name in {name for _, name, _ in world.api.released})
    assert written_layout(world.api.get(RAY_CLUSTERS, "w-1")) == _known(pods.layout)
    leaving = world.api.pod_of(TRAINERS[1].name)["metadata"]["name"]
    pods.change(lambda layout: layout.model_copy(update={"leaving": (TRAINERS[1].name,)}))
    pods.drain(TRAINERS[1].name)
    tended(pods, lambda: pods.has_left(TRAINERS[1].name))
    assert pods.end_one(TRAINERS[1].name, 5.0)
    pods.change(lambda layout: layout.without([TRAINERS[1].name]))
    assert leaving not in world.api.named(PODS)
    assert world.api.pod_of(TRAINERS[0].name)
    assert pods.lost() == []


def _known(layout: PodLayout) -> PodLayout:
    return layout.model_copy(update={"starts": {}})


def test_a_layout_that_cannot_be_written_down_is_not_taken(world: World) -> None:
    pods = world.running()
    before = pods.layout
    world.api.refuses["patch", "rayclusters"] = Unavailable("Kubernetes does not answer")
    with pytest.raises(OSError, match="does not answer"):
        pods.change(lambda layout: layout.without([LOADER.name]))
    assert pods.layout == before


@pytest.mark.slow
def test_an_end_takes_workers_then_the_head_and_leaves_nothing(world: World) -> None:
    pods = world.running()
    heads = world.api.pod_of(HEAD.name)["metadata"]["name"]
    world.api.calls.clear()
    assert pods.end(5.0)
    assert world.api.named(PODS) == world.api.named(RAY_CLUSTERS) == []
    deleted = [name for verb, kind, name in world.api.calls if verb == "delete" and kind == "pods"]
    assert heads not in deleted[: len(GANG) - 1]


def unanswered(world: World) -> Callable[[Kind, Object], Object]:
    """An API server that makes what it is asked to make, and does not say so."""

    def create(kind: Kind, item: Object) -> Object:
        FakeApiServer.create(world.api, kind, item)
        raise Unavailable("Kubernetes did not answer")

    return create


def test_a_cluster_whose_making_was_not_answered_is_taken_away_although_nothing_was_heard_of_it(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    deaf = Mirror(world.api, RAY_CLUSTERS, "", lambda: None)
    world.surface = replace(world.surface, clusters=deaf)
    monkeypatch.setattr(world.api, "create", unanswered(world))
    pods = world.cluster()
    pods.tend()
    assert (world.api.named(RAY_CLUSTERS), pods.awaits(NAMES)) == (["w-1"], "Kubernetes did not answer")

    def answer(kind: Kind, name: str) -> Object:
        deaf.start()  # from now on it is heard
        world.mirrors.append(deaf)
        monkeypatch.undo()
        monkeypatch.setattr("fabric.backends.kuberay.ray_pods._POLL_S", 0.005)
        return world.api.get(kind, name)

    monkeypatch.setattr(world.api, "get", answer)
    assert pods.end(5.0)
    assert world.api.named(RAY_CLUSTERS) == world.api.named(PODS) == []


def test_an_end_takes_no_cluster_of_the_name_that_somebody_else_made(world: World) -> None:
    world.surface = replace(world.surface, clusters=Mirror(world.api, RAY_CLUSTERS, "", lambda: None))
    others = world.cluster(replace(asked(), born=5.0))
    others.tend()
    world.api.refuses["create", "rayclusters"] = Unavailable("Kubernetes did not answer")
    world.surface = replace(world.surface, clusters=Mirror(world.api, RAY_CLUSTERS, "", lambda: None))
    pods = world.cluster()
    pods.tend()
    assert pods.end(5.0)
    assert world.api.named(RAY_CLUSTERS) == ["w-1"]
    assert pods.lost() == []


@pytest.mark.slow
def test_a_later_cluster_of_the_same_name_waits_until_the_earlier_one_has_gone(world: World) -> None:
    first = world.running()
    later = world.cluster(replace(asked(), born=5.0))
    later.tend()
    assert later.lost() == []
    assert first.end(5.0)
    world.api.take(SECRETS, "w-1")
    tended(later, lambda: len(world.api.released) == 2 * len(GANG))
    assert later.head()[1] not in {"", first.head()[1]}


def test_watches_that_break_are_followed_by_another_look(world: World) -> None:
    pods = world.running()
    gone = world.api.pod_of(LOADER.name)["metadata"]["name"]
    quiet = threading.Event()
    world.api.interrupt(Unavailable("the API server is restarted"))
    with world.api._lock:
        world.api.objects.pop((PODS.plural, gone))
        quiet.set()
    tended(pods, lambda: pods.lost() == [LOADER.name])
    assert pods.last_words(LOADER.name) == "its pod was deleted"
