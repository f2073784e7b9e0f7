"""What an API server refuses is told with the verb, the resource and the next step; nodes are what it says they are."""

import copy
from typing import Any

import httpx
import pytest

from fabric.backends.kuberay.api import NODES, PODS, RAY_CLUSTERS, Change, Expired, Kind, refusal
from fabric.backends.kuberay.fenced_api import FencedApi
from fabric.backends.kuberay.mirror import Mirror
from fabric.backends.kuberay.names import CLUSTER
from fabric.backends.kuberay.nodes import node_facts, nodes_seen, quantity
from fabric.backends.kuberay.pod_head import PodHead, PodOutput
from fabric.config.kubernetes import Toleration
from fabric.core.errors import (
    BadInput,
    ClusterLost,
    Conflict,
    Denied,
    FabricError,
    NotFound,
    Unauthenticated,
    Unavailable,
)  # fmt: skip
from fabric.core.resources import Resources
from fabric.scheduler.snapshot import NodeState
from tests.builders import FakeLogs
from tests.fake_api_server import FakeApiServer, kube_node
from tests.unit.backends.test_kuberay_manifest import pods_site


@pytest.mark.parametrize(
    ("kind", "status", "said", "error", "words"),
    [
        (PODS, 401, "Unauthorized", Unauthenticated, "does not know the fabric's account (patch pods in fabric/p)"),
        (PODS, 403, "forbidden", Denied, 'grant verb patch on resource pods of API group "" (clusters/ has the role)'),
        (RAY_CLUSTERS, 403, "forbidden", Denied, "grant verb patch on resource rayclusters of API group ray.io"),
        (PODS, 403, "exceeded quota: small", Unavailable, "a quota of Kubernetes refuses"),
        (RAY_CLUSTERS, 404, "the server could not find the requested resource", NotFound, "install the KubeRay"),
        (PODS, 404, 'namespaces "fabric" not found', NotFound, "there is no namespace fabric: create it"),
        (PODS, 404, 'pods "p" not found', NotFound, "Kubernetes does not have it"),
        (PODS, 409, "object has been modified", Conflict, "it exists, or has changed meanwhile"),
        (PODS, 410, "too old resource version", Expired, "has forgotten that far back"),
        (PODS, 422, "spec.x: Invalid", BadInput, "takes no such object: spec.x: Invalid"),
        (PODS, 429, "too many requests", Unavailable, "throttles; it is tried again"),
        (PODS, 400, "bad", BadInput, "refuses with 400"),
        (PODS, 503, "etcd is away", Unavailable, "fails with 503: etcd is away. It is tried again."),
    ],
)
def test_every_refusal_has_its_meaning(
    kind: Kind, status: int, said: str, error: type[FabricError], words: str
) -> None:
    found = refusal("patch", kind, "fabric/p", status=status, message=said)
    assert type(found) is error
    assert words in found.message


def test_who_no_longer_leads_still_looks_and_changes_nothing() -> None:
    server, leads = FakeApiServer(), [True]

    def check() -> None:
        if not leads[0]:
            raise Unavailable("somebody else may lead by now")

    api = FencedApi(server, check)
    api.create(NODES, kube_node("c0", "commodity"))
    assert api.patch(NODES, "c0", {"spec": {"unschedulable": True}})["spec"] == {"unschedulable": True}
    leads[0] = False
    before = copy.deepcopy(server.objects)
    for change in (
        lambda: api.create(NODES, kube_node("c1", "commodity")),
        lambda: api.patch(NODES, "c0", {"spec": {"unschedulable": False}}),
        lambda: api.delete(NODES, "c0"),
    ):
        with pytest.raises(Unavailable, match="somebody else may lead"):
            change()
    (refused,) = api.patch_each(NODES, {"c0": {"spec": {"unschedulable": False}}}).values()
    assert isinstance(refused, Unavailable)
    assert server.objects == before
    assert [node["metadata"]["name"] for node in api.listing(NODES).items] == ["c0"]
    assert api.get(NODES, "c0")["spec"] == {"unschedulable": True}


def test_a_node_has_what_its_tier_says_and_no_more_than_kubernetes_gives() -> None:
    seen = nodes_seen(
        pods_site(),
        [
            kube_node("g1", "gpu", gpus=1),
            kube_node("g0", "gpu", gpus=4, unschedulable=True),
            kube_node("c0", "commodity", ready=False),
            kube_node("x0", "other"),
        ],
    ).nodes
    assert [(node.name, node.tier, node.state, node.heads) for node in seen] == [
        ("c0", "commodity", NodeState.DOWN, True),
        ("g0", "gpu", NodeState.DRAINING, False),
        ("g1", "gpu", NodeState.READY, False),
    ]
    assert [node.capacity.gpus.count for node in seen] == [0, 2000, 1000]
    assert seen[0].capacity == Resources.of(4, 0, "8 GiB")


def test_a_node_of_another_architecture_takes_no_work() -> None:
    node = kube_node("g0", "gpu", gpus=2)
    node["metadata"]["labels"]["kubernetes.io/arch"] = "arm64"
    assert [seen.state for seen in nodes_seen(pods_site(), [node]).nodes] == [NodeState.DOWN]


def _taint(key: str, effect: str = "NoSchedule", **value: str) -> dict[str, str]:
    return {"key": key, "effect": effect, **value}


@pytest.mark.parametrize(
    ("taint", "named"),
    [
        (_taint("maintenance", value="true"), "maintenance=true:NoSchedule"),
        (_taint("node.kubernetes.io/disk-pressure"), "node.kubernetes.io/disk-pressure:NoSchedule"),
        (_taint("team", value="chem"), "team=chem:NoSchedule"),
        (_taint("gpu", "NoExecute"), "gpu:NoExecute"),
        (_taint("team", value="physics"), ""),
        (_taint("gpu"), ""),
        (_taint("maintenance", "PreferNoSchedule"), ""),
        (_taint("node.kubernetes.io/not-ready"), ""),
        (_taint("nvidia.com/gpu", value="present"), ""),
    ],
)
def test_a_ready_node_with_a_taint_that_its_tier_does_not_tolerate_takes_no_new_work_and_says_which(
    taint: dict[str, str], named: str
) -> None:
    gpu, commodity = pods_site().tiers
    assert gpu.kubernetes is not None
    accepted = (Toleration(key="team", value="physics"), Toleration(key="gpu", effect="NoSchedule"))
    group = gpu.kubernetes.model_copy(update={"tolerations": accepted})
    site = pods_site(tiers=(gpu.model_copy(update={"kubernetes": group}), commodity))
    seen = nodes_seen(site, [kube_node("g0", "gpu", gpus=2, taints=[_taint("gpu"), taint])])
    state = NodeState.DRAINING if named else NodeState.READY
    assert [node.state for node in seen.nodes] == [state]
    told = seen.notes["g0"].said if "g0" in seen.notes else ""
    assert told == (f"its taint {named} is not among the tolerations of tier gpu" if named else "")


def test_a_taint_for_accelerators_keeps_work_off_a_node_of_a_tier_without_them() -> None:
    node = kube_node("c0", "commodity", taints=[_taint("nvidia.com/gpu")])
    assert [seen.state for seen in nodes_seen(pods_site(), [node]).nodes] == [NodeState.DRAINING]


@pytest.mark.parametrize(("text", "number"), [("2", 2), ("1500m", 1.5), ("16Gi", 2**34), ("1G", 10**9), ("1e3", 1e3)])
def test_quantities_are_read_as_kubernetes_writes_them(text: str, number: float) -> None:
    assert quantity(text) == number
    with pytest.raises(BadInput):
        quantity(f"x{text}")


def test_what_a_kubelet_writes_to_no_effect_wakes_nobody() -> None:
    called: list[str] = []
    mirror = Mirror(FakeApiServer(), NODES, "", lambda: called.append("called"), matters=node_facts)
    node = {**kube_node("g0", "gpu", gpus=2)}

    def tells(version: int, **more: Any) -> int:
        metadata = {**node["metadata"], "resourceVersion": str(version)}
        mirror.learn({**node, **more, "metadata": metadata})
        return len(called)

    assert tells(1) == 1
    assert tells(2, status={**node["status"], "images": ["another"]}) == 1
    assert tells(3, spec={"unschedulable": True}) == 2
    assert tells(4, spec={"unschedulable": True}, status={**node["status"], "conditions": []}) == 3
    assert tells(5, spec={"unschedulable": True, "taints": [_taint("maintenance")]}) == 4
    assert mirror.objects()["g0"]["metadata"]["resourceVersion"] == "5"


def test_of_each_change_it_is_told_whose_it_is() -> None:
    heard: list[str] = []
    mirror = Mirror(FakeApiServer(), PODS, "", lambda: None, grouped_by=CLUSTER, heard=heard.append)

    def pod(name: str, cluster: str, version: int) -> dict[str, Any]:
        return {"metadata": {"name": name, "uid": name, "labels": {CLUSTER: cluster}, "resourceVersion": str(version)}}

    mirror.learn(pod("p", "one", 1))
    mirror.learn(pod("q", "two", 2))
    mirror.learn(pod("p", "one", 1))
    assert heard == ["one", "two", "one"]
    heard.clear()
    mirror._replace({"r": pod("r", "three", 3)}, "4")
    assert sorted(heard) == ["one", "three", "two"]


class Interrupted:
    """A mirror's time, and the end of it, as the test has it: waiting passes no time and is written down."""

    def __init__(self, looks: int) -> None:
        self.now, self.pauses, self._looks = 0.0, list[float](), looks

    def monotonic(self) -> float:
        return self.now

    def is_set(self) -> bool:
        return len(self.pauses) == self._looks

    def wait(self, pause_s: float) -> None:
        self.pauses.append(pause_s)


def pauses_of(monkeypatch: pytest.MonkeyPatch, error: Exception, *heard_s: float) -> list[float]:
    """How long a mirror pauses after listening for so long each time before this error came."""
    mirror, ends = Mirror(FakeApiServer(), NODES, "", lambda: None), Interrupted(len(heard_s))

    def follow() -> None:
        ends.now += heard_s[len(ends.pauses)]
        raise error

    monkeypatch.setattr(mirror, "_over", ends)
    monkeypatch.setattr(mirror, "_follow", follow)
    monkeypatch.setattr("fabric.backends.kuberay.mirror.time", ends)
    mirror.run()
    assert mirror.problem is not None
    return ends.pauses


def test_a_mirror_tries_again_at_longer_and_longer_intervals_until_it_has_heard_for_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    away = Unavailable("Kubernetes does not answer")
    assert pauses_of(monkeypatch, away, 0, 0, 0, 0, 0) == [0.2, 1.0, 2.0, 5.0, 5.0]
    assert pauses_of(monkeypatch, away, 0, 0, 0, 300, 0, 300) == [0.2, 1.0, 2.0, 0.2, 1.0, 0.2]


def test_a_mirror_goes_on_after_a_mistake_that_nobody_named(monkeypatch: pytest.MonkeyPatch) -> None:
    assert pauses_of(monkeypatch, KeyError("items"), 0, 0) == [0.2, 1.0]


def test_what_our_own_call_said_is_not_undone_by_an_older_look() -> None:
    mirror = Mirror(FakeApiServer(), NODES, "", lambda: None)
    new = {"metadata": {"name": "n", "uid": "u", "resourceVersion": "12"}, "is": "new"}
    old = {"metadata": {"name": "n", "uid": "u", "resourceVersion": "9"}, "is": "old"}
    mirror.learn(new)
    mirror.learn(old)
    assert mirror.objects() == {"n": new}
    mirror._replace({}, "11")
    assert mirror.objects() == {"n": new}
    mirror._apply(Change("DELETED", {**new, "metadata": {**new["metadata"], "resourceVersion": "13"}}))  # type: ignore[dict-item]
    mirror.learn(new)
    assert mirror.objects() == {}
    assert mirror.gone("u") is not None


def test_an_object_that_has_our_labels_again_is_seen_again_but_no_late_word_of_a_gone_one() -> None:
    mirror = Mirror(FakeApiServer(), NODES, "mine", lambda: None)

    def at(version: int) -> dict[str, Any]:
        return {"metadata": {"name": "n", "uid": "u", "resourceVersion": str(version)}}

    mirror.learn(at(5))
    mirror._replace({}, "12")
    mirror.learn(at(10))
    assert mirror.objects() == {}
    mirror._apply(Change("ADDED", at(13)))
    assert mirror.objects() == {"n": at(13)}
    assert mirror.gone("u") is None


class Node:
    """A Ray node that keeps one output, behind a transport in memory."""

    def __init__(self) -> None:
        self.written = b"first\n"
        self.up = True
        self.ranges: list[str] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if not self.up:
            raise httpx.ConnectError("refused", request=request)
        if request.url.path.startswith("/api/jobs/"):
            return httpx.Response(200, json={"status": "RUNNING", "driver_agent_http_address": "http://10.0.0.2:52365"})
        assert str(request.url) == "http://10.0.0.2:52365/logs/job-driver-w-1.log"
        assert request.headers["Authorization"] == "Bearer t"
        self.ranges.append(request.headers["Range"])
        start = int(request.headers["Range"].removeprefix("bytes=").partition("-")[0])
        if start >= len(self.written):
            return httpx.Response(416)
        return httpx.Response(206, content=self.written[start:])


def output(node: Node, logs: FakeLogs) -> PodOutput:
    head = PodHead(lambda: ("http://10.0.0.1:8265", "t"))
    head._http = httpx.Client(transport=httpx.MockTransport(node))
    return PodOutput(logs, head, "w-1", key=("w", 1))


def test_output_is_copied_from_where_the_last_copy_ended() -> None:
    node, logs = Node(), FakeLogs()
    copied = output(node, logs)
    copied.copy()
    node.written += b"second\n"
    copied.finish()
    assert logs.kept["w", 1] == b"first\nsecond\n"
    assert logs.complete == {("w", 1)}
    assert [text.partition("-")[0] for text in node.ranges] == ["bytes=0", "bytes=6", "bytes=6", "bytes=13"]


def test_what_a_lost_node_took_is_a_gap_after_some_patience() -> None:
    node, logs = Node(), FakeLogs()
    copied = output(node, logs)
    copied.copy()
    node.up = False
    for _ in range(4):
        with pytest.raises(ClusterLost):
            copied.finish()
    copied.finish()
    assert (logs.kept["w", 1], logs.complete) == (b"first\n", {("w", 1)})


def test_a_head_without_an_address_does_not_answer() -> None:
    assert not PodHead(lambda: ("", "")).answers()
