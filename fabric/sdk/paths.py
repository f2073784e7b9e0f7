"""Paths of what has a name that people chose: each name is one part, whatever is in it.

Knows nothing of requests.
"""

from urllib.parse import quote

from fabric.core.errors import BadInput

UNNAMED = "name the workload; `fabric jobs --all` lists them"
"""What to say where a workload's name is missing."""


def below(root: str, *names: str, otherwise: str) -> str:
    """The path of something below `root`.

    Args:
        root: How it begins.
        names: One part each.
        otherwise: What to say where a name is empty or would lead elsewhere.

    Raises:
        BadInput: If one is, or would.
    """
    if any(not name or name in {".", ".."} for name in names):
        raise BadInput(otherwise)
    return "/".join((root, *(quote(name, safe="") for name in names)))
