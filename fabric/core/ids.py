"""Names: what a workload may be called, and how attempts and generations are written.

Knows nothing of randomness: callers pass the entropy.
"""

import re

from fabric.core.errors import BadInput

MAX_NAME_LENGTH = 40
"""Letters of a workload name; KubeRay's RayCluster names end at 53 and the attempt is appended (notes on KubeRay)."""

_NAME = re.compile(r"[a-zA-Z0-9]([a-zA-Z0-9_.-]*[a-zA-Z0-9])?")


def is_name(name: str) -> bool:
    """Whether it may name a workload, a project or the like."""
    return bool(_NAME.fullmatch(name)) and ".." not in name and len(name) <= 4 * MAX_NAME_LENGTH


def check_name(name: str, what: str = "workload") -> str:
    """Return `name` if it may name a `what`.

    Raises:
        BadInput: If it is empty, too long, or has characters that a path or a label could not hold.
    """
    if not is_name(name):
        raise BadInput(
            f"{name!r} is not a {what} name. Use letters, digits, '-', '_' and '.', beginning and ending with a "
            f"letter or digit, at most {4 * MAX_NAME_LENGTH}.",
            name=name,
        )
    return name


def attempt_id(workload: str, attempt: int) -> str:
    """Ray's submission id for one attempt, so that a repeated submit is refused by Ray and not run twice."""
    return f"{workload}-{attempt}"


def element_name(array: str, index: int) -> str:
    """Name of the workload that is one element of an array."""
    return f"{array}.{index}"


def array_named(element: str) -> str:
    """Name of the array that `element_name` makes such a name of; empty of other names."""
    array, _, index = element.rpartition(".")
    return array if index.isdecimal() else ""


def element_key(key: str, index: int) -> str:
    """Key by which a repeated submission of one element of an array is known, from that of the array."""
    return f"{key}#{index}"


def generated_name(stem: str, entropy: bytes) -> str:
    """A short readable name: `stem` and six hexadecimal digits of `entropy`."""
    return f"{stem}-{entropy.hex()[:6]}"
