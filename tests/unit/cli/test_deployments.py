"""Commands about deployments over time."""

import json

from fabric.api.deployments import DeploymentList, DeploymentView, RevisionView
from tests.unit.cli.conftest import Run
from tests.unit.sdk.fakes import FakeControl, answer, refusal, view

DEPLOYED = "/api/fabric/deployments"
NOW = RevisionView(
    workload="chat-2", serves="play@champion", version="play:3", state="running", condition="ready", deployed_at=1.0,
    deployed_by="ann", ran=True,
)  # fmt: skip
BEFORE = NOW.model_copy(update={"workload": "chat-1", "version": "play:2", "state": "cancelled", "condition": ""})
CHAT = DeploymentView(name="chat", project="alpha", kind="model", revisions=(NOW, BEFORE))


def test_deployments_are_listed_with_what_they_serve(control: FakeControl, run: Run) -> None:
    listed = DeploymentList(deployments=(CHAT.model_copy(update={"revisions": (NOW,)}),))
    control.on(f"GET {DEPLOYED}", answer(listed))
    (_, line) = run("deployments").stdout.splitlines()
    assert line.startswith("chat  alpha    model  play@champion = play:3  running (ready)")
    assert line.split()[-1] == "chat-2"
    told = run("deployments", "--json", "--project", "alpha").stdout
    assert DeploymentList.model_validate_json(told) == listed
    assert control.asked[-1].url.params["project"] == "alpha"


def test_nothing_deployed_says_so_beside_the_answer(control: FakeControl, run: Run) -> None:
    control.on(f"GET {DEPLOYED}", answer(DeploymentList(deployments=())))
    said = run("deployments")
    assert (said.stdout, "--deployment NAME" in said.stderr) == ("", True)


def test_one_is_shown_with_its_revisions(control: FakeControl, run: Run) -> None:
    control.on(f"GET {DEPLOYED}/chat", answer(CHAT))
    lines = run("deployments", "chat").stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["WORKLOAD", "chat-2", "chat-1"]
    assert DeploymentView.model_validate_json(run("deployments", "chat", "--json").stdout) == CHAT


def test_going_back_is_asked_for_and_waited_for_on_wish(control: FakeControl, run: Run) -> None:
    control.on(f"POST {DEPLOYED}/chat/rollback", answer(view("chat-3", "queued", kind="service")))
    ready = view("chat-3", kind="service", condition="ready", endpoint="http://g/v1")
    control.on("GET /api/fabric/workloads/chat-3", answer(ready))
    assert run("rollback", "chat").stdout == "chat-3 is queued; `fabric explain chat-3` says why\n"
    assert json.loads(control.asked[-1].content) == {"to": None}
    assert run("rollback", "chat", "--to", "chat-1", "--wait").stdout == "chat-3 answers at http://g/v1\n"
    assert json.loads(control.asked[-2].content) == {"to": "chat-1"}


def test_nothing_to_go_back_to_is_bad_input(control: FakeControl, run: Run) -> None:
    control.on(f"POST {DEPLOYED}/chat/rollback", refusal(409, "conflict", "chat has served nothing else"))
    said = run("rollback", "chat")
    assert (said.exit_code, said.stderr) == (2, "error: chat has served nothing else\n")


def test_a_model_is_deployed_under_a_name(control: FakeControl, run: Run) -> None:
    control.on("POST /api/fabric/workloads", answer(view("serve-play-1", "queued", kind="service"), 201))
    run("deploy", "play@champion", "--deployment", "chat")
    assert json.loads(control.asked[0].content)["spec"]["service"]["deployment"] == "chat"
