"""The commands about nodes."""

import json

import pytest

from fabric.api.admin import NodeList, NodeView
from fabric.api.nodes import DrainPreview, DrainView, MoveView
from tests.unit.cli.conftest import Run
from tests.unit.sdk.fakes import FakeControl, answer, refusal

PATH = "/api/fabric/nodes/gpu-1/drain"
DRAIN = DrainView(node="gpu-1", by="ada", reason="bad DIMM", since=0.0)
STAYS = MoveView(workload="keeps", project="alpha", how="stays", said="runs to its end here")
SAID = "node gpu-1 is being drained by ada: bad DIMM (since"


def test_nodes_say_who_drains_them_and_why(control: FakeControl, run: Run) -> None:
    fields = {"tier": "gpu", "heads": False, "capacity": {"cpus": 4.0}, "used": {}}
    ready = NodeView.model_validate({"name": "gpu-0", "state": "ready", **fields})
    away = NodeView.model_validate({"name": "gpu-1", "state": "draining", "drain": DRAIN, **fields})
    control.on("GET /api/fabric/nodes", answer(NodeList(nodes=(ready, away))))
    lines = run("nodes").stdout.splitlines()
    assert lines[-1].startswith(SAID)
    assert [line.split()[2] for line in lines[1:3]] == ["ready", "draining"]
    assert json.loads(run("nodes", "--json").stdout)["nodes"][1]["drain"]["reason"] == "bad DIMM"


def test_nodes_say_why_they_take_no_work(control: FakeControl, run: Run) -> None:
    fields = {"tier": "gpu", "heads": False, "capacity": {"cpus": 4.0}, "used": {}}
    refused = NodeView.model_validate({"name": "gpu-0", "state": "refused", "said": "3 cores of 4", **fields})
    control.on("GET /api/fabric/nodes", answer(NodeList(nodes=(refused,))))
    assert run("nodes").stdout.splitlines()[-1] == "node gpu-0 is refused: 3 cores of 4"


def test_a_node_is_drained_until_a_deadline_and_undone(control: FakeControl, run: Run) -> None:
    control.on(f"POST {PATH}", answer(DRAIN)).on(f"DELETE {PATH}", answer(DRAIN))
    said = run("drain", "gpu-1", "--reason", "bad DIMM", "--deadline", "30m").stdout
    assert said.startswith(SAID)
    assert said.endswith("work that does not save runs to its end)\n")
    assert json.loads(control.asked[0].content) == {"reason": "bad DIMM", "deadline_s": 1800.0}
    assert "gpu-1 takes new work again" in run("drain", "gpu-1", "--undo").stderr


def test_a_preview_lists_what_would_become_of_whom_and_does_nothing(control: FakeControl, run: Run) -> None:
    full = DrainPreview(node="gpu-1", asked_at=0.0, moves=(STAYS,))
    control.on(f"GET {PATH}", answer(full))
    said = run("drain", "gpu-1", "--preview").stdout
    assert "keeps" in said
    assert "runs to its end here" in said
    assert [request.method for request in control.asked] == ["GET"]
    assert json.loads(run("drain", "gpu-1", "--preview", "--json").stdout)["moves"][0]["how"] == "stays"


def test_a_preview_of_an_empty_node_says_so(control: FakeControl, run: Run) -> None:
    control.on(f"GET {PATH}", answer(DrainPreview(node="gpu-1", asked_at=0.0)))
    assert run("drain", "gpu-1", "--preview").stdout == "nothing runs on gpu-1: it would be empty at once\n"


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--undo", "--preview"), "--undo: goes with none of"),
        (("--undo", "--reason", "x"), "--undo: goes with none of"),
        (("--preview", "--reason", "x"), "--preview: does nothing"),
        (("--deadline", "soon"), "--deadline: 'soon' is no length of time"),
    ],
)
def test_what_contradicts_itself_is_refused_before_anybody_is_asked(
    control: FakeControl, run: Run, words: tuple[str, ...], says: str
) -> None:
    refused = run("drain", "gpu-1", *words)
    assert (refused.exit_code, control.asked) == (2, [])
    assert says in refused.stderr


def test_a_node_that_does_not_exist_is_code_3(control: FakeControl, run: Run) -> None:
    control.on(f"POST {PATH}", refusal(404, "not_found", "the site has no node gpu-1"))
    assert run("drain", "gpu-1").exit_code == 3
