"""The same calls of Ray's own clients against a bare Ray cluster and against the fabric: a table of what each answers.

Both sides are asked by `observed`, one after the other and one job after another, so that two cores are enough; a row
that may differ is in `DIFFERENT`, with what each side says and why.
"""

import asyncio
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml
from click.testing import CliRunner
from ray.job_submission import JobSubmissionClient

from scripts.benches.submit import new_cluster
from tests.ray.live import Live
from tests.ray.serve_apps import packed
from tests.ray.test_plain_ray import takes_jobs

pytestmark = pytest.mark.timeout(900)
PATIENCE_S = 240.0
PACKAGE = "/api/packages/gcs/_ray_pkg_0123456789abcdef.zip"
APPLICATIONS = "/api/serve/applications/"

CASES = (
    "version: fields", "version: of the API", "version for serve: fields",
    "job succeeds", "job succeeds: message", "job succeeds: log", "job succeeds: followed log", "job: fields",
    "job: metadata", "job: runtime_env", "jobs are listed", "job exits with 3", "job is killed", "job is stopped",
    "stop of one that ended", "second job of that id", "delete of one that runs", "delete of one that ended",
    "get of a deleted job", "get of an unknown job", "stop of an unknown job", "delete of an unknown job",
    "logs of an unknown job", "submission without entrypoint", "submission with metadata of a wrong type",
    "submission with an unknown working_dir scheme", "package that is not there", "package is put", "package is there",
    "serve: nothing deployed", "serve: status of nothing", "serve: config of nothing", "serve: shutdown of nothing",
    "serve: wrong api_type", "serve: configuration without import_path", "serve: configuration with two of a name",
    "serve: num_replicas and autoscaling", "serve: deploy", "serve: status", "serve: deployments", "serve: config",
    "serve: config of one", "serve: config of an unknown one", "serve: fields", "serve: fields of an application",
    "serve: shutdown", "serve: status after it", "serve: scale of nothing",
)  # fmt: skip
"""Every row of the table."""

DIFFERENT: Mapping[str, tuple[Any, Any, str]] = {
    "job succeeds: message": (
        "Job finished successfully.",
        "succeeded",
        "the message is the first line of `fabric explain`",
    ),
    "second job of that id": (
        500,
        400,
        "bare Ray turns its agent's 400 into 500; the text is the same, and asking again cannot help",
    ),
    "serve: scale of nothing": (
        503,
        404,
        "bare Ray has no controller before the first deployment; records answer always",
    ),
}
"""Rows that differ: what bare Ray says, what the fabric says, and why."""


@dataclass
class Side:
    """One of the two, as its clients see it."""

    address: str
    folder: Path

    @property
    def client(self) -> JobSubmissionClient:
        """Ray's own."""
        return JobSubmissionClient(self.address)

    def http(self, method: str, path: str, **more: Any) -> requests.Response:
        """One request."""
        return requests.request(method, self.address + path, timeout=60, **more)

    def serve(self, verb: str, *words: str) -> str:
        """What the stock command prints; it runs here, because nine starts of Python would take a minute."""
        from ray.serve.scripts import cli

        return CliRunner().invoke(cli, [verb, "--address", self.address, *words]).output

    def wait(self, wish: Callable[[], bool], what: str) -> None:
        """Look until it is so."""
        until = time.monotonic() + PATIENCE_S
        while not wish():
            assert time.monotonic() < until, f"{self.address}: {what}"
            time.sleep(0.3)

    def ended(self, job: str) -> tuple[str, int | None]:
        """Status and exit code of a job, once it has ended."""
        self.wait(lambda: self.client.get_job_status(job).is_terminal(), f"{job}: {self.client.get_job_info(job)}")
        info = self.client.get_job_info(job)
        return info.status.value, info.driver_exit_code


@pytest.fixture(scope="module")
def answers(shared: Live, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """What bare Ray and the fabric answered."""
    folder = tmp_path_factory.mktemp("answers")
    with new_cluster(num_cpus=4) as (address, _):
        takes_jobs(address)
        for job in JobSubmissionClient(address).list_jobs():
            assert job.submission_id is not None
            Side(address, folder).ended(job.submission_id)
        bare = observed(Side(address, folder))
    before = shared.active()
    yield bare, observed(Side(shared.address, folder))
    shared.stop_all(shared.active() - before)


def observed(side: Side) -> dict[str, Any]:
    """Every row of one side."""
    return {**versions(side), **jobs(side), **refusals(side), **packages(side), **serve(side)}


def versions(side: Side) -> dict[str, Any]:
    """What clients ask first."""
    version = side.http("GET", "/api/version").json()
    return {
        "version: fields": sorted(version),
        "version: of the API": (version["version"], version["ray_version"]),
        "version for serve: fields": sorted(side.http("GET", "/api/ray/version").json()),
    }


def jobs(side: Side) -> dict[str, Any]:
    """The lives of four jobs, one after another."""
    work = side.folder / "work"
    work.mkdir(exist_ok=True)
    (work / "told.py").write_text("import os\nprint('told', os.environ['WORD'])\n")
    client = side.client
    more: dict[str, Any] = {"working_dir": str(work), "env_vars": {"WORD": "ünï"}}
    found: dict[str, Any] = {}
    for row, (name, entrypoint, asked) in {
        "job succeeds": ("same-good", "python told.py", {"runtime_env": more, "metadata": {"owner": "ada"}}),
        "job exits with 3": ("same-bad", "exit 3", {}),
        "job is killed": ("same-killed", "kill -9 $$", {}),
    }.items():
        client.submit_job(entrypoint=entrypoint, submission_id=name, **asked)
        found[row] = side.ended(name)
    info, raw = client.get_job_info("same-good"), side.http("GET", "/api/jobs/same-good").json()
    client.submit_job(entrypoint="sleep 600", submission_id="same-long")
    side.wait(lambda: client.get_job_status("same-long").value == "RUNNING", "long does not run")
    found |= {
        "job succeeds: message": info.message,
        "job succeeds: log": _own_lines(client.get_job_logs("same-good")),
        "job succeeds: followed log": _own_lines(asyncio.run(_followed(client, "same-good"))),
        "job: fields": sorted(raw),
        "job: metadata": info.metadata,
        "job: runtime_env": (sorted(raw["runtime_env"]), raw["runtime_env"]["env_vars"]),
        "jobs are listed": {"same-good", "same-bad", "same-killed", "same-long"}
        <= {job.submission_id for job in client.list_jobs()},
        "second job of that id": _refused(lambda: client.submit_job(entrypoint="true", submission_id="same-long")),
        "delete of one that runs": _refused(lambda: client.delete_job("same-long")),
        "stop of one that ended": client.stop_job("same-good"),
    }
    stopped = client.stop_job("same-long")
    found["job is stopped"] = (stopped, side.ended("same-long")[0])
    found["delete of one that ended"] = client.delete_job("same-good")
    found["get of a deleted job"] = _refused(lambda: client.get_job_info("same-good"))
    return found


def _own_lines(log: str) -> list[str]:
    """What the entrypoint itself wrote."""
    return [line for line in log.splitlines() if line.startswith("told")]


async def _followed(client: JobSubmissionClient, job: str) -> str:
    return "".join([piece async for piece in client.tail_job_logs(job)])


def _refused(call: Callable[[], object]) -> int:
    """The status with which a call is refused, from what Ray's client says of it."""
    with pytest.raises(RuntimeError, match="status code") as error:
        call()
    return int(re.findall(r"status code (\d+)", str(error.value))[0])


def refusals(side: Side) -> dict[str, Any]:
    """Calls that cannot be done."""
    scheme = {"entrypoint": "true", "runtime_env": {"working_dir": "moon://a.zip"}}
    return {
        "get of an unknown job": side.http("GET", "/api/jobs/nobody").status_code,
        "stop of an unknown job": side.http("POST", "/api/jobs/nobody/stop").status_code,
        "delete of an unknown job": side.http("DELETE", "/api/jobs/nobody").status_code,
        "logs of an unknown job": side.http("GET", "/api/jobs/nobody/logs").status_code,
        "submission without entrypoint": side.http("POST", "/api/jobs/", json={}).status_code,
        "submission with metadata of a wrong type": side.http(
            "POST", "/api/jobs/", json={"entrypoint": "true", "metadata": {"a": 1}}
        ).status_code,
        "submission with an unknown working_dir scheme": side.http("POST", "/api/jobs/", json=scheme).status_code,
    }


def packages(side: Side) -> dict[str, Any]:
    """Uploads."""
    content = Path(packed(side.folder).removeprefix("file://")).read_bytes()
    return {
        "package that is not there": side.http("GET", PACKAGE).status_code,
        "package is put": side.http("PUT", PACKAGE, data=content).status_code,
        "package is there": side.http("GET", PACKAGE).status_code,
    }


def serve(side: Side) -> dict[str, Any]:
    """A deployment's life, and what is refused before it."""
    scale = "/api/v1/applications/shop/deployments/Echo/scale"
    two = [{"name": "a", "import_path": "m:a", "route_prefix": f"/{number}"} for number in (1, 2)]
    both = {"name": "Echo", "num_replicas": 2, "autoscaling_config": {"max_replicas": 3}}
    found: dict[str, Any] = {
        "serve: scale of nothing": side.http("POST", scale, json={"target_num_replicas": 2}).status_code,
        "serve: nothing deployed": side.http("GET", APPLICATIONS).json(),
        "serve: status of nothing": side.serve("status"),
        "serve: config of nothing": side.serve("config"),
        "serve: shutdown of nothing": "No Serve instance found" in side.serve("shutdown", "--yes"),
        "serve: wrong api_type": _text(side.http("GET", f"{APPLICATIONS}?api_type=x")),
        "serve: configuration without import_path": _put(side, {"applications": [{"name": "a"}]}),
        "serve: configuration with two of a name": _put(side, {"applications": two}),
        "serve: num_replicas and autoscaling": _put(
            side, {"applications": [{"import_path": "m:a", "deployments": [both]}]}
        ),
    }
    file = side.folder / "serve.yaml"
    environment = {"working_dir": packed(side.folder), "env_vars": {"A": "b"}}
    shop = {"name": "shop", "import_path": "shop:app", "route_prefix": "/shop", "runtime_env": environment}
    replicas = {"name": "Echo", "ray_actor_options": {"num_cpus": 0.5}, "max_ongoing_requests": 7}
    file.write_text(yaml.safe_dump({"applications": [shop | {"deployments": [replicas]}]}))
    found["serve: deploy"] = "Sent deploy request successfully" in side.serve("deploy", str(file))
    side.wait(lambda: _applications(side).get("shop", {}).get("status") == "RUNNING", "shop does not run")
    status, details = yaml.safe_load(side.serve("status")), side.http("GET", APPLICATIONS).json()
    application = details["applications"]["shop"]
    deployment = status["applications"]["shop"]["deployments"]["Echo"]
    found |= {
        "serve: status": [status["applications"]["shop"][key] for key in ("status", "message")],
        "serve: deployments": (deployment, sorted(application["deployments"]["Echo"]["deployment_config"])),
        "serve: config": side.serve("config"),
        "serve: config of one": side.serve("config", "--name", "shop"),
        "serve: config of an unknown one": side.serve("config", "--name", "lab"),
        "serve: fields": sorted(details.keys() - {"http_options", "target_groups"}),
        "serve: fields of an application": sorted(application),
        "serve: shutdown": "deleted asynchronously" in side.serve("shutdown", "--yes"),
    }
    side.wait(lambda: not _applications(side), "shop does not go")
    found["serve: status after it"] = yaml.safe_load(side.serve("status"))["applications"]
    return found


def _applications(side: Side) -> Mapping[str, Any]:
    found: Mapping[str, Any] = side.http("GET", APPLICATIONS).json()["applications"]
    return found


def _put(side: Side, config: Mapping[str, Any]) -> int:
    return side.http("PUT", APPLICATIONS, data=json.dumps(config)).status_code


def _text(answer: requests.Response) -> tuple[int, str]:
    return answer.status_code, answer.text


@pytest.mark.parametrize("case", CASES)
def test_both_answer_the_same_or_differ_for_a_reason(answers: tuple[dict[str, Any], dict[str, Any]], case: str) -> None:
    bare, fabric = (side[case] for side in answers)
    if case in DIFFERENT:
        assert (bare, fabric) == DIFFERENT[case][:2]
    else:
        assert fabric == bare


def test_the_table_has_every_row_that_was_asked(answers: tuple[dict[str, Any], dict[str, Any]]) -> None:
    assert {frozenset(side) for side in answers} == {frozenset(CASES)}
    assert set(DIFFERENT) <= set(CASES)
