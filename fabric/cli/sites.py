"""The site file that a command means, and the addresses that follow from it.

Knows nothing of what is done with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fabric.core.errors import BadInput

if TYPE_CHECKING:
    from fabric.config.site import Site

DEFAULT = Path("configs/sites/laptop.yaml")
"""Site of a checkout of this repository."""

SiteFile = Annotated[
    Path | None,
    typer.Option("--site", metavar="FILE", help=f"Site file; {DEFAULT} if it is there.", show_default=False),
]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="Override a value of the site, such as ports.control=9270."),
]
StateFolder = Annotated[
    Path | None,
    typer.Option("--state", metavar="DIR", help="Folder of the records; FABRIC_STATE or ~/.fabric if left out."),
]


def site_file(given: Path | None) -> Path | None:
    """The file to read: the given one, else the default one if it is there."""
    return given or (DEFAULT if DEFAULT.exists() else None)


def read_site(given: Path | None, sets: Sequence[str] | None) -> Site:
    """Read the site.

    Raises:
        BadInput: If there is no file to read.
        BadConfig: If something in it is wrong.
    """
    from fabric.config.site_file import load_site
    from fabric.scheduler.policy import Policy

    file = site_file(given)
    if file is None:
        raise BadInput(f"which site? Give --site FILE; {DEFAULT} is not here")
    return load_site(file, sets or (), policy=Policy)


def state_folder(given: Path | None) -> Path:
    """Where the records are."""
    from fabric.config import env

    return (given or env.state_folder()).expanduser().absolute()
