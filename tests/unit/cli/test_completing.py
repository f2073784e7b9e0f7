"""What Tab offers: commands, options, and names of the fabric that answers."""

from collections.abc import Callable

import httpx
import pytest
from typer.testing import CliRunner

from fabric.api.admin import ElementView, NodeList, NodeView
from fabric.api.lists import WorkloadPage
from fabric.cli.main import app
from fabric.cli.session import Session
from tests.unit.sdk.fakes import FakeControl, answer, refusal, view

SEARCH = "GET /api/fabric/search"
Tab = Callable[[str], list[str]]


@pytest.fixture
def tab(control: FakeControl) -> Tab:
    """Press Tab at the end of a line in bash; what is offered."""

    def press(line: str) -> list[str]:
        told = {"_FABRIC_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)}
        session = Session(control.transport, patience_s=0.0)
        return CliRunner().invoke(app, [], obj=session, prog_name="fabric", env=told).stdout.split()

    return press


def test_commands_and_options_are_offered(tab: Tab) -> None:
    assert tab("fabric ex") == ["explain"]
    assert tab("fabric keys r") == ["rotate", "revoke"]
    assert tab("fabric jobs --w") == ["--watch"]


def test_names_of_workloads_are_those_of_the_fabric(control: FakeControl, tab: Tab) -> None:
    found = (view("train-2"), view("my-train"), view("train-1", "succeeded"))
    control.on(SEARCH, answer(WorkloadPage(total=3, offset=0, workloads=found)))
    assert tab("fabric logs tr") == ["train-2", "train-1"]
    assert control.asked[-1].url.params["text"] == "tr"


def test_names_of_arrays_and_nodes_too(control: FakeControl, tab: Tab) -> None:
    elements = tuple(view(f"sweep.{n}", array=ElementView(name="sweep", index=n, size=2)) for n in range(2))
    control.on(SEARCH, answer(WorkloadPage(total=2, offset=0, workloads=elements)))
    node = NodeView(name="gpu-0", tier="gpu", state="ready", heads=False, capacity={}, used={})
    control.on("GET /api/fabric/nodes", answer(NodeList(nodes=(node,))))
    assert tab("fabric arrays show sw") == ["sweep"]
    assert tab("fabric drain gp") == ["gpu-0"]


@pytest.mark.parametrize("fails", [httpx.ConnectError("nobody"), refusal(403, "denied")])
def test_a_fabric_that_does_not_answer_offers_nothing(
    control: FakeControl, tab: Tab, fails: httpx.Response | Exception
) -> None:
    control.on(SEARCH, fails)
    assert tab("fabric logs tr") == []
