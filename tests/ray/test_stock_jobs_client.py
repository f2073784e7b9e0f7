"""Ray's own client types and code against control's HTTP interface; no Ray cluster is started."""

import asyncio
import dataclasses
import random
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
import uvicorn
from ray.dashboard.modules.job import common, pydantic_models
from ray.dashboard.modules.version import CURRENT_VERSION, VersionResponse
from ray.job_submission import JobStatus, JobSubmissionClient

from fabric.api import jobs
from fabric.control.admission import PACKAGE_SCHEME
from fabric.store.database import open_store
from fabric.store.shelves import Limits
from fabric.workloads.states import RAY_STATUS, State
from tests.unit.control.world import World

pytestmark = pytest.mark.ray


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[World, str]]:
    """A world whose app listens on a real port."""
    world = World(tmp_path, open_store(tmp_path))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(world.app, host="127.0.0.1", port=port, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield world, f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(10)


@pytest.mark.parametrize(
    ("ours", "rays"),
    [
        (jobs.JobSubmission, common.JobSubmitRequest),
        (jobs.JobSubmitted, common.JobSubmitResponse),
        (jobs.JobStopped, common.JobStopResponse),
        (jobs.JobDeleted, common.JobDeleteResponse),
        (jobs.VersionInfo, VersionResponse),
    ],
)
def test_bodies_have_exactly_rays_fields(ours: Any, rays: Any) -> None:
    assert set(ours.model_fields) == {field.name for field in dataclasses.fields(rays)}


def test_a_description_has_exactly_rays_fields() -> None:
    fields = getattr(pydantic_models.JobDetails, "model_fields", None) or pydantic_models.JobDetails.__fields__
    assert set(jobs.JobDetails.model_fields) == set(fields)


def test_we_say_the_versions_that_are_installed() -> None:
    assert (jobs.API_VERSION, jobs.RAY_VERSION) == (CURRENT_VERSION, ray.__version__)


def test_our_word_for_every_state_is_one_of_rays() -> None:
    finals = {state for state in State if JobStatus(RAY_STATUS[state]).is_terminal()}
    assert finals == {state for state in State if state.final}


def test_the_stock_client_goes_through_a_jobs_life(served: tuple[World, str], tmp_path: Path) -> None:
    world, address = served
    client = JobSubmissionClient(address)
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "x.py").write_text("print(1)\n")
    name = client.submit_job(
        entrypoint="python x.py",
        runtime_env={"working_dir": str(folder), "env_vars": {"A": "b"}},
        metadata={"fabric.walltime": "10m"},
        entrypoint_num_cpus=1,
    )
    package = world.records.get(name).spec.runtime_env["working_dir"].removeprefix(PACKAGE_SCHEME)
    assert world.packages.has(package)
    assert client.get_job_status(name) is JobStatus.PENDING
    world.run(name)
    world.write(name, "ünïcödé\n" * 30_000)
    world.end(name)
    info = client.get_job_info(name)
    assert (info.status, info.runtime_env["env_vars"], info.driver_exit_code) == (JobStatus.SUCCEEDED, {"A": "b"}, 0)
    assert client.get_job_logs(name) == "ünïcödé\n" * 30_000
    assert asyncio.run(_tail(client, name)) == "ünïcödé\n" * 30_000
    assert [job.submission_id for job in client.list_jobs()] == [name]
    assert client.stop_job(name) is False
    assert client.delete_job(name) is True
    with pytest.raises(RuntimeError, match=f"404: Job {name} does not exist"):
        client.get_job_info(name)


async def _tail(client: JobSubmissionClient, name: str) -> str:
    return "".join([piece async for piece in client.tail_job_logs(name)])


def test_the_stock_client_says_why_it_was_refused(served: tuple[World, str]) -> None:
    world, address = served
    client = JobSubmissionClient(address)
    with pytest.raises(RuntimeError, match="400: .* has 2 GPUs"):
        client.submit_job(entrypoint="x", entrypoint_num_gpus=9)
    world.job("mine")
    with pytest.raises(RuntimeError, match="non-terminal state PENDING"):
        client.delete_job("mine")
    with pytest.raises(ray.exceptions.AuthenticationError, match="issued by nobody here"):
        JobSubmissionClient(address, headers={"Authorization": "Bearer wrong"})


def test_a_package_that_is_too_large_is_refused_with_the_reason_and_not_a_broken_connection(
    served: tuple[World, str], tmp_path: Path
) -> None:
    world, address = served
    world.packages._limits = Limits(1000, 10**6, 3600.0)
    folder = tmp_path / "work"
    folder.mkdir()
    (folder / "noise").write_bytes(bytes(range(256)) * 40_000)
    (folder / "more").write_bytes(random.Random(1).randbytes(8_000_000))
    with pytest.raises(RuntimeError, match="400: package .* is larger than"):
        JobSubmissionClient(address).submit_job(entrypoint="x", runtime_env={"working_dir": str(folder)})
