"""The command `dashboard`."""

import json

from fabric.api.dashboard import DashboardLink
from tests.unit.cli.conftest import Run
from tests.unit.sdk.fakes import FakeControl, answer, refusal

PATH = "POST /api/fabric/workloads/mine/dashboard"


def test_it_prints_an_address_for_a_browser(control: FakeControl, run: Run) -> None:
    control.on(PATH, answer(DashboardLink(path="/visit/abc", opens_s=60.0)))
    assert run("dashboard", "mine").stdout == "http://127.0.0.1:8270/visit/abc\n"
    assert json.loads(run("dashboard", "mine", "--json").stdout) == {"path": "/visit/abc", "opens_s": 60.0}


def test_a_workload_without_a_head_says_so(control: FakeControl, run: Run) -> None:
    control.on(PATH, refusal(503, "unavailable", "mine is queued and has no Ray head that answers now"))
    said = run("dashboard", "mine")
    assert (said.exit_code, said.stderr) == (4, "error: mine is queued and has no Ray head that answers now\n")
