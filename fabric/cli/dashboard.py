"""The command `dashboard`.

Knows nothing of what Ray shows.
"""

from __future__ import annotations

import typer

from fabric.cli import show
from fabric.cli.jobs import Json, Name
from fabric.cli.session import session


def dashboard(ctx: typer.Context, name: Name, json: Json = False) -> None:
    """Print the address of a workload's own Ray dashboard, for a browser.

    The address opens once, within a minute; the browser may look for half a day then, as long as the key that asked
    is valid.
    """
    with session(ctx).client() as client:
        link = client.dashboard(name)
        address = client.address + link.path
    if json:
        show.as_json(link)
    else:
        typer.echo(address)
