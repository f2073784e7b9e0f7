"""What a service's replicas are told, and the configuration with which Ray Serve starts them.

Knows nothing of Ray: it says what Ray's REST API takes. `fabric.serve.ray_serve` reads it on the other side.
"""

from typing import Any

from pydantic import Field

from fabric.config.settings import Settings
from fabric.core.errors import BadConfig
from fabric.serve.engines.settings import EngineName, EngineSettings

SECRET_HEADER = "X-Fabric-Service"  # noqa: S105 - the header's name
"""Header that carries a service's secret; who reaches its port without it is refused."""
APPLICATION = "model"
"""Name of the one Serve application in a service's cluster."""
DEPLOYMENT = "replica"
"""Name of the one deployment in it."""
IMPORT_PATH = "fabric.serve.ray_serve:build_app"
"""What Serve imports to build it."""
KEEP_ALIVE_S = 90
"""How long Serve keeps an idle connection; the gateway lets go of it earlier, so it never sends into a closed one."""


class ReplicaSpec(Settings):
    """One model, and how many replicas of what size answer for it."""

    model_folder: str
    """Folder of weights, tokenizer and configuration, reachable from every replica."""
    names: tuple[str, ...] = Field(min_length=1)
    """Model ids that requests may use; the first is the one that answers carry."""
    engine: EngineName = "auto"
    """Which engine computes."""
    max_context: int = Field(default=512, ge=16)
    """Longest prompt and answer together, in tokens."""
    max_running: int = Field(default=16, ge=1, le=1024)
    """Requests that a replica computes together."""
    kv_cache: str = "256 MiB"
    """Memory of each replica for keys and values of running requests, with unit."""
    num_replicas: int = Field(default=1, ge=1, le=1000)
    """Replicas; the fabric sizes a service, Serve does not."""
    num_cpus: float = Field(default=1.0, ge=0)
    """CPU cores of each replica."""
    num_gpus: float = Field(default=0.0, ge=0)
    """Accelerators of each replica."""
    label_selector: dict[str, str] = {}
    """Labels of the Ray nodes that replicas may be on."""
    max_ongoing: int = Field(default=64, ge=1)
    """Requests that a replica accepts at a time; four times `max_running` keeps its engine's queue filled."""
    max_queued: int = Field(default=256, ge=0)
    """Requests that wait in Serve for a replica to accept them; more are refused with 503."""
    secret: str = ""
    """What `X-Fabric-Service` must say; empty lets everybody in who reaches the port."""
    created: int = Field(default=0, ge=0)
    """When the service was asked for, seconds since the epoch; shown by `/v1/models`."""

    @property
    def engine_settings(self) -> EngineSettings:
        """What each replica's engine is told."""
        return EngineSettings(max_context=self.max_context, max_running=self.max_running, kv_cache=self.kv_cache)


def read_spec(args: dict[str, Any]) -> ReplicaSpec:
    """The replicas that Serve's application arguments describe.

    Raises:
        BadConfig: If they were not made by `serve_config`.
    """
    try:
        return ReplicaSpec.model_validate({**args, "names": tuple(args.get("names", ()))})
    except (TypeError, ValueError) as error:
        raise BadConfig(f"arguments of the Serve application: {error}") from None


def serve_config(
    spec: ReplicaSpec,
    *,
    num_replicas: int | None = None,
    port: int = 8000,
    host: str = "127.0.0.1",
    runtime_env: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """The body of `PUT /api/serve/applications/`.

    One proxy, beside the head, answers for all replicas. Without servicer functions Serve starts no gRPC proxy.

    Two configurations that differ in `num_replicas` alone make Serve start or end replicas and leave the others as they
    are; anything else in `spec` would make it replace all of them.

    Args:
        spec: The replicas.
        num_replicas: How many there should be now, where that is not as `spec` says.
        port: Port of the proxy.
        host: Address it listens on.
        runtime_env: Ray runtime environment of the replicas.
    """
    return {
        "proxy_location": "HeadOnly",
        "http_options": {"host": host, "port": port, "keep_alive_timeout_s": KEEP_ALIVE_S},
        "logging_config": {"enable_access_log": False},
        "applications": [
            {
                "name": APPLICATION,
                "route_prefix": "/",
                "import_path": IMPORT_PATH,
                "runtime_env": runtime_env or {},
                "args": spec.model_dump(mode="json"),
                "deployments": [{"name": DEPLOYMENT, "num_replicas": num_replicas or spec.num_replicas}],
            }
        ],
    }
