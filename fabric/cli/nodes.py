"""The commands `nodes` and `drain`.

Knows nothing of workloads but their names.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from fabric.cli import completing, show, watching
from fabric.cli.jobs import Json
from fabric.cli.people import seconds_of
from fabric.cli.session import session
from fabric.core.errors import BadInput

if TYPE_CHECKING:
    from rich.console import RenderableType

    from fabric.api.admin import NodeView
    from fabric.api.nodes import DrainPreview, DrainView

COLUMNS = ("NAME", "TIER", "STATE", "CPUS", "GPUS", "MEMORY", "WORKLOADS")
"""Heads of the list of nodes; amounts are used / there."""
MOVES = ("WORKLOAD", "PROJECT", "WHAT", "HOW")
"""Heads of the list of what would become of whom."""


def nodes(ctx: typer.Context, json: Json = False, watch: watching.Watch = False) -> None:
    """List the nodes, what is used of them and by whom, who drains which, and why others take no work."""
    with session(ctx).client() as client:
        if watch:
            watching.go_on(client.nodes, _drawn, json=_as_json if json else None)
        found = client.nodes()
    if json:
        _as_json(found)
        return
    show.console().print(show.table(COLUMNS, map(_row, found)))
    for sentence in _sentences(found):
        typer.echo(sentence)


def _as_json(found: Sequence[NodeView]) -> None:
    from fabric.api.admin import NodeList

    show.as_json(NodeList(nodes=tuple(found)))


def _drawn(found: Sequence[NodeView]) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    return Group(show.table(COLUMNS, map(_row, found)), *map(Text, _sentences(found)))


def _sentences(found: Sequence[NodeView]) -> Iterator[str]:
    for node in found:
        if node.drain is not None:
            yield _sentence(node.drain)
        if node.said:
            yield f"node {node.name} is {node.state}: {node.said}"


def drain(
    ctx: typer.Context,
    node: Annotated[
        str,
        typer.Argument(metavar="NODE", help="Name of the node.", show_default=False, autocompletion=completing.nodes),
    ],
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why, for whoever looks.", show_default=False)] = "",
    deadline: Annotated[
        str | None,
        typer.Option(
            metavar="30m",
            help="By when everything is gone; without it, work that does not save runs to its end.",
            show_default=False,
        ),
    ] = None,
    undo: Annotated[bool, typer.Option("--undo", help="Put the node into service again.")] = False,
    preview: Annotated[bool, typer.Option("--preview", help="Only say what would become of whom.")] = False,
    yes: show.Yes = False,
    json: Json = False,
) -> None:
    """Take a node out of service: nothing new starts there, and what is there moves away.

    Elastic work shrinks, services are ready elsewhere before they leave, and work that saves is asked to leave within
    the site's grace. Other work runs to its end, unless there is a deadline.
    """
    _check(undo=undo, preview=preview, reason=reason, deadline=deadline)
    deadline_s = None if deadline is None else seconds_of(deadline, "--deadline")
    if not (undo or preview):
        show.ask_at_terminal(f"Drain {node}? What runs there is asked to leave; --preview tells whom.", yes=yes)
    with session(ctx).client() as client:
        if undo:
            client.undrain(node)
            show.note(f"{node} takes new work again")
            return
        answer = client.preview_drain(node, deadline_s=deadline_s) if preview else None
        done = None if preview else client.drain(node, reason, deadline_s=deadline_s)
    if json:
        show.as_json(answer or done)  # type: ignore[arg-type]
    elif answer is not None:
        _show_preview(answer)
    elif done is not None:
        typer.echo(_sentence(done))


def _check(*, undo: bool, preview: bool, reason: str, deadline: str | None) -> None:
    """Refuse options that contradict each other.

    Raises:
        BadInput: If they do.
    """
    if undo and (preview or reason or deadline):
        raise BadInput("--undo: goes with none of --preview, --reason and --deadline")
    if preview and reason:
        raise BadInput("--preview: does nothing for which a --reason would be kept")


def _show_preview(answer: DrainPreview) -> None:
    if not answer.moves:
        typer.echo(f"nothing runs on {answer.node}: it would be empty at once")
        return
    rows = ((move.workload, move.project, move.how, move.said) for move in answer.moves)
    show.console().print(show.table(MOVES, rows))
    typer.echo(f"asked at   {show.clock(answer.asked_at)}")


def _sentence(drain: DrainView) -> str:
    why = f": {drain.reason}" if drain.reason else ""
    rest = "work that does not save runs to its end"
    until = rest if drain.deadline is None else f"everything is gone by {show.clock(drain.deadline)}"
    return f"node {drain.node} is being drained by {drain.by}{why} (since {show.clock(drain.since)}; {until})"


def _row(node: NodeView) -> tuple[object, ...]:
    return (
        node.name,
        node.tier,
        node.state + (", heads" if node.heads else ""),
        _share(node.used, node.capacity, "cpus"),
        _share(node.used, node.capacity, "gpus"),
        f"{show.size(node.used.get('memory_bytes', 0))} / {show.size(node.capacity.get('memory_bytes', 0))}",
        _who(node.workloads, node.others),
    )


def _who(names: tuple[str, ...], others: int) -> str:
    return " ".join((*names, *([f"(+{others})"] if others else []))) or "-"


def _share(used: dict[str, float], capacity: dict[str, float], what: str) -> str:
    return f"{used.get(what, 0):g} / {capacity[what]:g}" if capacity.get(what) else "-"
