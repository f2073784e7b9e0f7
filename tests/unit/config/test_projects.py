"""Projects form a tree whose guarantees can be honoured together, or the site is refused."""

from typing import Any

import pytest

from fabric.config.load import decode
from fabric.config.projects import Ceiling, guarantees
from fabric.config.site import Site
from fabric.core.errors import BadConfig
from fabric.core.quantity import MilliGpus
from fabric.core.resources import Resources

TIERS = [
    {"name": "commodity", "nodes": 2, "heads": True, "capacity": {"cpus": 4, "memory": "8 GiB"}},
    {"name": "gpu", "nodes": 4, "capacity": {"cpus": 8, "gpus": 2, "memory": "32 GiB"}},
]
"""Eight GPUs and eight commodity CPUs."""


def project(name: str, gpus: float | None = None, **more: Any) -> dict[str, Any]:
    shares = {} if gpus is None else {"guaranteed": {"gpu": {"gpus": gpus}}}
    return {"name": name, **shares, **more}


def read(*projects: dict[str, Any]) -> Site:
    return decode(Site, {"name": "lab", "tiers": TIERS, "projects": list(projects)}, "site.yaml")


def test_a_parent_without_a_guarantee_is_guaranteed_the_sum_of_its_projects() -> None:
    site = read(project("ai"), project("nlp", 2, parent="ai"), project("vision", 3, parent="ai"), project("chem", 3))
    assert guarantees(site.projects)["ai"] == {"gpu": Resources.of(0, 5)}


def test_a_parent_may_be_guaranteed_more_than_its_projects_and_fills_in_the_tiers_it_leaves_out() -> None:
    below = project("nlp", 2, parent="ai")
    below["guaranteed"]["commodity"] = {"cpus": 4}
    site = read(project("ai", 6), below)
    assert guarantees(site.projects)["ai"] == {"gpu": Resources.of(0, 6), "commodity": Resources.of(4)}


def test_guarantees_may_fill_a_tier_to_the_last_device() -> None:
    assert len(read(project("a", 5), project("b", 3)).projects) == 2


def test_what_a_limit_leaves_out_is_unlimited() -> None:
    (capped,) = read(project("a", limit={"gpu": {"gpus": 2}})).projects
    ceiling = capped.limit["gpu"].ceiling
    assert ceiling == Ceiling(gpus=MilliGpus(2000))
    assert ceiling.excess(Resources.of(99, 3, "1 TiB")) == Resources.of(0, 1)


@pytest.mark.parametrize(
    ("projects", "message"),
    [
        ([project("a", 5), project("b", 4)], "all projects together are guaranteed 9 GPUs on tier gpu, 1 GPUs more"),
        ([project("a", 2), project("a", 1)], "projects need different names, got ['a', 'a']"),
        ([project("a", parent="z")], "project a: parent 'z' is none of the projects a"),
        ([project("a", parent="a")], "project a: its parents form a circle, a -> a"),
        (
            [project("a", parent="b"), project("b", parent="c"), project("c", parent="a")],
            "project a: its parents form a circle, a -> b -> c -> a; one of them must be at the top",
        ),
        (
            [project("top"), project("a", parent="b"), project("b", parent="a")],
            "project a: its parents form a circle, a -> b -> a",
        ),
        (
            [project("ai", 4), project("nlp", 3, parent="ai"), project("vision", 2, parent="ai")],
            "the projects below ai are guaranteed 5 GPUs on tier gpu, 1 GPUs more than ai itself has (4 GPUs)",
        ),
        (
            [project("a", 4, limit={"gpu": {"gpus": 3}})],
            "project a: is guaranteed 4 GPUs on tier gpu, 1 GPUs above its own limit",
        ),
        (
            [project("ai", limit={"gpu": {"gpus": 3}}), project("nlp", 4, parent="ai")],
            "project ai: is guaranteed 4 GPUs on tier gpu, 1 GPUs above its own limit",
        ),
        ([project("a", limit={"tpu": {"cpus": 1}})], "project a: 'tpu' is no tier; the site has commodity, gpu"),
        ([project("a", borrow={"tpu": {"cpus": 1}})], "project a: 'tpu' is no tier"),
        ([project("a", guaranteed={"tpu": {"cpus": 1}})], "project a: 'tpu' is no tier"),
        ([project("a", guaranteed={"commodity": {"gpus": 1}})], "guaranteed 1 GPUs on tier commodity, 1 GPUs more"),
        ([project("a", limit={"gpu": {}})], "projects.0.limit.gpu: names no amount"),
        ([project("a", limit={"gpu": {"gpus": -1}})], "projects.0.limit.gpu.gpus: Input should be greater than or"),
        ([project("a", limit={"gpu": {"memory": "1 Gb"}})], "projects.0.limit.gpu: '1 Gb' is not a size"),
        ([project("a", limit={"gpu": {"gpu": 1}})], "projects.0.limit.gpu.gpu: unknown key. Did you mean 'gpus'?"),
        ([project("a", weight=0)], "projects.0.weight: Input should be greater than 0"),
        ([project("a b")], "projects.0.name: 'a b' is not a project name"),
    ],
)
def test_a_wrong_project_is_refused_with_the_amounts(projects: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(BadConfig) as caught:
        read(*projects)
    assert message in str(caught.value)
