"""The command `notebook`."""

import json

import httpx
import pytest

from fabric.api.dashboard import DashboardLink
from fabric.api.notebook import LINK
from fabric.cli import notebook, shell
from tests.unit.cli.conftest import Run
from tests.unit.sdk.fakes import ADDRESS, FakeControl, answer, refusal, view

GET, POST = "GET /api/fabric/workloads/mine", f"POST {LINK.format(name='mine')}"


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch, control: FakeControl) -> None:
    for module in (shell, notebook):
        monkeypatch.setattr(module, "LOOK_EVERY_S", 0.0)
    monkeypatch.setenv("FABRIC_ADDRESS", ADDRESS)
    control.on("POST /api/fabric/workloads", answer(view("mine", "queued"), 201))
    control.on(GET, answer(view("mine", "queued")), answer(view("mine", "running")))


def test_it_waits_for_a_slice_and_for_the_server_and_prints_the_address(control: FakeControl, run: Run) -> None:
    coming = refusal(503, "unavailable", "mine serves no notebook yet; try again")
    control.on(POST, coming, coming, answer(DashboardLink(path="/notebook-visit/abc", opens_s=60.0)))
    said = run("notebook", "--name", "mine", "--idle", "10m", "--pip", "jupyterlab", "--pip", "pandas")
    assert (said.exit_code, said.stdout) == (0, f"{ADDRESS}/notebook-visit/abc\n")
    assert "`fabric notebook --attach mine` prints another address" in said.stderr
    spec = json.loads(control.asked[0].read())["spec"]
    assert spec["entrypoint"] == "python -m fabric.sdk.notebook --idle 600"
    assert (spec["priority"], spec["runtime_env"]) == ("interactive", {"pip": ["jupyterlab", "pandas"]})


def test_one_that_runs_gets_another_address(control: FakeControl, run: Run) -> None:
    control.on(POST, answer(DashboardLink(path="/notebook-visit/abc", opens_s=60.0)))
    assert run("notebook", "--attach", "mine").stdout == f"{ADDRESS}/notebook-visit/abc\n"
    assert [request.method for request in control.asked] == ["GET", "GET", "POST"]


def test_where_jupyter_is_missing_the_last_words_say_what_to_install(control: FakeControl, run: Run) -> None:
    words = "error: neither jupyterlab nor notebook is installed where this runs"
    coming = refusal(503, "unavailable", "mine serves no notebook yet; try again")
    control.on(POST, coming, refusal(409, "conflict", "mine has already failed"))
    log = httpx.Response(
        200, text=words, headers={"x-fabric-next-offset": str(len(words)), "x-fabric-complete": "true"}
    )
    control.on("GET /api/fabric/workloads/mine/logs", log)
    said = run("notebook", "--name", "mine")
    assert (said.exit_code, said.stderr.splitlines()[-1]) == (2, f"error: mine has already failed: {words}")
    control.on(GET, answer(view("mine", "failed", message="exit code 1")))
    said = run("notebook", "--name", "mine")
    assert (said.exit_code, said.stderr) == (2, f"error: mine is failed: exit code 1: {words}\n")
