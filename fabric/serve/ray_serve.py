"""Replicas on Ray Serve: what `fabric.serve.endpoints.serve_config` makes Serve import and start.

Knows nothing of tokens or routes: a replica is an engine and its HTTP application. No other module here imports Ray.
"""

import asyncio
import logging
import time
from pathlib import Path
from typing import Any

from ray import serve
from starlette.types import ASGIApp

from fabric.serve.endpoints import DEPLOYMENT, ReplicaSpec, read_spec
from fabric.serve.engines.choice import choose, environment, open_engine
from fabric.serve.openai_http import Replica, build_http

_log = logging.getLogger("ray.serve")
DRAIN_S = 30.0
"""How long a replica that is to leave may finish its answers, in seconds."""


@serve.deployment
@serve.ingress()
class ModelReplica:
    """One engine; it exists, and Serve calls it healthy, only after one real token."""

    async def __init__(self, args: dict[str, Any]) -> None:  # type: ignore[misc] # Serve awaits it
        """Load the model, which takes seconds, and warm it up.

        Raises:
            FabricError: If it cannot be served; Serve shows the message and tries again.
        """
        self._spec = read_spec(args)
        begun = time.monotonic()
        choice = await asyncio.to_thread(choose, self._spec.engine)
        folder = Path(self._spec.model_folder)
        self._engine = await asyncio.to_thread(open_engine, choice, folder, self._spec.engine_settings)
        imported = time.monotonic()
        self._replica = Replica(self._engine, self._spec, {"reason": choice.reason})
        await self._replica.warm_up()
        loaded = time.monotonic()
        _log.info(
            "%s is served by %s (%s): %.1f s of imports and tokenizer, %.1f s to the first token",
            self._spec.names[0], choice.engine, choice.reason, imported - begun, loaded - imported,
        )  # fmt: skip

    def __serve_build_asgi_app__(self) -> ASGIApp:
        """Called by Serve once the replica exists."""
        return build_http(self._replica, self._spec.secret)

    def check_health(self) -> None:
        """Called by Serve every few seconds; raises if the engine has failed, which replaces the replica."""
        self._replica.health()

    def __del__(self) -> None:
        """Called by Serve after the last answer."""
        if hasattr(self, "_engine"):
            self._engine.close()


def build_app(args: dict[str, Any]) -> serve.Application:
    """The Serve application of one service.

    Args:
        args: As written by `serve_config`.

    Raises:
        BadConfig: If they were not.
    """
    spec = read_spec(args)
    decorated: Any = ModelReplica
    deployment = decorated.options(
        name=DEPLOYMENT,
        num_replicas=spec.num_replicas,
        max_ongoing_requests=spec.max_ongoing,
        max_queued_requests=spec.max_queued,
        health_check_period_s=5.0,
        graceful_shutdown_timeout_s=DRAIN_S,
        graceful_shutdown_wait_loop_s=0.5,
        ray_actor_options=_actor_options(spec),
    )
    return deployment.bind(args)


def _actor_options(spec: ReplicaSpec) -> dict[str, Any]:
    options: dict[str, Any] = {
        "num_cpus": spec.num_cpus,
        "num_gpus": spec.num_gpus,
        "runtime_env": {"env_vars": dict(environment())},
    }
    if spec.label_selector:
        options["label_selector"] = dict(spec.label_selector)
    return options
