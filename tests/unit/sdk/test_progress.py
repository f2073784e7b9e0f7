"""Waiting shows how far work is, each in the way of the place where it is shown."""

import io
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from fabric.api.admin import ProgressView
from fabric.api.arrays import ArrayView
from fabric.sdk import Client
from fabric.sdk.progress import Progress, Standing, standing_of
from tests.unit.sdk.fakes import ADDRESS, FakeControl, answer, view

WAITS = view("train", "queued", message="behind 2 others")
TRAINS = view(
    "train", progress=ProgressView(stage="train", done=30.0, total=40.0, unit="steps", metrics={"loss": 2.34567})
)
ENDED = view("train", "succeeded", message="exit code 0")


def console(**how: Any) -> tuple[Console, io.StringIO]:
    out = io.StringIO()
    return Console(file=out, width=120, highlight=False, markup=False, **how), out


def test_it_is_what_the_work_reports_or_why_it_does_not_run() -> None:
    assert standing_of(WAITS) == Standing("train", "queued: behind 2 others")
    assert standing_of(TRAINS) == Standing("train", "train, 30 of 40 steps, loss 2.346", 30.0, 40.0)
    assert standing_of(ENDED) == Standing("train", "succeeded: exit code 0")
    resizes = TRAINS.model_copy(update={"state": "resizing"})
    assert standing_of(resizes).said.startswith("resizing, train, 30 of 40 steps")


def test_of_an_array_it_is_how_many_have_ended() -> None:
    counts = {"running": 1, "succeeded": 2, "failed": 1}
    sweep = ArrayView(name="sweep", project="a", size=4, state="running", counts=counts, submitted_at=1.0)
    assert standing_of(sweep) == Standing("sweep", "1 running, 2 succeeded, 1 failed", 3, 4)


def test_a_log_gets_a_line_for_each_change() -> None:
    where, out = console()
    with Progress(where) as shown:
        for each in (WAITS, WAITS, TRAINS, ENDED):
            shown(each)
    assert out.getvalue().splitlines() == [
        "train queued: behind 2 others",
        "train train, 30 of 40 steps, loss 2.346",
        "train succeeded: exit code 0",
    ]


def test_a_terminal_gets_a_bar_that_stays_at_its_end() -> None:
    where, out = console(force_terminal=True)
    with Progress(where) as shown:
        shown(WAITS)
        shown(TRAINS)
    last = [line for line in out.getvalue().splitlines() if "train" in line][-1]
    assert "━" in last
    assert "30 of 40 steps, loss 2.346" in last


def test_what_was_never_shown_leaves_nothing() -> None:
    where, out = console(force_terminal=True)
    with Progress(where):
        pass
    assert out.getvalue() == ""


class FakeNotebook:
    """IPython behind a notebook: what cells show."""

    def __init__(self) -> None:
        self.cells: list[list[str]] = []
        kernel = type("ZMQInteractiveShell", (), {})
        self.get_ipython = kernel
        self.display = SimpleNamespace(HTML=str, display=self._new)

    def _new(self, text: str, *, display_id: bool) -> Any:
        cell = [text]
        self.cells.append(cell)
        return SimpleNamespace(update=cell.append)


def test_a_notebook_gets_one_output_that_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "IPython", notebook := FakeNotebook())
    with Progress() as shown:
        shown(view("train", "queued", message="behind <b>2</b>"))
        shown(TRAINS)
    assert notebook.cells == [
        [
            '<b>train</b> <progress value="0"></progress> queued: behind &lt;b&gt;2&lt;/b&gt;',
            '<b>train</b> <progress value="30" max="40"></progress> train, 30 of 40 steps, loss 2.346',
        ]
    ]


def test_it_is_told_by_waiting(control: FakeControl) -> None:
    control.on("GET /api/fabric/workloads/train", *map(answer, (WAITS, TRAINS, ENDED)))
    where, out = console()
    with Client(ADDRESS, transport=control.transport) as fabric, Progress(where) as shown:
        fabric.wait("train", on_update=shown)
    assert len(out.getvalue().splitlines()) == 3
