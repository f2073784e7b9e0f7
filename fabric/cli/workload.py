"""Commands about what happened, single workloads, and oneself: `events`, `bill`, `delete`, `whoami`.

Knows nothing of how workloads end.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from fabric.cli import completing, show, watching
from fabric.cli.jobs import Json, Name
from fabric.cli.session import session
from fabric.core.errors import BadInput

if TYPE_CHECKING:
    from rich.console import RenderableType

    from fabric.api.admin import EventView
    from fabric.api.bills import BillView
    from fabric.api.site_events import SiteEventList

BILL = ("WHAT", "SIZE", "WHY")
"""Heads of a RAM bill."""
EVENTS = ("AT", "TRY", "STATE", "REASON")
"""Heads of a history."""
SITE_EVENTS = ("AT", "WHAT", "ABOUT", "BY", "SAID")
"""Heads of what happened at the site."""


def events(
    ctx: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME",
            help="Show the history of this workload.",
            show_default=False,
            autocompletion=completing.workloads,
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=500, help="Without NAME: the most to show.")] = 20,
    before: Annotated[
        int | None,
        typer.Option(metavar="N", min=1, help="Without NAME: what is older than number N.", show_default=False),
    ] = None,
    json: Json = False,
    watch: watching.Watch = False,
) -> None:
    """Show what happened at the site, newest first; of a workload its history, oldest first.

    At the site that is nodes that came, went or were drained, work that failed, was lost or preempted, services that
    were deployed or ended, aliases that moved, and the site file being read again, as far as one may see it.

    Raises:
        BadInput: If a page of one workload's history is asked for.
    """
    if name is None:
        _site_events(ctx, limit=limit, before=before, json=json, watch=watch)
        return
    if before is not None:
        raise BadInput("--before: goes without NAME only, as a history is shown whole")
    with session(ctx).client() as client:
        if watch:
            watching.go_on(lambda: client.events(name), _history, json=_as_json if json else None)
        found = client.events(name)
    if json:
        _as_json(found)
    else:
        show.console().print(_history(found))


def _site_events(ctx: typer.Context, *, limit: int, before: int | None, json: bool, watch: bool) -> None:
    with session(ctx).client() as client:
        if watch:
            look = functools.partial(client.site_events, before=before, limit=limit)
            watching.go_on(look, _happened, json=show.as_json if json else None)
        found = client.site_events(before=before, limit=limit)
    if json:
        show.as_json(found)
    elif not found.events:
        show.note("nothing is told yet")
    else:
        show.console().print(_happened(found))


def _happened(found: SiteEventList) -> RenderableType:
    from rich.console import Group

    rows = ((show.clock(each.at), each.kind, each.about or "-", each.by or "-", each.said) for each in found.events)
    shown = show.table(SITE_EVENTS, rows)
    more = [] if found.before is None else [f"older ones: fabric events --before {found.before}"]
    return Group(shown, *more)


def _as_json(found: Sequence[EventView]) -> None:
    show.plain_json([event.model_dump(mode="json") for event in found])


def _history(found: Sequence[EventView]) -> RenderableType:
    return show.table(EVENTS, map(_row, found))


def _row(event: EventView) -> tuple[object, ...]:
    return show.clock(event.at), event.attempt, event.state, event.reason


def bill(ctx: typer.Context, name: Name, json: Json = False) -> None:
    """Show what each slice of a workload keeps in memory, line by line.

    Of one that holds nothing yet it is what a worker would keep on each tier where it may run. Sizes in brackets are
    limits that cost no memory there.
    """
    with session(ctx).client() as client:
        found = client.bill(name)
    if json:
        show.as_json(found)
        return
    for each in found.bills:
        typer.echo(_headline(each))
        total = ("total", show.size(each.total_bytes), "of a node's RAM")
        show.console().print(show.table(BILL, [*each.rows(show.size), total]))


def _headline(each: BillView) -> str:
    where = f"{each.slices} slices on" if each.slices else "would run on"
    files = "files are RAM" if each.diskless else "files are on disks"
    return f"{each.whose}: {where} {each.tier}, where {files}"


def delete(
    ctx: typer.Context,
    names: Annotated[
        list[str],
        typer.Argument(
            metavar="NAME...",
            help="Workloads that have ended.",
            show_default=False,
            autocompletion=completing.workloads,
        ),
    ],
    yes: show.Yes = False,
) -> None:
    """Forget workloads that have ended, with their logs and histories; what they used stays in the ledger."""
    show.require_sure(f"Forget {', '.join(names)} and what was logged?", yes=yes)
    with session(ctx).client() as client:
        for name in names:
            client.delete(name)
            show.note(f"{name} is forgotten")


def whoami(ctx: typer.Context, json: Json = False) -> None:
    """Tell who one is to the fabric, and what that allows."""
    with session(ctx).client() as client:
        me = client.people.me()
    if json:
        show.as_json(me)
        return
    of = f"project {me.project}" if me.project else "the whole site"
    typer.echo(f"{me.user or 'nobody in person'}, with the key {me.name}: {me.role} of {of}")
    typer.echo(f"may        {', '.join(me.permissions)}")
    if me.expires is not None:
        typer.echo(f"until      {show.clock(me.expires)}")
