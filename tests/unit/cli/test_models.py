"""Commands about models and nodes."""

import json

from fabric.api import admin
from fabric.api.models import AliasMoveList, AliasMoveView
from tests.unit.cli.conftest import Run
from tests.unit.sdk.fakes import FakeControl, answer, refusal, view

SUBMIT = "POST /api/fabric/workloads"
MODEL = admin.ModelVersionView(
    name="shakespeare", version=3, aliases=("champion",), uri="file:///m", metrics={"bpb": 2.12345}, created_at=1.0,
    served_by=(
        admin.ServedByView(workload="chat-1", deployment="chat", asked="shakespeare@champion", state="running"),
        admin.ServedByView(workload="alone", asked="shakespeare:3", state="queued"),
    ),
)  # fmt: skip
NODE = admin.NodeView(
    name="gpu-0", tier="gpu", state="ready", heads=False,
    capacity={"cpus": 4.0, "gpus": 2.0, "memory_bytes": 6.0 * 2**30},
    used={"cpus": 2.0, "gpus": 1.5, "memory_bytes": 3.0 * 2**30}, workloads=("a", "b"),
)  # fmt: skip


def test_models_are_listed_with_aliases_and_metrics(control: FakeControl, run: Run) -> None:
    control.on("GET /api/fabric/models", answer(admin.ModelList(models=(MODEL,))))
    words = run("models").stdout.splitlines()[1].split()
    assert words[:6] == ["shakespeare", "-", "3", "champion", "chat", "alone"]
    assert words[-2:] == ["bpb=2.123", "file:///m"]
    assert admin.ModelList.model_validate_json(run("models", "--json").stdout).models == (MODEL,)


def test_no_models_is_no_failure(control: FakeControl, run: Run) -> None:
    control.on("GET /api/fabric/models", answer(admin.ModelList(models=())))
    said = run("models")
    assert (said.exit_code, said.stdout) == (0, "")


def test_nodes_are_listed_with_what_is_used(control: FakeControl, run: Run) -> None:
    plain = admin.NodeView(
        name="commodity-0", tier="commodity", state="ready", heads=True, capacity={"cpus": 4.0}, used={}
    )
    control.on("GET /api/fabric/nodes", answer(admin.NodeList(nodes=(NODE, plain))))
    gpu, commodity = run("nodes").stdout.splitlines()[1:]
    assert gpu.split()[-2:] == ["a", "b"]
    for part in ("2 / 4", "1.5 / 2", "3 GiB / 6 GiB"):
        assert part in gpu
    assert "ready, heads" in commodity
    assert admin.NodeList.model_validate_json(run("nodes", "--json").stdout).nodes == (NODE, plain)


def test_deploy_hands_in_a_service_and_returns(control: FakeControl, run: Run) -> None:
    control.on(SUBMIT, answer(view("chat", "queued", kind="service"), 201))
    said = run("deploy", "shakespeare@champion", "--name", "chat", "--engine", "echo", "--tier", "", "--gpus", "0")
    assert said.stdout == "chat is queued; `fabric explain chat` says why\n"
    spec = json.loads(control.asked[0].content)["spec"]
    assert spec["service"]["engine"] == "echo"
    assert (spec["groups"][0]["tier"], spec["groups"][0]["gpus"]) == (None, 0.0)


def test_deploy_waits_on_wish_and_tells_the_endpoint(control: FakeControl, run: Run) -> None:
    control.on(SUBMIT, answer(view("chat", "queued", kind="service"), 201))
    control.on(
        "GET /api/fabric/workloads/chat",
        answer(view("chat", "starting", kind="service", message="2 of 2 slices")),
        answer(view("chat", "running", kind="service", condition="ready", endpoint="http://g/v1")),
    )
    said = run("deploy", "shakespeare@champion", "--name", "chat", "--wait")
    assert (said.exit_code, said.stdout) == (0, "chat answers at http://g/v1\n")
    assert "chat starting: 2 of 2 slices" in said.stderr


def test_a_service_that_failed_is_a_failure(control: FakeControl, run: Run) -> None:
    control.on(SUBMIT, answer(view("chat", "queued", kind="service"), 201))
    control.on("GET /api/fabric/workloads/chat", answer(view("chat", "failed", kind="service", message="no such file")))
    assert run("deploy", "m@a", "--name", "chat", "--wait").exit_code == 1


def test_an_unknown_model_is_not_found(control: FakeControl, run: Run) -> None:
    control.on(SUBMIT, refusal(404, "not_found", "there is no model m; registered: shakespeare"))
    said = run("deploy", "m@a")
    assert (said.exit_code, said.stderr) == (3, "error: there is no model m; registered: shakespeare\n")


def test_an_engine_that_does_not_exist_is_bad_input(run: Run) -> None:
    assert run("deploy", "m@a", "--engine", "magic").exit_code == 2


def test_an_elastic_service_begins_with_its_fewest_replicas(control: FakeControl, run: Run) -> None:
    control.on(SUBMIT, answer(view("chat", "queued", kind="service"), 201))
    run("deploy", "m@a", "--name", "chat", "--replicas", "2-4")
    run("deploy", "m@a", "--name", "chat", "--replicas", "3")
    groups = [json.loads(request.content)["spec"]["groups"][0] for request in control.asked]
    assert [(group["count"], group["min"], group["max"]) for group in groups] == [(2, 2, 4), (3, None, None)]


def test_replicas_that_are_no_number_or_none_are_bad_input(control: FakeControl, run: Run) -> None:
    for wrong in ("some", "0", "1-", "1-2-3"):
        said = run("deploy", "m@a", "--replicas", wrong)
        assert said.exit_code == 2
        assert "fewest and most such as 1-4" in said.stderr
    assert run("deploy", "m@a", "--replicas", "4-2").exit_code == 2
    assert control.asked == []


MOVED = AliasMoveView(
    project="alpha", model="play", alias="champion", version=1, before=2, by="ann", reason="2 shouts", at=1_000.0
)
MOVES_PATH = "/api/fabric/models/alpha/play/aliases"


def test_an_alias_is_moved_by_hand_with_a_reason(control: FakeControl, run: Run) -> None:
    control.on(f"PUT {MOVES_PATH}/champion", answer(MOVED))
    words = ("models", "alias", "play", "champion", "1", "--project", "alpha")
    said = run(*words, "--why", "2 shouts")
    assert said.stdout == "play@champion points to version 1 (was at 2)\n"
    assert json.loads(control.asked[0].content) == {"version": 1, "reason": "2 shouts"}
    assert run(*words).exit_code == 2, "nobody moves one without a reason"


def test_moves_by_hand_are_listed(control: FakeControl, run: Run) -> None:
    control.on(f"GET {MOVES_PATH}", answer(AliasMoveList(moves=(MOVED,))), answer(AliasMoveList(moves=())))
    row = run("models", "moves", "play", "--project", "alpha").stdout.splitlines()[1]
    assert row.split()[-6:] == ["champion", "2", "1", "ann", "2", "shouts"]
    assert "nobody has moved" in run("models", "moves", "play", "--project", "alpha").stderr
