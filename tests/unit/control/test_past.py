"""The recent past over HTTP: enough to decide it again, of no more than the asker may see."""

from collections.abc import Callable

from fabric.scheduler.policy import Policy
from fabric.workloads.spec import Group
from tests.unit.control.test_sdk_against_routes import connected
from tests.unit.control.world import START, World

PAST = "/api/fabric/past"


def test_the_past_says_what_was_asked_for_and_when_it_came_but_not_how(world: World) -> None:
    world.job("old")
    world.clock.at += 100
    world.job("new", groups=(Group(tier="gpu", gpus=1.0),), walltime_s=60.0, env={"SECRET": "x"})
    world.run("new")
    answer = world.client().get(PAST, params={"since": START + 50})
    (work,) = answer.json()["works"]
    assert (work["name"], work["walltime_s"], work["groups"][0]["gpus"]) == ("new", 60.0, 1.0)
    assert (work["submitted_at"], work["granted_at"], work["ended_at"]) == (START + 100, START + 101, None)
    assert "SECRET" not in answer.text
    assert "python x.py" not in answer.text


def test_the_site_is_told_as_a_simulation_needs_it(world: World) -> None:
    told = world.client().get(PAST).json()
    assert [(tier["name"], tier["nodes"], tier["each"]["gpus"], tier["heads"]) for tier in told["tiers"]] == [
        ("commodity", 2, 0.0, True),
        ("gpu", 2, 2.0, False),
    ]
    assert Policy.model_validate(told["policy"], strict=False) == Policy()
    assert told["head"]["cpus"] == 1.0


def test_who_is_of_one_project_hears_of_that_alone(make_world: Callable[..., World]) -> None:
    world = make_world(anonymous=False)
    world.person("ann", "member", "alpha")
    world.job("mine", project="alpha")
    world.job("theirs", project="beta")
    assert [work["name"] for work in world.client("ann").get(PAST).json()["works"]] == ["mine"]


def test_too_many_and_times_that_are_none_are_refused(world: World) -> None:
    for asked in ({"limit": 0}, {"limit": 5000}, {"since": -1}, {"since": "nan"}):
        assert world.client().get(PAST, params=asked).status_code == 400, asked


async def test_the_client_reads_the_newest(world: World) -> None:
    for name in ("a", "b", "c"):
        world.clock.at += 1
        world.job(name)
    async with connected(world) as client:
        assert [work.name for work in (await client.past(limit=2)).works] == ["c", "b"]
