"""What the bench of scale makes of a watch, of metrics and of runs; nothing here is a cluster."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from fabric.backends.kuberay.adoption import spec_of
from fabric.backends.kuberay.foreign import Foreign
from fabric.config.site_file import load_site
from fabric.scheduler.policy import Policy
from fabric.workloads.spec import WorkloadSpec
from scripts.benches._scale_arms import asked
from scripts.benches._scale_costs import about_placement, by_the_fabric, request_counts
from scripts.benches._scale_gangs import Gangs, amount, quantile, requests
from scripts.benches._scale_kueue import QUEUE, cluster_queue, configuration, definition
from scripts.benches._scale_mixed import NUM_GANGS, OVER_S, RUNS_S, SHAPES, Come, drawn, lost
from scripts.benches._scale_mixed import spec_of as mixed_spec_of
from scripts.benches._scale_world import World, fake_node, gang_object, gang_spec, site_file
from scripts.benches.scale import rotated, table, verdict
from scripts.rigging.errors import RigError
from scripts.rigging.layout import GPU

SMALL = World(20)
GPU_NODE = "fake-gpu-00000"


def gang(replicas: int = 2, state: str = "", name: str = "a") -> dict[str, Any]:
    """A RayCluster of a head and workers."""
    spec = {"workerGroupSpecs": [{"groupName": "w", "replicas": replicas}]}
    return {"metadata": {"name": name}, "spec": spec, "status": {"state": state}}


def pod(name: str, node: str = "", *, of: str = "a", gated: bool = False, gpus: int = 0, phase: str = "Pending") -> Any:
    """One of its pods."""
    asks = {"cpu": "1", "memory": "2Gi", GPU: str(gpus)}
    spec: dict[str, Any] = {"containers": [{"resources": {"requests": asks}}]}
    spec |= {"nodeName": node} if node else {}
    spec |= {"schedulingGates": [{"name": "fabric/placement"}]} if gated else {}
    return {"metadata": {"name": name, "labels": {"ray.io/cluster": of}}, "spec": spec, "status": {"phase": phase}}


def seen(*changes: tuple[float, str, Mapping[str, Any]], capacity: World = SMALL) -> Gangs:
    """What is made of changes; those without containers are RayClusters."""
    gangs = Gangs(capacity.capacity())
    for at, change, item in changes:
        (gangs.saw_pod if "containers" in item["spec"] else gangs.saw_cluster)(at, change, item)
    return gangs


def test_a_gang_is_started_in_part_from_its_first_bound_pod_to_its_last() -> None:
    gangs = seen(
        (0.0, "ADDED", gang()),
        (1.0, "MODIFIED", pod("head", "n0")),
        (2.0, "MODIFIED", pod("w1", "n1")),
        (5.0, "MODIFIED", pod("w2", "n2")),
    )
    assert (gangs.most_half, gangs.longest_half_s(100.0)) == (1, 4.0)


def test_what_is_still_started_in_part_counts_until_now_and_two_at_once_count_as_two() -> None:
    gangs = seen(
        (0.0, "ADDED", gang()), (0.0, "ADDED", gang(name="b")),
        (1.0, "MODIFIED", pod("head", "n0")), (3.0, "MODIFIED", pod("other", "n0", of="b")),
    )  # fmt: skip
    assert (gangs.most_half, gangs.longest_half_s(11.0)) == (2, 10.0)


def test_a_gang_whose_pods_leave_after_it_was_whole_is_not_started_in_part() -> None:
    whole = [(1.0, "MODIFIED", pod(name, "n0")) for name in ("head", "w1", "w2")]
    gangs = seen((0.0, "ADDED", gang()), *whole, (9.0, "DELETED", pod("w1", "n0")), (9.5, "MODIFIED", gang(0)))
    assert gangs.longest_half_s(100.0) == 0.0


def test_pods_that_are_heard_of_before_their_gang_count_once_its_size_is_known() -> None:
    gangs = seen((1.0, "ADDED", pod("head", "n0")), (2.0, "ADDED", gang()), (4.0, "ADDED", pod("w1", "n0")))
    assert gangs.longest_half_s(5.0) == 3.0


def test_a_gang_is_released_when_its_last_gate_falls_and_ready_when_kuberay_says_so_first() -> None:
    gangs = seen(
        (0.0, "ADDED", gang(1)),
        (1.0, "ADDED", pod("head", gated=True)), (1.0, "ADDED", pod("w1", gated=True)),
        (2.0, "MODIFIED", pod("head")), (3.0, "MODIFIED", pod("w1")),
        (4.0, "MODIFIED", gang(1, "ready")), (5.0, "MODIFIED", gang(1, "ready")),
    )  # fmt: skip
    assert (gangs.released_at(), gangs.ready_at, gangs.num_ready()) == ({"a": 3.0}, {"a": 4.0}, 1)


@pytest.mark.parametrize(
    ("world", "changes", "sentences"),
    [
        ("as much as there is", [pod("w1", GPU_NODE, gpus=4)], 0),
        ("a GPU too many", [pod("w1", GPU_NODE, gpus=4), pod("w2", GPU_NODE, gpus=1)], 1),
        ("told twice of the same", [pod("w1", GPU_NODE, gpus=4), pod("w1", GPU_NODE, gpus=4)], 0),
        ("on a node that nobody knows", [pod("w1", "elsewhere")], 2),
    ],
)
def test_a_node_that_carries_more_than_it_has_is_told(world: str, changes: list[Any], sentences: int) -> None:
    gangs = seen(*((1.0, "MODIFIED", each) for each in changes))
    assert len(gangs.overcommitted) == sentences, world


def test_who_has_left_or_ended_frees_the_node() -> None:
    first, second = pod("w1", GPU_NODE, gpus=4), pod("w2", GPU_NODE, gpus=4)
    ended = pod("w2", GPU_NODE, gpus=4, phase="Succeeded")
    gangs = seen(
        (1.0, "ADDED", first), (2.0, "DELETED", first), (3.0, "ADDED", second), (4.0, "MODIFIED", ended),
        (5.0, "ADDED", pod("w3", GPU_NODE, gpus=4)),
    )  # fmt: skip
    assert gangs.overcommitted == []


def test_quantities_and_quantiles() -> None:
    assert [amount(text) for text in ("2", "500m", "16Gi")] == [2.0, 0.5, 16 * 2**30]
    assert requests(pod("p", gpus=3)) == {"cpu": 1.0, "memory": 2 * 2**30, GPU: 3.0}
    assert [quantile([3.0, 1.0, 2.0], share) for share in (0.0, 0.5, 0.99)] == [1.0, 2.0, 3.0]
    assert quantile([], 0.99) == 0.0


METRICS = """# HELP apiserver_request_total Counter
apiserver_request_total{code="201",resource="pods",subresource="",verb="POST",version="v1"} 3
apiserver_request_total{code="409",resource="pods",subresource="",verb="POST",version="v1"} 1
apiserver_request_total{code="200",resource="pods",subresource="status",verb="PATCH",version="v1"} 6
apiserver_request_total{code="200",resource="pods",subresource="",verb="PATCH",version="v1"} 2
apiserver_request_total{code="0",resource="pods",subresource="",verb="WATCH",version="v1"} 9
apiserver_request_total{code="200",resource="leases",subresource="",verb="PUT",version="v1"} 50
apiserver_request_total{code="200",resource="",subresource="/readyz",verb="GET",version=""} 7
apiserver_request_total{code="201",resource="rayclusters",subresource="",verb="POST",version="v1"} 1e+00
apiserver_request_total_other{code="201",resource="pods",verb="POST"} 100
"""


def test_requests_are_counted_by_kind_without_watches_and_what_nodes_do_by_themselves() -> None:
    counts = request_counts(METRICS)
    assert counts["POST pods"] == 4
    assert (about_placement(counts), by_the_fabric(counts)) == (13, 3)
    assert request_counts(METRICS) - counts == {}


DEFINITION = "a\n    served: true\n    storage: true\nb\n    served: true\n    storage: false\n"


def test_a_definition_of_kueues_serves_the_version_that_kueue_writes() -> None:
    turned = "a\n    served: false\n    storage: false\nb\n    served: true\n    storage: true\n"
    assert definition(DEFINITION) == turned


@pytest.mark.parametrize("text", ["", DEFINITION + DEFINITION, DEFINITION.replace("storage: false", "storage: true")])
def test_a_definition_of_other_versions_is_refused(text: str) -> None:
    with pytest.raises(RigError, match="other versions"):
        definition(text)


def test_kueues_quota_is_that_of_the_gangs_that_fit() -> None:
    queue = cluster_queue(SMALL.fit)
    (group,) = queue["spec"]["resourceGroups"]
    quotas = {f["name"]: {r["name"]: r["nominalQuota"] for r in f["resources"]} for f in group["flavors"]}
    assert quotas == {
        "commodity": {"cpu": "2", "memory": "4Gi", GPU: "0"},
        "gpu": {"cpu": "64", "memory": "256Gi", GPU: "16"},
    }
    assert queue["metadata"]["name"] == QUEUE
    assert configuration(Path("/certificates"))["integrations"] == {"frameworks": ["ray.io/raycluster"]}


def test_a_fifth_of_the_nodes_has_gpus_and_a_third_of_the_gangs_fits() -> None:
    world = World(1000)
    tiers = list(world.nodes.values())
    assert (len(tiers), tiers.count("gpu"), world.fit, len(world.gangs)) == (1000, 200, 100, 300)
    assert fake_node("n", "gpu")["status"]["allocatable"][GPU] == "4"


def test_the_door_and_adoption_are_asked_for_the_same(tmp_path: Path) -> None:
    site = load_site(site_file(World(1000), tmp_path), policy=Policy)
    item = gang_object("gang-1", {"fabric/project": "default"})
    item["metadata"]["uid"] = "uid-1"
    (mine,) = WorkloadSpec.model_validate_json(json.dumps(gang_spec("gang-1"))).groups
    head, workers = spec_of(Foreign("RayCluster", item), site).groups
    assert (workers.count, workers.tier, workers.request) == (mine.count, mine.tier, mine.request)
    assert (head.tier, head.request) == ("commodity", site.head.resources)
    assert {tier.name: tier.nodes for tier in site.tiers} == {"gpu": 200, "commodity": 800}


def row(way: str, seconds: float | None, **more: Any) -> dict[str, Any]:
    """Figures of a run."""
    usual = {
        "way": way, "round": 0, "seconds": seconds, "problem": "" if seconds else "it stopped", "most_half_started": 1,
        "longest_half_started_s": 0.5, "overcommitted": [], "calls_per_gang": 30.0, "control_calls_per_gang": 5.0,
        "memory_mib": {"control": 200, "kuberay-operator": 100},
    }  # fmt: skip
    return usual | more


@pytest.mark.parametrize(
    ("rows", "sentences"),
    [
        ([row("door", 80.0), row("adoption", 100.0), row("kueue", 100.0)], []),
        ([row("door", 81.0), row("kueue", 100.0)], ["door takes 0.81 of Kueue's time, and may take 0.8"]),
        ([row("adoption", 110.0), row("kueue", 100.0)], ["adoption takes 1.10 of Kueue's time, and may take 1"]),
        ([row("door", None)], ["door, round 0: it stopped"]),
        ([row("door", 1.0, longest_half_started_s=6.0)], ["door: a gang was started in part for 6.0 s"]),
        ([row("kueue", 1.0, longest_half_started_s=60.0)], []),
        ([row("door", 1.0, overcommitted=["n carries 5 cpu and has 4"] * 2)], ["door: n carries 5 cpu and has 4"]),
        ([row("door", 70.0), row("door", 100.0), row("door", 75.0), row("kueue", 100.0)], []),
    ],
)
def test_a_goal_that_is_missed_is_a_sentence(rows: list[dict[str, Any]], sentences: list[str]) -> None:
    assert verdict(rows) == sentences


def test_the_table_has_a_line_for_each_way_with_what_it_takes_of_kueues_time() -> None:
    pause = {"grant_to_release_s": {"p50": 1.0, "p99": 2.0}}
    lines = table([row("door", 50.0, **pause), row("door", 70.0, **pause), row("kueue", 100.0)]).splitlines()
    assert lines[2] == "| door | 2 | 60.0 (50.0 to 70.0) | 0.60 | 1 | 0.50 | 30.0 | 5.0 | 2.00 | 200 | 100 |"
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| door", "| kueue"]


def test_each_way_comes_first_in_one_of_three_rounds() -> None:
    rounds = [rotated(["a", "b", "c"], number) for number in range(3)]
    assert rounds == [["a", "b", "c"], ["b", "c", "a"], ["c", "a", "b"]]


def test_mixed_gangs_are_the_same_for_the_same_seed_and_can_all_be_asked_for() -> None:
    gangs = drawn(3)
    assert (gangs, len(gangs)) == (drawn(3), NUM_GANGS)
    assert gangs != drawn(4)
    assert all(0 <= come.at_s <= OVER_S and RUNS_S[0] <= come.runs_s <= RUNS_S[1] for come in gangs)
    assert {come.shape for come in gangs} == set(range(len(SHAPES)))
    for shape in range(len(SHAPES)):
        WorkloadSpec.model_validate_json(json.dumps(mixed_spec_of(Come(0.0, "mixed-000", shape, 60.0))))


def test_what_did_not_run_once_and_stop_is_told() -> None:
    plan = [Come(0.0, name, 0, 60.0) for name in ("well", "again", "missing")]
    found = [
        {"name": "well", "state": "cancelled", "attempt": 1, "message": ""},
        {"name": "again", "state": "cancelled", "attempt": 2, "message": "lost"},
    ]
    assert lost(plan, found) == ["missing is lost", "again is cancelled in attempt 2: lost"]


def answering(*answers: httpx.Response) -> tuple[httpx.Client, list[str]]:
    """A client of a fabric that gives these answers, and what it was asked."""
    left, heard = list(answers), list[str]()

    def answer(request: httpx.Request) -> httpx.Response:
        heard.append(request.url.path)
        return left.pop(0)

    return httpx.Client(transport=httpx.MockTransport(answer), base_url="http://fabric"), heard


def test_a_fabric_that_has_too_much_to_do_is_asked_again_and_one_that_refuses_is_not() -> None:
    busy = [httpx.Response(status, headers={"Retry-After": "0"}) for status in (429, 503)]
    client, heard = answering(*busy, httpx.Response(200))
    asked(client, "/work", None)
    assert heard == ["/work"] * 3
    client, heard = answering(httpx.Response(400))
    with pytest.raises(httpx.HTTPStatusError):
        asked(client, "/work", None)
    assert heard == ["/work"]
