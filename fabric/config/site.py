"""What one installation is: its tiers of nodes, its defaults and where it listens.

Knows nothing of what runs there.
"""

from typing import Literal, Self

from pydantic import Field, JsonValue, field_validator, model_validator

from fabric.config.identity import Oidc
from fabric.config.kubernetes import Architecture, Kubernetes, NodeGroup, check_kubernetes
from fabric.config.memory import Ram, Superchip, check_memory
from fabric.config.notices import Notices, Warnings
from fabric.config.projects import Project, check_projects
from fabric.config.retention import Retention
from fabric.config.settings import Settings, checked
from fabric.config.staging import StagingPriors
from fabric.config.store import Store
from fabric.config.tls import Tls
from fabric.config.warm import Warm, check_warm
from fabric.config.windows import Window, check_windows
from fabric.core.ids import check_name
from fabric.core.limits import MOST_PACKAGE, WHY_NO_LARGER
from fabric.core.resources import Resources

RAY_DASHBOARD_PORT = 8265
"""Where an ordinary Ray cluster listens; never ours, so that both fit on one machine."""


class Capacity(Settings):
    """What one node of a tier has for workloads."""

    cpus: float = Field(gt=0)
    """CPU cores."""

    gpus: float = Field(default=0.0, ge=0)
    """Accelerators; whole devices."""

    memory: str
    """Memory, with unit."""

    @model_validator(mode="after")
    def _amounts(self) -> Self:
        if not checked(lambda: self.resources).memory:
            raise ValueError("a node needs some memory")
        if not self.gpus.is_integer():
            raise ValueError(f"a node has whole accelerators, not {self.gpus:g}")
        return self

    @property
    def resources(self) -> Resources:
        """As a resource vector."""
        return Resources.of(self.cpus, self.gpus, self.memory)


class Tier(Settings):
    """A class of nodes with the same hardware."""

    name: str
    """Name, as in a group's `tier`."""

    nodes: int = Field(ge=1, le=100_000)
    """Number of nodes; they are called `NAME-0`, `NAME-1` and so on."""

    capacity: Capacity
    """What each node has for workloads."""

    heads: bool = False
    """Whether Ray heads may run here."""

    architecture: Architecture = "amd64"
    """Instruction set of the nodes."""

    speed: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """Progress of work on one accelerator, relative to the other tiers; work that names no tier goes to the fastest on
    which it fits."""

    pretend: bool = False
    """Whether the accelerators are only counted, as on a laptop."""

    diskless: bool = False
    """Whether the nodes keep files in RAM, so that every byte written is charged as memory."""

    ram: Ram | None = None
    """Caps of what a slice holds in memory besides what its workers ask for. Left out, a diskless tier has the defaults
    and a tier with disks charges only what is asked for."""

    superchip: Superchip | None = None
    """Unit of cores, memory and accelerators in which nodes are given out; None gives out any amount."""

    staging: StagingPriors = StagingPriors()
    """First guesses of how long things take to start."""

    kubernetes: NodeGroup | None = None
    """How its nodes are found in Kubernetes; only for, and then needed by, the backend kuberay."""

    @field_validator("name")
    @classmethod
    def _name(cls, name: str) -> str:
        return checked(check_name, name, "tier")

    @model_validator(mode="after")
    def _memory(self) -> Self:
        check_memory(self.name, self.capacity.resources, self.charges if self.diskless else None, self.superchip)
        return self

    @property
    def charges(self) -> Ram | None:
        """Caps that are charged beside what workers ask for; None where nothing is."""
        return self.ram or (Ram() if self.diskless else None)

    @property
    def node_names(self) -> tuple[str, ...]:
        """Names of its nodes."""
        return tuple(f"{self.name}-{number}" for number in range(self.nodes))


class Head(Settings):
    """What a Ray head of its own is charged."""

    cpus: float = Field(default=1.0, gt=0)
    """CPU cores for GCS, dashboard and the driver."""

    memory: str = "2 GiB"
    """Memory, with unit."""

    @model_validator(mode="after")
    def _amounts(self) -> Self:
        checked(lambda: self.resources)
        return self

    @property
    def resources(self) -> Resources:
        """As a resource vector."""
        return Resources.of(self.cpus, 0, self.memory)


class Defaults(Settings):
    """What work gets whose owner says nothing."""

    cpus: float = Field(default=1.0, gt=0)
    """CPU cores of a `ray job submit` without --entrypoint-num-cpus."""

    memory: str = "2 GiB"
    """Memory of a `ray job submit` without --entrypoint-memory."""

    walltime_s: float | None = Field(default=None, gt=0)
    """Walltime of jobs that give none; without it nobody is promised a start behind them."""

    max_failures: int = Field(default=3, ge=0)
    """Lost attempts of a stock Ray job that are started again; one more, and it is failed."""

    @model_validator(mode="after")
    def _amounts(self) -> Self:
        checked(Resources.of, self.cpus, 0, self.memory)
        return self


class Ports(Settings):
    """Where the fabric listens; never 8265, which is Ray's own dashboard."""

    control: int = Field(default=8270, ge=1, le=65535)
    """Admin API, Ray Jobs API, MLflow."""

    gateway: int = Field(default=8271, ge=1, le=65535)
    """OpenAI-compatible API."""

    console: int | None = Field(default=8272, ge=1, le=65535)
    """Web pages; None runs none."""

    @property
    def by_name(self) -> dict[str, int]:
        """Those that are listened on, by the program that does."""
        all_ports = {"control": self.control, "gateway": self.gateway, "console": self.console}
        return {name: number for name, number in all_ports.items() if number is not None}

    @model_validator(mode="after")
    def _apart(self) -> Self:
        names: dict[int, str] = {}
        for name, number in self.by_name.items():
            if (other := names.setdefault(number, name)) != name:
                raise ValueError(f"{other} and {name} cannot share port {number}")
        if RAY_DASHBOARD_PORT in names:
            raise ValueError(f"{RAY_DASHBOARD_PORT} is Ray's own dashboard port; choose another")
        return self


class Site(Settings):
    """One installation."""

    name: str
    """Name, shown to people."""

    backend: Literal["local", "kuberay"] = "local"
    """How slices become Ray nodes: processes of this machine, or pods of KubeRay."""

    kubernetes: Kubernetes | None = None
    """Where objects go and what runs in pods; only for, and then needed by, the backend kuberay."""

    tiers: tuple[Tier, ...] = Field(min_length=1)
    """Classes of nodes."""

    head: Head = Head()
    """What a Ray head of its own is charged."""

    defaults: Defaults = Defaults()
    """What work gets whose owner says nothing."""

    store: Store = Store()
    """Where the records are."""

    oidc: Oidc | None = None
    """OpenID Connect provider whose tokens are taken beside keys."""

    projects: tuple[Project, ...] = ()
    """Who pays and what they are guaranteed; without any, everybody may hold anything."""

    policy: str | dict[str, JsonValue] | None = None
    """How the scheduler decides: a file, relative to this one or to the folder above it, or its keys; None is EASY."""

    usage_half_life_s: float = Field(default=7 * 86_400.0, gt=0)
    """Seconds after which past use counts half; a week, like the default of Slurm's PriorityDecayHalfLife."""

    windows: tuple[Window, ...] = ()
    """Maintenance and capability weeks."""

    warm: tuple[Warm, ...] = ()
    """Clusters that are started before anybody asks for them; without any, none is."""

    notices: Notices | None = None
    """Who is told of failures, preemptions and nodes that go down; None tells nobody."""

    warnings: Warnings = Warnings()
    """When work that shows no sign of life is warned of."""

    retention: Retention = Retention()
    """How long what ended work left behind is kept."""

    ports: Ports = Ports()
    """Where the fabric listens."""

    host: str = "127.0.0.1"
    """Address to listen on."""

    tls: Tls | None = None
    """Certificate to answer https with; None answers http."""

    anonymous: bool = False
    """Whether a request without a key is taken as the local administrator's; only sensible on loopback."""

    grace_s: float = Field(default=20.0, ge=0, le=3600)
    """Seconds between asking work to leave and killing it."""

    overhead_s: float = Field(default=30.0, ge=0, le=3600)
    """Seconds that work may hold its nodes beside its walltime, before it runs and until its cluster is gone; promises
    allow for them. 30 is a choice: twice the 7.5 s of `staging.ray_s` to start, and as much to be gone."""

    max_package_bytes: int = Field(default=MOST_PACKAGE.count, ge=1024)
    """Largest working_dir package, packed, in bytes; at most what a Ray head takes."""

    max_project_package_bytes: int = Field(default=10 * 2**30, ge=1024)
    """Most that all packages of one project take together, in bytes; the site's own have as much. 10 GiB are a choice:
    a hundred of the largest."""

    package_age_s: float = Field(default=7 * 86_400.0, ge=3600)
    """Seconds without use after which a package is removed that no waiting or running work names; a week is a choice.
    At least an hour, so that nobody loses one between uploading and submitting."""

    max_artifact_bytes: int = Field(default=64 * 2**30, ge=1024)
    """Largest file that people may put among a project's artifacts, in bytes; jobs write theirs without control. 64 GiB
    are a choice: a checkpoint shard of a model of 30 billion parameters in bf16."""

    @field_validator("name")
    @classmethod
    def _name(cls, name: str) -> str:
        return checked(check_name, name, "site")

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine reaches it."""
        return self.host in {"127.0.0.1", "localhost", "::1"}

    @property
    def address(self) -> str:
        """Where clients on this machine reach it: the name in its certificate, or what it listens on."""
        if self.tls is not None and self.tls.name is not None:
            return self.tls.name
        return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104 - compared, not listened on

    def url(self, port: int) -> str:
        """Where such clients reach one of its ports."""
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"{'http' if self.tls is None else 'https'}://{host}:{port}"

    @field_validator("max_package_bytes")
    @classmethod
    def _reaches_a_head(cls, num_bytes: int) -> int:
        if num_bytes > MOST_PACKAGE.count:
            raise ValueError(f"{WHY_NO_LARGER}; write {MOST_PACKAGE.count} or less")
        return num_bytes

    @model_validator(mode="after")
    def _sound(self) -> Self:
        names = [tier.name for tier in self.tiers]
        if len(set(names)) != len(names):
            raise ValueError(f"tiers need different names, got {names}")
        if not any(tier.heads for tier in self.tiers):
            raise ValueError("no tier may hold Ray heads; set `heads: true` on one, usually the commodity tier")
        largest = max((t.capacity.resources for t in self.tiers if t.heads), key=lambda r: r.memory)
        if not self.head.resources.fits(largest):
            raise ValueError(f"a Ray head ({self.head.resources}) fits on no node that may hold one ({largest})")
        check_projects(self.projects, {t.name: t.capacity.resources * t.nodes for t in self.tiers})
        kept = {tier.name: (tier.architecture, tier.kubernetes) for tier in self.tiers}
        check_kubernetes(self.kubernetes, kept, wanted=self.backend == "kuberay")
        nodes = {tier.name: tier.node_names for tier in self.tiers}
        check_windows(self.windows, nodes, [project.name for project in self.projects])
        check_warm(self.warm, {tier.name: tier.heads for tier in self.tiers})
        if self.anonymous and not self.on_loopback:
            raise ValueError(f"anonymous access needs a loopback host, not {self.host}")
        return self
