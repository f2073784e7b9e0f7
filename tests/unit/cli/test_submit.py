"""What becomes of a spec, or of an app's config file."""

from pathlib import Path

import httpx
import pytest

from fabric.api import admin
from fabric.workloads.spec import WorkloadSpec
from tests.unit.cli.conftest import Run
from tests.unit.sdk.fakes import FakeControl, answer, refusal, view

SUBMIT = "POST /api/fabric/workloads"
ONE = "GET /api/fabric/workloads/a"
APP = """\
train: {steps: 100}
workload:
  name: a
  entrypoint: python apps/pretrain.py --config app.yaml
  groups: [{name: trainers, count: 2, tier: gpu, gpus: 1, memory: 2 GiB}]
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, control: FakeControl) -> Path:
    """A working directory with a spec and an app's config; control takes any package."""
    (tmp_path / "spec.yaml").write_text("name: a\nentrypoint: python a.py\nmetadata: {by: me}\n")
    (tmp_path / "app.yaml").write_text(APP)
    control.on(SUBMIT, answer(view("a", "queued"), 201))
    control.on_any("PUT", httpx.Response(200))
    return tmp_path


def sent(control: FakeControl) -> WorkloadSpec:
    posted = next(request for request in control.asked if request.method == "POST")
    return admin.SubmitRequest.model_validate_json(posted.content).spec


def test_a_spec_is_handed_in_with_the_current_directory(control: FakeControl, run: Run) -> None:
    said = run("submit", "spec.yaml")
    assert (said.exit_code, said.stdout) == (0, "a\n")
    assert sent(control).metadata == {"by": "me"}
    package = control.asked[1].url.path.rpartition("/")[2]
    assert sent(control).runtime_env == {"working_dir": f"gcs://{package}"}


def test_a_spec_that_names_its_directory_keeps_it(control: FakeControl, run: Run, folder: Path) -> None:
    (folder / "spec.yaml").write_text("{name: a, entrypoint: x, runtime_env: {working_dir: 'gcs://p.zip'}}")
    run("submit", "spec.yaml")
    assert sent(control).runtime_env == {"working_dir": "gcs://p.zip"}


def test_a_service_has_no_working_directory(control: FakeControl, run: Run, folder: Path) -> None:
    (folder / "spec.yaml").write_text("{name: a, kind: service, service: {model: m@champion}}")
    run("submit", "spec.yaml")
    assert sent(control).runtime_env == {}


def test_values_of_a_spec_may_be_overridden(control: FakeControl, run: Run) -> None:
    run("submit", "spec.yaml", "--set", "priority=harvest", "--set", "walltime_s=60", "--name", "b")
    spec = sent(control)
    assert (spec.priority, spec.walltime_s, spec.name) == ("harvest", 60.0, "b")


def test_an_app_is_handed_in_by_the_section_of_its_config(control: FakeControl, run: Run) -> None:
    run("submit", "--config", "app.yaml")
    spec = sent(control)
    assert (spec.name, spec.groups[0].count) == ("a", 2)
    assert spec.entrypoint == "python apps/pretrain.py --config app.yaml"


def test_overrides_of_an_app_reach_its_workload_or_its_entrypoint(control: FakeControl, run: Run) -> None:
    run("submit", "--config", "app.yaml", "--set", "workload.max_failures=0", "--set", "train.text='a b'")
    spec = sent(control)
    assert spec.max_failures == 0
    assert spec.entrypoint == "python apps/pretrain.py --config app.yaml --set 'train.text='\"'\"'a b'\"'\"''"


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        (("submit",), "give either a SPEC.yaml or --config APP.yaml"),
        (("submit", "spec.yaml", "--config", "app.yaml"), "give either"),
        (("submit", "spec.yml"), "spec.yml: no such file. Did you mean spec.yaml?"),
        (("submit", "app.yaml"), "train: unknown key"),
        (("submit", "--config", "spec.yaml"), "spec.yaml: has no `workload:` section"),
        (("submit", "spec.yaml", "--set", "groups"), "write it as path=value"),
        (("submit", "--config", "app.yaml", "--set", "workload.tier=gpu"), "tier: unknown key"),
        (("submit", "--config", "app.yaml", "--set", "workload.entrypoint=''"), "a job needs an entrypoint"),
        (("submit", "--config", "app.yaml", "--set", "train.steps.more=1"), "'steps' holds a value, not a section"),
        (("submit", "spec.yaml", "--name", "a/b"), "'a/b' is not a workload name"),
        (("submit", "spec.yaml", "--follow", "--json"), "give one of them"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_sent(
    control: FakeControl, run: Run, words: tuple[str, ...], problem: str
) -> None:
    said = run(*words)
    assert said.exit_code == 2
    assert said.stderr.startswith("error: ")
    assert problem in said.stderr
    assert said.stderr.count("\n") == 1
    assert control.asked == []


def test_what_no_node_could_hold_is_told_as_control_said_it(control: FakeControl, run: Run) -> None:
    control.on(SUBMIT, refusal(400, "does_not_fit", "16 GPUs asked, at most 2 on gpu-0"))
    said = run("submit", "spec.yaml")
    assert (said.exit_code, said.stderr) == (2, "error: 16 GPUs asked, at most 2 on gpu-0\n")


@pytest.mark.parametrize(("end", "code"), [("succeeded", 0), ("failed", 1), ("cancelled", 1)])
def test_waiting_ends_with_the_jobs_own_success(control: FakeControl, run: Run, end: str, code: int) -> None:
    ended = view("a", end, running_at=1_100.0, ended_at=1_165.0, message="said so")
    control.on(ONE, answer(view("a", "queued", message="2 GPUs missing")), answer(ended))
    said = run("submit", "spec.yaml", "--wait")
    assert said.exit_code == code
    assert said.stdout == f"a {end} after 1m5s: said so\n"
    assert said.stderr.splitlines()[0] == "a queued: 2 GPUs missing"


def test_following_puts_the_log_on_stdout_and_everything_else_beside_it(control: FakeControl, run: Run) -> None:
    control.on(ONE, answer(view("a", "queued")), answer(view("a", "running")), answer(view("a", "succeeded")))
    ended = {admin.COMPLETE: "true"}
    logs = f"{ONE}/logs"
    control.on(
        logs, httpx.Response(200), httpx.Response(200, text="one\n"), httpx.Response(200, text="two\n", headers=ended)
    )
    said = run("submit", "spec.yaml", "--follow")
    assert said.exit_code == 0
    assert said.stdout == "one\ntwo\n"
    assert said.stderr.splitlines() == ["a queued: queued", "a running: running", *["a succeeded: succeeded"] * 2]


def test_json_is_the_workload(control: FakeControl, run: Run) -> None:
    assert admin.WorkloadView.model_validate_json(run("submit", "spec.yaml", "--json").stdout) == view("a", "queued")


def test_a_service_is_waited_for_until_it_answers(control: FakeControl, run: Run, folder: Path) -> None:
    (folder / "spec.yaml").write_text("{name: a, kind: service, service: {model: m@champion}}")
    control.on(ONE, answer(view("a", kind="service", condition="ready", endpoint="http://g/v1")))
    assert run("submit", "spec.yaml", "--wait").stdout == "a answers at http://g/v1\n"
