"""What a user asks for: a job or a service as a gang of groups.

Knows nothing of nodes, and nothing of how the asking arrived.
"""

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from fabric.config.settings import Settings
from fabric.core.errors import BadInput
from fabric.core.ids import check_name
from fabric.core.quantity import Bytes
from fabric.core.resources import Resources
from fabric.workloads.environments import check_secrets, environments_of, secrets_named

DEFAULT_PROJECT = "default"
"""Project of work that names none."""

MOST_ELEMENTS = 1000
"""Most elements of one array: each is a workload with a cluster of its own, which costs seconds to start."""

HEAD_GROUP = "head"
"""Name of the group of one that holds the Ray head; no other group may be called so."""


def _checked(function: Any, *args: Any) -> Any:
    """Call `function`, turning the fabric's error into the one that pydantic collects.

    Raises:
        ValueError: Where it raises BadInput.
    """
    try:
        return function(*args)
    except BadInput as error:
        raise ValueError(error.message) from None


class Priority(StrEnum):
    """Priority classes, most urgent first; `harvest` is preemptible leftovers."""

    SERVING = "serving"
    INTERACTIVE = "interactive"
    BATCH = "batch"
    HARVEST = "harvest"

    @property
    def rank(self) -> int:
        """0 for the most urgent class."""
        return list(Priority).index(self)


class ArtifactSpec(Settings):
    """An image or weights that must be on a node before a worker starts there."""

    name: str = Field(min_length=1)
    """Name, by which nodes are asked whether they hold it."""

    size: str
    """Size on the node, with unit: of an image its unpacked layers."""

    @model_validator(mode="after")
    def _amount(self) -> Self:
        if not self.num_bytes:
            raise ValueError(f"{self.name} has no size; leave it out, or say how large it is")
        return self

    @property
    def num_bytes(self) -> Bytes:
        """The size."""
        return Bytes(_checked(Bytes.of, self.size).count)


class Group(Settings):
    """Equal workers of a workload."""

    name: str = "workers"
    """Name, used in labels; unique in the workload."""

    count: int = Field(default=1, ge=1, le=100_000)
    """Workers; all of them start together or none does."""

    min: int | None = Field(default=None, ge=1)
    """Fewest workers it can go on with; with it or `max` the group is elastic and may be resized while it runs."""

    max: int | None = Field(default=None, ge=1, le=100_000)
    """Most workers it can use."""

    step: int = Field(default=1, ge=1)
    """Sizes are `min` and whole steps above it."""

    tier: str | None = None
    """Tier they must run on; None lets the scheduler choose."""

    cpus: float = Field(default=1.0, ge=0)
    """CPU cores of each worker, in steps of 0.001."""

    gpus: float = Field(default=0.0, ge=0)
    """Accelerators of each worker, in steps of 0.001."""

    memory: str = "1 GiB"
    """Memory of each worker, with unit."""

    image: ArtifactSpec | None = None
    """Container image of its workers; counts in the RAM bill, in what a start costs and in where it is cheapest."""

    weights: ArtifactSpec | None = None
    """Model weights that its workers read; counts in the same."""

    @field_validator("name")
    @classmethod
    def _name(cls, name: str) -> str:
        return str(_checked(check_name, name, "group"))

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not _checked(Resources.of, self.cpus, self.gpus, self.memory):
            raise ValueError(f"group {self.name} asks for nothing; give cpus, gpus or memory")
        return self

    @model_validator(mode="after")
    def _elastic(self) -> Self:
        if not self.least <= self.count <= self.most:
            raise ValueError(
                f"group {self.name}: count must be from min to max, got {self.least}, {self.count}, {self.most}"
            )
        if (self.count - self.least) % self.step:
            raise ValueError(
                f"group {self.name}: count ({self.count}) must be min ({self.least}) and whole steps of {self.step} "
                "above it"
            )
        return self

    @property
    def least(self) -> int:
        """Fewest workers."""
        return self.count if self.min is None else self.min

    @property
    def most(self) -> int:
        """Most workers."""
        return self.count if self.max is None else self.max

    @property
    def elastic(self) -> bool:
        """Whether the number of its workers may change while it runs."""
        return self.least < self.most

    @property
    def request(self) -> Resources:
        """What each worker needs."""
        return Resources.of(self.cpus, self.gpus, self.memory)


class ServiceSpec(Settings):
    """What a service workload serves."""

    model: str
    """Model and alias or version, such as `shakespeare@champion` or `shakespeare:3`."""

    version: int | None = Field(default=None, ge=1, lt=10**9)
    """Version to serve under that name, where it is another one than `model` means now; a rollback says this."""

    deployment: str | None = None
    """Name under which its project finds it: a newer service of that name takes its place; None for one of its own."""

    engine: Literal["auto", "vllm", "transformers", "echo"] = "auto"
    """Inference engine; `auto` takes vLLM where it imports and transformers otherwise."""

    group: str = "workers"
    """Group whose workers are the replicas."""

    max_context: int = Field(default=512, ge=16)
    """Longest prompt and answer together, in tokens."""

    @field_validator("deployment")
    @classmethod
    def _name(cls, name: str | None) -> str | None:
        return name if name is None else str(_checked(check_name, name, "deployment"))

    @property
    def exact(self) -> str:
        """The reference to what is served."""
        return self.model if self.version is None else f"{re.split('[@:]', self.model)[0]}:{self.version}"


class ServeSpec(Settings):
    """Ray Serve applications that a service workload runs, as their owner deployed them."""

    deployment: str = "default"
    """Name under which its project finds it: one deployment is one configuration with all its applications."""

    config: dict[str, Any]
    """Ray Serve's configuration as it was given, shown back unchanged."""

    groups: dict[str, str] = {}
    """Group in which the replicas of `APPLICATION/DEPLOYMENT` run."""

    @field_validator("deployment")
    @classmethod
    def _name(cls, name: str) -> str:
        return str(_checked(check_name, name, "deployment"))

    def group_of(self, application: str, deployment: str) -> str | None:
        """Group in which a deployment's replicas run; None where the configuration says nothing of it."""
        return self.groups.get(f"{application}/{deployment}")


class AdoptedSpec(Settings):
    """An object of KubeRay that somebody made himself, and that the fabric starts and suspends."""

    kind: Literal["RayCluster", "RayJob"]
    """What it is."""

    name: str = Field(min_length=1)
    """Its name in the site's namespace."""

    uid: str = Field(min_length=1)
    """Number of the object, which tells it from a later one of its name."""

    autoscaled: bool = False
    """Whether Ray's own autoscaler decides how many of the granted workers there are."""


class ArraySpec(Settings):
    """Equal jobs that are handed in together, each told its number as `FABRIC_ARRAY_INDEX`."""

    size: int = Field(ge=1, le=MOST_ELEMENTS)
    """How many; their numbers are 0 to one less."""

    name: str = ""
    """Of an element: the array's name; only the fabric says this, like the next."""

    index: int | None = Field(default=None, ge=0, lt=MOST_ELEMENTS)
    """Of an element: its number."""


class WorkloadSpec(Settings):
    """A job (ends) or a service (stays), as asked for."""

    name: str | None = None
    """Name; made up where it is left out."""

    project: str = DEFAULT_PROJECT
    """Who pays."""

    kind: Literal["job", "service"] = "job"
    """A job ends, a service stays."""

    entrypoint: str = ""
    """Shell command that a job runs once its whole cluster is there."""

    priority: Priority = Priority.BATCH
    """Class; a more urgent one is served first."""

    groups: tuple[Group, ...] = (Group(),)
    """The gang: every group starts together or none does."""

    walltime_s: float | None = Field(default=None, gt=0)
    """Longest run in seconds; without it there is no promise of a start for those behind."""

    deadline_s: float | None = Field(default=None, gt=0)
    """Seconds after submission by which it should have ended; it is promised a start, or told that it will be late."""

    checkpoints: bool = False
    """Whether it saves its state and leaves when asked to, so that it may run on what others will want back."""

    max_failures: int = Field(default=3, ge=0, le=1000)
    """Lost attempts that are started again; one more, and the workload is failed."""

    after: tuple[str, ...] = ()
    """Jobs that must have succeeded before this one starts; the name of an array stands for all its elements."""

    array: ArraySpec | None = None
    """Hands in so many of this job at once; its name is then the array's."""

    env: dict[str, str] = {}
    """Environment variables of every process of the workload."""

    secrets: dict[str, str] = {}
    """Secrets of its project by the environment variable in which every process finds what one holds.

    A variable of a runtime environment may name one too, as `fabric-secret:NAME`, also in Serve's configuration.
    """

    runtime_env: dict[str, Any] = {}
    """Ray runtime environment of the entrypoint (working_dir, pip, env_vars ...)."""

    metadata: dict[str, str] = {}
    """Free text by key, returned as given."""

    entrypoint_cpus: float = Field(default=0.0, ge=0)
    """CPUs that the worker has in which the entrypoint runs, one of the first group; Ray gives them to its tasks."""

    entrypoint_gpus: float = Field(default=0.0, ge=0)
    """Accelerators that the entrypoint itself holds in Ray as long as it runs, in a worker of the first group."""

    entrypoint_memory: int = Field(default=0, ge=0)
    """Bytes of memory that the worker has in which the entrypoint runs, as with `entrypoint_cpus`."""

    service: ServiceSpec | None = None
    """What a service serves."""

    serve: ServeSpec | None = None
    """Instead of a model: applications of Ray Serve."""

    adopted: AdoptedSpec | None = None
    """The object that is started for it, where somebody made one in Kubernetes himself; only the fabric says this."""

    @property
    def nameless(self) -> Self:
        """What is asked for, without names that may be made up anew for each request."""
        array = self.array.model_copy(update={"name": ""}) if self.array else None
        return self.model_copy(update={"name": None, "array": array})

    @property
    def named_secrets(self) -> dict[str, str]:
        """Secrets of its project by environment variable, those that runtime environments name too."""
        return {**self.secrets, **secrets_named(self.environments)}

    @property
    def environments(self) -> tuple[tuple[str, Mapping[str, Any]], ...]:
        """Place and content of every Ray runtime environment."""
        return tuple(environments_of(self.runtime_env, self.serve.config if self.serve else {}))

    @property
    def elastic(self) -> Group | None:
        """The group whose size may change while it runs, if there is one."""
        return next((group for group in self.groups if group.elastic), None)

    @property
    def replicas(self) -> Group | None:
        """Of a service: the group whose workers are its replicas."""
        return next((group for group in self.groups if self.service and group.name == self.service.group), None)

    @field_validator("name")
    @classmethod
    def _name(cls, name: str | None) -> str | None:
        return name if name is None else str(_checked(check_name, name))

    @field_validator("secrets")
    @classmethod
    def _secrets(cls, secrets: dict[str, str]) -> dict[str, str]:
        _checked(check_secrets, secrets)
        return secrets

    @model_validator(mode="after")
    def _either(self) -> Self:
        named = _checked(secrets_named, self.environments)
        _checked(check_secrets, named)
        if twice := sorted(self.env.keys() & {*self.secrets, *named}):
            raise ValueError(f"{twice[0]} is in env and in secrets; leave it out of one of them")
        if other := sorted(each for each, name in named.items() if self.secrets.get(each, name) != name):
            raise ValueError(f"{other[0]} names another secret in secrets than in a runtime environment; choose one")
        return self

    @model_validator(mode="after")
    def _headed(self) -> Self:
        brought = any(group.name == HEAD_GROUP for group in self.groups)
        if brought and self.adopted is None:
            raise ValueError(f"no group may be called {HEAD_GROUP!r}: the fabric adds the Ray head itself")
        if self.adopted is not None and not brought:
            raise ValueError(
                f"{self.adopted.kind} {self.adopted.name} brings its head; it needs a group {HEAD_GROUP!r}"
            )
        return self

    @model_validator(mode="after")
    def _whole(self) -> Self:
        names = [group.name for group in self.groups]
        if not names or len(set(names)) != len(names):
            raise ValueError(f"groups need different names and at least one group, got {names}")
        if sum(group.elastic for group in self.groups) > 1:
            raise ValueError("one group at most may be elastic (min or max unlike count)")
        if self.service and any(group.elastic and group.name != self.service.group for group in self.groups):
            raise ValueError(f"of a service only the group of its replicas ({self.service.group}) may be elastic")
        if self.kind == "job" and not self.entrypoint.strip():
            raise ValueError("a job needs an entrypoint, such as 'python train.py'")
        if (self.kind == "service") != (self.service is not None or self.serve is not None):
            raise ValueError("a service needs a `service` or a `serve` section, and a job has none")
        if self.array is not None and self.kind != "job":
            raise ValueError("an array is of jobs; a service has replicas instead")
        if self.service is not None and self.serve is not None:
            raise ValueError("a service has a `service` section (a model) or a `serve` section, not both")
        if self.service and self.service.group not in names:
            raise ValueError(f"service.group {self.service.group!r} is none of the groups {names}")
        if self.serve and (unknown := sorted(set(self.serve.groups.values()) - set(names))):
            raise ValueError(f"serve.groups: {unknown[0]!r} is none of the groups {names}")
        return self
