"""Commands for whoever keeps a fabric: the group `admin`.

Knows nothing of records; control copies them, and these commands pass on what it says.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from fabric.cli import exits, sites
from fabric.cli.local import LocalFabric
from fabric.core.errors import BadInput

admin = typer.Typer(
    name="admin",
    help="Keep a fabric: back it up while it runs, and restore it.",
    epilog=exits.TABLE,
    no_args_is_help=True,
    rich_markup_mode=None,
)
"""The group of commands for whoever keeps a fabric."""

File = Annotated[Path, typer.Argument(metavar="FILE", help="The backup.", show_default=False)]


@admin.command(epilog=exits.TABLE)
def backup(file: File, site: sites.SiteFile = None, state: sites.StateFolder = None) -> None:
    """Write records, packages, MLflow's database and the administrator's key into FILE, while everything goes on."""
    _control("backup", file, site, state)


@admin.command(epilog=exits.TABLE)
def restore(
    file: File,
    force: Annotated[bool, typer.Option("--force", help="Replace records that are there.")] = False,
    site: sites.SiteFile = None,
    state: sites.StateFolder = None,
) -> None:
    """Make everything that of a backup; the fabric must be down."""
    _control("restore", file, site, state, *(("--force",) if force else ()))


def _control(verb: str, file: Path, site: Path | None, state: Path | None, *more: str) -> None:
    """Let control do it.

    Raises:
        BadInput: If there is no site file to read.
    """
    local = LocalFabric(sites.state_folder(state))
    # The site that was in force here says where the records are, unless somebody says otherwise.
    read = site or (local.site_file if local.site_file.exists() else sites.site_file(None))
    if read is None:
        raise BadInput(f"which site? Give --site FILE; {sites.DEFAULT} is not here")
    words = ["--site", str(read), "--state", str(local.folder), "--file", str(file), *more]
    done = subprocess.run(
        [sys.executable, "-m", "fabric.control", verb, *words], capture_output=True, text=True, check=False
    )
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["error: control ended without a word"]
        exits.leave(said[-1].removeprefix("error: "), exits.BAD_INPUT if done.returncode in _REFUSED else exits.FAILED)
    typer.echo(done.stdout, nl=False)


_REFUSED = (2, 3)
"""Exit codes of control where what was asked is wrong, or something is in its way."""
