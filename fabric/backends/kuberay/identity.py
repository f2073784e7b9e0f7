"""Which workload an object of somebody's is: the same one for as long as its owner asks for the same.

Knows nothing of a site: neither other tiers or defaults there nor another version of the fabric make it other work.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from fabric.backends.kuberay import names
from fabric.backends.kuberay.foreign import Foreign
from fabric.workloads.spec import HEAD_GROUP, WorkloadSpec

_DIGITS = 8
_BEFORE: Mapping[str, Any] = {
    **dict.fromkeys(
        (
            "name", "project", "kind", "entrypoint", "priority", "walltime_s", "deadline_s", "checkpoints",
            "max_failures", "after", "array", "env", "secrets", "runtime_env", "metadata", "entrypoint_cpus",
            "entrypoint_gpus", "entrypoint_memory", "service", "serve",
        ),
        True,
    ),
    "groups": {
        "__all__": {"name", "count", "min", "max", "step", "tier", "cpus", "gpus", "memory", "image", "weights"}
    },
    "adopted": {"kind", "name", "uid", "autoscaled"},
}  # fmt: skip
"""Fields of a spec, and of its parts, when names held a digest of all of them; a field that is new since is in none."""


def name_of(foreign: Foreign, asked: WorkloadSpec) -> str:
    """The name of an object's workload: of the object, and a digest of its number and of what its owner asks for.

    Args:
        foreign: The object. Where it says under which name what it asks for was taken in before, that name stays.
        asked: What it asks for.
    """
    digest = _digest_of(foreign, asked)
    known = re.fullmatch(
        rf"{digest}:({re.escape(foreign.name)}-[0-9a-f]{{{_DIGITS}}})", foreign.annotations.get(names.KNOWN_AS, "")
    )
    return known[1] if known else f"{foreign.name}-{digest}"


def name_before(foreign: Foreign, asked: WorkloadSpec) -> str:
    """The name that it had while names held a digest of the whole spec, defaults of the site and tiers included."""
    nameless = asked.model_copy(update={"name": None})
    told = f"{nameless.model_dump_json(include=dict(_BEFORE))}/{foreign.annotations.get(names.AGAIN, '')}"
    return f"{foreign.name}-{_digest(told)}"


def known_as_patch(foreign: Foreign, asked: WorkloadSpec, name: str) -> dict[str, Any]:
    """Lets an object say under which name what it asks for now was taken in."""
    return {"metadata": {"annotations": {names.KNOWN_AS: f"{_digest_of(foreign, asked)}:{name}"}}}


def _digest_of(foreign: Foreign, asked: WorkloadSpec) -> str:
    """Of what its owner wrote of it, as far as that is more than how its pods are made."""
    own = (names.WALLTIME, names.MAX_FAILURES, names.AGAIN)
    selectors = _selectors(foreign)
    told = {
        "uid": foreign.uid,
        "project": asked.project,
        "priority": asked.priority.value,
        "entrypoint": asked.entrypoint,
        "autoscaled": bool(asked.adopted and asked.adopted.autoscaled),
        "groups": [
            [group.name, group.count, group.cpus, group.gpus, group.memory, selectors.get(group.name, {})]
            for group in asked.groups
        ],
        "annotations": {key: foreign.annotations[key] for key in own if key in foreign.annotations},
    }
    return _digest(json.dumps(told, sort_keys=True))


def _selectors(foreign: Foreign) -> dict[str, Any]:
    """Labels of nodes by which its owner chooses tiers, by group."""
    cluster = foreign.cluster
    templates = {str(group.get("groupName")): group.get("template") for group in cluster.get("workerGroupSpecs") or ()}
    templates[HEAD_GROUP] = (cluster.get("headGroupSpec") or {}).get("template")
    return {name: ((made or {}).get("spec") or {}).get("nodeSelector") or {} for name, made in templates.items()}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]
