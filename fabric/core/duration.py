"""Lengths of time as people write them in files: a whole number and a unit, such as `30 d`.

Knows nothing of clocks.
"""

import re

from fabric.core.errors import BadInput

_UNITS_S = {"s": 1, "min": 60, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_WRITTEN = re.compile(r"\s*(\d{1,9})\s*(s|min|m|h|d|w)\s*")


def seconds_of(text: str) -> float:
    """Read a length of time such as `90 s`, `15 min`, `12h` or `30 d`, in seconds.

    Raises:
        BadInput: If it is none.
    """
    match = _WRITTEN.fullmatch(text)
    if match is None:
        raise BadInput(f"{text!r} is no length of time. Write a whole number with one of s, m, h, d, w, such as 30 d.")
    return float(int(match[1]) * _UNITS_S[match[2]])


def in_words(seconds: float) -> str:
    """A length of time in the largest unit of which it is a whole number; as `seconds_of` reads it."""
    for unit in ("d", "h", "m"):
        if seconds >= _UNITS_S[unit] and seconds % _UNITS_S[unit] == 0:
            return f"{seconds / _UNITS_S[unit]:.0f} {unit}"
    return f"{seconds:.0f} s"
