"""Commands about workloads that are there."""

import json
from typing import Any

import httpx
import pytest

from fabric.api import admin
from fabric.api.use import UseView
from fabric.cli import jobs, show, watching
from tests.unit.cli.conftest import Run
from tests.unit.sdk.fakes import FakeControl, answer, refusal, view

LIST = "GET /api/fabric/workloads"
SLICE = admin.SliceView(
    name="trainers-0", group="trainers", node="gpu-0", tier="gpu", workers=2, cpus=4.0, gpus=2.0,
    memory_bytes=6 * 2**30, head=False,
)  # fmt: skip
HEAD = SLICE.model_copy(
    update={"name": "head", "group": "head", "node": "commodity-1", "tier": "commodity", "gpus": 0.0}
)


@pytest.fixture
def listed(control: FakeControl) -> tuple[admin.WorkloadView, ...]:
    progress = admin.ProgressView(done=30.0, total=40.0, unit="steps")
    views = (
        view("waits", "queued", message="needs 2 GPUs more on tier gpu; trains is ahead"),
        view("trains", slices=(SLICE, HEAD), progress=progress),
        view("serves", kind="service", condition="ready", slices=(SLICE,)),
        view("old", "succeeded", ended_at=1_061.0, slices=(SLICE,)),
    )
    control.on(LIST, answer(admin.WorkloadList(workloads=views)))
    return views


def test_the_list_has_what_waits_and_runs(run: Run, listed: object) -> None:
    lines = run("jobs").stdout.splitlines()
    assert lines[0].split() == ["NAME", "STATE", "TRY", "AGE", "SIZE", "ON", "DONE", "MESSAGE"]
    assert [line.split()[0] for line in lines[1:]] == ["waits", "trains", "serves"]
    assert "commodity×1 gpu×1  75%" in lines[2]
    assert "running (ready)" in lines[3]


def test_all_shows_what_has_ended_too(run: Run, listed: object) -> None:
    line = run("jobs", "--all").stdout.splitlines()[-1]
    assert line.split() == ["old", "succeeded", "1", "1m1s", "-", "-", "-", "succeeded"]


def test_json_is_that_of_the_api(run: Run, listed: tuple[admin.WorkloadView, ...]) -> None:
    told = run("jobs", "--all", "--json").stdout
    assert admin.WorkloadList.model_validate_json(told).workloads == listed
    assert admin.WorkloadList.model_validate_json(run("jobs", "--json").stdout).workloads == listed[:3]


def test_an_empty_list_says_so_beside_the_answer(control: FakeControl, run: Run) -> None:
    control.on(LIST, answer(admin.WorkloadList(workloads=())))
    assert run("jobs").stdout == ""
    assert json.loads(run("jobs", "--json").stdout) == {"workloads": []}


def test_a_table_fits_a_narrow_terminal_by_shortening_the_message(
    listed: tuple[admin.WorkloadView, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(show, "WIDTH_OF_A_PIPE", 85)
    console = show.console()
    with console.capture() as caught:
        console.print(jobs._table(listed))
    assert max(len(line) for line in caught.get().splitlines()) <= 85
    waits = caught.get().splitlines()[1]
    assert waits.startswith("waits ")
    assert "needs 2 GPUs" in waits
    assert waits.endswith("…")


def test_brackets_of_a_message_are_shown_as_they_are(control: FakeControl, run: Run) -> None:
    control.on(LIST, answer(admin.WorkloadList(workloads=(view("a", message="[red]not a colour[/red]"),))))
    assert "[red]not a colour[/red]" in run("jobs").stdout


def test_a_log_is_shown_as_it_was_written(control: FakeControl, run: Run) -> None:
    ended = {admin.COMPLETE: "true"}
    control.on("GET /api/fabric/workloads/a", answer(view("a")))
    control.on("GET /api/fabric/workloads/a/logs", httpx.Response(200, text="no newline at end", headers=ended))
    assert run("logs", "a", "-f").stdout == "no newline at end"
    assert run("logs", "a").stdout == "no newline at end"
    assert run("logs", "a").stderr == ""


def test_why_the_log_of_a_service_is_empty_is_said(control: FakeControl, run: Run) -> None:
    control.on("GET /api/fabric/workloads/a", answer(view("a", kind="service")))
    control.on("GET /api/fabric/workloads/a/logs", httpx.Response(200, text="", headers={admin.COMPLETE: "false"}))
    said = run("logs", "a")
    assert (said.exit_code, said.stdout) == (0, "")
    assert "a is a service: what its replicas write is not copied" in said.stderr


def test_a_workload_that_is_not_there_is_not_found(control: FakeControl, run: Run) -> None:
    control.on("GET /api/fabric/workloads/a", refusal(404, "not_found", "there is no workload a"))
    said = run("logs", "a")
    assert (said.exit_code, said.stderr) == (3, "error: there is no workload a\n")


def test_stop_tells_the_state_and_waits_on_wish(control: FakeControl, run: Run) -> None:
    control.on("POST /api/fabric/workloads/a/stop", answer(view("a", "stopping", message="stopped by request")))
    control.on("GET /api/fabric/workloads/a", answer(view("a", "stopping")), answer(view("a", "cancelled", message="")))
    assert run("stop", "a").stdout == "a is stopping: stopped by request\n"
    assert run("stop", "a", "--wait").stdout == "a is cancelled\n"


def test_explain_tells_what_is_missing_and_when_it_should_start(control: FakeControl, run: Run) -> None:
    waits = view("a", "queued", message="waits", failures=1, attempt=2, expected_start=2_000.0)
    event = admin.EventView(at=1_000.0, state="queued", reason="submitted", attempt=1)
    told = admin.ExplanationView(
        workload=waits, missing="2 GPUs on tier gpu; b is ahead", expected_start=2_000.0, events=(event,)
    )
    control.on("GET /api/fabric/workloads/a/explain", answer(told))
    assert run("explain", "a").stdout.splitlines() == [
        "a (job, batch) is queued, attempt 2, 1 lost",
        "  waits",
        "missing    2 GPUs on tier gpu; b is ahead",
        f"starts     expected about {show.clock(2_000.0)}",
        f"{show.clock(1_000.0)}  #1 queued     submitted",
    ]
    assert admin.ExplanationView.model_validate_json(run("explain", "a", "--json").stdout) == told


def test_what_is_used_of_the_grant_is_one_line_and_so_is_what_nothing_counts(control: FakeControl, run: Run) -> None:
    use = UseView(
        at=1_000.0, over_s=20.0, cpus=0.26, of_cpus=4.0, memory_bytes=1288490189, of_memory_bytes=3 * 2**30,
        of_gpus=2.0, unmeasured=("accelerators of tier gpu are pretend ones",),
    )  # fmt: skip
    runs = view("a", message="running", use=use)
    control.on("GET /api/fabric/workloads/a/explain", answer(admin.ExplanationView(workload=runs)))
    assert run("explain", "a").stdout.splitlines()[1:] == [
        "  running",
        "uses       0.26 of 4 CPUs, 1.2 of 3 GiB",
        "unmeasured accelerators of tier gpu are pretend ones",
    ]
    control.on("GET /api/fabric/workloads", answer(admin.WorkloadList(workloads=(runs,))))
    assert "running; uses 0.26 of 4 CPUs, 1.2 of 3 GiB" in run("jobs").stdout


def test_what_is_being_resized_shows_both_sizes_and_between_what_it_may_change(control: FakeControl, run: Run) -> None:
    elastic: dict[str, Any] = {"least": 1, "most": 4}
    views = (
        view("fixed", workers=2),
        view("steady", workers=2, **elastic),
        view("shrinks", "resizing", workers=3, becomes=1, **elastic),
        view("scaled", kind="service", workers=1, wants=4, **elastic),
        view("waits", "queued", **elastic),
    )
    control.on(LIST, answer(admin.WorkloadList(workloads=views)))
    lines = run("jobs").stdout.splitlines()
    at = lines[0].index("SIZE"), lines[0].index("ON")
    assert [line[slice(*at)].strip() for line in lines[1:]] == ["2", "2 of 1-4", "3→1 of 1-4", "1→4 of 1-4", "- of 1-4"]


def test_explain_tells_of_size_of_leaving_and_of_having_left(control: FakeControl, run: Run) -> None:
    shrinks = view(
        "a", "resizing", message="for chat, which scales up", preemptions=2, attempt=3, workers=3, becomes=1, least=1,
        most=4, leave_by=2_000.0, progress=admin.ProgressView(workers=2),
    )  # fmt: skip
    control.on("GET /api/fabric/workloads/a/explain", answer(admin.ExplanationView(workload=shrinks)))
    assert run("explain", "a").stdout.splitlines() == [
        "a (job, batch) is resizing, attempt 3, 2 left for others",
        "  for chat, which scales up",
        "size       3 workers of 1 to 4, becomes 1, works with 2",
        f"leaves by  {show.clock(2_000.0)}",
    ]


def test_scale_asks_for_replicas_and_waits_for_them_on_wish(
    control: FakeControl, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "LOOK_EVERY_S", 0.0)
    control.on("POST /api/fabric/workloads/chat/scale", answer(view("chat", kind="service", workers=1, wants=3)))
    control.on(
        "GET /api/fabric/workloads/chat",
        answer(view("chat", "resizing", kind="service", workers=1)),
        answer(view("chat", kind="service", workers=3)),
    )
    assert run("scale", "chat", "3").stdout == "chat is running with 1 of 3 replicas\n"
    assert json.loads(control.asked[0].content) == {"workers": 3}
    assert run("scale", "chat", "3", "--wait").stdout == "chat is running with 3 of 3 replicas\n"
    assert run("scale", "chat", "none").exit_code == 2


def test_a_size_that_cannot_be_is_bad_input(control: FakeControl, run: Run) -> None:
    control.on("POST /api/fabric/workloads/chat/scale", refusal(400, "bad_input", "chat can have 1 to 3 replicas"))
    said = run("scale", "chat", "9")
    assert (said.exit_code, said.stderr) == (2, "error: chat can have 1 to 3 replicas\n")


def test_explain_tells_where_it_runs_and_what_it_reports(control: FakeControl, run: Run) -> None:
    progress = admin.ProgressView(
        stage="train", done=30.0, total=40.0, unit="steps", metrics={"loss": 2.34567}, checkpoint_uri="file:///c",
        checkpoint_step=20,
    )  # fmt: skip
    runs = view("a", message="", slices=(SLICE, HEAD), progress=progress, endpoint="http://g/v1")
    control.on("GET /api/fabric/workloads/a/explain", answer(admin.ExplanationView(workload=runs)))
    assert run("explain", "a").stdout.splitlines()[1:] == [
        "on         gpu-0 (gpu): 2 × trainers, 4 CPUs, 2 GPUs, 6 GiB",
        "on         commodity-1 (commodity): head, 4 CPUs, 6 GiB",
        "reports    train, 30 of 40 steps, loss 2.346",
        "saved      file:///c (step 20)",
        "answers    http://g/v1",
    ]


def test_watching_prints_json_only_when_something_changed(
    control: FakeControl, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    same = answer(admin.WorkloadList(workloads=(view("a", "queued"),)))
    other = answer(admin.WorkloadList(workloads=(view("a", "running"),)))

    def leaves(request: httpx.Request) -> httpx.Response:
        return refusal(404, "not_found", "enough")

    control.on(LIST, same, same, other, leaves)
    monkeypatch.setattr(watching, "LOOK_EVERY_S", 0.0)
    assert run("jobs", "--watch", "--json").stdout.count('"workloads"') == 2


def test_watching_shows_a_table_until_it_is_interrupted(
    control: FakeControl, run: Run, listed: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("time.sleep", interrupted)
    said = run("jobs", "--watch")
    assert said.exit_code == 130
    assert "trains" in said.stdout
