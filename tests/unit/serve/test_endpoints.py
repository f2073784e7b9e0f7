"""What Ray Serve is told, and which endpoint a request goes to."""

import json
from typing import Any

import pytest

from fabric.core.errors import BadConfig
from fabric.serve.endpoints import ReplicaSpec, read_spec, serve_config
from fabric.serve.routing import choose, order


def spec(**more: Any) -> ReplicaSpec:
    return ReplicaSpec(**{"model_folder": "models/a", "names": ("a", "a@champion")} | more)


def test_a_spec_survives_the_way_through_serves_rest_api() -> None:
    given = spec(num_replicas=2, num_cpus=0.5, label_selector={"fabric/group": "workers"}, secret="s")
    config = json.loads(json.dumps(serve_config(given)))
    assert read_spec(config["applications"][0]["args"]) == given


def test_serve_listens_on_loopback_beside_the_head_only() -> None:
    config = serve_config(spec(), port=23001, runtime_env={"env_vars": {"A": "b"}})
    assert config["proxy_location"] == "HeadOnly"
    assert (config["http_options"]["host"], config["http_options"]["port"]) == ("127.0.0.1", 23001)
    assert "grpc_options" not in config
    [application] = config["applications"]
    assert application["import_path"] == "fabric.serve.ray_serve:build_app"
    assert application["runtime_env"] == {"env_vars": {"A": "b"}}


@pytest.mark.parametrize(
    "wrong",
    [{"names": ()}, {"num_replicas": 0}, {"engine": "magic"}, {"max_context": 1}, {"num_cpus": -1.0}, {"seed": 1}],
    ids=str,
)
def test_impossible_replicas_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        spec(**wrong)


@pytest.mark.parametrize("args", [{}, {"names": 3}, {"model_folder": "x", "names": ["a"], "frob": 1}], ids=str)
def test_arguments_that_nobody_wrote_are_refused(args: dict[str, Any]) -> None:
    with pytest.raises(BadConfig, match="arguments of the Serve application"):
        read_spec(args)


@pytest.mark.parametrize(
    ("world", "in_flight", "failed", "chosen"),
    [
        ("the idle one", {"a": 2, "b": 1}, (), "c"),
        ("of equals the first by name", {}, (), "a"),
        ("not one that failed", {}, ("a", "b"), "c"),
        ("none if all failed", {}, ("a", "b", "c"), None),
    ],
)
def test_a_request_goes_to_the_endpoint_with_the_fewest_under_way(
    world: str, in_flight: dict[str, int], failed: tuple[str, ...], chosen: str | None
) -> None:
    assert choose(["c", "b", "a"], in_flight, failed) == chosen, world


def test_no_endpoint_is_no_choice() -> None:
    assert choose([], {}) is None
    assert order([], {}) == []


def test_an_endpoint_that_lately_did_not_answer_is_tried_last() -> None:
    assert order(["a", "b", "c"], {"b": 1}, resting=["a"]) == ["c", "b", "a"]


def test_configurations_of_two_sizes_differ_in_the_number_of_replicas_alone() -> None:
    one, three = serve_config(spec()), serve_config(spec(), num_replicas=3)
    assert [config["applications"][0].pop("deployments") for config in (one, three)] == [
        [{"name": "replica", "num_replicas": 1}],
        [{"name": "replica", "num_replicas": 3}],
    ]
    assert one == three
