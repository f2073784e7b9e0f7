"""The site file is read again: what may change holds at once, the rest is named, and what is wrong changes nothing."""

from collections.abc import Callable

import pytest

from fabric.api.site import RELOADS
from fabric.config.budgets import Budget
from fabric.config.load import decode
from fabric.config.projects import Project
from fabric.config.site import Defaults, Site
from fabric.control.budgets import Budgets
from fabric.core.errors import BadConfig, Denied
from tests.unit.control.world import SITE, START, World


def says(world: World, **changes: object) -> None:
    """Let the file say something else."""
    site = decode(Site, {**SITE.model_dump(mode="json"), **changes}, "file")
    world.file = lambda: site


def refuses(world: World, words: str) -> None:
    """Let the file be wrong."""

    def read() -> Site:
        raise BadConfig(words)

    world.file = read


def test_what_may_change_holds_from_the_next_request_on(world: World) -> None:
    says(world, policy={"protect": 3}, defaults=Defaults(cpus=2.0, memory="1 GiB").model_dump(mode="json"))
    client = world.client()
    done = client.post(RELOADS)
    assert (done.status_code, done.json()["changed"], done.json()["waiting"]) == (200, ["defaults", "policy"], [])
    assert client.get("/api/fabric/past").json()["policy"]["protect"] == 3
    name = client.post("/api/jobs/", json={"entrypoint": "x"}).json()["submission_id"]
    assert world.records.get(name).spec.groups[0].cpus == 2.0


def test_projects_of_the_file_are_there_at_once(world: World) -> None:
    says(world, projects=[Project(name="alpha").model_dump(mode="json")])
    assert world.client().post(RELOADS).json()["changed"] == ["projects"]
    assert [project["name"] for project in world.client().get("/api/fabric/projects").json()["projects"]] == ["alpha"]
    refused = world.client().post("/api/fabric/workloads", json={"spec": {"entrypoint": "x", "project": "beta"}})
    assert refused.status_code >= 400


def test_what_waits_for_a_restart_is_named_and_does_not_hold(world: World) -> None:
    says(world, name="renamed", grace_s=5.0, overhead_s=60.0)
    done = world.client().post(RELOADS).json()
    assert (done["changed"], done["waiting"]) == (["overhead_s"], ["name", "grace_s"])
    assert (world.service.site.name, world.service.site.grace_s, world.service.site.overhead_s) == ("toy", 20.0, 60.0)


def test_a_wrong_file_is_refused_with_the_error_and_everything_stays(world: World) -> None:
    refuses(world, "site.yaml: policy.protect: must be at least 0 (got -1)")
    answer = world.client().post(RELOADS)
    assert (answer.status_code, answer.json()["code"]) == (400, "bad_config")
    assert answer.json()["message"] == "site.yaml: policy.protect: must be at least 0 (got -1)"
    assert world.service.site == SITE


def test_a_share_of_a_tier_that_waits_for_a_restart_is_refused(world: World) -> None:
    tier = {**SITE.tiers[0].model_dump(mode="json"), "name": "new"}
    says(
        world,
        tiers=[*(tier.model_dump(mode="json") for tier in SITE.tiers), tier],
        projects=[{"name": "alpha", "guaranteed": {"new": {"gpus": 1}}}],
    )
    answer = world.client().post(RELOADS)
    assert answer.status_code == 400
    assert "the site as far as it may change now" in answer.json()["message"]
    assert world.service.site == SITE


def test_each_reading_is_kept_with_who_asked_and_what_came_of_it(world: World) -> None:
    world.person("ada", "operator")
    says(world, overhead_s=1.0)
    assert world.client("ada").post(RELOADS).status_code == 200
    world.clock.at += 10
    refuses(world, "no such file")
    world.client().post(RELOADS)
    kept = world.client("ada").get(RELOADS).json()["reloads"]
    assert [(each["at"], each["by"], each["changed"], each["refused"]) for each in kept] == [
        (START + 10, "local administrator", [], "no such file"),
        (START, "ada", ["overhead_s"], ""),
    ]


def test_only_who_steers_the_site_may_ask_for_it(make_world: Callable[..., World]) -> None:
    world = make_world(anonymous=False)
    member = world.service.caller_of(world.issue("member", "member", "alpha"))
    with pytest.raises(Denied):
        world.service.reloading.reload_for(member)
    assert world.service.reloading.past() == ()


def test_budgets_go_by_the_projects_that_were_read_last() -> None:
    class Used:
        def gpu_seconds(self, since: object, now: float) -> dict[str, float]:
            return {"alpha": 3600.0}

    budgets = Budgets(SITE, Used())
    assert budgets.accounts(START) == {}
    budgets.use((Project(name="alpha", budget=Budget(gpu_hours=2.0, every="day")),))
    assert budgets.accounts(START)["alpha"].used_gpu_s == 3600.0
