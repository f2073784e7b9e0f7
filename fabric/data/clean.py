"""Bytes of a file become the text that is trained on, the same way every time.

Knows nothing of files, tokens or other texts.

The steps, in order: UTF-8 (a byte order mark is dropped); Unicode NFC; line ends become a line feed; control characters
go, tabs become a space; spaces at line ends go; numbers of verse lines in the right margin go; a scanner's marks (`###
START`, `#### Source`, `p.772:0`) go, and so do scanned pictures, which are lines of which less than half is letters or
digits; at most one empty line in a row; no empty lines at either end, one line feed last.
"""

import re
import unicodedata

from fabric.core.errors import BadInput

CLEANING = 1
"""Number of this set of rules; part of the recipe, so that a change of rules makes new data."""

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ufeff]")
_VERSE_NUMBER = re.compile(r" {3,}\d{1,4}$")
_SCAN_MARK = re.compile(r"#{2,} .*|p\.\d+:\d+")
_NO_LETTER = re.compile(r"[\W_]+")
_EMPTY_LINES = re.compile(r"\n{3,}")
_SHORTEST_NOISE = 8


def clean_text(raw: bytes, name: str) -> str:
    """The text in `raw`; empty if nothing is left of it.

    Args:
        raw: Contents of a file.
        name: What to call it in an error.

    Raises:
        BadInput: If it is not UTF-8.
    """
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise BadInput(f"{name}: byte {error.start} is not UTF-8. Convert the file, or take it away.") from None
    text = unicodedata.normalize("NFC", text).replace("\r\n", "\n").replace("\r", "\n").replace("\t", " ")
    lines = (_without_verse_number(line.rstrip()) for line in _CONTROL.sub("", text).split("\n"))
    kept = "\n".join(line for line in lines if not _SCAN_MARK.fullmatch(line) and not _is_noise(line))
    body = _EMPTY_LINES.sub("\n\n", kept).strip("\n")
    return f"{body}\n" if body else ""


def _without_verse_number(line: str) -> str:
    return _VERSE_NUMBER.sub("", line).rstrip() if line[-1:].isdigit() else line


def _is_noise(line: str) -> bool:
    """Whether less than half of a line's visible characters are letters or digits."""
    letters = len(_NO_LETTER.sub("", line))
    if 2 * letters >= len(line):
        return False
    visible = len("".join(line.split()))
    return visible >= _SHORTEST_NOISE and 2 * letters < visible
