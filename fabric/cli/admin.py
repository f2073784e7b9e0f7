"""Commands for whoever keeps a fabric: the group `admin`.

Knows nothing of records; control copies them, and these commands pass on what it says.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fabric.cli import exits, show, sites
from fabric.cli.jobs import Json
from fabric.cli.local import LocalFabric
from fabric.cli.prune import prune
from fabric.cli.session import session
from fabric.core.errors import BadInput

if TYPE_CHECKING:
    from fabric.api.site import ReloadView

admin = typer.Typer(
    name="admin",
    help="Keep a fabric: back it up while it runs, restore it, seal secrets with a new key, let it read its site file "
    "again, see what it removes.",
    epilog=exits.TABLE,
    no_args_is_help=True,
    rich_markup_mode=None,
)
"""The group of commands for whoever keeps a fabric."""

admin.command(epilog=exits.TABLE)(prune)

RELOADS = ("AT", "BY", "CHANGED", "WAITS FOR A RESTART", "REFUSED")
"""Heads of the list of readings of the site file."""

File = Annotated[Path, typer.Argument(metavar="FILE", help="The backup.", show_default=False)]


@admin.command(epilog=exits.TABLE)
def backup(file: File, site: sites.SiteFile = None, state: sites.StateFolder = None) -> None:
    """Write records, packages, MLflow's database and the administrator's key into FILE, while everything goes on."""
    _control("backup", site, state, "--file", str(file))


@admin.command(epilog=exits.TABLE)
def restore(
    file: File,
    force: Annotated[bool, typer.Option("--force", help="Replace records that are there.")] = False,
    site: sites.SiteFile = None,
    state: sites.StateFolder = None,
    yes: show.Yes = False,
) -> None:
    """Make everything that of a backup; the fabric must be down."""
    if force:
        show.ask_at_terminal(f"Replace all records by those of {file}?", yes=yes)
    _control("restore", site, state, "--file", str(file), *(("--force",) if force else ()))


@admin.command(epilog=exits.TABLE)
def rekey(
    forget_old: Annotated[
        bool, typer.Option("--forget-old", help="Remove older keys, without which older backups' secrets are lost.")
    ] = False,
    site: sites.SiteFile = None,
    state: sites.StateFolder = None,
    yes: show.Yes = False,
) -> None:
    """Seal all secrets of projects with a new key, while everything goes on.

    Where the site names a file of keys itself, write the new one into its first line before.
    """
    if forget_old:
        show.ask_at_terminal("Remove the older keys? Secrets in backups made before are lost then.", yes=yes)
    _control("rekey", site, state, *(("--forget-old",) if forget_old else ()))


@admin.command(epilog=exits.TABLE)
def reload(
    ctx: typer.Context,
    past: Annotated[bool, typer.Option("--past", help="Only list when that was done, and what came of it.")] = False,
    site: sites.SiteFile = None,
    state: sites.StateFolder = None,
    sets: sites.Sets = None,
    json: Json = False,
) -> None:
    """Read the site file again, and go by its policy, projects, windows and defaults without a restart.

    Control reads the file that it was started with. Of a `fabric up` on this machine that is a copy, so name the file
    that it was made from; what `--set` said then is to be said again.
    """
    with session(ctx).client(state) as client:
        if past:
            _print_reloads(client.reloads(), json)
            return
        # Said here too, because the copy that control reads holds nothing that waits.
        waiting = _copy(site, state, sets) if site is not None else ()
        done = client.reload()
    if json:
        show.as_json(done.model_copy(update={"waiting": tuple(sorted({*done.waiting, *waiting}))}))
        return
    typer.echo(f"changed: {', '.join(done.changed) or 'nothing'}")
    if later := sorted({*done.waiting, *waiting}):
        show.note(f"waits for a restart: {', '.join(later)}")


def _copy(site: Path, state: Path | None, sets: list[str] | None) -> tuple[str, ...]:
    """Write what may change without a restart into the file that control of a local fabric reads; names of the rest.

    Raises:
        BadInput: If there is no local fabric, or the file is wrong.
    """
    from fabric.config.load import load
    from fabric.config.site import Site
    from fabric.config.site_file import merged

    local = LocalFabric(sites.state_folder(state))
    if local.running() is None:
        raise BadInput("--site: no `fabric up` runs here; control reads the file that it was started with")
    changed, _, waiting = merged(load(Site, local.site_file), sites.read_site(site, sets))
    local.rewrite(changed)
    return waiting


def _print_reloads(found: Sequence[ReloadView], json: bool) -> None:
    if json:
        from fabric.api.site import ReloadList

        show.as_json(ReloadList(reloads=tuple(found)))
        return
    rows = (
        (
            show.clock(each.at),
            each.by,
            ", ".join(each.changed) or "-",
            ", ".join(each.waiting) or "-",
            each.refused or "-",
        )
        for each in found
    )
    show.console().print(show.table(RELOADS, rows))


def _control(verb: str, site: Path | None, state: Path | None, *more: str) -> None:
    """Let control do it.

    Raises:
        BadInput: If there is no site file to read.
    """
    local = LocalFabric(sites.state_folder(state))
    # The site that was in force here says where the records are, unless somebody says otherwise.
    read = site or (local.site_file if local.site_file.exists() else sites.site_file(None))
    if read is None:
        raise BadInput(f"which site? Give --site FILE; {sites.DEFAULT} is not here")
    words = ["--site", str(read), "--state", str(local.folder), *more]
    done = subprocess.run(
        [sys.executable, "-m", "fabric.control", verb, *words], capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["error: control ended without a word"]
        exits.leave(said[-1].removeprefix("error: "), exits.BAD_INPUT if done.returncode in _REFUSED else exits.FAILED)
    typer.echo(done.stdout, nl=False)


_REFUSED = (2, 3)
"""Exit codes of control where what was asked is wrong, or something is in its way."""
