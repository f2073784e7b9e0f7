"""A stock Serve configuration becomes a spec, and a record becomes what its cluster's Serve is told."""

from dataclasses import replace
from typing import Any

import pytest

from fabric.control.deployed import deployed_config, details_of
from fabric.control.spec_from_serve import spec_from_serve
from fabric.core.errors import BadInput
from fabric.core.resources import Resources
from fabric.scheduler.ports import ClusterView, Phase
from fabric.workloads.record import Grant, Instants, Record, Slice
from fabric.workloads.spec import Group, Priority, WorkloadSpec
from fabric.workloads.states import State
from tests.unit.control.world import SITE, START


def config(*deployments: dict[str, Any], **more: Any) -> dict[str, Any]:
    """One application with these deployments."""
    return {"applications": [{"import_path": "mine:app", "deployments": list(deployments)}], **more}


def spec(*deployments: dict[str, Any], **more: Any) -> WorkloadSpec:
    return spec_from_serve(config(*deployments, **more), SITE, "default")


def group(**options: Any) -> Group:
    """The group of one deployment with these options."""
    (made,) = spec({"name": "Echo", **options}).groups
    return made


def test_an_application_without_deployments_gets_a_worker_of_the_sites_default_size() -> None:
    made = spec_from_serve({"applications": [{"import_path": "mine:app"}]}, SITE, "shop")
    assert (made.kind, made.priority) == ("service", Priority.SERVING)
    assert made.groups == (Group(name="default", cpus=1.0, memory=SITE.defaults.memory),)
    assert made.serve is not None
    assert (made.serve.deployment, made.serve.groups) == ("shop", {"default": "default"})


@pytest.mark.parametrize(
    ("options", "count", "cpus", "memory"),
    [
        ({"num_replicas": 3, "ray_actor_options": {"num_cpus": 2}}, 3, 2.0, "2 GiB"),
        ({"num_replicas": 3, "ray_actor_options": {"num_cpus": 1.5}}, 3, 2.0, "2 GiB"),
        ({"num_replicas": 5, "ray_actor_options": {"num_cpus": 0.5, "memory": 1000}}, 3, 1.0, "2000 B"),
        ({"num_replicas": 4, "ray_actor_options": {"num_cpus": 0.1}}, 1, 1.0, f"{4 * 2 * 2**30} B"),
        ({"ray_actor_options": {"num_cpus": 0}}, 1, 1.0, "2 GiB"),
        ({"num_replicas": 2, "placement_group_bundles": [{"CPU": 1}, {"CPU": 0.5}]}, 2, 2.0, "2 GiB"),
    ],
)
def test_workers_hold_whole_cpus(options: dict[str, Any], count: int, cpus: float, memory: str) -> None:
    made = group(**options)
    assert (made.count, made.cpus, made.memory) == (count, cpus, memory)


def test_gpus_and_the_tier_are_asked_for() -> None:
    made = group(ray_actor_options={"num_gpus": 2, "label_selector": {"fabric/tier": "gpu"}})
    assert (made.gpus, made.tier) == (2.0, "gpu")


@pytest.mark.parametrize(
    ("options", "sizes"),
    [
        ({"autoscaling_config": {"min_replicas": 2, "max_replicas": 5}}, (2, 2, 5)),
        ({"autoscaling_config": {"min_replicas": 0, "initial_replicas": 3, "max_replicas": 4}}, (3, 1, 4)),
        ({"num_replicas": "auto"}, (1, 1, 100)),
        ({"num_replicas": "auto", "autoscaling_config": {"max_replicas": 7}}, (1, 1, 7)),
    ],
)
def test_autoscaling_becomes_the_groups_sizes(options: dict[str, Any], sizes: tuple[int, int, int]) -> None:
    made = group(**options)
    assert (made.count, made.least, made.most) == sizes


def test_every_deployment_of_every_application_has_a_group_of_its_own() -> None:
    applications = [
        {"name": "shop", "route_prefix": "/a", "import_path": "mine:a", "deployments": [{"name": "Echo Ä 1"}]},
        {"name": "head", "route_prefix": "/b", "import_path": "mine:b"},
    ]
    made = spec_from_serve({"applications": applications}, SITE, "default")
    assert made.serve is not None
    assert made.serve.groups == {"shop/Echo Ä 1": "shop-Echo-1", "head": "head-2"}


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({}, "applications: is required"),
        ({"applications": []}, "serve shutdown"),
        ({"applications": [{}]}, "applications.0.import_path: is required"),
        ({"applications": [{"import_path": "mine"}]}, "must read like `module:application`"),
        ({"applications": [{"import_path": "a:b", "port": 1}]}, "belong to http_options"),
        (
            {"applications": [{"import_path": "a:b"}, {"import_path": "c:d"}]},
            "two applications have the name 'default'",
        ),
        (config({"name": "A"}, {"name": "A"}), "deployment A twice"),
        (config({"name": "A", "num_replicas": 0}), "at least 1"),
        (config({"name": "A", "num_replicas": 2, "autoscaling_config": {}}), "not both"),
        (config({"name": "A", "autoscaling_config": {"min_replicas": 3}}), "must be in this order"),
        (config({"name": "A", "num_replicas": "auto"}, {"name": "B", "num_replicas": "auto"}), "both have an autosc"),
        (config({"name": "A", "ray_actor_options": {"num_gpus": 0.5}}), "num_gpus 0.5 is no whole number"),
        (config({"name": "A", "ray_actor_options": {"num_cpus": -1}}), "num_cpus"),
        (config({"name": "A", "ray_actor_options": {"resources": {"unicorn": 1}}}), "no 'unicorn'"),
        (config({"name": "A", "ray_actor_options": {"accelerator_type": "H200"}}), "choose the tier"),
        (config({"name": "A", "ray_actor_options": {"label_selector": {"a": "b"}}}), "unknown label 'a'"),
        (config({"name": "A", "ray_actor_options": {"label_selector": {"fabric/tier": "x"}}}), "has gpu, commodity"),
        (config({"name": "A", "placement_group_bundles": [{"unicorn": 1}]}), "unknown resource 'unicorn'"),
        (config(grpc_options={"grpc_servicer_functions": ["a.b"]}), "HTTP only"),
        (config(target_capacity=50), "fabric sizes"),
        (config({"name": "A", "num_replicas": 10**7}), "groups.0.count"),
    ],
)
def test_what_cannot_work_is_refused_with_the_reason(document: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        spec_from_serve(document, SITE, "default")


SCALED = config(
    {"name": "Echo", "autoscaling_config": {"max_replicas": 3}, "ray_actor_options": {"num_cpus": 1}},
    {"name": "Front", "max_ongoing_requests": 9},
    http_options={"host": "0.0.0.0", "port": 1, "root_path": "/x"},
    proxy_location="EveryNode",
    logging_config={"log_level": "DEBUG"},
)


def record(state: State = State.RUNNING, workers: int = 2, document: dict[str, Any] = SCALED) -> Record:
    """A deployment that holds so many replicas of `Echo`."""
    part = Slice("Echo-0", "Echo", "commodity-0", "commodity", workers, Resources.of(2), head=True)
    made = spec_from_serve(document, SITE, "default")
    return Record("mine", made, state, Instants(START), grant=Grant((part,)), message="because")


def test_serve_is_told_the_granted_number_and_keeps_replicas_on_their_slices() -> None:
    told = deployed_config(record())
    (application,) = told["applications"]
    echo, front = application["deployments"]
    assert echo == {
        "name": "Echo", "num_replicas": 2,
        "ray_actor_options": {"num_cpus": 1, "label_selector": {"fabric/group": "Echo"}},
    }  # fmt: skip
    assert front == {"name": "Front", "max_ongoing_requests": 9}
    assert application["external_scaler_enabled"] is True
    assert (told["proxy_location"], told["http_options"]) == (
        "HeadOnly",
        {"keep_alive_timeout_s": 90, "root_path": "/x"},
    )
    assert told["logging_config"] == {"log_level": "DEBUG"}


def test_bundles_of_a_replica_stay_on_the_slices_of_its_group() -> None:
    document = config({"name": "Echo", "placement_group_bundles": [{"CPU": 1}]})
    (application,) = deployed_config(record(document=document))["applications"]
    assert application["deployments"][0]["placement_group_bundle_label_selector"] == [{"fabric/group": "Echo"}]
    assert "external_scaler_enabled" not in application


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"state": State.QUEUED}, "DEPLOYING"),
        ({"state": State.STARTING}, "DEPLOYING"),
        ({"state": State.STOPPING}, "DELETING"),
        ({"state": State.RUNNING, "stop_requested": True}, "DELETING"),
        ({"state": State.FAILED}, "DEPLOY_FAILED"),
    ],
)
def test_without_a_cluster_the_records_say_how_it_stands(changes: dict[str, Any], status: str) -> None:
    told = details_of(replace(record(), **changes), None, secrets=True)
    assert told["controller_info"]["node_id"], "else `serve shutdown` would not ask"
    application = told["applications"]["default"]
    assert (application["status"], application["deployed_app_config"]) == (status, SCALED["applications"][0])
    assert application["message"]


def seen(**application: Any) -> ClusterView:
    """A cluster whose Serve says this of the application."""
    told: dict[str, Any] = {"name": "default", "route_prefix": "/", "docs_path": None, "message": "", "deployments": {}}
    details = {"proxies": {"n": {"status": "HEALTHY"}}, "applications": {"default": {**told, **application}}}
    return ClusterView("mine-1", Phase.READY, details={"controller_info": {"node_id": "n"}, **details})


def test_what_the_cluster_says_is_shown_with_the_owners_own_numbers() -> None:
    echo = {"name": "Echo", "deployment_config": {"num_replicas": 2, "max_ongoing_requests": 5}}
    told = details_of(record(), seen(status="RUNNING", deployments={"Echo": echo}), secrets=True)
    assert (told["controller_info"], told["proxies"]) == ({"node_id": "n"}, {"n": {"status": "HEALTHY"}})
    application = told["applications"]["default"]
    assert (application["status"], application["external_scaler_enabled"]) == ("RUNNING", False)
    shown = application["deployments"]["Echo"]["deployment_config"]
    assert shown == {"max_ongoing_requests": 5, "autoscaling_config": {"max_replicas": 3}}


def test_what_the_fabric_knows_better_is_said_while_serve_says_nothing() -> None:
    told = details_of(record(), seen(status="DEPLOYING"), secrets=True)
    assert told["applications"]["default"]["message"] == "because"


def test_who_may_only_look_sees_no_values_of_variables() -> None:
    document = config()
    document["applications"][0]["runtime_env"] = {"env_vars": {"TOKEN": "secret"}}
    waiting = record(State.QUEUED, document=document)
    assert "secret" not in str(details_of(waiting, None, secrets=False))
    assert "secret" in str(details_of(waiting, None, secrets=True))
