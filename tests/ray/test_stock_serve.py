"""The unmodified `serve` command line against the fabric: deploy, status, config, requests, shutdown."""

from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from fabric.control.deployed import NOTHING, details_of
from tests.ray.live import Live, until
from tests.ray.serve_apps import packed
from tests.unit.control.test_spec_from_serve import SCALED, record, seen

pytestmark = pytest.mark.timeout(600)
START_S = 150.0


def config_file(folder: Path, *applications: dict[str, Any]) -> Path:
    """A Serve configuration as a person writes it."""
    file = folder / "serve.yaml"
    file.write_text(yaml.safe_dump({"applications": list(applications)}))
    return file


def shop(folder: Path, **more: Any) -> dict[str, Any]:
    """The echo application."""
    return {"name": "shop", "import_path": "shop:build", "runtime_env": {"working_dir": packed(folder)}, **more}


def printed(live: Live) -> dict[str, str]:
    """Status of each application, as the stock command prints it."""
    told = yaml.safe_load(live.serve("status").stdout)
    return {name: application["status"] for name, application in told["applications"].items()}


def statuses(live: Live) -> dict[str, str]:
    """The same without the seconds that a command takes to start."""
    told = live.get("/api/serve/applications/")
    return {name: application["status"] for name, application in told["applications"].items()}


def at_gateway(live: Live, path: str, method: str = "GET", **more: Any) -> httpx.Response:
    """A request to a deployment of the project `default`."""
    url = f"{live.gateway.removesuffix('/v1')}/serve/default/{path}"
    return httpx.request(method, url, timeout=60, trust_env=False, **more)


def names(live: Live) -> set[str]:
    """Services that have not ended."""
    return {name for name in live.active() if live.workload(name)["kind"] == "service"}


def test_what_we_answer_is_what_rays_own_types_take() -> None:
    from ray.serve.schema import ServeInstanceDetails

    for told in (dict(NOTHING), details_of(record(), None, secrets=True)):
        assert ServeInstanceDetails(**told)._get_status()
    details = ServeInstanceDetails(**details_of(record(), seen(status="RUNNING"), secrets=True))
    application = details.applications["default"]
    assert application.deployed_app_config is not None
    assert application.deployed_app_config.model_dump(exclude_unset=True) == SCALED["applications"][0]
    assert details._get_status().applications["default"].status == "RUNNING"


def test_deploy_status_config_requests_and_shutdown_work_as_on_a_cluster_of_ones_own(
    live: Live, tmp_path: Path
) -> None:
    replicas = {"name": "Echo", "ray_actor_options": {"num_cpus": 0.5}, "autoscaling_config": {"max_replicas": 2}}
    file = config_file(tmp_path, shop(tmp_path, args={"word": "tea"}, deployments=[replicas]))
    assert "Sent deploy request successfully" in live.serve("deploy", str(file)).stdout
    (name,) = names(live)
    until(lambda: statuses(live) == {"shop": "RUNNING"}, START_S, lambda: live.explained(name))
    live.wait(name, "running")
    until(lambda: live.workload(name)["condition"] == "ready", 30, lambda: live.explained(name))
    assert printed(live) == {"shop": "RUNNING"}
    shown = yaml.safe_load(live.serve("config").stdout)
    assert shown == yaml.safe_load(file.read_text())["applications"][0], "shown back unchanged"
    until(lambda: at_gateway(live, "default/").status_code != 404, 30, lambda: "the gateway has not heard of it")
    answer = at_gateway(live, "default/pot/1?sugar=2", "PUT", content=b"more")
    assert answer.json() == {
        "word": "tea", "method": "PUT", "path": "/pot/1", "body": "more", "query": {"sugar": "2"},
        "slice": live.workload(name)["slices"][0]["name"],
    }  # fmt: skip
    assert at_gateway(live, "default/stream").text == "0;1;2;"
    assert [part["cpus"] for part in live.workload(name)["slices"]] == [1.0], "whole CPUs"
    config = yaml.safe_load(file.read_text())
    assert httpx.put(f"{live.address}/api/serve/applications/", json=config, trust_env=False).is_success
    assert names(live) == {name}, "the same once more changes nothing"
    assert "deleted asynchronously" in live.serve("shutdown", "--yes").stdout
    live.wait(name, "cancelled")
    assert statuses(live) == {}
    assert "No Serve instance found" in (done := live.serve("shutdown", "--yes")).stdout + done.stderr


def test_deployments_of_other_names_and_projects_are_out_of_reach(live: Live, tmp_path: Path) -> None:
    file = config_file(tmp_path, shop(tmp_path))
    mine = f"{live.address}/deployments/mine"
    live.serve("deploy", str(file), address=mine)
    (name,) = names(live)
    live.serve("shutdown", "--yes")
    assert not live.workload(name)["message"].startswith("stopped"), "the deployment `default` is another one"
    told = yaml.safe_load(live.serve("status", address=mine).stdout)
    assert told["applications"]["shop"]["status"] in {"DEPLOYING", "RUNNING"}
    live.serve("shutdown", "--yes", address=mine)
    live.wait(name, "cancelled")


def test_an_application_that_cannot_start_says_why(live: Live, tmp_path: Path) -> None:
    file = config_file(tmp_path, shop(tmp_path) | {"import_path": "shop:nothing"})
    live.serve("deploy", str(file))
    (name,) = names(live)
    live.wait(name, "failed", within_s=START_S)
    told = yaml.safe_load(live.serve("status").stdout)["applications"]["shop"]
    assert told["status"] == "DEPLOY_FAILED"
    assert "nothing" in told["message"]
    live.serve("shutdown", "--yes")
    assert statuses(live) == {}


@pytest.mark.parametrize(
    ("deployment", "says"),
    [
        ({"name": "Echo", "ray_actor_options": {"num_gpus": 64}}, "largest node"),
        ({"name": "Echo", "ray_actor_options": {"num_gpus": 0.5}}, "no whole number of accelerators"),
        ({"name": "Echo", "ray_actor_options": {"resources": {"unicorn": 1}}}, "unicorn"),
    ],
)
def test_what_can_never_run_is_refused_with_the_reason(
    live: Live, tmp_path: Path, deployment: dict[str, Any], says: str
) -> None:
    file = config_file(tmp_path, shop(tmp_path, deployments=[deployment]))
    done = live.serve("deploy", str(file), check=False)
    assert done.returncode != 0
    assert says in done.stdout + done.stderr
    assert names(live) == set()
