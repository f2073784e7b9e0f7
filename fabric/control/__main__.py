"""`python -m fabric.control`: `serve` is what `fabric up` supervises; other commands ask for the other verbs.

Knows nothing of the parts; `build` puts them together.
"""

import argparse
import json
import logging
import signal
import sys
import threading
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from types import FrameType

import uvicorn

from fabric.config.load import load
from fabric.config.site import Site
from fabric.config.site_file import load_site
from fabric.control import backups, sealing
from fabric.control.build import Outside, Running, running
from fabric.control.neighbours import neighbours
from fabric.control.process import StateLock
from fabric.control.render import rendered
from fabric.core.errors import BadConfig, BadInput, Conflict, FabricError
from fabric.scheduler.policy import Policy
from fabric.telemetry import logs
from fabric.workloads.spec import WorkloadSpec

SWITCH_S = 0.001
"""Seconds for which a thread keeps the interpreter while others want it. Python's own 5 ms, a few threads long, is how
long each small step of the event loop waits beside threads that compute; then not even refusing is quick."""

EXIT_BAD_INPUT, EXIT_LOCKED, EXIT_FAILED = 2, 3, 1


def main() -> int:
    """Do what the verb says; `serve` until SIGTERM or a shutdown that was asked for. The exit code says which error."""
    parser = argparse.ArgumentParser(prog="python -m fabric.control", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    serve = verbs.add_parser("serve", help="run control until SIGTERM; workloads stay")
    serve.add_argument("--site", type=Path, required=True, help="site file")
    serve.add_argument("--state", type=Path, required=True, help="folder of records")
    render = verbs.add_parser("render", help="print what would be applied to Kubernetes for a workload")
    render.add_argument("--site", type=Path, required=True, help="site file")
    render.add_argument("--workload", type=Path, required=True, help="workload spec")
    render.add_argument("--set", action="append", default=[], dest="sets", help="override a value of the site")
    for verb, text in (("backup", "write everything into a file"), ("restore", "make everything that of a backup")):
        copying = verbs.add_parser(verb, help=text)
        copying.add_argument("--site", type=Path, required=True, help="site file")
        copying.add_argument("--state", type=Path, required=True, help="folder of records")
        copying.add_argument("--file", type=Path, required=True, help="the backup")
        copying.add_argument("--force", action="store_true", help="replace records that are there")
    anew = verbs.add_parser("rekey", help="seal secrets of projects with a new key")
    anew.add_argument("--site", type=Path, required=True, help="site file")
    anew.add_argument("--state", type=Path, required=True, help="folder of records")
    anew.add_argument("--forget-old", action="store_true", help="remove older keys")
    check = verbs.add_parser("check", help="tell, as JSON, whether what the site relies on answers")
    check.add_argument("--site", type=Path, required=True, help="site file")
    given = parser.parse_args()
    if given.verb in {"backup", "restore", "rekey"}:
        return _copy(given)
    if given.verb == "render":
        return _render(given)
    if given.verb == "check":
        return _check(given)
    logs.begin()
    return keep(given.site, given.state)


def _render(given: argparse.Namespace) -> int:
    """Print manifests; a wrong site or workload is told in one line."""
    try:
        site = load_site(given.site, given.sets, policy=Policy)
        sys.stdout.write(rendered(site, load(WorkloadSpec, given.workload)))
    except FabricError as error:
        return _say(error, EXIT_BAD_INPUT)
    return 0


def _check(given: argparse.Namespace) -> int:
    """Print what was found of the site's neighbours; a wrong site is told in one line."""
    try:
        found = [asdict(each) for each in neighbours(load_site(given.site, policy=Policy))]
    except FabricError as error:
        return _say(error, EXIT_BAD_INPUT)
    sys.stdout.write(json.dumps(found) + "\n")
    return 0


def _copy(given: argparse.Namespace) -> int:
    """Back up, restore or make a new key, and say in a line what was written."""
    try:
        site = load_site(given.site, policy=Policy)
        if given.verb == "rekey":
            said = sealing.rekey(site, given.state.resolve(), forget_old=given.forget_old)
        elif given.verb == "backup":
            said = backups.back_up(site, given.state.resolve(), given.file.absolute())
        else:
            said = backups.restore(site, given.state.resolve(), given.file.absolute(), force=given.force)
    except Conflict as error:
        return _say(error, EXIT_LOCKED)
    except BadInput as error:
        return _say(error, EXIT_BAD_INPUT)
    except FabricError as error:
        return _say(error, EXIT_FAILED)
    sys.stdout.write(f"{said}\n")
    return 0


def keep(site_file: Path, state: Path, outside: Outside | None = None) -> int:
    """Be control: while the state folder is held, or beside others where the records are in a shared database.

    Args:
        site_file: The installation.
        state: Folder of records, packages and logs.
        outside: What runs beside it, where that is not what the site says.

    Returns:
        The exit code.
    """
    try:

        def read() -> Site:
            return load_site(site_file, policy=Policy)

        site = read()
        alone = StateLock(state) if site.store.url is None else nullcontext()
        with alone, running(site, state.resolve(), outside, read) as control:
            _serve(control, site)
    except Conflict as error:
        return _say(error, EXIT_LOCKED)
    except BadConfig as error:
        return _say(error, EXIT_BAD_INPUT)
    except FabricError as error:
        return _say(error, EXIT_FAILED)
    return 0


def _serve(control: Running, site: Site) -> None:
    """Answer HTTP until told to end."""
    server = uvicorn.Server(
        uvicorn.Config(
            control.app,  # type: ignore[arg-type]
            host=site.host,
            port=site.ports.control,
            ssl_certfile=site.tls.cert if site.tls else None,
            ssl_keyfile=site.tls.key if site.tls else None,
            log_level="warning",
            log_config=None,
            timeout_graceful_shutdown=5,
            ws_max_size=2**20,
            # A reader that pauses, such as a pager, must not be dropped.
            ws_ping_timeout=None,
        )
    )

    def leave(signum: int, frame: FrameType | None) -> None:
        server.should_exit = True

    def leave_when_over() -> None:
        control.endings.over.wait()
        server.should_exit = True

    def reload(signum: int, frame: FrameType | None) -> None:
        threading.Thread(target=_reload, args=(control,), name="reload", daemon=True).start()

    threading.Thread(target=leave_when_over, daemon=True).start()
    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGINT, leave)
    sys.setswitchinterval(SWITCH_S)
    signal.signal(signal.SIGHUP, reload)
    server.run()


def _reload(control: Running) -> None:
    """Read the site file again; what comes of it is kept and logged, and what is wrong with it changes nothing."""
    try:
        control.reloading.reload("SIGHUP")
    except BadInput:
        return  # logged and kept where it was found
    except FabricError as error:
        logging.getLogger(__name__).error("the site file was not read again: %s", error.message)


def _say(error: FabricError, code: int) -> int:
    sys.stderr.write(f"error: {error.message}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
