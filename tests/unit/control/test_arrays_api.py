"""Arrays of jobs, and what comes after them."""

from collections.abc import Callable
from typing import Any

import pytest

from fabric.workloads.states import State
from tests.unit.control.world import World

ARRAYS = "/api/fabric/arrays"
SPEC: dict[str, Any] = {"name": "sweep", "entrypoint": "python x.py", "array": {"size": 3}}


def submit(world: World, key: str | None = None, idempotency_key: str | None = None, **changes: Any) -> Any:
    headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
    return world.client(key).post(ARRAYS, json={"spec": {**SPEC, **changes}}, headers=headers)


def test_an_array_is_its_elements_which_are_jobs_like_others(world: World) -> None:
    view = submit(world).json()
    assert (view["name"], view["size"], view["state"], view["counts"]) == ("sweep", 3, "queued", {"queued": 3})
    assert [one["name"] for one in view["elements"]] == ["sweep.0", "sweep.1", "sweep.2"]
    one = world.client().get("/api/fabric/workloads/sweep.1").json()
    assert one["array"] == {"name": "sweep", "index": 1, "size": 3}
    assert world.records.events("sweep.1")[0].reason == "submitted"
    assert world.process.woken == 1


def test_elements_are_told_in_the_order_of_their_numbers(world: World) -> None:
    submit(world, array={"size": 12})
    names = [one["name"] for one in world.client().get(f"{ARRAYS}/sweep").json()["elements"]]
    assert names == [f"sweep.{index}" for index in range(12)]
    assert world.client().get(f"{ARRAYS}/sweep", params={"elements": "false"}).json()["elements"] == []


@pytest.mark.parametrize(
    ("states", "whole"),
    [
        ((State.QUEUED, State.QUEUED, State.QUEUED), "queued"),
        ((State.SUCCEEDED, State.QUEUED, State.QUEUED), "running"),
        ((State.SUCCEEDED, State.RUNNING, State.FAILED), "running"),
        ((State.SUCCEEDED, State.SUCCEEDED, State.SUCCEEDED), "succeeded"),
        ((State.SUCCEEDED, State.CANCELLED, State.FAILED), "failed"),
        ((State.SUCCEEDED, State.CANCELLED, State.SUCCEEDED), "cancelled"),
    ],
)
def test_the_state_of_the_whole_follows_from_its_elements(world: World, states: tuple[State, ...], whole: str) -> None:
    submit(world)
    for index, state in enumerate(states):
        world.change(f"sweep.{index}", state)
    assert world.client().get(f"{ARRAYS}/sweep").json()["state"] == whole


def test_all_elements_are_taken_in_or_none(world: World) -> None:
    world.job("sweep.2")
    refused = submit(world)
    assert (refused.status_code, "sweep.2" in refused.json()["message"]) == (409, True)
    assert world.client().get(f"{ARRAYS}/sweep").status_code == 404
    assert [record.name for record in world.records.list()] == ["sweep.2"]


def test_a_repeated_submission_is_one_array_and_another_is_refused(world: World) -> None:
    first = submit(world, idempotency_key="k").json()
    assert submit(world, idempotency_key="k").json() == first
    nameless = [submit(world, idempotency_key="m", name=None).json()["name"] for _ in range(2)]
    assert nameless[0] == nameless[1] != "sweep"
    other = submit(world, idempotency_key="k", entrypoint="other")
    assert (other.status_code, "idempotency key 'k'" in other.json()["message"]) == (409, True)
    assert submit(world, idempotency_key="n").status_code == 409
    assert len(world.records.list()) == 6


def test_an_array_that_was_let_in_is_not_refused_when_it_is_asked_for_again(world: World) -> None:
    world.job("first")
    made = submit(world, idempotency_key="k", after=["first"]).json()
    world.change("first", State.FAILED)
    assert submit(world, idempotency_key="k", after=["first"]).json()["elements"] == made["elements"]
    assert submit(world, idempotency_key="another", after=["first"]).status_code == 400


def test_an_array_that_came_after_another_is_told_again_once_that_is_gone(world: World) -> None:
    world.array("first", 2)
    made = submit(world, idempotency_key="k", after=["first"]).json()
    for one in [*(element["name"] for element in made["elements"]), "first.0", "first.1"]:
        world.end(one)
    assert world.client().delete(f"{ARRAYS}/first").status_code == 204
    again = submit(world, idempotency_key="k", after=["first"]).json()
    assert [one["name"] for one in again["elements"]] == [one["name"] for one in made["elements"]]
    assert submit(world, idempotency_key="another", after=["first"]).status_code == 404


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"array": None}, "say how many elements"),
        ({"array": {"size": 0}}, "array.size"),
        ({"array": {"size": 1001}}, "array.size"),
        ({"array": {"size": 2, "index": 1}}, "the fabric's own"),
        ({"array": {"size": 2, "name": "mine"}}, "the fabric's own"),
        ({"name": "x" * 159}, "is not a workload name"),
        ({"groups": [{"gpus": 9.0}]}, "gpu"),
        ({"kind": "service", "service": {"model": "m@a"}}, "an array is of jobs"),
    ],
)
def test_an_array_that_cannot_be_is_refused_whole(world: World, changes: dict[str, Any], words: str) -> None:
    refused = submit(world, **changes)
    assert (refused.status_code, words in refused.json()["message"]) == (400, True), refused.json()
    assert world.records.list() == ()


def test_arrays_are_handed_in_where_they_belong(world: World) -> None:
    refused = world.client().post("/api/fabric/workloads", json={"spec": SPEC})
    assert (refused.status_code, ARRAYS in refused.json()["message"]) == (400, True)


def test_a_job_after_an_array_comes_after_all_its_elements(world: World) -> None:
    submit(world)
    view = world.job("sum", after=("sweep",))
    assert view.spec.after == ("sweep.0", "sweep.1", "sweep.2")
    assert world.client().get("/api/fabric/workloads/sum").json()["after"] == ["sweep.0", "sweep.1", "sweep.2"]
    submit(world, name="again", after=["sweep", "sum"])
    assert world.records.get("again.0").spec.after == ("sweep.0", "sweep.1", "sweep.2", "sum")
    world.change("sweep.1", State.FAILED)
    refused = submit(world, name="late", after=["sweep"])
    assert (refused.status_code, "sweep.1 has failed" in refused.json()["message"]) == (400, True)


def test_too_many_that_come_after_too_many_are_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fabric.control.arrays.MOST_TO_AWAIT", 8)
    submit(world)
    refused = submit(world, name="again", after=["sweep"])
    assert refused.status_code == 400
    assert "come after one job that comes after those" in refused.json()["message"]


def test_an_array_is_stopped_and_forgotten_as_one(world: World) -> None:
    client = world.client()
    submit(world)
    world.end("sweep.0")
    assert client.delete(f"{ARRAYS}/sweep").status_code == 409
    assert client.post(f"{ARRAYS}/sweep/stop").json()["counts"] == {"queued": 2, "succeeded": 1}
    assert [world.records.get(f"sweep.{index}").stop_requested for index in range(3)] == [False, True, True]
    for index in (1, 2):
        world.end(f"sweep.{index}", State.CANCELLED)
    assert client.post(f"{ARRAYS}/sweep/stop").status_code == 409
    assert client.delete(f"{ARRAYS}/sweep").status_code == 204
    assert world.records.list() == ()
    assert client.get(f"{ARRAYS}/sweep").status_code == 404


def test_nobody_sees_or_stops_another_projects_array(make_world: Callable[..., World]) -> None:
    world = make_world(anonymous=False)
    world.person("ann", "member", "alpha")
    world.person("bob", "admin", "beta")
    assert submit(world, "ann").json()["project"] == "alpha"
    bob = world.client("bob")
    codes = [
        bob.get(f"{ARRAYS}/sweep").status_code,
        bob.post(f"{ARRAYS}/sweep/stop").status_code,
        bob.delete(f"{ARRAYS}/sweep").status_code,
        submit(world, "bob", name="mine", after=["sweep"]).status_code,
    ]
    assert codes == [403] * 4


def test_a_name_that_only_looks_like_an_elements_is_none(world: World) -> None:
    world.job("sweep.7")
    world.job("SWEEP.1")
    submit(world, array={"size": 2})
    names = [one["name"] for one in world.client().get(f"{ARRAYS}/sweep").json()["elements"]]
    assert names == ["sweep.0", "sweep.1"]
