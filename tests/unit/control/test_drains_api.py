"""Draining nodes over HTTP: who may, what is kept, what is told, and what would follow."""

from collections.abc import Callable
from typing import Any

import pytest

from fabric.api.nodes import DRAIN
from fabric.core.numa import Note, Numa, NumaNode
from fabric.core.resources import Resources
from fabric.sdk import AsyncClient
from fabric.workloads.record import Grant, Slice
from fabric.workloads.spec import Group
from fabric.workloads.states import State
from tests.unit.control.test_sdk_against_routes import connected
from tests.unit.control.world import START, World


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    world = make_world(anonymous=False)
    world.person("ada", "operator")
    world.person("ann", "member", "alpha")
    return world


def path(node: str) -> str:
    return DRAIN.format(node=node)


def drain(world: World, node: str = "gpu-1", **body: Any) -> Any:
    return world.client("ada").post(path(node), json=body)


def place(world: World, name: str, *nodes: str, project: str = "alpha", gpus: float = 2.0, **spec: Any) -> None:
    """Let a job run with one worker on each node."""
    tier = nodes[0].rpartition("-")[0]
    group = spec.pop("group", Group(name="t", count=len(nodes), tier=tier, gpus=gpus, memory="1 GiB"))
    world.job(name, project=project, groups=(group,), **spec)
    held = Resources.of(1, int(gpus), "1 GiB")
    grant = Grant(tuple(Slice(f"t-{i}", "t", node, tier, 1, held) for i, node in enumerate(nodes)))
    world.change(name, State.RUNNING, grant=grant, at={"granted": START, "running": START})


def moves(world: World, node: str = "gpu-1", **asked: Any) -> dict[str, tuple[str, list[str], str]]:
    answer = world.client("ada").get(path(node), params=asked)
    assert answer.status_code == 200, answer.text
    return {move["workload"]: (move["how"], move["to"], move["said"]) for move in answer.json()["moves"]}


def test_who_when_and_why_are_kept_and_shown_until_it_is_undone(world: World) -> None:
    done = drain(world, reason="bad   DIMM\n", deadline_s=60.0).json()
    known = {"node": "gpu-1", "by": "ada", "reason": "bad DIMM", "since": START, "deadline": START + 60}
    assert done == known
    shown = {node["name"]: node for node in world.client("ann").get("/api/fabric/nodes").json()["nodes"]}
    assert (shown["gpu-1"]["state"], shown["gpu-1"]["drain"]) == ("draining", known)
    assert (shown["gpu-0"]["state"], shown["gpu-0"]["drain"]) == ("ready", None)
    woken = world.process.woken
    assert world.client("ada").delete(path("gpu-1")).status_code == 204
    assert world.process.woken == woken + 1
    assert world.client("ada").delete(path("gpu-1")).status_code == 404
    assert world.drains.all() == {}


BAD: list[tuple[str, dict[str, Any], int, str]] = [
    ("gpu-9", {}, 404, "the site has no node gpu-9"),
    ("gpu-1", {"deadline_s": -1}, 400, "deadline_s"),
    ("gpu-1", {"deadline_s": 1e12}, 400, "deadline_s"),
    ("gpu-1", {"deadline_s": "soon"}, 400, "deadline_s"),
    ("gpu-1", {"reason": "x" * 501}, 400, "reason"),
    ("gpu-1", {"why": "x"}, 400, "why"),
]


def test_what_is_no_drain_is_refused_and_nothing_is_drained(world: World) -> None:
    for node, body, status, says in BAD:
        refused = drain(world, node, **body)
        assert (refused.status_code, says in refused.text) == (status, True), (body, refused.text)
    assert world.client("ada").get(path("gpu-9")).status_code == 404
    assert world.client("ann").post(path("gpu-1"), json={}).status_code == 403
    assert world.drains.all() == {}


def test_a_preview_says_who_stays_who_moves_where_and_who_waits_and_does_nothing(world: World) -> None:
    place(world, "saves", "gpu-1", checkpoints=True)
    assert moves(world)["saves"] == ("moves", ["gpu-0"], "saves its state, and goes on on gpu-0")
    place(world, "keeps", "gpu-0")
    how, to, said = moves(world)["saves"]
    assert (how, to) == ("waits", [])
    assert "is asked to leave, and waits: group t: 0 of 1 workers" in said
    assert moves(world, "gpu-0")["keeps"][0] == "stays"
    with_deadline = moves(world, "gpu-0", deadline_s=600)["keeps"]
    assert with_deadline[0] == "waits"
    assert moves(world, "commodity-0") == {}
    assert world.drains.all() == {}
    assert world.records.get("saves").state is State.RUNNING


def test_a_preview_says_who_has_ended_before_the_deadline(world: World) -> None:
    place(world, "short", "gpu-1", walltime_s=300.0)
    assert moves(world, deadline_s=900)["short"][0] == "ends"


def test_a_preview_says_how_an_elastic_job_leaves(world: World) -> None:
    group = Group(name="t", min=1, max=2, count=2, tier="gpu", gpus=2.0, memory="1 GiB")
    place(world, "swarm", "gpu-0", "gpu-1", group=group)
    assert moves(world)["swarm"][:2] == ("moves", ["gpu-0"]), "it never said at what size it works, so it starts anew"


def test_work_on_a_drained_node_and_work_that_waits_for_it_are_told(world: World) -> None:
    place(world, "keeps", "gpu-1")
    place(world, "saves", "gpu-1", gpus=1.0, checkpoints=True)
    world.job("waits", project="alpha", groups=(Group(tier="gpu", gpus=1.0),))
    world.job("elsewhere", project="alpha", groups=(Group(tier="commodity"),))
    drain(world, reason="bad DIMM")
    told = {
        name: world.client("ann").get(f"/api/fabric/workloads/{name}/explain").json()["notices"]
        for name in ("keeps", "saves", "waits", "elsewhere")
    }
    said = "node gpu-1 is being drained by ada: bad DIMM"
    assert told == {
        "keeps": [f"{said}; this runs there to its end, as it does not save its state"],
        "saves": [said],
        "waits": [f"{said}, and takes no new work"],
        "elsewhere": [],
    }
    drain(world, reason="", deadline_s=60.0)
    assert "everything there is gone by" in world.service.drains.notices(world.records.get("keeps"))[0]
    world.end("keeps")
    assert world.service.drains.notices(world.records.get("keeps")) == ()


async def test_the_client_drains_previews_and_undoes(world: World) -> None:
    async with connected(world, "ada") as client:
        assert isinstance(client, AsyncClient)
        assert (await client.preview_drain("gpu-0", deadline_s=5.0)).moves == ()
        assert (await client.drain("gpu-0", "heat", deadline_s=5.0)).deadline == START + 5
        assert {node.name: node.state for node in await client.nodes()}["gpu-0"] == "draining"
        await client.undrain("gpu-0")


def test_why_a_node_takes_no_work_is_shown_and_told_to_who_waits_for_such_nodes(world: World) -> None:
    plain = Numa((NumaNode(0, 4, 8), NumaNode(1, 4, 8)))
    world.notes = {"gpu-0": Note("/dev/cxi0 is missing"), "gpu-1": Note(numa=plain)}
    nodes = {node["name"]: node for node in world.client("ann").get("/api/fabric/nodes").json()["nodes"]}
    assert (nodes["gpu-0"]["said"], nodes["gpu-1"]["said"]) == ("/dev/cxi0 is missing", "")
    assert nodes["gpu-1"]["numa"] == {"nodes": 2, "with_cores": 2, "of_accelerators": 0, "mode": "plain"}
    world.job("waits", project="alpha", groups=(Group(name="t", tier="gpu", gpus=1),))
    world.job("elsewhere", project="alpha", groups=(Group(name="t", tier="commodity"),))
    notices = {
        name: world.client("ann").get(f"/api/fabric/workloads/{name}/explain").json()["notices"]
        for name in ("waits", "elsewhere")
    }
    assert notices == {"waits": ["node gpu-0 is ready: /dev/cxi0 is missing"], "elsewhere": []}
