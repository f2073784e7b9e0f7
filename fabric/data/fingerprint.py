"""What two texts are compared by: a hash, a MinHash signature and a sketch of shingles, made text by text.

Knows nothing of other texts, files or what follows from a likeness.
"""

import hashlib
import pickle
import re
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from rensa import RMinHash

Hashes = NDArray[np.uint64]
"""Sorted different 64-bit hashes."""

NUM_PERMUTATIONS = 128
"""Slots of a signature; the standard error of the Jaccard estimate is below 1 / sqrt(128) = 0.09."""

_SEED = 2024
_WORD = re.compile(r"\w+")
_BASE = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class Fingerprint:
    """One text as the others see it."""

    name: str
    """Name of the text."""

    num_bytes: int
    """Length of the cleaned text, in UTF-8 bytes."""

    sha256: str
    """Hash of the cleaned text."""

    shingles: Hashes
    """The kept hashes of its shingles."""

    signature: bytes
    """MinHash signature of those hashes, as rensa pickles it."""

    @cached_property
    def minhash(self) -> RMinHash:
        """The signature as rensa compares it."""
        return pickle.loads(self.signature)  # noqa: S301 - made by `fingerprint` in this run


def fingerprint(name: str, text: str, *, shingle_words: int, sketch_one_in: int) -> Fingerprint:
    """Fingerprint a cleaned text.

    Args:
        name: Name of the text.
        text: The text.
        shingle_words: Words of a shingle.
        sketch_one_in: Keep the shingles whose hash is among this fraction of all hashes; the same for all texts, so
            that shares of kept shingles estimate shares of all (FracMinHash, Irber et al. 2022).
    """
    data = text.encode()
    hashes = shingle_hashes(text, shingle_words)
    kept = hashes if sketch_one_in == 1 else hashes[hashes < np.uint64(2**64 // sketch_one_in)]
    minhash = RMinHash(NUM_PERMUTATIONS, _SEED)
    raw = kept.tobytes()
    minhash.update([raw[start : start + 8] for start in range(0, len(raw), 8)])
    return Fingerprint(name, len(data), hashlib.sha256(data).hexdigest(), kept, pickle.dumps(minhash))


def shingle_hashes(text: str, words: int) -> Hashes:
    """Hashes of every run of `words` words, case and punctuation left out; a shorter text is one shingle."""
    sequence = _WORD.findall(text.lower())
    vocabulary = {word: _hash_word(word) for word in set(sequence)}
    hashes = np.fromiter((vocabulary[word] for word in sequence), np.uint64, len(sequence))
    width = min(words, len(hashes))
    if width == 0:
        return np.empty(0, np.uint64)
    combined = np.zeros(len(hashes) - width + 1, np.uint64)
    for offset in range(width):
        combined = combined * _BASE + hashes[offset : offset + len(combined)]
    return np.unique(_mix(combined))


def _hash_word(word: str) -> int:
    return int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "little")


def _mix(values: Hashes) -> Hashes:
    """SplitMix64's finaliser, so that equal fractions of hashes are equal fractions of shingles."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
