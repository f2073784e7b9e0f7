"""The command `render`.

Knows nothing of manifests: control makes them, and this command passes them on.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Annotated

import typer

from fabric.cli import exits, sites
from fabric.core.errors import BadInput


def render(
    workload: Annotated[Path, typer.Option(metavar="SPEC.yaml", help="A workload spec.")],
    site: sites.SiteFile = None,
    sets: sites.Sets = None,
) -> None:
    """Print what would be applied to Kubernetes for a workload; nothing is applied.

    Raises:
        BadInput: If there is no site file to read.
    """
    file = sites.site_file(site)
    if file is None:
        raise BadInput(f"which site? Give --site FILE; {sites.DEFAULT} is not here")
    command = [sys.executable, "-m", "fabric.control", "render", "--site", str(file), "--workload", str(workload)]
    command += [word for item in sets or () for word in ("--set", item)]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    if made.returncode:
        words = made.stderr.strip().splitlines() or ["error: control ended without a word"]
        exits.leave(words[-1].removeprefix("error: "), made.returncode)
    typer.echo(made.stdout, nl=False)
