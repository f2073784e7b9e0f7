"""What happens before a fabric is up: the machine is checked, predecessors end, control and gateway begin to answer.

Knows nothing of terminals or of what is kept running.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from fabric.cli import checks, show
from fabric.cli.doctor import line
from fabric.cli.local import LocalFabric
from fabric.cli.supervisor import Program, Supervisor
from fabric.config import env
from fabric.core.errors import Conflict, Unavailable

if TYPE_CHECKING:
    from fabric.config.site import Site

START_S = 90.0
"""Longest wait for control and gateway to answer, in seconds."""

PREDECESSOR_S = 20.0
"""Longest wait for the programs of an `up` that was killed to be gone, in seconds."""

LOCK_HELD = 3
"""Exit code of control where another one holds its state folder."""

LOOK_EVERY_S = 0.2
"""Pause between two looks at what is waited for, in seconds."""


def check_machine(site: Site, local: LocalFabric) -> None:
    """Look at the machine.

    Raises:
        Conflict: If the fabric cannot work on it.
    """
    for check in checks.quick(site, local.folder):
        if check.status == "failed":
            raise Conflict(f"{check.name}: {check.found}; {check.advice}. `fabric doctor` checks everything.")
        if check.status == "warning":
            show.note(line(check))


def wait_for_predecessor(site: Site, local: LocalFabric) -> None:
    """Let the programs of an `up` that was killed end; then the ports must be free.

    Raises:
        Conflict: If a port is in use, or control of another fabric stays.
    """
    ends = time.monotonic() + (PREDECESSOR_S if local.left_behind() else 0.0)
    while True:
        problem = _in_the_way(site, local)
        if problem is None:
            return
        if time.monotonic() >= ends:
            raise Conflict(problem)
        time.sleep(LOOK_EVERY_S)


def _in_the_way(site: Site, local: LocalFabric) -> str | None:
    if not local.control_lock.take():
        return (
            f"a control process holds {local.folder} although no `fabric up` runs there; end it, or use another --state"
        )
    local.control_lock.release()
    for name, number in site.ports.by_name.items():
        check = checks.port(name, number, site.host, free=checks.port_is_free(site.host, number), ours=False)
        if check.status == "failed":
            return f"port {check.found}: {check.advice}"
    return None


def programs(site: Site, local: LocalFabric) -> tuple[Program, ...]:
    """Control, gateway, and the console where the site has one."""
    folder, python = str(local.folder), (sys.executable, "-m")
    control = (*python, "fabric.control", "serve", "--site", str(local.site_file), "--state", folder)
    listen = ("--host", site.host, "--port", str(site.ports.gateway))
    gateway = (
        *python, "fabric.gateway", *listen, "--control", site.url(site.ports.control), "--state", folder,
        *_certificate(site),
    )  # fmt: skip
    console, others = _console(site, folder), env.inherited()
    return (
        Program("control", control, local.log("control"), ends_all=True),
        Program("gateway", gateway, local.log("gateway"), environment=others),
        *((Program("console", console, local.log("console"), environment=others),) if console else ()),
    )


def _console(site: Site, folder: str) -> tuple[str, ...]:
    """Words of the console's command; none where the site has no console."""
    if site.ports.console is None:
        return ()
    listen = ("--host", site.host, "--port", str(site.ports.console))
    others = ("--control", site.url(site.ports.control), "--gateway", site.url(site.ports.gateway))
    trusted = ("--anonymous",) if site.anonymous else ()
    return (sys.executable, "-m", "fabric.console", *listen, *others, "--state", folder, *trusted, *_certificate(site))


def _certificate(site: Site) -> tuple[str, ...]:
    """Words of a command that answers https where the site does."""
    return ("--tls-cert", site.tls.cert, "--tls-key", site.tls.key) if site.tls else ()


def healthy(site: Site) -> bool:
    """Whether control and gateway both answer."""
    from fabric.api.admin import HEALTH

    ca = site.tls.believed if site.tls else None
    control = _status_of(site.url(site.ports.control) + HEALTH, ca)
    return control == 200 and 0 < _status_of(site.url(site.ports.gateway) + "/health", ca) < 500  # noqa: PLR2004 - HTTP


def _status_of(url: str, ca: str | None) -> int:
    """Status of an answer; 0 if there is none."""
    import httpx

    from fabric.config.trust import trust

    try:
        return httpx.get(url, timeout=2.0, trust_env=False, verify=trust(url, ca)).status_code
    except httpx.HTTPError:
        return 0


def wait_until_healthy(
    supervisor: Supervisor, asked: Callable[[], bool], is_healthy: Callable[[], bool], longest_s: float = START_S
) -> None:
    """Wait until all answer, or somebody asks to end.

    Raises:
        Conflict: If control of another fabric holds the state folder.
        Unavailable: If one of them ends, or takes too long.
    """
    ends = time.monotonic() + longest_s
    while not asked():
        if ended := supervisor.ended():
            words = f": {ended.last_words.removeprefix('error: ')}" if ended.last_words else ""
            kind = Conflict if ended.code == LOCK_HELD else Unavailable
            raise kind(f"{ended.program.name} {ended.how} while starting{words} (log: {ended.program.log})")
        if is_healthy():
            return
        if time.monotonic() > ends:
            raise Unavailable(
                f"control and gateway do not both answer after {longest_s:g} s; see the logs beside the records"
            )
        time.sleep(LOOK_EVERY_S)
