"""The command `doctor`: every check of the machine, with what to do.

Knows nothing of how a check is made.
"""

from __future__ import annotations

import json as json_of
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from fabric.cli import checks, exits, show, sites
from fabric.cli.checks import Check
from fabric.cli.jobs import Json
from fabric.cli.session import Session, session
from fabric.core.errors import FabricError

if TYPE_CHECKING:
    from fabric.config.site import Site

LONGEST_S = 90.0
"""How long everything that a site names may take to answer, in seconds."""

MARKS = {"ok": "ok", "warning": "WARN", "failed": "FAIL"}
"""How a status is printed; what needs attention stands out."""


def doctor(
    ctx: typer.Context, site: sites.SiteFile = None, state: sites.StateFolder = None, json: Json = False
) -> None:
    """Check this machine, and what the site relies on beside it, and say what to do."""
    read = sites.read_site(site, ()) if sites.site_file(site) else None
    found = [*checks.thorough(read, sites.state_folder(state)), *ports(session(ctx), read)]
    file = sites.site_file(site)
    if read is not None and file is not None and _has_neighbours(read):
        found += neighbours(file)
    if json:
        show.plain_json({"checks": [asdict(check) for check in found]})
    else:
        for check in found:
            show.console().print(line(check), soft_wrap=True)
    exits.fail_if(any(check.status == "failed" for check in found))


def _has_neighbours(site: Site) -> bool:
    return site.store.url is not None or site.kubernetes is not None or site.oidc is not None


def neighbours(file: Path) -> list[Check]:
    """Whether what a site relies on answers, as control itself would ask it."""
    command = [sys.executable, "-m", "fabric.control", "check", "--site", str(file)]
    try:
        told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=LONGEST_S)
        return [Check(**each) for each in json_of.loads(told.stdout)]
    except subprocess.TimeoutExpired:
        found = f"not all that the site names has answered within {LONGEST_S:g} s"
    except subprocess.CalledProcessError as error:
        found = (error.stderr.strip().splitlines() or ["control ended without a word"])[-1].removeprefix("error: ")
    return [Check("site", "failed", found, f"`python -m fabric.control check --site {file}` tells more")]


def line(check: Check) -> str:
    """A check as people read it."""
    advice = f"\n{'':>25}{check.advice}" if check.advice else ""
    return f"{MARKS[check.status]:<5} {check.name:<18} {check.found}{advice}"


def ports(to: Session, site: Site | None) -> list[Check]:
    """Whether the ports of the site are free, or held by a fabric that answers there."""
    from fabric.config.site import Ports

    numbers, host = (site.ports, site.host) if site else (Ports(), "127.0.0.1")
    free = {port: checks.port_is_free(host, port) for port in numbers.by_name.values()}
    ours = not free[numbers.control] and _is_fabric(
        to, site.url(numbers.control) if site else f"http://{host}:{numbers.control}"
    )
    return [checks.port(name, number, host, free=free[number], ours=ours) for name, number in numbers.by_name.items()]


def _is_fabric(to: Session, address: str) -> bool:
    try:
        with to.client(address=address) as client:
            client.health()
    except FabricError:
        return False
    return True
