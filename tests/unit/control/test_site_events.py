"""What happened at the site, as whoever asks may see it, and where it comes from."""

from collections.abc import Callable
from dataclasses import replace

import httpx
import pytest

from fabric.api.site_events import SITE_EVENTS, SiteEventList
from fabric.control.node_watch import NodeWatch
from fabric.core.numa import Note
from fabric.scheduler.snapshot import Node, NodeState
from fabric.sdk import AsyncClient
from fabric.store.site_events import SiteEvent
from fabric.workloads.states import State
from tests.unit.control.test_mlflow import once
from tests.unit.control.world import BASE, NODES, START, World

ALIAS = "/mlflow/api/2.0/mlflow/registered-models/alias"


def seen(world: World, key: str | None = None, **asked: int) -> SiteEventList:
    """What the route answers."""
    answer = world.client(key).get(SITE_EVENTS, params=asked)
    assert answer.status_code == 200, answer.text
    return SiteEventList.model_validate_json(answer.content)


def told(world: World, key: str | None = None) -> list[tuple[str, str]]:
    return [(event.kind, event.about) for event in seen(world, key).events]


def test_what_happened_comes_newest_first_in_pages(world: World) -> None:
    for number in range(5):
        world.job(f"w{number}")
        world.change(f"w{number}", State.FAILED, message="ended with code 1")
    first = seen(world, limit=2)
    assert [event.about for event in first.events] == ["w4", "w3"]
    assert first.events[0].said == "ended with code 1"
    assert first.before == first.events[-1].number
    second = seen(world, limit=3, before=first.before)
    assert ([event.about for event in second.events], second.before) == (["w2", "w1", "w0"], None)


def test_each_sees_what_is_within_reach_and_no_names_of_others_work(world: World) -> None:
    world.job("mine", project="alpha")
    world.job("rival", project="beta")
    world.change("mine", State.DRAINING, message="preempted: makes room for rival")
    world.change("rival", State.FAILED, message="no")
    world.client().post("/api/fabric/nodes/gpu-0/drain", json={"reason": "bad DIMM"})
    world.client().post("/api/fabric/site/reloads")
    ann = world.issue("ann", "member", "alpha")
    assert told(world, ann) == [("node_drained", "gpu-0"), ("preempted", "mine")]
    assert [event.said for event in seen(world, ann).events] == [
        "bad DIMM",
        "preempted: makes room for work of another project",
    ]
    assert told(world) == [
        ("reloaded", ""), ("node_drained", "gpu-0"), ("failed", "rival"), ("preempted", "mine"),
    ]  # fmt: skip
    # What is in the site's file is for who operates it.
    assert ("reloaded", "") not in told(world, world.issue("eve", "viewer"))


def test_who_put_a_node_into_service_is_told(world: World) -> None:
    world.person("ada", "operator")
    for method in ("POST", "DELETE"):
        world.client("ada").request(method, "/api/fabric/nodes/gpu-0/drain")
    assert [(event.kind, event.by) for event in seen(world).events] == [
        ("node_returned", "ada"),
        ("node_drained", "ada"),
    ]


def test_kinds_of_a_newer_control_are_passed_over(world: World) -> None:
    world.records.add_site_events([SiteEvent(START, "unheard-of", "x", ""), SiteEvent(START, "node_up", "gpu-0", "")])
    assert told(world) == [("node_up", "gpu-0")]


async def test_the_client_asks_for_pages(world: World) -> None:
    world.records.add_site_events(SiteEvent(START, "node_up", f"n{i}", "") for i in range(3))
    async with AsyncClient(BASE, transport=httpx.ASGITransport(world.app), patience_s=0.0) as client:
        newest = await client.site_events(limit=2)
        assert [event.about for event in newest.events] == ["n2", "n1"]
        assert [event.about for event in (await client.site_events(before=newest.before)).events] == ["n0"]


@pytest.fixture
def with_mlflow(make_world: Callable[..., World]) -> Callable[[int], World]:
    """A world whose MLflow answers so."""

    def make(status: int) -> World:
        def answer(asked: httpx.Request) -> httpx.Response:
            return httpx.Response(status, content=once(b"{}"))

        return make_world(anonymous=False, mlflow_port=5000, carrier=httpx.MockTransport(answer))

    return make


def test_an_alias_that_moves_is_told_with_who_moved_it(with_mlflow: Callable[[int], World]) -> None:
    world = with_mlflow(200)
    admin = world.issue("admin", "admin")
    world.job("train", project="alpha")
    world.run("train")
    job = world.issue("job", "workload", "alpha", workload="train")
    for version in ("3", "3", "4"):
        body = {"name": "tale", "alias": "champion", "version": version}
        assert world.client(job).post(ALIAS, json=body).status_code == 200
    gone = world.client(admin).request("DELETE", ALIAS, json={"name": "play", "alias": "old"})
    assert gone.status_code == 200
    found = seen(world, admin).events
    assert [(event.about, event.said, event.by, event.project) for event in found] == [
        ("play@old", "points nowhere any more", "admin's", "default"),
        ("tale@champion", "points to version 4 now", "train", "alpha"),
        ("tale@champion", "points to version 3 now", "train", "alpha"),
    ]


@pytest.mark.parametrize(
    ("status", "body"),
    [(400, b'{"name": "tale", "alias": "a", "version": "1"}'), (200, b"no json"), (200, b"[]"), (200, b"x" * 20_000)],
)
def test_what_mlflow_refuses_or_nobody_can_read_is_no_event(
    with_mlflow: Callable[[int], World], status: int, body: bytes
) -> None:
    world = with_mlflow(status)
    admin = world.issue("admin", "admin")
    assert world.client(admin).post(ALIAS, content=body).status_code == status
    assert told(world, admin) == []


class Watching:
    """A watch over nodes that a test changes."""

    def __init__(self, world: World) -> None:
        self.world, self.nodes = world, list(NODES)
        self.drained: set[str] = set()
        self.notes: dict[str, Note] = {}

    def watch(self) -> NodeWatch:
        """One of a control that begins."""
        return NodeWatch(
            self.world.records, lambda: self.nodes, drained=lambda: self.drained, notes=lambda: self.notes,
            now=self.world.clock.now,
        )  # fmt: skip

    def become(self, name: str, state: NodeState) -> None:
        self.nodes = [replace(node, state=state) if node.name == name else node for node in self.nodes]

    def said(self) -> list[tuple[str, str, str]]:
        """What was told, oldest first."""
        return [(event.kind, event.about, event.said) for event in reversed(self.world.records.site_events())]


@pytest.fixture
def site(world: World) -> Watching:
    return Watching(world)


def test_nodes_that_stand_there_are_no_news_and_those_that_go_and_come_are(site: Watching) -> None:
    watch = site.watch()
    watch.look()
    assert site.said() == []
    site.notes["gpu-0"] = Note("no heartbeat for 40 s")
    site.become("gpu-0", NodeState.DOWN)
    watch.look()
    watch.look()
    site.become("gpu-0", NodeState.BOOTING)
    watch.look()
    site.become("gpu-0", NodeState.READY)
    watch.look()
    site.nodes = [*(node for node in site.nodes if node.name != "gpu-1"), replace(NODES[0], name="gpu-9")]
    watch.look()
    assert site.said() == [
        ("node_down", "gpu-0", "is down: no heartbeat for 40 s"),
        ("node_up", "gpu-0", "is in service"),
        ("node_gone", "gpu-1", "is no longer there"),
        ("node_up", "gpu-9", "is in service"),
    ]


def test_a_control_that_begins_goes_on_from_what_was_told(site: Watching) -> None:
    first = site.watch()
    first.look()
    site.become("gpu-0", NodeState.DOWN)
    first.look()
    second = site.watch()
    second.look()
    site.become("gpu-0", NodeState.READY)
    third = site.watch()
    third.look()
    third.look()
    site.nodes = [node for node in site.nodes if node.name != "gpu-0"]
    site.watch().look()
    assert [kind for kind, _, _ in site.said()] == ["node_down", "node_up", "node_gone"]


def test_a_node_that_boots_is_told_once_it_is_in_service(site: Watching) -> None:
    site.become("gpu-0", NodeState.BOOTING)
    watch = site.watch()
    watch.look()
    site.become("gpu-0", NodeState.VETTING)
    watch.look()
    site.become("gpu-0", NodeState.READY)
    watch.look()
    assert site.said() == [("node_up", "gpu-0", "is in service")]


def test_nodes_that_people_drain_are_told_when_they_do_so_and_cordons_of_others_here(site: Watching) -> None:
    watch = site.watch()
    watch.look()
    site.drained.add("gpu-0")
    site.become("gpu-0", NodeState.DRAINING)
    site.become("gpu-1", NodeState.DRAINING)
    watch.look()
    assert site.said() == [("node_cordoned", "gpu-1", "is held back by others than the fabric")]


def test_many_nodes_of_a_tier_are_one_event(site: Watching) -> None:
    site.nodes = [Node(f"g{i:03d}", "gpu", NODES[0].capacity) for i in range(40)]
    watch = site.watch()
    watch.look()
    site.nodes = [replace(node, state=NodeState.DOWN) for node in site.nodes]
    watch.look()
    said = "40 nodes of tier gpu are down: g000, g001, g002, g003, g004 and 35 more"
    assert site.said() == [("node_down", "", said)]
    site.nodes = []
    site.watch().look()
    assert len(site.said()) == 1


def test_nodes_that_came_one_by_one_and_left_together_are_not_told_again(site: Watching) -> None:
    watch = site.watch()
    watch.look()
    came = [Node(f"g{i:03d}", "gpu", NODES[0].capacity) for i in range(8)]
    for node in came:
        site.nodes = [*site.nodes, node]
        watch.look()
    site.nodes = [node for node in site.nodes if node not in came]
    watch.look()
    assert [kind for kind, _, _ in site.said()] == ["node_up"] * 8 + ["node_gone"]
    site.watch().look()
    assert len(site.said()) == 9


def test_a_cordon_of_ours_that_is_lifted_a_moment_late_is_nobody_elses(site: Watching) -> None:
    watch = site.watch()
    site.drained.add("gpu-0")
    site.become("gpu-0", NodeState.DRAINING)
    watch.look()
    site.drained.clear()
    watch.look()
    site.become("gpu-0", NodeState.READY)
    watch.look()
    assert site.said() == []
