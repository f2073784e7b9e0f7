"""The command `up`: check the machine, keep control and gateway running, end them when asked.

Knows nothing of what control and gateway do; work goes on without this process, and the next `up` adopts it.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, NoReturn, Self

import typer

from fabric.cli import exits, show, sites, startup
from fabric.cli.local import LocalFabric
from fabric.cli.session import Session, session
from fabric.cli.supervisor import Supervisor
from fabric.core.errors import BadInput, Conflict, FabricError
from fabric.core.quantity import Bytes

if TYPE_CHECKING:
    from fabric.config.site import Site

STOP_S = 30.0
"""Longest wait for control and gateway to end, in seconds."""


def up(
    ctx: typer.Context,
    site: sites.SiteFile = None,
    state: sites.StateFolder = None,
    sets: sites.Sets = None,
    tls_cert: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Answer https with this certificate, in PEM.", show_default=False),
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Its private key, in PEM.", show_default=False)
    ] = None,
    detach: Annotated[
        bool, typer.Option("--detach", help="Return once it is up; it goes on in the background.")
    ] = False,
) -> None:
    """Run a fabric on this machine until Ctrl-C.

    Jobs and services outlive it, and the next `fabric up` adopts them.
    """
    sets = [*(sets or ()), *_certificate(tls_cert, tls_key)]
    read = sites.read_site(site, sets)
    local = LocalFabric(sites.state_folder(state))
    local.folder.mkdir(parents=True, exist_ok=True)
    if detach:
        _in_background(local, site, sets)
        return
    if not local.lock.take():
        _leave_already_up(local)
    try:
        _run(session(ctx), read, local)
    finally:
        local.forget()
        local.lock.release()


def _certificate(cert: Path | None, key: Path | None) -> list[str]:
    """The flags as overrides of the site.

    Raises:
        BadInput: If one of them is missing.
    """
    import json

    if cert is None and key is None:
        return []
    if cert is None or key is None:
        raise BadInput("--tls-cert and --tls-key: give both, or name them in the site file as tls.cert and tls.key")
    return [f"tls.{name}={json.dumps(str(file.absolute()))}" for name, file in (("cert", cert), ("key", key))]


def _leave_already_up(local: LocalFabric) -> NoReturn:
    running = local.running()
    who = f" (process {running.pid})" if running else ""
    raise Conflict(
        f"a fabric is up already on {local.folder}{who}. End it with `fabric down`, or give another --state."
    )


def _run(to: Session, site: Site, local: LocalFabric) -> None:
    """Everything while the lock is held."""
    startup.check_machine(site, local)
    startup.wait_for_predecessor(site, local)
    local.remember(site)
    with Asked() as asked:
        _supervise(to, site, local, asked)


def _supervise(to: Session, site: Site, local: LocalFabric, asked: Asked) -> None:
    supervisor = Supervisor(startup.programs(site, local), say=show.note)
    supervisor.start()
    going_on: int | None = None
    try:
        startup.wait_until_healthy(supervisor, lambda: bool(asked), lambda: startup.healthy(site))
        if not asked:
            local.announce(site.url(site.ports.control))
            typer.echo(status(site, local))
        _keep(supervisor, asked)
        going_on = _active(to, site, local) if asked else None
    finally:
        supervisor.stop(STOP_S, hurry=lambda: asked.times > 1)
    typer.echo(farewell(going_on, asked=bool(asked)))


class Asked:
    """Counts Ctrl-C and SIGTERM while it is entered."""

    def __init__(self) -> None:
        self.times = 0

    def __enter__(self) -> Self:
        self._before = {number: signal.signal(number, self._count) for number in (signal.SIGINT, signal.SIGTERM)}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _count(self, number: int, frame: object) -> None:
        self.times += 1

    def __bool__(self) -> bool:
        return self.times > 0


def _keep(supervisor: Supervisor, asked: Asked) -> None:
    while not asked and supervisor.tend():
        time.sleep(startup.LOOK_EVERY_S)


def _active(to: Session, site: Site, local: LocalFabric) -> int | None:
    """How many workloads go on; None if control does not say."""
    control = site.url(site.ports.control)
    try:
        with Session(to.transport, patience_s=0.0, timeout_s=2.0).own_client(local.folder, control) as client:
            return client.health().active
    except FabricError:
        return None


def status(site: Site, local: LocalFabric) -> str:
    """What a person wants to know of a fabric that is up."""
    tiers = "; ".join(
        f"{tier.nodes} × {tier.name} ({show.amounts(cpus, gpus, Bytes.of(tier.capacity.memory).count)}"
        f"{', GPUs only counted' if tier.pretend else ''})"
        for tier in site.tiers
        for cpus, gpus in [(tier.capacity.cpus, tier.capacity.gpus)]
    )
    console = site.ports.console
    elsewhere = local.folder != sites.state_folder(None)
    return "\n".join((
        f"fabric {site.name} is up",
        f"  control  {site.url(site.ports.control)}     `ray job submit --address` and `fabric` talk to it",
        f"  gateway  {site.url(site.ports.gateway)}/v1  OpenAI API",
        *((f"  console  {site.url(console)}     pages to look at",) if console else ()),
        f"  tiers    {tiers}",
        f"  records  {local.folder}" + (f"     tell clients: export FABRIC_STATE={local.folder}" if elsewhere else ""),
        "  Ctrl-C ends the fabric and leaves its work running; `fabric down` drains the work too",
    ))  # fmt: skip


def farewell(going_on: int | None, *, asked: bool) -> str:
    """What is left when the fabric ends."""
    if not asked:
        return "the fabric has ended"
    if going_on == 0:
        return "the fabric has ended; nothing was running"
    if going_on is None:
        return "the fabric has ended; work that was running goes on, and the next `fabric up` adopts it"
    what, them = ("workload goes", "it") if going_on == 1 else ("workloads go", "them")
    return f"the fabric has ended; {going_on} {what} on, and the next `fabric up` adopts {them}"


def _in_background(local: LocalFabric, site: Path | None, sets: Sequence[str]) -> None:
    """Start this command again without a terminal, and wait until it is up."""
    import subprocess

    command = [sys.executable, "-m", "fabric.cli", "up", "--state", str(local.folder)]
    command += ["--site", str(site)] if site else []
    command += [word for item in sets for word in ("--set", item)]
    log = local.log("up")
    with log.open("ab") as out:
        begins = out.tell()
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
        )
    while process.poll() is None:
        running = local.running()
        if running is not None and running.pid == process.pid and local.address():
            typer.echo(_written(log, begins))
            return
        time.sleep(startup.LOOK_EVERY_S)
    said = _written(log, begins).splitlines()
    words = next((text for text in reversed(said) if text.startswith("error: ")), f"error: ended early; see {log}")
    exits.leave(words.removeprefix("error: "), process.returncode or exits.FAILED)


def _written(log: Path, begins: int) -> str:
    with log.open("rb") as file:
        file.seek(begins)
        return file.read().decode(errors="replace").rstrip()
