"""How people name a model: `shakespeare`, `shakespeare@champion`, `shakespeare:3`.

Knows nothing of which models there are.
"""

import re
from dataclasses import dataclass

from fabric.core.errors import BadInput
from fabric.core.ids import check_name

CHAMPION = "champion"
"""Alias of the version that is served; a bare name means it."""
CANDIDATE = "candidate"
"""Alias of the version that is judged."""

_ALIAS = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,99}")
_RESERVED = re.compile(r"latest|v\d+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class ModelReference:
    """A model and one of its versions, by number or by alias; exactly one of the two is given."""

    name: str
    alias: str | None = CHAMPION
    version: int | None = None

    def __str__(self) -> str:
        return f"{self.name}@{self.alias}" if self.version is None else f"{self.name}:{self.version}"


def parse_reference(text: str) -> ModelReference:
    """Read a reference; a bare name is its champion.

    Raises:
        BadInput: If it is none.
    """
    match = re.fullmatch(r"([^@:]+)(?:@([^@:]+)|:([1-9][0-9]{0,8}))?", text.strip())
    if match is None:
        raise BadInput(
            f"{text!r} names no model. Write it like shakespeare, shakespeare@{CHAMPION} or shakespeare:3.", model=text
        )
    name = check_name(match[1], "model")
    if match[3]:
        return ModelReference(name, None, int(match[3]))
    return ModelReference(name, check_alias(match[2]) if match[2] else CHAMPION)


def check_alias(alias: str) -> str:
    """Return `alias` if it may be one.

    Raises:
        BadInput: If it has other characters, or is one of the words that MLflow keeps for itself.
    """
    if not _ALIAS.fullmatch(alias) or _RESERVED.fullmatch(alias):
        raise BadInput(
            f"{alias!r} is no alias. Use letters, digits, '-' and '_', beginning with a letter; not `latest`, not "
            "`v` and a number.",
            alias=alias,
        )
    return alias
