"""Run the gateway: python -m fabric.gateway --port 8271 --control http://127.0.0.1:8270 --state FOLDER.

Knows nothing of requests: it puts the parts together and gives them to uvicorn. SIGTERM lets answers under way finish.
"""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

import httpx
import uvicorn
from fastapi import FastAPI

from fabric.config import env
from fabric.config.trust import trust
from fabric.gateway.app import Gateway, build
from fabric.gateway.follow import Follower
from fabric.gateway.settings import GatewaySettings
from fabric.gateway.upstream import make_client
from fabric.telemetry import logs

_EX_CANTCREAT = 73


def compose(control: str, folder: Path, settings: GatewaySettings) -> FastAPI:
    """The application with its clients.

    Args:
        control: Base URL of control.
        folder: Where the snapshot is kept, and control's own key where control keeps its records there too.
        settings: Limits.
    """

    async def sign(request: httpx.Request) -> None:
        # At each request: control makes the local key at its first start, which may be after ours.
        if token := token_for(folder):
            request.headers["Authorization"] = f"Bearer {token}"

    asking = httpx.AsyncClient(
        base_url=control, event_hooks={"request": [sign]}, trust_env=False,
        verify=trust(control, env.authority(folder)),
    )  # fmt: skip
    services = make_client(settings)
    follower = Follower(asking, folder, settings)
    return build(Gateway(follower, services, settings, asking), follower, (asking, services))


def token_for(folder: Path) -> str | None:
    """The key of the control whose records are in `folder`; `FABRIC_TOKEN`, which may be for another one, after it."""
    return env.admin_key(folder) or env.get(env.TOKEN)


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until told to end; returns the exit code."""
    options = _options(arguments)
    logs.begin(sys.stdout)
    settings = GatewaySettings(grace_s=options.grace)
    try:
        options.state.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        logging.getLogger(__name__).error("%s: cannot be made: %s", options.state, error)
        return _EX_CANTCREAT
    uvicorn.run(
        compose(options.control.rstrip("/"), options.state, settings),
        host=options.host,
        port=options.port,
        log_level="warning",
        log_config=None,
        ssl_certfile=options.tls_cert,
        ssl_keyfile=options.tls_key,
        access_log=False,
        timeout_graceful_shutdown=int(settings.grace_s),
        timeout_keep_alive=75,
    )
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m fabric.gateway", description="OpenAI's API for all served models.")
    parser.add_argument("--port", type=int, default=8271, help="port to listen on")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--control", default=env.DEFAULT_ADDRESS, help="base URL of control")
    parser.add_argument("--state", type=Path, required=True, help="folder in which the last snapshot is kept")
    parser.add_argument("--tls-cert", help="certificate to answer https with, in PEM")
    parser.add_argument("--tls-key", help="its private key, in PEM")
    parser.add_argument("--grace", type=float, default=20.0, help="seconds that answers under way get after SIGTERM")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
