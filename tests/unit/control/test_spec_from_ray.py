"""Stock submissions become specs."""

import json
from typing import Any

import pytest

from fabric.api.jobs import JobSubmission
from fabric.control.spec_from_ray import raysubmit_name, spec_from_ray
from fabric.core.errors import BadInput
from fabric.workloads.spec import Group, Priority, WorkloadSpec
from tests.unit.control.world import SITE


def read(**fields: Any) -> WorkloadSpec:
    return spec_from_ray(JobSubmission(entrypoint="python x.py", **fields), SITE, "made-up")


def whole(**document: Any) -> dict[str, str]:
    return {"fabric.workload": json.dumps(document)}


def test_who_says_nothing_gets_the_defaults_and_an_entrypoint_that_holds_nothing() -> None:
    assert read() == WorkloadSpec(
        name="made-up",
        entrypoint="python x.py",
        groups=(Group(name="workers", cpus=1.0, memory="2 GiB"),),
        walltime_s=None,
        max_failures=3,
    )


@pytest.mark.parametrize(
    ("submission", "group", "held"),
    [
        ({"entrypoint_num_cpus": 2}, Group(cpus=2.0, memory="2 GiB"), (2.0, 0.0, 0)),
        ({"entrypoint_num_gpus": 1}, Group(cpus=1.0, gpus=1.0, memory="2 GiB"), (0.0, 1.0, 0)),
        ({"entrypoint_memory": 2**30}, Group(cpus=1.0, memory=f"{2**30} B"), (0.0, 0.0, 2**30)),
        ({"entrypoint_num_cpus": 0, "entrypoint_num_gpus": 0}, Group(cpus=1.0, memory="2 GiB"), (0.0, 0.0, 0)),
        ({"entrypoint_resources": {"CPU": 2, "GPU": 0.5}}, Group(cpus=2.0, gpus=0.5, memory="2 GiB"), (2.0, 0.5, 0)),
        ({"entrypoint_resources": {"memory": 2.0**30}}, Group(cpus=1.0, memory=f"{2**30} B"), (0.0, 0.0, 2**30)),
        ({"entrypoint_label_selector": {"fabric/tier": "gpu"}}, Group(tier="gpu", memory="2 GiB"), (0.0, 0.0, 0)),
        ({"metadata": {"fabric.tier": "gpu"}}, Group(tier="gpu", memory="2 GiB"), (0.0, 0.0, 0)),
        (
            {"metadata": {"fabric.gpus": "2", "fabric.workers": "3"}},
            Group(gpus=2.0, count=3, memory="2 GiB"),
            (0, 0, 0),
        ),
        (
            {"metadata": {"fabric.min": "2", "fabric.max": "8", "fabric.step": "2"}},
            Group(count=2, min=2, max=8, step=2, memory="2 GiB"),
            (0, 0, 0),
        ),
        (
            {"metadata": {"fabric.workers": "3", "fabric.min": "1", "fabric.max": "4"}},
            Group(count=3, min=1, max=4, memory="2 GiB"),
            (0, 0, 0),
        ),
        (
            {"entrypoint_num_cpus": 1, "metadata": {"fabric.cpus": "3.5", "fabric.memory": "4 GiB"}},
            Group(cpus=3.5, memory="4 GiB"),
            (1.0, 0.0, 0),
        ),
    ],
)
def test_flags_and_keys_size_the_workers(submission: Any, group: Group, held: tuple[float, float, int]) -> None:
    spec = read(**submission)
    assert spec.groups == (group,)
    assert (spec.entrypoint_cpus, spec.entrypoint_gpus, spec.entrypoint_memory) == held


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("1.5", 1.5), ("90s", 90), ("10m", 600), ("2h", 7200), ("1h30m", 5400), ("2d", 172800), (" 5m ", 300)],
)
def test_a_walltime_is_seconds_or_has_units(text: str, seconds: float) -> None:
    assert read(metadata={"fabric.walltime": text}).walltime_s == seconds


def test_priority_and_failures_come_from_metadata_and_metadata_is_returned_as_given() -> None:
    metadata = {"fabric.priority": "interactive", "fabric.max_failures": "0", "owner": "me"}
    spec = read(metadata=metadata)
    assert (spec.priority, spec.max_failures, spec.metadata) == (Priority.INTERACTIVE, 0, metadata)


def test_a_whole_spec_may_have_a_group_on_each_tier() -> None:
    groups = [
        {"name": "trainers", "count": 2, "tier": "gpu", "gpus": 1},
        {"name": "loaders", "count": 2, "tier": "commodity"},
    ]
    spec = read(metadata=whole(groups=groups, priority="harvest", walltime_s=60, after=["prepare"], project="p"))
    assert spec.groups == (
        Group(name="trainers", count=2, tier="gpu", gpus=1.0),
        Group(name="loaders", count=2, tier="commodity"),
    )
    assert (spec.name, spec.priority, spec.walltime_s) == ("made-up", Priority.HARVEST, 60.0)
    assert (spec.after, spec.project, spec.entrypoint) == (("prepare",), "p", "python x.py")


def test_a_whole_spec_without_groups_is_sized_by_the_flags() -> None:
    spec = read(metadata=whole(priority="batch"), entrypoint_num_gpus=2)
    assert spec.groups == (Group(gpus=2.0, memory="2 GiB"),)


def test_the_entrypoint_of_a_whole_spec_runs_in_its_first_group() -> None:
    spec = read(metadata=whole(groups=[{"name": "a", "cpus": 4, "tier": "gpu"}]), entrypoint_num_cpus=2)
    assert (spec.entrypoint_cpus, spec.groups[0].cpus) == (2.0, 4.0)


def test_the_runtime_environment_is_passed_on() -> None:
    runtime_env = {"working_dir": "gcs://_ray_pkg_1.zip", "pip": ["six"], "env_vars": {"A": "b"}}
    assert read(runtime_env=runtime_env).runtime_env == runtime_env


def test_a_project_is_only_set_where_somebody_said_it() -> None:
    assert "project" not in read().model_fields_set
    assert "project" in read(metadata=whole(project="p")).model_fields_set


def test_a_name_of_the_spec_counts_where_the_submission_has_none() -> None:
    assert read(metadata=whole(name="mine")).name == "mine"
    assert read(metadata=whole(name="mine"), submission_id="mine").name == "mine"


@pytest.mark.parametrize(
    ("submission", "words"),
    [
        ({"entrypoint_resources": {"tpu": 1}}, ["unknown resource 'tpu'", "CPU, GPU, memory", "fabric/tier"]),
        ({"entrypoint_resources": {"CPU": 1}, "entrypoint_num_cpus": 1}, ["CPU", "give it once"]),
        ({"entrypoint_resources": {"CPU": -1}}, ["must not be negative"]),
        ({"entrypoint_resources": {"memory": 0.5}}, ["whole bytes"]),
        ({"entrypoint_num_cpus": 0.0001}, ["0.001"]),
        ({"entrypoint_label_selector": {"zone": "a"}}, ["unknown label 'zone'", "fabric/tier"]),
        ({"entrypoint_label_selector": {"fabric/tier": "!gpu"}}, ["unknown tier '!gpu'", "gpu, commodity"]),
        ({"metadata": {"fabric.tier": "gpus"}}, ["fabric.tier", "Did you mean 'gpu'", "gpu, commodity"]),
        (
            {"metadata": {"fabric.tier": "gpu"}, "entrypoint_label_selector": {"fabric/tier": "commodity"}},
            ["give one of them"],
        ),
        (
            {"metadata": {"fabric.gpu": "1"}},
            ["unknown key 'fabric.gpu'", "Did you mean 'fabric.gpus'", "fabric.walltime"],
        ),
        ({"metadata": {"fabric.gpus": "one"}}, ["fabric.gpus", "no amount"]),
        ({"metadata": {"fabric.gpus": "-1"}}, ["fabric.gpus", "no amount"]),
        ({"metadata": {"fabric.workers": "1.5"}}, ["fabric.workers", "no whole number"]),
        ({"metadata": {"fabric.workers": "0"}}, ["groups.0.count"]),
        ({"metadata": {"fabric.workers": "2", "fabric.min": "3"}}, ["count must be from min to max, got 3, 2, 2"]),
        ({"metadata": {"fabric.max": "many"}}, ["fabric.max", "no whole number"]),
        ({"metadata": {"fabric.memory": "4 GB of it"}}, ["fabric.memory", "GiB"]),
        ({"metadata": {"fabric.priority": "high"}}, ["fabric.priority", "serving, interactive, batch, harvest"]),
        ({"metadata": {"fabric.walltime": "2 hours"}}, ["fabric.walltime", "10m"]),
        ({"metadata": {"fabric.walltime": "0"}}, ["above zero"]),
        ({"metadata": {"fabric.walltime": "9" * 400 + "d"}}, ["fabric.walltime", "no duration"]),
        ({"metadata": {"fabric.walltime": ""}}, ["fabric.walltime", "no duration"]),
        ({"metadata": {"fabric.max_failures": "2000"}}, ["max_failures"]),
        ({"metadata": {"fabric.secrets": "HF_TOKEN"}}, ["fabric.secrets", "VARIABLE=SECRET"]),
        ({"metadata": {"fabric.secrets": "A=a, A=b"}}, ["fabric.secrets", "each variable once"]),
        ({"metadata": {"fabric.secrets": "lower=a"}}, ["'lower'", "capital letters"]),
        ({"metadata": {"fabric.workload": "{"}}, ["no JSON"]),
        ({"metadata": {"fabric.workload": "[" * 100_000}}, ["no JSON"]),
        ({"metadata": {"fabric.workload": "[]"}}, ["JSON object"]),
        ({"metadata": whole(grups=[])}, ["grups", "Did you mean 'groups'"]),
        ({"metadata": whole(groups=[{"count": "2"}])}, ["groups.0.count"]),
        ({"metadata": whole(groups=[])}, ["at least one group"]),
        ({"metadata": {**whole(), "fabric.gpus": "1"}}, ["says everything", "fabric.gpus"]),
        ({"metadata": whole(entrypoint="other")}, ["leave out entrypoint"]),
        ({"metadata": whole(kind="service")}, ["fabric deploy"]),
        ({"metadata": whole(name="a"), "submission_id": "b"}, ["'a' is not the submission id 'b'"]),
        (
            {"metadata": whole(groups=[{"tier": "gpu"}]), "entrypoint_label_selector": {"fabric/tier": "commodity"}},
            ["wants tier commodity", "is on gpu"],
        ),
    ],
)
def test_a_submission_that_cannot_be_meant_is_refused_with_what_is_allowed(submission: Any, words: list[str]) -> None:
    with pytest.raises(BadInput) as caught:
        read(**submission)
    assert [word for word in words if word not in caught.value.message] == [], caught.value.message


def test_names_look_like_those_that_ray_makes_up() -> None:
    name = raysubmit_name(bytes(range(16)))
    assert name.startswith("raysubmit_")
    assert len(name) == len("raysubmit_") + 16
    assert name.isascii()
    assert raysubmit_name(bytes(16)) != name


def test_secrets_are_named_by_the_variables_in_which_they_are_wanted() -> None:
    found = read(metadata={"fabric.secrets": "HF_TOKEN=hf, WANDB_API_KEY=wandb.lab"})
    assert found.secrets == {"HF_TOKEN": "hf", "WANDB_API_KEY": "wandb.lab"}
