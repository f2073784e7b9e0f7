"""The only reader of the environment: every variable the fabric looks at or sets has its name here.

Knows nothing of what follows from a value.
"""

import os
from collections.abc import Mapping
from pathlib import Path

ADDRESS = "FABRIC_ADDRESS"
"""URL of control's HTTP API, told to every workload and read by SDK and command line."""
TOKEN = "FABRIC_TOKEN"  # noqa: S105
"""Bearer token sent with every request; a workload's own is limited to that workload and expires with it."""
CA = "FABRIC_CA"
"""File of certificates, in PEM, that clients of the fabric believe beside the system's."""
WORKLOAD = "FABRIC_WORKLOAD"
"""Name of the workload this process belongs to."""
ATTEMPT = "FABRIC_ATTEMPT"
"""Number of the workload's current attempt, from 1."""
ARRAY = "FABRIC_ARRAY"
"""Name of the array that the workload is an element of."""
ARRAY_INDEX = "FABRIC_ARRAY_INDEX"
"""Number of the element, from 0."""
ARRAY_SIZE = "FABRIC_ARRAY_SIZE"
"""How many elements were handed in."""
USER = "FABRIC_USER"
"""Person who submitted the workload, or name of the key where that is nobody's."""
GRACE_S = "FABRIC_GRACE_S"
"""Seconds between a notice to leave and the kill."""
ARTIFACTS = "FABRIC_ARTIFACTS"
"""fsspec URI that every tier reaches; artifacts and checkpoints go below it."""
REVISION = "FABRIC_REVISION"
"""Revision of a workload's code: Git's commit where the SDK packed it, else the name of its package."""
CLUSTER = "FABRIC_CLUSTER"
"""Name of the Ray cluster a process belongs to: `WORKLOAD-ATTEMPT`, or the name under which it waited for work; how the
local backend finds its processes."""
SLICE = "FABRIC_SLICE"
"""Name of the slice a process belongs to."""
PIN = "FABRIC_PIN"
"""`numa` where ranks should keep to the cores beside their accelerators."""
STATE = "FABRIC_STATE"
"""Folder of a local fabric's records; default `~/.fabric`."""
CACHE = "FABRIC_CACHE"
"""Folder of converted assets, kept between runs; default `~/.cache/fabric`."""
TRACES = "FABRIC_TRACES"
"""Folder of the public traces that benchmarks read."""
MLFLOW = "MLFLOW_TRACKING_URI"
"""HTTP address of MLflow, served by control."""
MLFLOW_KEY = "MLFLOW_TRACKING_TOKEN"
"""MLflow's own name for the key that its clients show."""
KEYS = (TOKEN, MLFLOW_KEY)
"""Variables of work that hold its own key, and so are shown nowhere."""
OTLP = "OTEL_EXPORTER_OTLP_ENDPOINT"
"""Base URL of a collector of OpenTelemetry, to which control sends traces over HTTP; unset sends none."""

SECRETS_KEY_FILE = "FABRIC_SECRETS_KEY_FILE"
"""File of the keys that open secrets of projects; stands above that of the site file and that in the state folder."""

NOTICES_SECRET = "FABRIC_NOTICES_SECRET"  # noqa: S105
"""Secret with which control signs notices where the site names none."""
OF_CONTROL = frozenset({SECRETS_KEY_FILE, NOTICES_SECRET})
"""Variables that no other process is to find."""

VARIABLES: Mapping[str, str] = {
    ADDRESS: "URL of control's HTTP API",
    TOKEN: "bearer token",
    CA: "certificates to believe",
    WORKLOAD: "name of the workload",
    ATTEMPT: "number of the attempt, from 1",
    ARRAY: "name of the array",
    ARRAY_INDEX: "number of the element, from 0",
    ARRAY_SIZE: "elements of the array",
    USER: "who submitted the workload",
    GRACE_S: "seconds from notice to kill",
    ARTIFACTS: "fsspec URI for artifacts and checkpoints",
    REVISION: "revision of the workload's code",
    CLUSTER: "name of the Ray cluster",
    SLICE: "name of the slice",
    PIN: "what ranks should keep to",
    STATE: "folder of a local fabric's records",
    CACHE: "folder of converted assets",
    TRACES: "folder of public traces",
    MLFLOW: "HTTP address of MLflow",
    MLFLOW_KEY: "key that MLflow's clients show",
    OTLP: "collector of traces",
    SECRETS_KEY_FILE: "keys of secrets",
    NOTICES_SECRET: "secret that signs notices",
}
"""Every variable with its meaning; the reference in the README is compared with it."""

ADMIN_KEY_FILE = "admin.key"
"""File in the state folder with the local administrator's key."""

CA_FILE = "ca.pem"
"""File in the state folder with the certificates that clients of a local fabric should believe."""

DEFAULT_ADDRESS = "http://127.0.0.1:8270"
"""Where control listens if nobody says otherwise: the port that `configs/sites/laptop.yaml` has too."""


def get(name: str) -> str | None:
    """The value of one of `VARIABLES`, or None where it is unset or empty.

    Raises:
        KeyError: If the fabric does not know the variable.
    """
    if name not in VARIABLES:
        raise KeyError(f"{name} is no variable of the fabric")
    return os.environ.get(name) or None


def inherited() -> dict[str, str]:
    """A copy of the environment for child processes, without what is control's alone."""
    return {name: value for name, value in os.environ.items() if name not in OF_CONTROL}


def address() -> str:
    """Where control listens."""
    return (get(ADDRESS) or DEFAULT_ADDRESS).rstrip("/")


def state_folder() -> Path:
    """Folder of the local fabric's records."""
    return Path(get(STATE) or Path.home() / ".fabric")


def admin_key(state: Path) -> str | None:
    """The local administrator's key, or None where there is none that we may read."""
    try:
        return (state / ADMIN_KEY_FILE).read_text(encoding="utf-8").strip().partition("\n")[0] or None
    except (OSError, UnicodeDecodeError):
        return None


def authority(state: Path) -> Path | None:
    """The file of certificates to believe beside the system's: `FABRIC_CA`, else the local fabric's; None for none."""
    if given := get(CA):
        return Path(given)
    own = state / CA_FILE
    return own if own.exists() else None


def cache_folder() -> Path:
    """Folder of converted assets."""
    return Path(get(CACHE) or Path.home() / ".cache" / "fabric")


def artifacts_uri(default: str) -> str:
    """Where artifacts go: the workload's own place inside the fabric, `default` under plain Ray."""
    return get(ARTIFACTS) or default
