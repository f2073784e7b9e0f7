"""What a workload is told of its size, and which sizes people may ask for."""

from dataclasses import replace
from typing import Any

import pytest

from fabric.api.admin import ErrorBody, SizeView, WorkloadView
from fabric.control.callers import LOCAL_ADMIN
from fabric.control.sizes import size_of
from fabric.core.resources import Resources
from fabric.workloads.record import Grant, Record, Slice
from fabric.workloads.spec import Group, ServiceSpec
from fabric.workloads.states import State
from tests.builders import job, record
from tests.unit.control.world import World

ELASTIC = Group(name="trainers", count=2, min=1, max=3)
HEAD = Slice("head", "head", "commodity-0", "commodity", 1, Resources.of(1, 0, "1 GiB"), head=True)


def grant(workers: int) -> Grant:
    """A head and so many slices of one worker."""
    own = Resources.of(1, 0, "1 GiB")
    parts = (Slice(f"trainers-{n}", "trainers", f"commodity-{n}", "commodity", 1, own) for n in range(workers))
    return Grant((HEAD, *parts))


def trains(state: State = State.RUNNING, **more: object) -> Record:
    """An elastic job with two workers."""
    fields = {"grant": grant(2), "generation": 4, **more}
    return replace(record(job("a", "true", ELASTIC), state), **fields)  # type: ignore[arg-type]


def told(workers: int, **more: object) -> SizeView:
    names = tuple(f"trainers-{number}" for number in range(workers))
    return SizeView(group="trainers", workers=workers, slices=names, generation=4, **more)  # type: ignore[arg-type]


def test_work_without_an_elastic_group_never_changes_its_size() -> None:
    assert size_of(record(job("a"), State.RUNNING), 1) == SizeView()


def test_work_that_runs_has_the_size_of_its_grant() -> None:
    assert size_of(trains(), None) == told(2)


def test_one_that_shrinks_hears_of_the_smaller_size_and_when_the_rest_is_ended() -> None:
    shrinks = trains(State.RESIZING, target=grant(1), leave_by=99.0)
    assert size_of(shrinks, 2) == told(1, leave_by=99.0)


def test_one_that_has_let_go_may_work_on_while_the_rest_is_ended() -> None:
    assert size_of(trains(State.RESIZING, grant=grant(1)), 1) == told(1)


def test_one_that_grows_keeps_its_size_until_all_of_the_new_one_is_there() -> None:
    grows = trains(State.RESIZING, grant=grant(3))
    assert size_of(grows, 2) == SizeView(group="trainers", workers=2, generation=4)
    assert size_of(grows, None) == SizeView(group="trainers", generation=4)
    assert size_of(replace(grows, state=State.RUNNING), 2) == told(3)


def test_one_that_overstayed_is_told_what_is_left() -> None:
    assert size_of(trains(State.RESIZING, grant=grant(1)), 2) == told(1)


def serves(world: World, **group: Any) -> None:
    """A service of the echo engine that runs."""
    groups = (Group(name="workers", tier="commodity", **group),)
    service = ServiceSpec(model="m", engine="echo")
    world.service.submit(
        job("chat").model_copy(update={"kind": "service", "entrypoint": "", "service": service, "groups": groups}),
        LOCAL_ADMIN,
    )
    world.run("chat")


def test_a_service_is_scaled_by_a_wish_that_the_loop_reads(world: World) -> None:
    serves(world, count=1, min=1, max=3)
    answer = world.client().post("/api/fabric/workloads/chat/scale", json={"workers": 3})
    view = WorkloadView.model_validate_json(answer.content)
    assert (view.wants, view.workers, view.least, view.most) == (3, 1, 1, 3)
    assert world.records.news(99).records["chat"].wants == 3
    assert world.process.woken == 2


@pytest.mark.parametrize(
    ("group", "workers", "words"),
    [
        ({"count": 1, "min": 1, "max": 3}, 4, "chat can have 1 to 3 replicas, not 4"),
        ({"count": 2, "min": 2, "max": 4, "step": 2}, 3, "2 to 4 replicas in steps of 2, not 3"),
        ({"count": 1}, 2, "a fixed number of replicas. Deploy it again with --max"),
        ({"count": 1, "min": 1, "max": 3}, 0, "workers"),
    ],
)
def test_a_size_that_it_cannot_have_is_refused(world: World, group: dict[str, Any], workers: int, words: str) -> None:
    serves(world, **group)
    answer = world.client().post("/api/fabric/workloads/chat/scale", json={"workers": workers})
    error = ErrorBody.model_validate_json(answer.content)
    assert (answer.status_code, error.code) == (400, "bad_input")
    assert words in error.message
    assert world.records.get("chat").wants is None


def test_jobs_and_what_has_ended_are_not_scaled(world: World) -> None:
    world.job("trains", groups=(ELASTIC,))
    answer = world.client().post("/api/fabric/workloads/trains/scale", json={"workers": 3})
    assert "the scheduler sizes it" in answer.json()["message"]
    serves(world, count=1, min=1, max=3)
    world.end("chat")
    assert world.client().post("/api/fabric/workloads/chat/scale", json={"workers": 2}).status_code == 409


def test_a_workload_asks_with_what_it_told(world: World) -> None:
    world.job("trains", groups=(ELASTIC,))
    client = world.client()
    world.change("trains", State.RESIZING, grant=grant(3))
    path = "/api/fabric/workloads/trains"
    assert client.get(f"{path}/size").json()["workers"] is None
    assert client.post(f"{path}/report", json={"workers": 2}).status_code == 204
    assert client.get(f"{path}/size").json()["workers"] == 2
    world.change("trains", State.RUNNING)
    assert client.get(f"{path}/size").json() == {
        "group": "trainers", "workers": 3, "slices": ["trainers-0", "trainers-1", "trainers-2"], "generation": 1,
        "leave_by": None,
    }  # fmt: skip
