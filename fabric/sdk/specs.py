"""Make the specs that are submitted: from mappings, for services, with names where there are none.

Knows nothing of how they are sent.
"""

import json
import re
import secrets
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import ValidationError

from fabric.core.errors import BadInput
from fabric.core.ids import generated_name
from fabric.workloads.spec import Priority, WorkloadSpec

Engine = Literal["auto", "vllm", "transformers", "echo"]
"""Inference engines, as in `ServiceSpec`."""

_LONGEST_STEM = 30
_NOT_A_MODEL = re.compile(r"[@:]")
_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9]+")


def checked_spec(given: WorkloadSpec | Mapping[str, Any]) -> WorkloadSpec:
    """Return `given` as a spec with a name.

    Raises:
        BadInput: Naming every key that is unknown or has an impossible value.
    """
    spec = given if isinstance(given, WorkloadSpec) else _decoded(given)
    if spec.name is not None:
        return spec
    stem = f"serve-{_NOT_A_MODEL.split(spec.service.model)[0]}" if spec.service else _program(spec.entrypoint)
    return spec.model_copy(update={"name": made_up_name(stem)})


def _decoded(given: Mapping[str, Any]) -> WorkloadSpec:
    try:
        # Through JSON, where strict mode reads a list as the tuple that a frozen setting holds.
        return WorkloadSpec.model_validate_json(json.dumps(dict(given)))
    except TypeError as error:
        raise BadInput(f"workload spec: {error}") from None
    except ValidationError as error:
        problems = [
            f"{'.'.join(str(part) for part in problem['loc']) or 'top level'}: "
            f"{problem['msg'].removeprefix('Value error, ')}"
            for problem in error.errors(include_url=False)
        ]
        raise BadInput("workload spec: " + "; ".join(problems)) from None


def made_up_name(stem: str) -> str:
    """A name that nobody else has, beginning with what of `stem` a name may hold."""
    words = _NOT_IN_NAMES.sub("-", stem).strip("-")[:_LONGEST_STEM].strip("-")
    return generated_name(words or "job", secrets.token_bytes(3))


def _program(entrypoint: str) -> str:
    """The word of a command that tells a person most: the script, else the program."""
    words = entrypoint.split()
    script = next((word for word in words if word.endswith((".py", ".sh"))), words[0] if words else "job")
    return script.rpartition("/")[2].partition(".")[0]


def made_up_key() -> str:
    """A key that tells one submission from every other."""
    return secrets.token_hex(16)


def sizes(replicas: int | tuple[int, int]) -> Mapping[str, int]:
    """Fields of a group of so many workers, or of one that begins with the fewest and may grow to the most."""
    if isinstance(replicas, int):
        return {"count": replicas}
    fewest, most = replicas
    return {"count": fewest, "min": fewest, "max": most}


def service(service: Mapping[str, Any], group: Mapping[str, Any], name: str | None) -> Mapping[str, Any]:
    """The spec of a service whose replica is the worker of one group."""
    return {
        "name": name,
        "kind": "service",
        "priority": Priority.SERVING,
        "groups": [group],
        "service": service,
    }
