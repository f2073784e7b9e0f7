"""What was used, added up by hour, project, person, model or what else is asked for.

Knows nothing of SQL: it is given who held what since when and until when.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from fabric.api.usage import BY, UsageRow
from fabric.core.errors import BadInput
from fabric.store.ledger import Spell

HOUR_S = 3600.0
"""Seconds of an hour."""
GIB = 2**30
"""Bytes of a GiB."""

_KEYS: dict[str, Callable[[Spell], str]] = {
    "project": lambda spell: spell.holding.project,
    "user": lambda spell: spell.holding.user,
    "model": lambda spell: spell.holding.model,
    "tier": lambda spell: spell.holding.tier,
    "workload": lambda spell: spell.holding.workload,
}
_LENGTHS_S = {"hour": HOUR_S, "day": 24 * HOUR_S}


@dataclass(slots=True)
class _Sum:
    cpu_s: float = 0.0
    gpu_s: float = 0.0
    memory_byte_s: float = 0.0

    def add(self, spell: Spell, seconds: float) -> None:
        held = spell.holding
        self.cpu_s += held.milli_cpus * seconds / 1000
        self.gpu_s += held.milli_gpus * seconds / 1000
        self.memory_byte_s += held.memory_bytes * seconds


def added_up(spells: Iterable[Spell], by: Sequence[str]) -> tuple[UsageRow, ...]:
    """Usage by everything in `by`, in its order.

    Args:
        spells: Who held what.
        by: Of `BY`, each once; hours and days are those of UTC.

    Raises:
        BadInput: If something cannot be asked for.
    """
    check_by(by)
    length_s = next((_LENGTHS_S[each] for each in by if each in _LENGTHS_S), None)
    sums: dict[tuple[str | float, ...], _Sum] = {}
    for spell in spells:
        for begins, seconds in _pieces(spell, length_s):
            key = tuple(begins if each in _LENGTHS_S else _KEYS[each](spell) for each in by)
            sums.setdefault(key, _Sum()).add(spell, seconds)
    return tuple(_row(dict(zip(by, key, strict=True)), sums[key]) for key in sorted(sums))


def check_by(by: Sequence[str]) -> None:
    """Check what usage may be added up by.

    Raises:
        BadInput: Naming what is possible.
    """
    unknown = [each for each in by if each not in BY]
    if unknown:
        raise BadInput(f"by: usage is not added up by {unknown[0]!r}, but by {', '.join(BY)}", by=unknown[0])
    if len(set(by)) != len(by) or {"hour", "day"} <= set(by):
        raise BadInput("by: name each once, and either hour or day")


def _pieces(spell: Spell, length_s: float | None) -> Iterator[tuple[float, float]]:
    """Beginnings of the hours or days that a spell touches, with the seconds it has in each."""
    if length_s is None:
        yield spell.began, spell.ended - spell.began
        return
    at = spell.began
    while at < spell.ended:
        begins = math.floor(at / length_s) * length_s
        until = min(begins + length_s, spell.ended)
        yield begins, until - at
        at = until


def _row(key: dict[str, str | float], total: _Sum) -> UsageRow:
    begins = key.pop("hour", key.pop("day", None))
    return UsageRow.model_validate(
        {
            "begins": begins,
            **key,
            "cpu_hours": total.cpu_s / HOUR_S,
            "gpu_hours": total.gpu_s / HOUR_S,
            "memory_gib_hours": total.memory_byte_s / GIB / HOUR_S,
        }
    )
