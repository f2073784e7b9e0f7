"""RayClusters and RayJobs that people made themselves, read the same way.

Knows nothing of workloads, and changes nothing.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from fabric.backends.kuberay import names
from fabric.backends.kuberay.api import RAY_CLUSTERS, RAY_JOBS, Kind, Object

ForeignKind = Literal["RayCluster", "RayJob"]
"""What people make themselves and the fabric starts."""

KIND_OF: Mapping[ForeignKind, Kind] = {"RayCluster": RAY_CLUSTERS, "RayJob": RAY_JOBS}
"""Where objects of each kind are."""

_MAKERS = frozenset({"RayJob", "RayService"})
_ENDED = frozenset({"Complete", "Failed"})


@dataclass(frozen=True, slots=True)
class Foreign:
    """One object as it is now."""

    kind: ForeignKind
    object: Object

    def __str__(self) -> str:
        """As people call it."""
        return f"{self.kind} {self.name}"

    @property
    def name(self) -> str:
        """In the site's namespace."""
        return str(self.object["metadata"]["name"])

    @property
    def uid(self) -> str:
        """What tells it from a later object of its name."""
        return str(self.object["metadata"]["uid"])

    @property
    def version(self) -> str:
        """Changes with every change of the object."""
        return str(self.object["metadata"].get("resourceVersion", ""))

    @property
    def labels(self) -> Mapping[str, str]:
        """Its labels."""
        return self.object["metadata"].get("labels") or {}

    @property
    def annotations(self) -> Mapping[str, str]:
        """Its annotations."""
        return self.object["metadata"].get("annotations") or {}

    @property
    def owners(self) -> Sequence[Mapping[str, Any]]:
        """What it belongs to."""
        return self.object["metadata"].get("ownerReferences") or ()

    @property
    def spec(self) -> Mapping[str, Any]:
        """What its owner wrote, and whether it is suspended."""
        spec: Mapping[str, Any] = self.object["spec"]
        return spec

    @property
    def status(self) -> Mapping[str, Any]:
        """What KubeRay says of it."""
        return self.object.get("status") or {}

    @property
    def cluster(self) -> Mapping[str, Any]:
        """The part that describes a Ray cluster; empty where a RayJob has none of its own."""
        return self.spec.get("rayClusterSpec") or {} if self.kind == "RayJob" else self.spec

    @property
    def suspended(self) -> bool:
        """Whether it is told to have no pods."""
        return bool(self.spec.get("suspend"))

    @property
    def leaving(self) -> bool:
        """Whether somebody has deleted it."""
        return "deletionTimestamp" in self.object["metadata"]

    @property
    def job_ended(self) -> bool:
        """Whether it is a RayJob of which nothing more comes."""
        return self.kind == "RayJob" and self.status.get("jobDeploymentStatus") in _ENDED


def foreign_objects(clusters: Iterable[Object], jobs: Iterable[Object], site: str) -> list[Foreign]:
    """All that people made themselves, oldest first.

    A RayCluster that belongs to a RayJob or a RayService is that one's. Where several fabrics share a namespace, the
    label `fabric/site` says whose an object is; one that says nothing is everybody's.
    """
    found = [Foreign("RayCluster", item) for item in clusters] + [Foreign("RayJob", item) for item in jobs]
    ours = (one for one in found if one.labels.get(names.SITE) in {None, names.label_value(site)})
    own = [one for one in ours if not any(owner.get("kind") in _MAKERS for owner in one.owners)]
    return sorted(own, key=lambda one: (str(one.object["metadata"].get("creationTimestamp", "")), one.kind, one.name))


def pod_labels(uid: str, workload: str, attempt: int, site: str) -> dict[str, str]:
    """Labels by which the pods of an adopted object are found."""
    return {
        names.ADOPTED: names.label_value(uid),
        names.SITE: names.label_value(site),
        names.WORKLOAD: names.label_value(workload),
        names.ATTEMPT: str(attempt),
    }
