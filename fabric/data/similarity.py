"""Which texts are alike: equal, nearly equal, or one inside the other.

Knows nothing of what is done about it, of files or of workers.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from rensa import RMinHashLSH

from fabric.data.fingerprint import NUM_PERMUTATIONS, Fingerprint

_BANDS = 32
"""Of four slots each: two texts of Jaccard similarity 0.7 meet in one with probability 1 - (1 - 0.7^4)^32 = 0.9998."""


@dataclass(frozen=True, slots=True, order=True)
class Overlap:
    """Two texts that share shingles; `small` has no more of them than `large`."""

    small: str
    """The text with fewer shingles; the earlier name if equal."""

    large: str
    """The other."""

    share: float
    """Part of the smaller one's shingles that the larger one has, from 0 to 1."""


def exact_groups(texts: Sequence[Fingerprint]) -> tuple[tuple[str, ...], ...]:
    """Groups of two or more texts whose cleaned contents are the same, names in order."""
    groups: dict[str, list[str]] = defaultdict(list)
    for text in texts:
        groups[text.sha256].append(text.name)
    return tuple(sorted(tuple(sorted(names)) for names in groups.values() if len(names) > 1))


def near_pairs(texts: Sequence[Fingerprint], threshold: float) -> tuple[tuple[str, str, float], ...]:
    """Pairs whose estimated Jaccard similarity is at least `threshold`, with the estimate; names in order.

    Texts are looked up by bands of their MinHash signatures, so the cost grows with the pairs that are alike and not
    with all pairs.
    """
    index = RMinHashLSH(threshold, NUM_PERMUTATIONS, _BANDS)
    ordered = sorted((text for text in texts if len(text.shingles)), key=lambda text: text.name)
    found = []
    for key, text in enumerate(ordered):
        for other in sorted(index.query(text.minhash)):
            likeness = ordered[other].minhash.jaccard(text.minhash)
            if likeness >= threshold:
                found.append((ordered[other].name, text.name, likeness))
        index.insert(key, text.minhash)
    return tuple(sorted(found))


def overlaps(texts: Sequence[Fingerprint], threshold: float) -> tuple[Overlap, ...]:
    """Pairs of which the smaller text shares at least `threshold` of its shingles with the larger, ordered by name.

    All hashes are sorted once, so that equal ones of different texts stand together; the cost grows with the shared
    shingles and not with all pairs.
    """
    shared = _shared_counts(texts)
    found = []
    for (one, other), count in shared.items():
        small, large = sorted((texts[one], texts[other]), key=lambda text: (len(text.shingles), text.name))
        share = count / len(small.shingles)
        if share >= threshold:
            found.append(Overlap(small.name, large.name, share))
    return tuple(sorted(found))


def _shared_counts(texts: Sequence[Fingerprint]) -> dict[tuple[int, int], int]:
    """Shared shingles of every pair of texts that has any, by their indices."""
    if not texts:
        return {}
    hashes = np.concatenate([text.shingles for text in texts])
    owners = np.repeat(np.arange(len(texts)), [len(text.shingles) for text in texts])
    order = np.argsort(hashes, kind="stable")
    hashes, owners = hashes[order], owners[order]
    starts = np.flatnonzero(np.r_[True, hashes[1:] != hashes[:-1]]) if len(hashes) else np.empty(0, int)
    ends = np.r_[starts[1:], len(hashes)]
    counts: dict[tuple[int, int], int] = defaultdict(int)
    several = ends - starts > 1
    for start, end in zip(starts[several], ends[several], strict=True):
        for one, other in combinations(owners[start:end].tolist(), 2):
            counts[one, other] += 1
    return counts
