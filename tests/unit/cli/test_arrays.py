"""Commands about arrays of jobs, and what comes after what."""

import json
from pathlib import Path

import httpx
import pytest

from fabric.api import admin
from fabric.api.arrays import ArrayView
from fabric.sdk import arrays
from fabric.workloads.spec import WorkloadSpec
from tests.unit.cli.conftest import Run
from tests.unit.sdk.fakes import FakeControl, answer, view

ARRAYS = "/api/fabric/arrays"


def whole(state: str = "queued", **counts: int) -> ArrayView:
    ended = 1_065.0 if state in {"succeeded", "failed"} else None
    return ArrayView(
        name="sweep", project="alpha", size=3, state=state, counts=counts or {"queued": 3}, submitted_at=1_000.0,
        ended_at=ended,
    )  # fmt: skip


def element(index: int, state: str = "running") -> admin.WorkloadView:
    return view(f"sweep.{index}", state, workers=2, array=admin.ElementView(name="sweep", index=index, size=3))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, control: FakeControl, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(arrays, "FIRST_LOOK_S", 0.001)
    (tmp_path / "spec.yaml").write_text("name: sweep\nentrypoint: python a.py\nafter: [first]\n")
    control.on(f"POST {ARRAYS}", answer(whole()))
    control.on_any("PUT", httpx.Response(200))
    return tmp_path


def sent(control: FakeControl) -> WorkloadSpec:
    posted = next(request for request in control.asked if request.method == "POST")
    return admin.SubmitRequest.model_validate_json(posted.content).spec


def test_an_array_is_handed_in_by_an_option_or_by_its_spec(control: FakeControl, run: Run, folder: Path) -> None:
    said = run("submit", "spec.yaml", "--array", "3", "--key", "nightly")
    assert (said.exit_code, said.stdout) == (0, "sweep\n")
    array = sent(control).array
    assert array is not None
    assert array.size == 3
    assert control.asked[-1].headers["Idempotency-Key"] == "nightly"
    (folder / "spec.yaml").write_text("{name: sweep, entrypoint: x, array: {size: 3}}")
    told = ArrayView.model_validate_json(run("submit", "spec.yaml", "--json").stdout)
    assert told == whole()


def test_waiting_for_an_array_ends_with_its_success(control: FakeControl, run: Run) -> None:
    control.on(
        f"GET {ARRAYS}/sweep", answer(whole()), answer(whole("failed", failed=1, succeeded=2)),
        answer(whole("failed", failed=1, succeeded=2)),
    )  # fmt: skip
    said = run("submit", "spec.yaml", "--array", "3", "--wait")
    assert said.exit_code == 1
    assert said.stderr.splitlines()[0] == "sweep (3 elements) is queued: 3 queued"
    assert said.stdout == "sweep (3 elements) is failed: 1 failed, 2 succeeded, 1m5s after it was handed in\n"


def test_a_job_comes_after_what_spec_and_options_name(control: FakeControl, run: Run) -> None:
    control.on("POST /api/fabric/workloads", answer(view("sweep", "queued")))
    run("submit", "spec.yaml", "--after", "sweep", "--after", "other")
    assert sent(control).after == ("first", "sweep", "other")


@pytest.mark.parametrize("words", [("--array", "1001"), ("--array", "0"), ("--array", "3", "--follow")])
def test_an_array_that_cannot_be_is_bad_input(control: FakeControl, run: Run, words: tuple[str, ...]) -> None:
    assert run("submit", "spec.yaml", *words).exit_code == 2
    assert control.asked == []


def test_a_service_is_no_array(control: FakeControl, run: Run, folder: Path) -> None:
    (folder / "spec.yaml").write_text("{name: a, kind: service, service: {model: m@champion}}")
    assert run("submit", "spec.yaml", "--array", "3").exit_code == 2


def test_the_list_has_one_line_for_an_array(control: FakeControl, run: Run) -> None:
    views = (element(2), element(1, "queued"), view("alone"), element(0, "succeeded"))
    control.on("GET /api/fabric/workloads", answer(admin.WorkloadList(workloads=views)))
    _, line, alone = run("jobs").stdout.splitlines()
    assert line.startswith("sweep[3]")
    assert "1 queued, 1 running" in line
    assert line.rstrip().endswith("`fabric arrays show sweep`")
    assert alone.startswith("alone")
    assert len(json.loads(run("jobs", "--all", "--json").stdout)["workloads"]) == 4


def test_an_array_is_shown_with_its_elements(control: FakeControl, run: Run) -> None:
    shown = whole("running", queued=1, running=1).model_copy(update={"elements": (element(0), element(1, "queued"))})
    control.on(f"GET {ARRAYS}/sweep", answer(shown))
    lines = run("arrays", "show", "sweep").stdout.splitlines()
    assert lines[0] == "sweep (3 elements) is running: 1 queued, 1 running"
    assert [line.split()[0] for line in lines[1:]] == ["NAME", "sweep.0", "sweep.1"]
    assert ArrayView.model_validate_json(run("arrays", "show", "sweep", "--json").stdout) == shown


def test_an_array_is_stopped_and_waited_for_on_wish(control: FakeControl, run: Run) -> None:
    control.on(f"POST {ARRAYS}/sweep/stop", answer(whole()))
    control.on(f"GET {ARRAYS}/sweep", answer(whole("cancelled", cancelled=3)))
    assert run("arrays", "stop", "sweep").stdout == "sweep (3 elements) is queued: 3 queued\n"
    assert run("arrays", "stop", "sweep", "--wait").stdout == "sweep (3 elements) is cancelled: 3 cancelled\n"


def test_an_array_is_forgotten_once_one_is_sure(control: FakeControl, run: Run) -> None:
    control.on(f"GET {ARRAYS}/sweep", answer(whole("succeeded", succeeded=3)))
    control.on(f"DELETE {ARRAYS}/sweep", httpx.Response(204))
    unsure = run("arrays", "delete", "sweep")
    assert (unsure.exit_code, {request.method for request in control.asked}) == (2, {"GET"})
    assert "give --yes if you are sure" in unsure.stderr
    assert run("arrays", "delete", "sweep", "--yes").stderr == "sweep is forgotten\n"
    assert control.asked[-1].method == "DELETE"


def test_explain_tells_of_the_array_and_of_what_comes_first(control: FakeControl, run: Run) -> None:
    after = tuple(f"first.{index}" for index in range(7))
    waits = view("sweep.1", "queued", message="", after=after, array=admin.ElementView(name="sweep", index=1, size=3))
    control.on("GET /api/fabric/workloads/sweep.1/explain", answer(admin.ExplanationView(workload=waits)))
    assert run("explain", "sweep.1").stdout.splitlines()[1:] == [
        "element    1 of the 3 of sweep",
        "after      first.0, first.1, first.2, first.3, first.4 and 2 more",
    ]
