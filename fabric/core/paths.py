"""Paths of artifacts: where something lies below a folder, never outside of it.

Knows nothing of file systems.
"""

from fabric.core.errors import BadInput

MOST_PART_BYTES = 255
"""Longest name of one file or folder, in bytes as UTF-8: what every common file system takes."""
MOST_PARTS = 64
"""Most folders above a file, and the file."""
MOST_PATH_BYTES = 2048
"""Longest path, in bytes as UTF-8: it stands in a URL, where each byte may need three."""


def parts_of(path: str) -> tuple[str, ...]:
    """The names that `path` leads through; none for the top.

    Raises:
        BadInput: If it is absolute, may lead out, or no file could be called so.
    """
    parts = tuple(path.split("/")) if path else ()
    problem = _too_much(path, parts) or next((why for why in map(_problem, parts) if why), "")
    if problem:
        raise BadInput(f"path {path[:200]!r}: {problem}. Write it like runs/7/loss.csv.", path=ascii(path[:200]))
    return parts


def _too_much(path: str, parts: tuple[str, ...]) -> str:
    num_bytes = len(path.encode(errors="replace"))
    if len(parts) > MOST_PARTS:
        return f"has {len(parts)} parts; at most {MOST_PARTS} are taken"
    return f"has {num_bytes} bytes; at most {MOST_PATH_BYTES} are taken" if num_bytes > MOST_PATH_BYTES else ""


def _problem(part: str) -> str:
    """Why something cannot be a name; empty if it can."""
    if part in {"", ".", ".."}:
        return "is absolute, ends with a slash, or has an empty part, `.` or `..`"
    try:
        num_bytes = len(part.encode())
    except UnicodeEncodeError:
        return "holds what is no text"
    if not part.isprintable():
        return "holds characters that cannot be shown"
    return f"{part[:20]}… is longer than {MOST_PART_BYTES} bytes" if num_bytes > MOST_PART_BYTES else ""
