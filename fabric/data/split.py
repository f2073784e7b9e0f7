"""Decide what becomes of every text: held out, trained on, or left out and why.

Knows nothing of files or workers: fingerprints in, decisions out.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from fabric.core.errors import BadConfig
from fabric.data.fingerprint import Fingerprint
from fabric.data.settings import PrepareSettings
from fabric.data.similarity import Overlap, exact_groups, near_pairs, overlaps


class Fate(StrEnum):
    """What becomes of a text."""

    TRAIN = "train"
    HELD_OUT = "held_out"
    SHORT = "too_short"
    LEAK = "leak"
    EXACT = "exact_duplicate"
    NEAR = "near_duplicate"
    CONTAINED = "contained"


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of one text, and why."""

    fate: Fate
    """What becomes of it."""

    reason: str
    """In words, with amounts."""


@dataclass(frozen=True, slots=True)
class SplitPlan:
    """What becomes of a corpus."""

    decisions: Mapping[str, Decision]
    """By name of the text, names in order."""

    exact_groups: tuple[tuple[str, ...], ...]
    """Texts with the same contents."""

    related: tuple[Overlap, ...]
    """Pairs that share enough to leak into each other but not enough to be duplicates, such as two spellings of a play;
    without exact duplicates' copies. Both are kept unless one is held out."""

    def names(self, fate: Fate) -> tuple[str, ...]:
        """Texts of one fate, in order."""
        return tuple(name for name, decision in self.decisions.items() if decision.fate is fate)


def plan_split(texts: Sequence[Fingerprint], settings: PrepareSettings) -> SplitPlan:
    """Decide about a corpus, in this order.

    1. What is named is held out.
    2. What shares `leak` or more with a held-out text is left out, in whichever direction one contains the other.
    3. What is shorter than `min_bytes` is left out.
    4. Of equal texts the first by name stays.
    5. Of nearly equal texts the one that came first by name stays.
    6. What is contained in another text that stays is left out.

    Raises:
        BadConfig: If two held-out texts overlap, a held-out text is too short, or nothing is left to train on.
    """
    by_name = {text.name: text for text in sorted(texts, key=lambda text: text.name)}
    found = overlaps(tuple(by_name.values()), settings.similarity.leak)
    groups = exact_groups(texts)
    decisions = {name: Decision(Fate.HELD_OUT, "named in held_out") for name in settings.held_out}
    _check_held_out(by_name, found, settings)
    decisions |= _leaks(found, frozenset(settings.held_out), settings.similarity.shingle_words)
    for name, text in by_name.items():
        if name not in decisions and text.num_bytes < settings.min_bytes:
            decisions[name] = Decision(Fate.SHORT, f"{text.num_bytes} bytes, fewer than min_bytes {settings.min_bytes}")
    decisions |= _exact(groups, decisions.keys())
    decisions |= _near([by_name[name] for name in by_name if name not in decisions], settings)
    decisions |= _contained(found, decisions.keys(), settings)
    for name in by_name.keys() - decisions.keys():
        decisions[name] = Decision(Fate.TRAIN, "kept")
    plan = SplitPlan({name: decisions[name] for name in by_name}, groups, _related(found, groups, settings))
    if not plan.names(Fate.TRAIN):
        raise BadConfig("held_out: nothing is left to train on, for every other text is a copy of what is held out")
    return plan


def _check_held_out(by_name: Mapping[str, Fingerprint], found: Iterable[Overlap], settings: PrepareSettings) -> None:
    """Refuse held-out texts that would be counted twice or not at all.

    Raises:
        BadConfig: If two overlap or one is too short.
    """
    names = frozenset(settings.held_out)
    for name in settings.held_out:
        if by_name[name].num_bytes < settings.min_bytes:
            raise BadConfig(f"held_out: {name} has {by_name[name].num_bytes} bytes, fewer than min_bytes")
    for overlap in found:
        if {overlap.small, overlap.large} <= names:
            raise BadConfig(
                f"held_out: {overlap.small} and {overlap.large} share {overlap.share:.3f} of the smaller one and would "
                f"be measured twice. Name one of them; the other is left out of training by itself."
            )


def _leaks(found: Iterable[Overlap], held_out: frozenset[str], shingle_words: int) -> dict[str, Decision]:
    worst: dict[str, tuple[float, str]] = {}
    for overlap in found:
        for name, other in ((overlap.small, overlap.large), (overlap.large, overlap.small)):
            if other in held_out:
                worst[name] = max(worst.get(name, (0.0, "")), (overlap.share, other))
    return {
        name: Decision(Fate.LEAK, f"shares {share:.3f} of the smaller one's {shingle_words}-word runs with {other}")
        for name, (share, other) in worst.items()
        if name not in held_out
    }


def _exact(groups: Iterable[tuple[str, ...]], decided: Iterable[str]) -> dict[str, Decision]:
    taken = frozenset(decided)
    result: dict[str, Decision] = {}
    for group in groups:
        first, *others = [name for name in group if name not in taken] or [""]
        result |= {name: Decision(Fate.EXACT, f"the same as {first}") for name in others}
    return result


def _near(texts: Sequence[Fingerprint], settings: PrepareSettings) -> dict[str, Decision]:
    result: dict[str, Decision] = {}
    for first, second, likeness in near_pairs(texts, settings.similarity.near_duplicate):
        if first not in result:
            result.setdefault(second, Decision(Fate.NEAR, f"Jaccard similarity {likeness:.2f} with {first}"))
    return result


def _contained(found: Iterable[Overlap], decided: Iterable[str], settings: PrepareSettings) -> dict[str, Decision]:
    gone = set(decided)
    result: dict[str, Decision] = {}
    for overlap in sorted(found, key=lambda pair: (-pair.share, pair.small, pair.large)):
        if overlap.share >= settings.similarity.contained and not gone & {overlap.small, overlap.large}:
            words = settings.similarity.shingle_words
            reason = f"{overlap.share:.3f} of its {words}-word runs are in {overlap.large}"
            result[overlap.small] = Decision(Fate.CONTAINED, reason)
            gone.add(overlap.small)
    return result


def _related(
    found: Iterable[Overlap], groups: Iterable[tuple[str, ...]], settings: PrepareSettings
) -> tuple[Overlap, ...]:
    copies = {name for group in groups for name in group[1:]}
    return tuple(
        pair for pair in found if pair.share < settings.similarity.contained and not copies & {pair.small, pair.large}
    )
