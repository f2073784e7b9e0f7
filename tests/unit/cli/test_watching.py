"""What can be watched is told again when it changes."""

import httpx
import pytest

from fabric.api import admin
from fabric.api.arrays import ArrayView
from fabric.api.deployments import DeploymentList
from fabric.cli import watching
from tests.unit.cli.conftest import Run
from tests.unit.sdk.fakes import FakeControl, answer, refusal, view

NODE = admin.NodeView(name="gpu-0", tier="gpu", state="ready", heads=False, capacity={"cpus": 4.0}, used={})
WAITS = admin.ExplanationView(workload=view("a", "queued"))
RUNS = admin.ExplanationView(
    workload=view("a"), events=(admin.EventView(at=1.0, state="running", reason="r", attempt=1),)
)
SWEEP = ArrayView(name="sweep", project="alpha", size=2, state="queued", counts={"queued": 2}, submitted_at=1.0)
CASES = [
    (("nodes",), "/nodes", admin.NodeList(nodes=(NODE,)), admin.NodeList(nodes=())),
    (("explain", "a"), "/workloads/a/explain", WAITS, RUNS),
    (("events", "a"), "/workloads/a/explain", WAITS, RUNS),
    (("arrays", "show", "sweep"), "/arrays/sweep", SWEEP, SWEEP.model_copy(update={"state": "running"})),
]


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "LOOK_EVERY_S", 0.0)


@pytest.mark.parametrize(("words", "path", "before", "after"), CASES)
def test_json_is_told_when_something_changed_and_not_before(
    control: FakeControl, run: Run, words: tuple[str, ...], path: str, before: httpx.Response, after: httpx.Response
) -> None:
    control.on(f"GET /api/fabric{path}", *map(answer, (before, before, after)), refusal(404, "not_found", "enough"))
    said = run(*words, "--watch", "--json")
    assert (said.exit_code, said.stderr) == (3, "error: enough\n")
    starts = [line for line in said.stdout.splitlines() if line in {"{", "[", "[]"}]
    assert len(starts) == 2


@pytest.mark.parametrize(("words", "path", "before", "after"), CASES)
def test_people_see_the_newest_of_it(
    control: FakeControl, run: Run, words: tuple[str, ...], path: str, before: httpx.Response, after: httpx.Response
) -> None:
    control.on(f"GET /api/fabric{path}", *map(answer, (before, after)), refusal(404, "not_found", "enough"))
    assert run(*words, "--watch").exit_code == 3


def test_deployments_too(control: FakeControl, run: Run) -> None:
    control.on("GET /api/fabric/deployments", answer(DeploymentList(deployments=())), refusal(404, "not_found", "no"))
    assert run("deployments", "--watch", "--json").stdout.count('"deployments"') == 1
