"""Usage adds up to what was held, by whatever it is asked for."""

from collections.abc import Callable
from typing import Any

import pytest

from fabric.control.usage import added_up
from fabric.core.errors import BadInput
from fabric.store.ledger import Holding, Spell
from fabric.workloads.states import State
from tests.unit.control.world import START, World

USAGE = "/api/fabric/usage"
HOUR = 3600.0


def spell(began: float, ended: float, gpus: int = 1, **about: Any) -> Spell:
    given = {"workload": "a", "project": "alpha", "user": "ann", "model": "", "tier": "gpu", **about}
    return Spell(
        Holding(
            submitted=0.0, attempt=1, slice="workers-0", node="g0", milli_cpus=500, milli_gpus=gpus * 1000,
            memory_bytes=2**31, **given,
        ),
        began,
        ended,
    )  # fmt: skip


def test_use_is_split_at_full_hours() -> None:
    rows = added_up([spell(0.5 * HOUR, 2.25 * HOUR, gpus=4)], ["hour"])
    assert [(row.begins, row.gpu_hours, row.cpu_hours, row.memory_gib_hours) for row in rows] == [
        (0.0, 2.0, 0.25, 1.0),
        (HOUR, 4.0, 0.5, 2.0),
        (2 * HOUR, 1.0, 0.125, 0.5),
    ]


def test_use_is_added_up_by_all_that_is_asked_for_and_keeps_its_sum() -> None:
    spells = [
        spell(0, HOUR),
        spell(HOUR, 3 * HOUR, gpus=2, user="bob"),
        spell(0, HOUR, project="beta", model="tale@champion"),
    ]
    rows = added_up(spells, ["project", "user"])
    assert [(row.project, row.user, row.gpu_hours) for row in rows] == [
        ("alpha", "ann", 1.0), ("alpha", "bob", 4.0), ("beta", "ann", 1.0),
    ]  # fmt: skip
    for by in ([], ["day"], ["model", "tier"], ["workload", "hour"]):
        assert sum(row.gpu_hours for row in added_up(spells, by)) == pytest.approx(6.0)
    assert [row.model for row in added_up(spells, ["model"])] == ["", "tale@champion"]


@pytest.mark.parametrize("by", [["colour"], ["user", "user"], ["hour", "day"]])
def test_what_cannot_be_added_up_is_said(by: list[str]) -> None:
    with pytest.raises(BadInput, match="by: "):
        added_up([], by)


def test_a_project_is_told_of_its_own_use_alone(make_world: Callable[..., World]) -> None:
    world = make_world(anonymous=False)
    world.issue("root", "admin")
    world.person("ann", "viewer", "alpha")
    for name, project in (("a", "alpha"), ("b", "beta")):
        world.job(name, project=project)
        world.run(name)
    world.clock.at = START + 2 * HOUR
    world.end("a", State.SUCCEEDED)

    def told(key: str, **query: Any) -> Any:
        return world.client(key).get(USAGE, params={"by": ["project"], **query})

    assert {row["project"]: row["cpu_hours"] for row in told("root").json()["rows"]} == {"alpha": 2.0, "beta": 2.0}
    assert [row["project"] for row in told("ann").json()["rows"]] == ["alpha"]
    assert [row["project"] for row in told("root", project="beta").json()["rows"]] == ["beta"]
    assert told("ann", project="beta").status_code == 403
    assert told("ann", since=START + HOUR, until=START + 99 * HOUR).json()["rows"][0]["cpu_hours"] == 1.0
    assert told("ann", since=START + 3 * HOUR).status_code == 400
    assert told("ann", by=["hour"], since=0).status_code == 400
    assert told("ann", by=["colour"]).json()["message"].startswith("by: usage is not added up by 'colour', but by hour")
