"""A drain of the fabric cordons the node in Kubernetes, and undoing it lifts that cordon and nobody else's."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from fabric.backends.kuberay import names
from fabric.backends.kuberay.api import NODES
from fabric.backends.kuberay.cordons import Cordons, patch_of
from fabric.backends.kuberay.mirror import Mirror
from fabric.core.errors import Denied
from tests.fake_api_server import FakeApiServer, kube_node

ADA = "is being drained by ada: bad DIMM"


class Nodes:
    """Three nodes, g2 cordoned by somebody, and the fabric's cordons over them."""

    def __init__(self) -> None:
        self.api = FakeApiServer()
        self.api.add(NODES, kube_node("g0", "gpu"), kube_node("g1", "gpu"), kube_node("g2", "gpu", unschedulable=True))
        self.mirror = Mirror(self.api, NODES, "", lambda: None)
        self.mirror.start()
        assert self.mirror.first_look(5.0)
        self.cordons = Cordons(self.api, self.mirror)

    def want(self, **reasons: str) -> bool:
        self.cordons.want(reasons)
        return self.cordons.settle()

    def others_set(self, name: str, cordoned: bool) -> None:
        self.mirror.learn(self.api.patch(NODES, name, {"spec": {"unschedulable": cordoned or None}}))

    def node(self, name: str) -> tuple[bool, str | None]:
        """Whether it is cordoned, and what the fabric says of it."""
        item = self.api.get(NODES, name)
        annotations = item["metadata"].get("annotations", {})
        return bool(item["spec"].get("unschedulable")), annotations.get(names.DRAINED)


@pytest.fixture
def nodes() -> Iterator[Nodes]:
    made = Nodes()
    yield made
    made.mirror.end()
    made.api.close()
    made.mirror.join(5.0)


def test_a_drain_cordons_with_the_reason_and_undoing_it_lifts_that(nodes: Nodes) -> None:
    assert nodes.want(g0=ADA)
    assert (nodes.node("g0"), nodes.node("g1")) == ((True, ADA), (False, None))
    assert nodes.want()
    assert nodes.node("g0") == (False, None)
    changes = len(nodes.api.calls)
    assert nodes.want()
    assert len(nodes.api.calls) == changes, "nothing differs, so nothing is asked for"


def test_a_cordon_of_others_is_neither_taken_over_nor_lifted(nodes: Nodes) -> None:
    nodes.want(g2=ADA)
    assert nodes.node("g2") == (True, None)
    nodes.want()
    assert nodes.node("g2") == (True, None)


def test_when_others_lift_their_cordon_of_a_drained_node_ours_takes_its_place(nodes: Nodes) -> None:
    nodes.want(g2=ADA)
    nodes.others_set("g2", False)
    assert nodes.cordons.settle()
    assert nodes.node("g2") == (True, ADA)


def test_what_an_earlier_fabric_cordoned_is_lifted_but_not_before_it_is_known_what_is_drained(nodes: Nodes) -> None:
    nodes.want(g0=ADA)
    later = Cordons(nodes.api, nodes.mirror)
    assert later.settle()
    assert nodes.node("g0") == (True, ADA)
    later.want({})
    assert later.settle()
    assert nodes.node("g0") == (False, None)


def test_a_node_that_somebody_changed_first_is_left_until_that_is_heard(nodes: Nodes) -> None:
    nodes.api.patch(NODES, "g0", {"spec": {"unschedulable": True}})
    stale = dict(nodes.mirror.objects())["g0"]
    patch = patch_of({**stale, "spec": {}, "metadata": {**stale["metadata"], "resourceVersion": "1"}}, ADA)
    assert isinstance(patch, dict)
    assert patch["metadata"]["resourceVersion"] == "1"
    assert nodes.node("g0") == (True, None)


def test_a_missing_right_is_said_and_tried_again(nodes: Nodes, caplog: pytest.LogCaptureFixture) -> None:
    nodes.api.refuses["patch", "nodes"] = Denied("grant verb patch on resource nodes")
    assert not nodes.want(g0=ADA, g1=ADA)
    assert "node g0 is not cordoned as it should be: grant verb patch" in caplog.text
    assert "node g1" in caplog.text
    nodes.api.refuses.clear()
    assert nodes.cordons.settle()
    assert nodes.node("g1") == (True, ADA)


def test_the_thread_follows_what_it_is_told(nodes: Nodes) -> None:
    nodes.cordons.start()
    nodes.cordons.want({"g1": "x" * 300})
    deadline = time.monotonic() + 5.0
    while nodes.node("g1") != (True, "x" * 200):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    nodes.cordons.end()
    nodes.cordons.join(5.0)
    assert not nodes.cordons.is_alive()


def test_nodes_without_annotations_or_spec_are_read_as_such() -> None:
    bare: dict[str, Any] = {"metadata": {"name": "g0", "annotations": None}, "spec": None}
    assert patch_of(bare, None) is None
    assert patch_of(bare, "x") == {"metadata": {"annotations": {names.DRAINED: "x"}}, "spec": {"unschedulable": True}}
