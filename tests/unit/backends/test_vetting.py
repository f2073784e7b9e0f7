"""Whether a node takes work follows from what it showed, and the reason names what it lacks."""

import json
from typing import Any

import pytest

from fabric.backends.kuberay import names
from fabric.backends.kuberay.api import Object
from fabric.backends.kuberay.nodes import Standing, nodes_seen
from fabric.backends.kuberay.vetting import Record, Report, is_due, record_of, standings, vetted
from fabric.config.kubernetes import FabricProfile
from fabric.config.memory import Superchip
from fabric.config.site import Site
from fabric.config.vet import Vet
from fabric.core.numa import Note, Numa, NumaNode
from fabric.scheduler.snapshot import NodeState
from tests.preflights import GIB, NOW, node_of, shows, vetting_site

ASKS = {"gpu": "ask-1", "commodity": "ask-1"}
SHOWN = Numa((NumaNode(0, 8, 16 * GIB),))
READY = Standing(NodeState.READY, numa=SHOWN)


def having(item: Object, report: dict[str, Any] | None = None, *, failure: str = "", **more: Any) -> Object:
    """A node that carries what its preflight came to."""
    fields = {"job": "j", "boot": "boot-1", "ask": "ask-1", "asked_at": NOW - 10, "heard_at": NOW + 10}
    shown = Report.model_validate_json(json.dumps(report)) if report is not None else None
    record = Record.model_validate({**fields, **more, "report": shown, "failure": failure})
    item["metadata"]["annotations"] = {names.PREFLIGHT: record.model_dump_json()}
    return item


def head(**more: Any) -> Object:
    return having(node_of("c0", "commodity"), shows(**more))


def gpu(**more: Any) -> Object:
    return having(node_of("g0", "gpu", gpus=2), shows(**more))


def stand(*items: Object, site: Site | None = None, **waits: str) -> dict[str, Standing]:
    return standings(vetted(site or vetting_site(), items, ASKS), waits)


def test_a_node_that_shows_what_its_tier_has_is_ready() -> None:
    assert stand(head(), gpu()) == {"c0": READY, "g0": READY}


def test_a_node_of_which_nothing_is_known_is_vetted_and_says_what_it_waits_for() -> None:
    items = (node_of("c0", "commodity"), node_of("g0", "gpu", gpus=2))
    found = stand(*items, c0="its preflight runs")
    assert found["c0"] == Standing(NodeState.VETTING, "its preflight runs")
    assert found["g0"] == Standing(NodeState.VETTING, "its preflight has not begun")


@pytest.mark.parametrize(
    ("shown", "lacks"),
    [
        ({"cpus": 3}, "3 cores of 4"),
        ({"memory": 7 * GIB}, "7 GiB of memory, at least 8 GiB are asked"),
        ({"gpus": 1}, "a pod with all accelerators sees 1 of 2"),
        ({"machine": "aarch64"}, "it is arm64, its tier amd64"),
        ({"machine": "riscv64"}, "it is riscv64, its tier amd64"),
        ({"bad": ["/dev/cxi0 is missing", "/scratch takes no files: Read-only file system"]},
         "/dev/cxi0 is missing; /scratch takes no files: Read-only file system"),
        ({"shm": GIB - 1}, "at least 1 GiB are asked"),
        ({"memory_free": GIB}, "1 GiB of memory available, at least 10 GiB are asked"),
        ({"ray": "2.55.0"}, "its image has Ray 2.55.0, the fabric 2.60.0"),
        ({"ray": ""}, "its image has no Ray, the fabric 2.60.0"),
        ({"python": "3.12.1"}, "its image has Python 3.12.1, that of heads 3.11.9"),
        ({"at": NOW - 40}, "its clock is at least 30 s behind control's (5 s are allowed)"),
        ({"at": NOW + 40}, "its clock is at least 30 s ahead of control's (5 s are allowed)"),
    ],
)  # fmt: skip
def test_what_a_node_lacks_is_the_reason_why_it_is_refused(shown: dict[str, Any], lacks: str) -> None:
    site = vetting_site(Vet(shm="1 GiB", memory_free="10 GiB"))
    found = stand(head(), gpu(**shown), site=site)
    assert (found["c0"], found["g0"].state) == (READY, NodeState.REFUSED)
    assert lacks in found["g0"].said


def test_a_clock_is_refused_only_where_it_is_sure_to_be_wrong() -> None:
    assert stand(head(), gpu(at=NOW - 14)) == stand(head(), gpu(at=NOW + 14)) == {"c0": READY, "g0": READY}


def test_a_preflight_that_failed_is_the_reason() -> None:
    failed = having(node_of("g0", "gpu", gpus=2), failure="ImagePullBackOff: no such image fabric:1")
    assert stand(head(), failed)["g0"] == Standing(NodeState.REFUSED, "ImagePullBackOff: no such image fabric:1")


def test_nobody_is_admitted_before_a_node_for_heads_says_which_python_all_have() -> None:
    for unknown in (node_of("c0", "commodity"), head(cpus=1)):
        found = stand(unknown, gpu())
        assert found["g0"].state is NodeState.VETTING
        assert "no node that may hold heads has been admitted" in found["g0"].said
    other = having(node_of("c1", "commodity"), shows(python="3.11.8"))
    assert stand(head(), other, gpu())["c1"].said == "its image has Python 3.11.8, that of heads 3.11.9"
    alone = vetting_site(tiers=("gpu",))
    assert stand(gpu(), site=alone) == {"g0": READY}


def test_pretended_accelerators_and_those_of_others_are_not_looked_for_in_the_pod() -> None:
    site = vetting_site()
    pretended = site.model_copy(
        update={"tiers": tuple(tier.model_copy(update={"pretend": True}) for tier in site.tiers)}
    )
    assert stand(head(), gpu(gpus=0), site=pretended)["g0"] == READY
    amd = vetting_site(gpu_resource="amd.com/gpu")
    item = gpu(gpus=0)
    item["status"]["allocatable"]["amd.com/gpu"] = "2"
    assert stand(head(), item, site=amd)["g0"] == READY


@pytest.mark.parametrize("change", [{"boot": "boot-0"}, {"ask": "ask-0"}])
def test_what_was_shown_before_a_new_start_or_to_another_question_counts_nothing(change: dict[str, str]) -> None:
    item = having(node_of("g0", "gpu", gpus=2), shows(), **change)
    assert stand(head(), item)["g0"].state is NodeState.VETTING


def test_a_silent_fall_back_to_tcp_is_refused_where_the_network_is_asked() -> None:
    profile = FabricProfile(version="1", env={"NCCL_NET": "AWS Libfabric"})
    site = vetting_site(Vet(network=True), tiers=("gpu",), profile=profile)
    for said, state in (("Using network AWS Libfabric", "ready"), ("Using network Socket", "refused")):
        (found,) = stand(gpu(network=[f"nid1:1:1 [0] NCCL INFO {said}"]), site=site).values()
        assert found.state == state
    assert found.said == "NCCL fell back to Socket instead of AWS Libfabric"


def test_an_annotation_that_nobody_can_read_counts_nothing() -> None:
    item = node_of("g0", "gpu", gpus=2)
    item["metadata"]["annotations"] = {names.PREFLIGHT: '{"job": 1}'}
    assert record_of(item) is None
    assert stand(head(), item)["g0"].state is NodeState.VETTING


def test_an_accelerator_that_kubernetes_loses_later_refuses_the_node_until_it_is_back() -> None:
    item = gpu()
    item["status"]["allocatable"]["nvidia.com/gpu"] = "1"
    assert stand(head(), item)["g0"] == Standing(NodeState.REFUSED, "Kubernetes offers 1 nvidia.com/gpu of 2", SHOWN)
    new = node_of("g0", "gpu", gpus=1)
    assert stand(head(), new)["g0"] == Standing(NodeState.VETTING, "Kubernetes offers 1 nvidia.com/gpu of 2")
    (node,) = vetted(vetting_site(), [new], ASKS)
    assert not is_due(node, Standing(NodeState.VETTING), NOW), "no pod could have all of them"


def test_a_refused_node_is_asked_again_after_a_while_and_a_good_one_is_not() -> None:
    site = vetting_site(Vet(again_s=100.0))
    bad, good = vetted(site, [gpu(cpus=1), head()], ASKS)[::-1]
    for node, state, after_s, due in (
        (bad, NodeState.REFUSED, 100.0, True),
        (bad, NodeState.REFUSED, 99.0, False),
        (good, NodeState.READY, 1e6, False),
    ):
        assert is_due(node, Standing(state), NOW + 10 + after_s) is due
    (fresh,) = vetted(site, [node_of("g0", "gpu", gpus=2)], ASKS)
    assert is_due(fresh, Standing(NodeState.VETTING), NOW)


def test_a_superchip_shows_whether_its_driver_gives_its_memory_to_the_system() -> None:
    site = vetting_site(tiers=("gpu",))
    chips = tuple(t.model_copy(update={"superchip": Superchip(cpus=1, gpus=1, memory="1 GiB")}) for t in site.tiers)
    site = site.model_copy(update={"tiers": chips})
    for numa, mode in (([[0, 8, GIB], [4, 0, GIB], [5, 0, 0]], "numa"), ([[0, 8, GIB]], "cdmm")):
        (found,) = stand(gpu(numa=numa), site=site).values()
        assert found.numa is not None
        assert found.numa.mode == mode


def states(*items: Object, site: Site | None = None) -> dict[str, str]:
    seen = nodes_seen(site or vetting_site(), items, stand(*items, site=site))
    return {node.name: f"{node.state}: {seen.notes.get(node.name, Note()).said}" for node in seen.nodes}


def test_states_of_nodes_through_their_lives() -> None:
    boots, gone = node_of("g1", "gpu", gpus=2), node_of("g2", "gpu", gpus=2)
    boots["status"]["conditions"] = [{"type": "Ready", "status": "False", "message": "the network is not ready"}]
    gone["status"]["conditions"] = [{"type": "Ready", "status": "Unknown", "message": "Kubelet stopped posting"}]
    drained = having(node_of("g3", "gpu", gpus=2, unschedulable=True), shows(cpus=1))
    arm = node_of("g4", "gpu", gpus=2)
    arm["metadata"]["labels"][names.ARCHITECTURE] = "arm64"
    assert states(head(), gpu(cpus=1), boots, gone, drained, arm) == {
        "c0": "ready: ",
        "g0": "refused: 1 cores of 4",
        "g1": "booting: the network is not ready",
        "g2": "down: Kubelet stopped posting",
        "g3": "draining: 1 cores of 4",
        "g4": "down: it is arm64, its tier amd64",
    }


def test_a_node_that_came_between_two_looks_is_not_ready_before_it_was_looked_at() -> None:
    seen = nodes_seen(vetting_site(), [node_of("g9", "gpu", gpus=2)], {})
    assert [node.state for node in seen.nodes] == [NodeState.VETTING]


def test_a_tier_that_does_not_vet_takes_its_nodes_as_kubernetes_does() -> None:
    site = vetting_site(tiers=())
    assert vetted(site, [node_of("g0", "gpu")], {}) == []
    assert [node.state for node in nodes_seen(site, [node_of("g0", "gpu")], {}).nodes] == [NodeState.READY]
