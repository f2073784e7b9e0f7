"""A Kubernetes that is not as it should be shows as a clear reason on the workload, or before control begins."""

import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fabric.backends.keeping.keeper import Keeper
from fabric.backends.keeping.surroundings import Surroundings
from fabric.backends.kuberay import names
from fabric.backends.kuberay.api import EVENTS, NODES, PODS, RAY_CLUSTERS, Kind, Object, refusal
from fabric.backends.kuberay.backend import KubeRayBackend
from fabric.backends.kuberay.backoff import Backoff
from fabric.backends.kuberay.images import image_for
from fabric.backends.kuberay.pod_head import PodHead, PodOutput
from fabric.backends.kuberay.pods import Home
from fabric.backends.kuberay.ray_pods import RayPods
from fabric.config.kubernetes import FabricProfile, Kubernetes
from fabric.config.site import Site
from fabric.core.errors import BadInput, Denied, FabricError, NotFound
from fabric.core.resources import Resources
from fabric.scheduler.ports import Phase
from fabric.workloads.record import Slice
from tests.builders import FakeLogs, FakePackages, wanted
from tests.fake_api_server import FakeApiServer
from tests.unit.backends.test_kuberay_manifest import HEAD, TRAINERS, pods_site
from tests.unit.backends.test_kuberay_pods import GANG, NAMES, World, tended


def mixed_site() -> Site:
    """GPU nodes of one architecture, commodity nodes of the other."""
    images = Kubernetes(
        images={"amd64": "fabric:amd", "arm64": "fabric:arm"},
        built_for={"own:amd": ("amd64",), "own:both": ("amd64", "arm64")},
    )
    gpu, commodity = pods_site().tiers
    return pods_site(kubernetes=images, tiers=(gpu.model_copy(update={"architecture": "arm64"}), commodity))


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.close()


def warned(world: World, kind: Kind, name: str, says: str) -> None:
    """Let Kubernetes warn of an object."""
    uid = world.api.get(kind, name)["metadata"]["uid"]
    told = {"reason": "FailedToCreateHeadPod", "message": says, "type": "Warning"}
    world.api.add(EVENTS, {"metadata": {"name": f"warns-{name}"}, "involvedObject": {"uid": uid}, **told})


@pytest.mark.parametrize("missing", ["authOptions", "schedulingGates"])
def test_a_crd_that_drops_what_keeps_a_cluster_closed_is_too_old_and_nothing_is_left(
    world: World, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = world.api._put

    def pruning(kind: Kind, item: Object, event: str = "ADDED") -> Object:
        if kind == RAY_CLUSTERS:
            item["spec"].pop(missing, None)
            item["spec"]["headGroupSpec"]["template"]["spec"].pop(missing, None)
        return put(kind, item, event)

    monkeypatch.setattr(world.api, "_put", pruning)
    world.api.makes_pods = False
    with pytest.raises(BadInput, match=f"drops {missing}: its KubeRay is too old; install 1.6.2 or later"):
        world.cluster().tend()
    assert world.api.named(RAY_CLUSTERS) == []


def test_an_operator_that_gives_pods_no_token_is_too_old_and_nothing_is_released(world: World) -> None:
    world.api.gives_tokens = False
    with pytest.raises(BadInput, match="no RAY_AUTH_MODE, so anybody could use it: its KubeRay is too old"):
        tended(world.cluster(), lambda: bool(world.api.released))
    assert world.api.released == []


def test_a_quota_that_refuses_pods_is_the_reason_why_they_are_not_made(world: World) -> None:
    world.api.makes_pods = False
    pods = world.cluster()
    tended(pods, lambda: world.api.named(RAY_CLUSTERS) == ["w-1"])
    warned(world, RAY_CLUSTERS, "w-1", "exceeded quota: small")
    assert pods.awaits(NAMES) == (
        f"slice {NAMES[0]}: KubeRay has not made its pod: FailedToCreateHeadPod: exceeded quota: small"
    )


def test_a_quota_that_refuses_the_cluster_is_tried_again_and_told_meanwhile(world: World) -> None:
    says = 'rayclusters.ray.io "w-1" is forbidden: exceeded quota: few'
    world.api.refuses["create", "rayclusters"] = refusal("create", RAY_CLUSTERS, "fabric/w-1", status=403, message=says)
    pods = world.cluster()
    pods.tend()
    assert pods.awaits(NAMES).startswith("a quota of Kubernetes refuses to create rayclusters in fabric/w-1: ")
    world.api.refuses.clear()
    tended(pods, lambda: len(world.api.released) == len(GANG))


class Clock:
    """Seconds as told."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_what_is_refused_again_and_again_is_asked_for_less_and_less_often() -> None:
    clock = Clock()
    backoff, asked = Backoff(clock), list[float]()
    while clock.now < 60.0:
        if backoff.over:
            asked.append(clock.now)
            backoff.refused()
        clock.now += 0.125
    assert asked == [0.0, 0.125, 0.375, 0.875, 1.75, 3.375, 6.625, 13.125, 23.125, 33.125, 43.125, 53.125]
    backoff.taken()
    backoff.refused()
    assert backoff.over


def test_a_cluster_that_a_quota_refuses_asks_less_and_less_often_and_goes_on_saying_why(world: World) -> None:
    says = 'rayclusters.ray.io "w-1" is forbidden: exceeded quota: few'
    world.api.refuses["create", "rayclusters"] = refusal("create", RAY_CLUSTERS, "fabric/w-1", status=403, message=says)
    pods, clock, asked = world.cluster(), Clock(), list[float]()
    pods._backoff = Backoff(clock)
    for _ in range(100):
        world.api.asked.clear()
        pods.tend()
        asked += [clock.now] if ("create", "rayclusters") in world.api.asked else []
        assert pods.awaits(NAMES).startswith("a quota of Kubernetes refuses")
        clock.now += 0.125
    assert asked == [0.0, 0.125, 0.375, 0.875, 1.75, 3.375, 6.625]
    world.api.refuses.clear()
    clock.now += 10.0
    pods.tend()
    assert (world.api.named(RAY_CLUSTERS), pods.awaits(NAMES)[:6]) == (["w-1"], "slice ")


def test_a_node_that_vanishes_between_the_plan_and_the_start_is_the_reason(world: World) -> None:
    world.api.makes_pods = False
    pods = world.cluster()
    tended(pods, lambda: world.api.named(RAY_CLUSTERS) == ["w-1"])
    world.api.take(NODES, "g1")
    tended(pods, lambda: pods.lost() == [TRAINERS[1].name])
    assert pods.last_words(TRAINERS[1].name) == "Kubernetes has no node g1 any more"


def test_replicas_that_somebody_edits_are_put_right(world: World) -> None:
    pods = world.running()
    groups = world.api.get(RAY_CLUSTERS, "w-1")["spec"]["workerGroupSpecs"]
    before = {group["groupName"]: group["replicas"] for group in groups}
    more = [{**group, "replicas": group["replicas"] + 1, "maxReplicas": 9} for group in groups]
    world.api.operate(RAY_CLUSTERS, "w-1", spec={"workerGroupSpecs": more})

    def replicas() -> dict[str, int]:
        found = world.api.get(RAY_CLUSTERS, "w-1")["spec"]["workerGroupSpecs"]
        return {group["groupName"]: group["replicas"] for group in found}

    tended(pods, lambda: replicas() == before)
    assert len(world.api.released) == len(GANG), "what came of the edit never passed the gate"


class Silent(PodHead):
    """A head that has not started."""

    def answers(self) -> bool:
        return False


def kept(world: World, folder: Path) -> tuple[RayPods, Keeper[Any]]:
    """A cluster that is wanted, and who would keep it; the test turns him."""
    pods = world.cluster()
    around = Surroundings(folder, FakeLogs(), FakePackages(), threading.Event())
    head = Silent(pods.head)
    output = PodOutput(around.logs, head, "w-1", key=("w", 1))
    return pods, Keeper(pods, around, pods.wanted, head=head, output=output)


def test_a_quota_that_refuses_the_cluster_ends_the_attempt_at_its_deadline_with_the_reason(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    says = 'rayclusters.ray.io "w-1" is forbidden: exceeded quota: few'
    world.api.refuses["create", "rayclusters"] = refusal("create", RAY_CLUSTERS, "fabric/w-1", status=403, message=says)
    pods, keeper = kept(world, tmp_path)
    keeper.turn()
    told = "a quota of Kubernetes refuses to create rayclusters in fabric/w-1: "
    assert (keeper.view.phase, keeper.view.message.startswith(told)) == (Phase.STARTING, True)
    monkeypatch.setattr(type(pods), "start_timeout_s", 0.0)
    keeper.turn()
    assert keeper.view.phase is Phase.BROKEN
    assert f"its Ray head did not start within 0 s: {told}" in keeper.view.problem


@pytest.mark.parametrize("status", [401, 403])
def test_an_api_server_that_refuses_everybody_after_its_start_costs_a_starting_workload_no_attempt(
    world: World, tmp_path: Path, status: int
) -> None:
    refused = refusal("create", RAY_CLUSTERS, "fabric/w-1", status=status, message="role not found")
    world.api.refuses["create", "rayclusters"] = refused
    pods, keeper = kept(world, tmp_path)
    pods._backoff = Backoff(clock := Clock())
    while clock.now < 5.0:
        keeper.turn()
        assert (keeper.view.phase, keeper.view.message) == (Phase.STARTING, refused.message)
        clock.now += 0.5
    world.api.refuses.clear()
    clock.now += 10.0

    def turned() -> bool:
        keeper.turn()
        return len(world.api.released) == len(GANG)

    tended(pods, turned)
    assert keeper.view.phase is Phase.STARTING


def test_a_node_that_vanishes_between_the_plan_and_the_start_ends_the_attempt_at_once(
    world: World, tmp_path: Path
) -> None:
    world.api.makes_pods = False
    pods, keeper = kept(world, tmp_path)
    keeper.turn()
    world.api.take(NODES, "g1")
    tended(pods, lambda: pods.lost() == [TRAINERS[1].name])
    keeper.turn()
    assert keeper.view.phase is Phase.BROKEN
    assert keeper.view.problem == f"slice {TRAINERS[1].name} on node g1 lost: Kubernetes has no node g1 any more"


def test_an_image_that_cannot_be_pulled_ends_the_attempt_at_its_deadline_with_the_reason(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.api.pulls = False
    pods, keeper = kept(world, tmp_path)

    def turned() -> bool:
        keeper.turn()
        return len(world.api.released) == len(GANG)

    tended(pods, turned)
    pulls = {"waiting": {"reason": "ImagePullBackOff", "message": "no such image fabric:1"}}
    for name in world.api.named(PODS):
        world.api.change(PODS, name, status={"containerStatuses": [{"name": "ray", "state": pulls}]})
    tended(pods, lambda: "ImagePullBackOff" in pods.awaits(NAMES))
    keeper.turn()
    before = keeper.view
    monkeypatch.setattr(type(pods), "start_timeout_s", 0.0)
    keeper.turn()
    assert (before.phase, keeper.view.phase) == (Phase.STARTING, Phase.BROKEN)
    assert "its Ray head did not start within 0 s: slice head-c0 on c0: ImagePullBackOff: no such image" in (
        keeper.view.problem
    )


@pytest.mark.parametrize(
    ("status", "message", "error", "words"),
    [
        (
            404,
            "the server could not find the requested resource",
            NotFound,
            "install the KubeRay operator and its CRDs",
        ),
        (404, 'namespaces "fabric" not found', NotFound, "there is no namespace fabric"),
        (403, "rayclusters is forbidden", Denied, "grant verb list on resource rayclusters of API group ray.io"),
    ],
)
def test_control_does_not_begin_where_it_may_not_look(
    tmp_path: Path, status: int, message: str, error: type[FabricError], words: str
) -> None:
    api = FakeApiServer()
    api.refuses["list", "rayclusters"] = refusal("list", RAY_CLUSTERS, "fabric", status=status, message=message)
    around = Surroundings(tmp_path, FakeLogs(), FakePackages(), threading.Event())
    backend = KubeRayBackend(pods_site(), around, api)
    with pytest.raises(error, match=words):
        backend.start()


def test_an_image_that_is_not_built_for_the_node_ends_the_attempt_at_once(world: World) -> None:
    world.api.pulls = False
    pods = world.cluster()
    tended(pods, lambda: len(world.api.released) == len(GANG))
    pulls = {"waiting": {"reason": "ErrImagePull", "message": "no match for platform in manifest: not found"}}
    name = world.api.pod_of(TRAINERS[0].name)["metadata"]["name"]
    world.api.change(PODS, name, status={"containerStatuses": [{"name": "ray", "state": pulls}]})
    with pytest.raises(BadInput, match="on g0: its image is for another architecture than the node"):
        tended(pods, lambda: False)


def test_no_pod_of_a_gang_is_sent_to_a_node_of_another_architecture(world: World) -> None:
    world.api.change(NODES, "g1", metadata={"labels": {names.ARCHITECTURE: "arm64"}})
    heard = world.surface.nodes
    until = time.monotonic() + 5
    while names.ARCHITECTURE not in (heard.get("g1") or {"metadata": {"labels": {}}})["metadata"]["labels"]:
        assert time.monotonic() < until
    with pytest.raises(BadInput, match="its image fabric:1 is for amd64, but node g1 is arm64"):
        tended(world.cluster(), lambda: False)


ARM_SITE = mixed_site()


@pytest.mark.parametrize(
    ("image", "tier", "refused"),
    [
        ("fabric:arm", "gpu", ""),
        (
            "fabric:amd",
            "gpu",
            "group trainers: its image fabric:amd is for amd64, but tier gpu is arm64. Name an image",
        ),
        ("own:amd", "gpu", "for arm64 such as fabric:arm, or one that is for both"),
        ("own:both", "gpu", ""),
        ("nobody:knows", "gpu", ""),
        ("fabric:arm", "commodity", "is for arm64, but tier commodity is amd64"),
    ],
)
def test_an_image_that_the_site_knows_to_be_for_others_is_refused_before_anything_is_made(
    image: str, tier: str, refused: str
) -> None:
    part = Slice("t-0", "trainers", "n", tier, 1, Resources.of(1, 0, "1 GiB"))
    asks = wanted("w-1", HEAD, part, images={"trainers": image})
    if refused:
        with pytest.raises(BadInput) as caught:
            image_for(part, asks, ARM_SITE)
        assert refused in caught.value.message
    else:
        assert image_for(part, asks, ARM_SITE) == image


def test_each_tier_of_a_mixed_site_runs_the_image_of_its_architecture() -> None:
    part = Slice("t-0", "trainers", "n", "gpu", 1, Resources.of(1, 0, "1 GiB"))
    cluster = wanted("w-1", HEAD, part)
    assert [image_for(one, cluster, ARM_SITE) for one in (HEAD, part)] == ["fabric:amd", "fabric:arm"]


def test_a_device_that_is_lost_after_the_node_was_admitted_ends_the_attempt_and_brings_the_node_into_doubt() -> None:
    profile = FabricProfile(
        version="cxi-1", devices=("/dev/cxi0",), privileged=True, env={"NCCL_NET": "AWS Libfabric"}
    )  # fmt: skip
    gpu, commodity = pods_site().tiers
    assert gpu.kubernetes is not None
    group = gpu.kubernetes.model_copy(update={"profile": profile})
    doubted: list[str] = []
    world = World()
    site = pods_site(tiers=(gpu.model_copy(update={"kubernetes": group}), commodity))
    world.surface = replace(world.surface, home=Home(site), doubt=doubted.append)
    world.api.pulls = False
    pods = world.cluster()
    tended(pods, lambda: len(world.api.released) == len(GANG))
    assert (pods.lost(), doubted) == ([], [])
    name = world.api.pod_of(TRAINERS[0].name)["metadata"]["name"]
    world.api.change(PODS, name, spec={"nodeName": "g0"})
    warned(world, PODS, name, "hostPath type check failed: /dev/cxi0 is not a character device")
    pods._events._known.clear()  # it asks only every few seconds
    tended(pods, lambda: pods.lost() == [TRAINERS[0].name])
    assert pods.last_words(TRAINERS[0].name).endswith("/dev/cxi0 is not a character device")
    assert set(doubted) == {"g0"}
    world.close()
