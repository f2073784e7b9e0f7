"""Names, labels and annotations of the fabric's objects in Kubernetes.

Knows nothing of what the objects hold.
"""

import hashlib
import re
from collections.abc import Mapping

from fabric.scheduler.ports import WantedCluster
from fabric.workloads.record import Slice

GATE = "fabric/placement"
"""Scheduling gate that every pod carries until its slice is known."""
SITE, WORKLOAD, ATTEMPT, GENERATION = "fabric/site", "fabric/workload", "fabric/attempt", "fabric/generation"
"""Labels of objects; values that are too long for a label are shortened."""
TIER, PROFILE = "fabric/tier", "fabric/profile"
"""Labels of pods."""
SLICE = "fabric/slice"
"""Annotation of a pod that was released: the slice it is."""
LAYOUT = "fabric/layout"
"""Annotation of a RayCluster: what it is made of, for a fabric that adopts it."""
DRAINED = "fabric/drained"
"""Annotation of a node that the fabric cordoned: by whom and why."""
PREFLIGHT = "fabric/preflight"
"""Annotation of a node: what its last preflight came to. Label of a preflight's objects: the node that it is on."""
ASKED = "fabric/asked"
"""Annotation of a preflight: what was asked, when, and during which start of the node."""
PROJECT, PRIORITY = "fabric/project", "fabric/priority"
"""Labels by which people hand an object of their own to the fabric."""
WALLTIME, MAX_FAILURES, AGAIN = "fabric/walltime", "fabric/max-failures", "fabric/again"
"""Annotations that such an object may have: seconds, a number, and any text whose change queues it once more."""
STATE, MESSAGE = "fabric/state", "fabric/message"
"""Annotations that the fabric writes on such an object: how its workload stands, and why."""
TOLD = "fabric/told"
"""Annotation that the fabric writes there too: the secret with what its pods were told last."""
KNOWN_AS = "fabric/known-as"
"""Annotation that the fabric writes on an object that an earlier version took in: a digest of what its owner asks for,
and the name that its workload got then."""
ADOPTED = "fabric/adopted"
"""Label of the pods of such an object: its uid."""
HOSTNAME, ARCHITECTURE = "kubernetes.io/hostname", "kubernetes.io/arch"
"""Labels of nodes."""
CLUSTER, NODE_TYPE, GROUP = "ray.io/cluster", "ray.io/node-type", "ray.io/group"
"""Labels that KubeRay gives its pods."""

MOST_NAME = 40
"""Letters of a RayCluster's name; KubeRay cuts names of services, which append 9, to 50."""
_MOST_LABEL = 63
_DIGITS = 8
_DNS_1035 = re.compile(r"[a-z]([a-z0-9-]*[a-z0-9])?")


def object_name(name: str, most: int = MOST_NAME) -> str:
    """A name that KubeRay takes and does not cut: `name` itself where it can be, else readable letters and a digest."""
    if len(name) <= most and _DNS_1035.fullmatch(name):
        return name
    plain = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
    stem = (plain if plain[:1].isalpha() else f"w-{plain}")[: most - _DIGITS - 1].strip("-")
    return f"{stem}-{_digest(name)}"


def label_value(text: str) -> str:
    """A label's value: `text` itself where it is short enough, else its beginning and a digest."""
    if len(text) <= _MOST_LABEL:
        return text
    return f"{text[: _MOST_LABEL - _DIGITS - 1].rstrip('-_.')}-{_digest(text)}"


def pool_name(part: Slice) -> str:
    """The worker group of a slice: one for each group, tier and amount; the same whatever else is granted."""
    amounts = (part.resources.cpus.count, part.resources.gpus.count, part.resources.memory.count)
    digits = _digest(f"{part.group}/{part.tier}/{amounts}/{part.workers}")[:6]
    return f"{object_name(part.group, most=20)}-{digits}"


def object_labels(wanted: WantedCluster, site: str) -> dict[str, str]:
    """By these labels the fabric finds what it made."""
    return {
        "app.kubernetes.io/managed-by": "fabric",
        SITE: label_value(site),
        WORKLOAD: label_value(wanted.workload),
        ATTEMPT: str(wanted.attempt),
    }


def selector(labels: Mapping[str, str]) -> str:
    """Labels as a query takes them."""
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items()))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]
