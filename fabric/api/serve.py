"""What Ray Serve's REST API takes, as JSON: the part of a Serve configuration that the fabric reads.

Knows nothing of Ray itself. As with Serve, keys that are not listed here are taken and passed on; paths and rules are
those of `ray/dashboard/modules/serve/serve_head.py` and `ray/serve/schema.py` of Ray 2.60.0.
"""

from collections import Counter
from typing import Any, Literal, Self

from pydantic import ConfigDict, Field, model_validator

from fabric.config.settings import Settings

SERVE_VERSION = "/api/ray/version"
"""GET; what `serve` asks first."""
APPLICATIONS = "/api/serve/applications"
"""GET tells, PUT deploys, DELETE ends; with a slash at the end."""
SCALE = "/api/v1/applications/{application}/deployments/{name}/scale"
"""POST asks for a number of replicas."""
DEPLOYMENTS = "/deployments"
"""`/NAME` before the paths above chooses a deployment, for clients that can only be given an address."""
DEPLOYMENT_HEADER = "fabric-deployment"
"""Header that chooses a deployment."""
PROJECT_HEADER = "fabric-project"
"""Header by which a key of the whole site says whose deployment is meant."""
DEFAULT_DEPLOYMENT = "default"
"""Name of a deployment where nothing chooses one."""
AUTO_MOST = 100
"""Most replicas of `num_replicas: auto`, as in Serve."""


class Foreign(Settings):
    """Part of somebody else's format: numbers may be written as text, and keys that we do not read are no mistake."""

    model_config = ConfigDict(extra="ignore", strict=False)


class ActorOptions(Foreign):
    """What each replica holds."""

    num_cpus: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """CPU cores; one where it is left out."""
    num_gpus: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """Accelerators."""
    memory: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """Bytes."""
    resources: dict[str, Any] | None = None
    """Custom resources, of which our nodes have none."""
    accelerator_type: str | None = None
    """Kind of accelerator, which our nodes do not tell Ray."""
    label_selector: dict[str, str] | None = None
    """Labels of the node."""
    runtime_env: dict[str, Any] | None = None
    """Ray runtime environment of the replicas."""


class Autoscaling(Foreign):
    """Between what the number of replicas may change."""

    min_replicas: int = Field(default=1, ge=0)
    """Fewest."""
    initial_replicas: int | None = Field(default=None, ge=0)
    """To begin with; the fewest where it is left out."""
    max_replicas: int = Field(default=1, ge=1)
    """Most."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        first = self.min_replicas if self.initial_replicas is None else self.initial_replicas
        if not self.min_replicas <= first <= self.max_replicas:
            raise ValueError(
                f"min_replicas ({self.min_replicas}), initial_replicas ({first}) and max_replicas "
                f"({self.max_replicas}) must be in this order"
            )
        return self


class ServeDeployment(Foreign):
    """Options of one deployment of an application."""

    name: str = Field(min_length=1)
    """As in the application's code."""
    num_replicas: int | Literal["auto"] | None = None
    """How many, or `auto`."""
    autoscaling_config: Autoscaling | None = None
    """Instead of a number."""
    ray_actor_options: ActorOptions | None = None
    """What each replica holds."""
    placement_group_bundles: tuple[dict[str, float], ...] | None = None
    """What each replica and its tasks hold, instead of the actor alone."""

    @model_validator(mode="after")
    def _one_count(self) -> Self:
        if isinstance(self.num_replicas, int):
            if self.num_replicas < 1:
                raise ValueError(f"num_replicas must be at least 1, got {self.num_replicas}")
            if self.autoscaling_config is not None:
                raise ValueError("give num_replicas or autoscaling_config, not both")
        return self

    @property
    def scales(self) -> Autoscaling | None:
        """Between what its number of replicas may change; None where it is fixed."""
        if self.num_replicas == "auto" and self.autoscaling_config is None:
            return Autoscaling(max_replicas=AUTO_MOST)
        return self.autoscaling_config


class ServeApplication(Foreign):
    """One application."""

    name: str = Field(default="default", min_length=1)
    """Unique in the configuration."""
    route_prefix: str | None = "/"
    """Where its HTTP routes begin; null for none."""
    import_path: str
    """Module and name of the application or its builder."""
    runtime_env: dict[str, Any] | None = None
    """Ray runtime environment of its replicas."""
    deployments: tuple[ServeDeployment, ...] = ()
    """Options of those of its deployments that say something; the others are as its code says."""
    external_scaler_enabled: bool = False
    """Whether something else than Serve decides how many replicas there are."""
    host: str | None = None
    """Belongs to the whole configuration."""
    port: int | None = None
    """Belongs to the whole configuration."""

    @model_validator(mode="after")
    def _sound(self) -> Self:
        if self.model_fields_set & {"host", "port"}:
            raise ValueError(f"application {self.name}: host and port belong to http_options")
        module, _, name = self.import_path.replace(":", ".").rpartition(".")
        if not module or not name or self.import_path.count(":") > 1:
            raise ValueError(f"import_path must read like `module:application`, got {self.import_path!r}")
        names = Counter(deployment.name for deployment in self.deployments)
        if twice := [name for name, number in names.items() if number > 1]:
            raise ValueError(f"application {self.name} has the deployment {twice[0]} twice")
        return self


class GrpcOptions(Foreign):
    """How Serve listens to gRPC."""

    grpc_servicer_functions: tuple[str, ...] = ()
    """What it answers; none, and it does not listen."""


class ServeConfig(Foreign):
    """Body of a deployment: `ServeDeploySchema` of Ray Serve."""

    applications: tuple[ServeApplication, ...]
    """All that should run; one that is not among them any more is ended."""
    grpc_options: GrpcOptions | None = None
    """How Serve listens to gRPC."""
    target_capacity: float | None = None
    """Share of all replicas that should run, in percent."""

    @model_validator(mode="after")
    def _apart(self) -> Self:
        for what in ("name", "route_prefix"):
            found = Counter(getattr(application, what) for application in self.applications)
            if twice := [word for word, number in found.items() if number > 1 and word is not None]:
                raise ValueError(f"two applications have the {what} {twice[0]!r}; each needs its own")
        return self


class ScaleReplicas(Foreign):
    """Body of a request for a number of replicas."""

    target_num_replicas: int = Field(ge=0)
    """How many there should be."""
