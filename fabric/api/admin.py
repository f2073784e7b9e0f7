"""What control's admin API says and takes, as JSON.

Knows nothing of HTTP frameworks; the constants name the routes for server and SDK alike.
"""

from typing import Any

from pydantic import Field

from fabric.api.nodes import DrainView
from fabric.api.use import UseView
from fabric.config.settings import Settings
from fabric.workloads.spec import WorkloadSpec

WORKLOADS = "/api/fabric/workloads"
"""GET lists, POST submits; `/NAME` GET, DELETE; `/NAME/stop` POST; `/NAME/logs`, `/NAME/explain`, `/NAME/events` GET;
`/NAME/use` GET; `/NAME/scale` POST; `/NAME/report` POST and `/NAME/size` GET (by the workload itself)."""
NODES = "/api/fabric/nodes"
"""GET."""
MODELS = "/api/fabric/models"
"""GET."""
HEALTH = "/api/fabric/health"
"""GET, without a key."""
SHUTDOWN = "/api/fabric/shutdown"
"""POST `ShutdownRequest`: drain or kill all workloads, then end; for administrators."""
GATEWAY = "/api/gateway/snapshot"
"""GET, for the gateway: see `fabric.api.gateway`."""
NEXT_OFFSET = "X-Fabric-Next-Offset"
"""Header of a logs answer: byte offset to ask for next."""
COMPLETE = "X-Fabric-Complete"
"""Header of a logs answer: `true` when nothing will follow."""


class ErrorBody(Settings):
    """Body of every answer of 400 and above."""

    code: str
    """Stable word, a key of `fabric.core.errors.ERRORS`."""
    message: str
    """Place, limit and next step."""
    fields: dict[str, str | int | float | None] = {}
    """What the message says, as data."""


class SubmitRequest(Settings):
    """A workload to take in."""

    spec: WorkloadSpec
    """What is asked for."""


class SliceView(Settings):
    """One slice of a grant."""

    name: str
    """Group and running number."""
    group: str
    """Group of the workload, or `head`."""
    node: str
    """Node it is on."""
    tier: str
    """Tier of the node."""
    workers: int
    """Workers of the group in it."""
    cpus: float
    """CPU cores."""
    gpus: float
    """Accelerators."""
    memory_bytes: int
    """Memory."""
    head: bool
    """Whether the Ray head runs in it."""


class ProgressView(Settings):
    """What a workload last told of itself."""

    stage: str = ""
    """What it is doing."""
    done: float = 0.0
    """Units done."""
    total: float = 0.0
    """Units in all; 0 if unknown."""
    unit: str = ""
    """What is counted."""
    metrics: dict[str, float] = {}
    """Numbers by name, such as loss."""
    checkpoint_uri: str = ""
    """Newest checkpoint."""
    checkpoint_step: int | None = None
    """Its step."""
    workers: int | None = None
    """Size at which it works."""
    stages: dict[str, float] = {}
    """Instant at which each stage began, seconds since the epoch, of the present attempt."""


class ElementView(Settings):
    """Which element of which array a workload is."""

    name: str
    """The array."""
    index: int
    """Number of the element, from 0."""
    size: int
    """Elements that were handed in."""


class WorkloadView(Settings):
    """A workload as people see it."""

    name: str
    """Name."""
    project: str
    """Who pays."""
    kind: str
    """`job` or `service`."""
    state: str
    """As in `fabric.workloads.states.State`."""
    priority: str
    """Priority class."""
    entrypoint: str
    """Command of a job."""
    attempt: int
    """Present attempt, from 1."""
    failures: int
    """Attempts lost."""
    preemptions: int = 0
    """How often it left for others."""
    workers: int | None = None
    """Workers that it holds of its elastic group, or of all its groups if none is elastic."""
    becomes: int | None = None
    """Workers that it is being shrunk to."""
    wants: int | None = None
    """Workers that somebody asked for."""
    least: int | None = None
    """Fewest workers of its elastic group, if it has one."""
    most: int | None = None
    """Most workers of it."""
    leave_by: float | None = None
    """When it, or what it gives back, is gone at the latest."""
    message: str
    """First line of the explanation."""
    condition: str = ""
    """Of a service: ready, degraded, updating."""
    after: tuple[str, ...] = ()
    """Jobs that must have succeeded before it starts."""
    array: ElementView | None = None
    """Of an element of an array."""
    submitted_by: str = ""
    """Who handed it in: a person, or a key that is nobody's."""
    submitted_at: float
    """Seconds since the epoch, like all instants here."""
    granted_at: float | None = None
    """When it got its slices."""
    cluster_ready_at: float | None = None
    """When every slice had joined."""
    running_at: float | None = None
    """When its entrypoint ran."""
    ended_at: float | None = None
    """When it ended."""
    expected_start: float | None = None
    """When it should start, if the walltimes of others tell."""
    promised: bool = False
    """Whether that is set aside for it, so that nobody may delay it."""
    promised_start: float | None = None
    """First start that the present attempt was promised; stays once it has started."""
    exit_code: int | None = None
    """Of the entrypoint."""
    slices: tuple[SliceView, ...] = ()
    """Where it runs, or last ran."""
    metadata: dict[str, str] = {}
    """As given."""
    progress: ProgressView = ProgressView()
    """What it last told of itself."""
    use: UseView | None = None
    """What it uses of its grant, without its slices; None where nothing was measured of late."""
    endpoint: str | None = None
    """Of a ready service: base URL of the gateway's OpenAI API."""


class WorkloadList(Settings):
    """Workloads, newest first."""

    workloads: tuple[WorkloadView, ...]
    """Newest first."""


class EventView(Settings):
    """One line of history."""

    at: float
    """Seconds since the epoch."""
    state: str
    """State it moved to or stayed in."""
    reason: str
    """Why."""
    attempt: int
    """Attempt it belongs to."""


class ExplanationView(Settings):
    """Why a workload is where it is."""

    workload: WorkloadView
    """As it is now."""
    missing: str = ""
    """What the last plan found missing, with amounts, and who is ahead; empty unless it waits."""
    expected_start: float | None = None
    """When it should start."""
    notices: tuple[str, ...] = ()
    """What else it should know, such as that a node of its is being drained, by whom and why."""
    events: tuple[EventView, ...] = ()
    """History, oldest first."""


class NumaView(Settings):
    """The NUMA nodes of a node, as its preflight saw them."""

    nodes: int
    """How many."""
    with_cores: int
    """Of them with cores."""
    of_accelerators: int
    """Of them memory of accelerators, without cores."""
    mode: str
    """`numa` where the system gives out the memory of accelerators as its own, `cdmm` where a superchip keeps it apart,
    and `plain`."""


class NodeView(Settings):
    """A node and what is on it."""

    name: str
    """Name."""
    tier: str
    """Tier."""
    state: str
    """booting, vetting, refused, ready, draining or down."""
    heads: bool
    """Whether Ray heads may run here."""
    capacity: dict[str, float]
    """`cpus`, `gpus`, `memory_bytes`."""
    used: dict[str, float]
    """The same, of granted slices."""
    drain: DrainView | None = None
    """Who takes it out of service and why; None where nobody does, or only Kubernetes' own cordon says so."""
    said: str = ""
    """Why it takes no work, where Kubernetes or its preflight says so."""
    numa: NumaView | None = None
    """Its NUMA nodes; None where it has not shown them."""
    workloads: tuple[str, ...] = ()
    """Names of the workloads with a slice here, as far as they are within the asker's reach."""
    others: int = 0
    """How many more have a slice here."""


class NodeList(Settings):
    """Nodes by name."""

    nodes: tuple[NodeView, ...]
    """By name."""


class EvaluationView(Settings):
    """How a model version was judged."""

    suite: str
    """Content hash of what was asked; only within one suite may two versions be compared."""
    metrics: dict[str, float] = {}
    """Numbers by name."""
    num_items: int = 0
    """Items of which each is right or wrong; 0 where nothing is."""
    num_right: int = 0
    """Of these, those that were right."""


class ServedByView(Settings):
    """A service that serves a model version now."""

    workload: str
    """Its name."""
    deployment: str = ""
    """Under which name it is served over time; empty where it has none."""
    asked: str
    """What it was asked to serve, such as MODEL@ALIAS: it serves the version that this meant when it began."""
    state: str
    """As in `fabric.workloads.states.State`."""
    condition: str = ""
    """Ready, degraded or updating."""


class ModelVersionView(Settings):
    """One version of a registered model."""

    name: str
    """Model."""
    project: str = ""
    """Whose it is; empty for what is in a workspace of MLflow that is no project's."""
    version: int
    """Version, from 1."""
    aliases: tuple[str, ...] = ()
    """Aliases that point here."""
    uri: str
    """Where its files are."""
    metrics: dict[str, float] = {}
    """Evaluation."""
    lineage: dict[str, str] = {}
    """Code revision, config, data version, parent."""
    digest: str = ""
    """Content hash, by which the lineage of others names it: PARENT@DIGEST."""
    evaluation: EvaluationView | None = None
    """How it was judged; None if it was not."""
    served_by: tuple[ServedByView, ...] = ()
    """Services within the asker's reach that serve it, by name."""
    created_at: float
    """Seconds since the epoch."""


class ModelList(Settings):
    """Registered model versions."""

    models: tuple[ModelVersionView, ...]
    """By name, newest version first."""


class Report(Settings):
    """What a workload tells of itself; fields left out stay as they are."""

    stage: str | None = None
    """What it does now."""
    done: float | None = Field(default=None, ge=0)
    """Units done."""
    total: float | None = Field(default=None, ge=0)
    """Units in all."""
    unit: str | None = None
    """What is counted."""
    metrics: dict[str, float] = {}
    """Numbers by name."""
    checkpoint_uri: str | None = None
    """A checkpoint that is complete."""
    checkpoint_step: int | None = Field(default=None, ge=0)
    """Its step."""
    checkpoint_bytes: int | None = Field(default=None, ge=0)
    """Its size."""
    checkpoint_seconds: float | None = Field(default=None, ge=0)
    """How long it took."""
    workers: int | None = Field(default=None, ge=0, le=100_000)
    """Size at which it works from now on; nothing of it runs on what it has beyond that."""


class SizeView(Settings):
    """The size at which a workload should work now."""

    group: str = ""
    """Its elastic group; empty where it has none, which never changes."""
    workers: int | None = None
    """Workers of that group; None while this changes, so ask again."""
    slices: tuple[str, ...] = ()
    """Slices that they are in: Ray nodes with these names as label `fabric/slice`."""
    generation: int = 0
    """Of its grant."""
    leave_by: float | None = None
    """When what it is to give back is ended at the latest, in seconds since the epoch."""


class ScaleRequest(Settings):
    """How many replicas a service should have."""

    workers: int = Field(ge=1, le=100_000)
    """Workers of the elastic group."""


class Health(Settings):
    """Whether control works."""

    status: str
    """`ok`, or what is wrong."""
    site: str
    """Name of the site."""
    version: str
    """Of the fabric."""
    active: int
    """Workloads that are not final."""
    loop_age_s: float
    """Seconds since the loop last finished a step."""
    leads: bool = True
    """Whether this control acts; one that follows another answers questions only."""


class ShutdownRequest(Settings):
    """How to end the fabric."""

    kill: bool = False
    """Kill workloads at once instead of asking them to leave inside the grace."""


def as_json(value: Settings) -> Any:
    """`value` as plain JSON types."""
    return value.model_dump(mode="json")
