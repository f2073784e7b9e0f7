"""How far work is, shown while somebody waits for it: a bar in a terminal or a notebook, lines anywhere else.

Knows nothing of how it is asked: it is an `on_update` of `wait`.

    with Client() as fabric, Progress() as shown:
        fabric.wait("train", on_update=shown)
"""

from __future__ import annotations

import html
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

from fabric.workloads.states import FINAL

if TYPE_CHECKING:
    from rich.console import Console

    from fabric.api.admin import WorkloadView
    from fabric.api.arrays import ArrayView

NOTEBOOK = "ZMQInteractiveShell"
"""Class of IPython's shell where it runs behind a notebook."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How far something is."""

    name: str
    said: str
    """Its state and why, or what it reports."""
    done: float = 0.0
    total: float | None = None
    """None as long as nobody knows how much there is."""


class Face(Protocol):
    """Where it is shown."""

    def show(self, standing: Standing) -> None:
        """Show it in place of what was shown before."""
        ...

    def close(self) -> None:
        """Leave what was shown last where it is."""
        ...


class Progress(AbstractContextManager["Progress"]):
    """Shows workloads and arrays; a bar ends with the `with` block."""

    def __init__(self, console: Console | None = None) -> None:
        """Show nothing yet.

        Args:
            console: Where lines and bars go; None for stderr, or the notebook that this runs in.
        """
        self._console = console
        self._face: Face | None = None
        self._shown: Standing | None = None

    def __call__(self, view: WorkloadView | ArrayView) -> None:
        """Show how far a workload, or an array, is."""
        standing = standing_of(view)
        if standing == self._shown:
            return
        if self._face is None:
            self._face = _face(self._console)
        self._face.show(standing)
        self._shown = standing

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        face, self._face, self._shown = self._face, None, None
        if face is not None:
            face.close()


def standing_of(view: WorkloadView | ArrayView) -> Standing:
    """How far a workload says that it is; of an array how many of its elements have ended."""
    counts = getattr(view, "counts", None)
    if counts is not None:
        said = ", ".join(f"{count} {state}" for state, count in counts.items())
        return Standing(view.name, said, sum(counts.get(state, 0) for state in FINAL), view.size)  # type: ignore[union-attr]
    return _of_workload(view)  # type: ignore[arg-type]


def _of_workload(view: WorkloadView) -> Standing:
    told = view.progress
    if view.state in FINAL or not (told.stage or told.total):
        why = view.message if view.message != view.state else ""
        return Standing(view.name, ": ".join(part for part in (view.state, why) if part))
    said = ", ".join(part for part in _reported(view) if part)
    return Standing(view.name, said, told.done, told.total or None)


def _reported(view: WorkloadView) -> Iterator[str]:
    told = view.progress
    yield view.state if view.state != "running" else ""
    yield told.stage
    yield f"{told.done:g} of {told.total:g} {told.unit}".strip() if told.total else ""
    yield from (f"{name} {value:.4g}" for name, value in told.metrics.items())


def _face(console: Console | None) -> Face:
    shell = sys.modules.get("IPython")
    if console is None and shell is not None and type(shell.get_ipython()).__name__ == NOTEBOOK:
        return _Notebook(shell)
    from rich.console import Console

    where = console or Console(stderr=True, highlight=False, markup=False)
    return _Bar(where) if where.is_terminal else _Lines(where)


class _Bar:
    """A line of a terminal that is drawn anew."""

    def __init__(self, console: Console) -> None:
        from rich import progress as bars

        self._bars = bars.Progress(
            bars.TextColumn("{task.description}", markup=False),
            bars.BarColumn(bar_width=24),
            bars.TextColumn("{task.fields[said]}", markup=False),
            bars.TimeElapsedColumn(),
            console=console,
        )
        self._tasks: dict[str, Any] = {}

    def show(self, standing: Standing) -> None:
        if not self._tasks:
            self._bars.start()
        if standing.name not in self._tasks:
            self._tasks[standing.name] = self._bars.add_task(standing.name, total=None, said="")
        self._bars.update(self._tasks[standing.name], completed=standing.done, total=standing.total, said=standing.said)

    def close(self) -> None:
        self._bars.stop()


class _Lines:
    """A line for each change, as in a log."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def show(self, standing: Standing) -> None:
        self._console.print(f"{standing.name} {standing.said}", soft_wrap=True)

    def close(self) -> None:
        pass


class _Notebook:
    """An output of a notebook's cell for each workload, drawn anew; needs no widgets."""

    def __init__(self, shell: Any) -> None:
        self._display = shell.display
        self._outputs: dict[str, Any] = {}

    def show(self, standing: Standing) -> None:
        picture = self._display.HTML(_picture(standing))
        if standing.name in self._outputs:
            self._outputs[standing.name].update(picture)
        else:
            self._outputs[standing.name] = self._display.display(picture, display_id=True)

    def close(self) -> None:
        pass


def _picture(standing: Standing) -> str:
    amount = f' value="{standing.done:g}" max="{standing.total:g}"' if standing.total else ' value="0"'
    return f"<b>{html.escape(standing.name)}</b> <progress{amount}></progress> {html.escape(standing.said)}"
