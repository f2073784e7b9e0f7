"""The command `admin prune`: what the site's retention removes.

Knows nothing of how old anything may become; the site file says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from fabric.cli import show
from fabric.cli.jobs import Json
from fabric.cli.session import session

if TYPE_CHECKING:
    from collections.abc import Iterable

    from fabric.api.retention import PruneView, TotalView

REMOVALS = ("KIND", "PROJECT", "SIZE", "SINCE", "NAME")
"""Heads of the list of what goes."""

SHOWN = 40
"""Removals in the list; `--json` has them all."""


def prune(
    ctx: typer.Context,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what would be removed.")] = False,
    yes: show.Yes = False,
    json: Json = False,
) -> None:
    """Remove what the site's `retention` no longer keeps now, instead of when it is next due.

    Logs and reports of work that ended long ago, packages and artifacts that were long not used. Nothing of work that
    waits or runs is removed; histories and the ledger of use stay.
    """
    with session(ctx).client() as client:
        seen = client.prune_preview()
        if not json:
            _show(seen)
        if dry_run or not (seen.unseen or any(total.number for total in seen.totals)):
            if json:
                show.as_json(seen)
            return
        show.require_sure("Remove all of it?", yes=yes)
        begun = client.prune()
    if json:
        show.as_json(begun)
    else:
        show.note("being removed; `fabric admin prune --dry-run` shows what is left")


def _show(seen: PruneView) -> None:
    rows = (
        (each.kind, each.project or "-", show.size(each.num_bytes) if each.num_bytes else "-", show.clock(each.since),
         each.name)
        for each in seen.removals[:SHOWN]
    )  # fmt: skip
    if seen.removals:
        show.console().print(show.table(REMOVALS, rows))
    typer.echo(f"in all: {_in_words(seen.totals)}")
    if seen.unseen:
        show.note(f"not looked at: {seen.unseen}")
    for line in seen.stays:
        show.note(f"stays: {line}")
    if seen.last is not None:
        show.note(f"last pass, {show.clock(seen.last.at)}: removed {_in_words(seen.last.removed)}")
        for failure in seen.last.failures:
            show.note(f"not removed: {failure}")


def _in_words(totals: Iterable[TotalView]) -> str:
    said = (f"{t.number} {t.kind}{'s' * (t.number != 1)} ({show.size(t.num_bytes)})" for t in totals if t.number)
    return ", ".join(said) or "nothing"
