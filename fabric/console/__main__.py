"""Run the console: python -m fabric.console --port 8272 --control http://127.0.0.1:8270 --gateway http://127.0.0.1:8271.

Knows nothing of pages: it reads the command and serves. SIGTERM ends it.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from nicegui import ui

from fabric.config import env
from fabric.console.app import build
from fabric.console.settings import ConsoleSettings
from fabric.telemetry import logs


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until told to end; returns the exit code."""
    options = _options(arguments)
    logs.begin(sys.stdout)
    settings = ConsoleSettings(
        control=options.control.rstrip("/"),
        gateway=options.gateway.rstrip("/"),
        anonymous=options.anonymous,
        refresh_s=options.refresh,
        ca=env.authority(options.state),
    )
    build(settings, options.state)
    ui.run(
        host=options.host,
        port=options.port,
        title="fabric",
        dark=None,
        show=False,
        reload=False,
        tailwind=False,
        show_welcome_message=False,
        ssl_certfile=options.tls_cert,
        ssl_keyfile=options.tls_key,
        access_log=False,
        timeout_graceful_shutdown=2,
    )
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m fabric.console", description="Web pages of a fabric.")
    parser.add_argument("--port", type=int, default=8272, help="port to listen on")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--control", default=env.DEFAULT_ADDRESS, help="base URL of control")
    parser.add_argument("--gateway", default="http://127.0.0.1:8271", help="base URL of the gateway")
    parser.add_argument("--state", type=Path, default=env.state_folder(), help="folder of a local fabric's records")
    parser.add_argument("--tls-cert", help="certificate to answer https with, in PEM")
    parser.add_argument("--tls-key", help="its private key, in PEM")
    parser.add_argument("--refresh", type=float, default=2.0, help="seconds between two looks of an open page")
    parser.add_argument(
        "--anonymous",
        action="store_true",
        help="let people on this machine in as the local administrator; sensible where control does",
    )
    return parser.parse_args(arguments)


if __name__ in {"__main__", "__mp_main__"}:
    sys.exit(main())
