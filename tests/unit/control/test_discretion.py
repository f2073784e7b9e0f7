"""Names of others' work in what people are told of theirs."""

from typing import Any

import pytest

from fabric.control.callers import LOCAL_ADMIN, Caller, Role
from fabric.control.discretion import Discretion
from fabric.workloads.record import Event, Record
from fabric.workloads.states import State
from tests.unit.control.world import START, World

HIDDEN = "work of another project"
READS = (
    "/api/fabric/nodes", "/api/fabric/overview", "/api/fabric/queue", "/api/fabric/search", "/api/fabric/workloads",
    "/api/fabric/workloads/mine", "/api/fabric/workloads/mine/explain", "/api/fabric/workloads/mine/events",
    "/api/jobs/", "/api/jobs/mine", "/api/fabric/usage?by=workload", "/api/fabric/projects", "/api/fabric/models",
    "/api/fabric/me", "/api/fabric/keys", "/api/serve/applications/",
)  # fmt: skip


@pytest.fixture
def shared(world: World) -> World:
    """Two projects on one site; alpha's first job waits behind beta's and its own."""
    world.person("ann", "member", "alpha")
    world.person("operator", "operator")
    world.person("watcher", "viewer")
    world.job("mine", project="alpha")
    world.job("own.1", project="alpha")
    config = {"applications": [{"import_path": "mine:app"}]}
    assert world.client("ann").put("/api/serve/applications/", json=config).status_code == 200
    (service,) = world.records.list(kind="service")
    world.change(service.name, State.QUEUED, waits_for="behind secret-a")
    for name in ("secret-a", "secret-b"):
        world.job(name, project="beta")
    world.run("own.1")
    world.run("secret-a")
    waits = "2 GPUs; behind secret-a, secret-b, own.1 and 3 more"
    world.change("mine", State.QUEUED, waits_for=waits)
    reason = "room for secret-b: 12 s"
    world.records.save([world.records.get("mine")], [Event("mine", START, State.QUEUED, reason, 1)])
    return world


def told(world: World, key: str, path: str) -> Any:
    return world.client(key).get(path).json()


@pytest.mark.parametrize("key", ["operator", "watcher"])
def test_whoever_is_of_the_whole_site_reads_every_name(shared: World, key: str) -> None:
    nodes = told(shared, key, "/api/fabric/nodes")["nodes"]
    (busy,) = [node for node in nodes if node["workloads"] or node["others"]]
    assert (busy["workloads"], busy["others"]) == (["own.1", "secret-a"], 0)
    assert "behind secret-a, secret-b, own.1" in told(shared, key, "/api/fabric/workloads/mine/explain")["missing"]


def test_a_node_names_ones_own_work_and_counts_the_rest(shared: World) -> None:
    nodes = told(shared, "ann", "/api/fabric/nodes")["nodes"]
    (busy,) = [node for node in nodes if node["workloads"] or node["others"]]
    assert (busy["workloads"], busy["others"], busy["used"]["cpus"]) == (["own.1"], 1, 2.0)


@pytest.mark.slow
def test_no_read_of_a_member_names_the_work_of_others(shared: World) -> None:
    answers = {path: shared.client("ann").get(path) for path in READS}
    assert {path: answer.status_code for path, answer in answers.items()} == dict.fromkeys(READS, 200)
    assert [path for path, answer in answers.items() if "secret" in answer.text] == []


def test_a_reason_is_told_without_the_names_in_it(shared: World) -> None:
    explained = told(shared, "ann", "/api/fabric/workloads/mine/explain")
    assert explained["missing"] == f"2 GPUs; behind {HIDDEN}, own.1 and 3 more"
    assert explained["workload"]["message"].startswith(f"waits: 2 GPUs; behind {HIDDEN}, own.1 and 3 more")
    assert f"room for {HIDDEN}: 12 s" in [event["reason"] for event in explained["events"]]


@pytest.mark.parametrize("forgotten", [False, True])
def test_work_that_ended_long_ago_stays_unnamed_in_a_history(shared: World, forgotten: bool) -> None:
    shared.end("secret-b")
    if forgotten:
        shared.records.delete("secret-b")
    shared.records.save([shared.records.get("own.1")], [Event("own.1", START, State.RUNNING, "room for mine", 1)])
    reasons = [event["reason"] for event in told(shared, "ann", "/api/fabric/workloads/mine/events")]
    assert f"room for {HIDDEN}: 12 s" in reasons
    own = [event["reason"] for event in told(shared, "ann", "/api/fabric/workloads/own.1/events")]
    assert "room for mine" in own


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("running", "running"),
        ("room is made by secret-a, secret-b within 30 s", f"room is made by {HIDDEN} within 30 s"),
        ("secret-a (batch) leaves within 30 s: 5 GPU s", f"{HIDDEN} (batch) leaves within 30 s: 5 GPU s"),
        ("would not fit even without secret-a, own.1", f"would not fit even without {HIDDEN}, own.1"),
        ("after secret-a.", f"after {HIDDEN}."),
        ("room for mine: secret-b: x", f"room for mine: {HIDDEN}: x"),
        ("room for nobody-knows: x", f"room for {HIDDEN}: x"),
        ("secret-abc and secret", "secret-abc and secret"),
        ("", ""),
    ],
)
def test_texts_are_read_word_by_word(shared: World, text: str, read: str) -> None:
    ann = Caller("ann", Role.MEMBER, "alpha")
    assert Discretion(shared.records).towards(ann)(text) == read
    assert Discretion(shared.records).towards(LOCAL_ADMIN)(text) == text


def test_each_name_is_looked_up_once_and_our_own_words_never(shared: World, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    get = shared.records.get

    def counted(name: str) -> Record:
        asked.append(name)
        return get(name)

    monkeypatch.setattr(shared.records, "get", counted)
    read = Discretion(shared.records).towards(Caller("ann", Role.MEMBER, "alpha"))
    for _ in range(3):
        read("waits: 2 GPUs; behind secret-a, own.1 and 3 more; expected start 2026-07-05 14:03:20 UTC")
    assert asked == ["secret-a", "own.1"]
