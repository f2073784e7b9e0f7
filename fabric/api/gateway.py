"""What control tells the gateway: which models are served where, and who may ask.

Knows nothing of how either side keeps it.
"""

from pydantic import Field, field_validator

from fabric.config.settings import Settings

JUDGE = "/api/gateway/callers"
"""POST `Shown`, for the gateway: whose a token of the site's provider is."""
USES = "/api/gateway/uses"
"""POST `Uses`, for the gateway: when keys were last used there."""
SERVED = "/serve"
"""`/PROJECT/DEPLOYMENT/...` at the gateway: HTTP routes of Serve applications."""


class EndpointView(Settings):
    """One place that answers for a model."""

    url: str
    """Base URL without `/v1`, such as `http://127.0.0.1:23001`."""
    secret: str = ""
    """Sent as `X-Fabric-Service`; empty where the service asks for none."""

    @field_validator("url")
    @classmethod
    def _http(cls, url: str) -> str:
        if not url.startswith(("http://", "https://")):
            raise ValueError(f"must begin with http:// or https://, got {url!r}")
        return url.rstrip("/")


class ServedModel(Settings):
    """A model and where it is served."""

    id: str
    """Name that its endpoints know it by."""
    aliases: tuple[str, ...] = ()
    """Other names under which clients may ask for it."""
    workload: str
    """Service that serves it."""
    project: str = "default"
    """Who pays for the service."""
    created: int = 0
    """When it was deployed, seconds since the epoch."""
    endpoints: tuple[EndpointView, ...] = ()
    """Ready places; empty while none is."""


class ServedDeployment(Settings):
    """Applications of Ray Serve and where they answer."""

    name: str
    """Of the deployment, unique in its project."""
    project: str
    """Whose it is; keys of other projects do not reach it."""
    workload: str
    """Service that runs it."""
    endpoints: tuple[EndpointView, ...] = ()
    """Ready places; empty while none is."""


class KeyView(Settings):
    """An API key, of which only the digest is known."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """SHA-256 of the key, in hexadecimal."""
    project: str
    """Project that the key belongs to."""
    name: str = ""
    """What its owner calls it."""
    everywhere: bool = False
    """Whether it reaches what belongs to any project."""
    expires_at: float | None = None
    """Seconds since the epoch; None if it never does."""


class Shown(Settings):
    """A token that somebody presents at the gateway."""

    token: str = Field(min_length=1, max_length=16_384, repr=False)
    """As presented."""
    project: str | None = None
    """In which its owner wants to act."""


class Judged(Settings):
    """Whose a token is, or why it opens nothing."""

    name: str = ""
    """Of the person."""
    project: str = ""
    """Who pays."""
    everywhere: bool = False
    """Whether what belongs to any project is within reach."""
    refusal: str = ""
    """Why it opens nothing; empty if it does."""
    denied: bool = False
    """Whether the person is known, and may not."""


class Uses(Settings):
    """When keys last opened something at the gateway."""

    at: dict[str, float] = Field(max_length=100_000)
    """Seconds since the epoch, by name of the key."""


class GatewaySnapshot(Settings):
    """Everything the gateway needs to serve."""

    version: int = Field(default=0, ge=0)
    """Grows with every change."""
    models: tuple[ServedModel, ...] = ()
    """By id."""
    deployments: tuple[ServedDeployment, ...] = ()
    """By project and name."""
    keys: tuple[KeyView, ...] = ()
    """Keys that are or were valid."""
    anonymous: bool = False
    """Whether requests without a key are served."""
