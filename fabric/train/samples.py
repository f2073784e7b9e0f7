"""What training reads: its samples step by step, and held-out works; and which samples are whose.

Knows nothing of where tokens lie or how they arrive: callers of the trainer bring a source.

Shapes: B sequences, C tokens of context.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Tokens = NDArray[np.int64]
"""Token ids, as models take them."""


class SampleSource(Protocol):
    """An endless order of samples, cut into batches; the same for whoever reads it and from wherever; picklable.

    Batch `i` holds samples `i * B` to `(i + 1) * B - 1`, and each rank its slice of them (see `share`), so a run may go
    on from any step on another number of ranks and meets every sample once.
    """

    def batches(self, *, rank: int, world_size: int, start_step: int = 0) -> Iterator[Tokens]:
        """A rank's (B / world_size, C + 1) tokens of `start_step` and every step after it."""
        ...


@dataclass(frozen=True, slots=True)
class Work:
    """One held-out text."""

    name: str
    """What it is called."""

    tokens: Tokens
    """Its tokens, the first of which begins every text and is not predicted."""

    num_bytes: int
    """UTF-8 bytes of the text, which its tokens after the first stand for."""


@dataclass(frozen=True, slots=True)
class HeldOut:
    """The works a model is judged by, and what a compressor makes of them."""

    works: Sequence[Work]
    """Texts that are in no sample."""

    xz_bits_per_byte: float | None = None
    """What `xz -9e` needs for them after the training text."""

    @property
    def num_bytes(self) -> int:
        """UTF-8 bytes of all works."""
        return sum(work.num_bytes for work in self.works)


def share(step: int, batch_rows: int, *, rank: int, world_size: int) -> range:
    """Numbers, in the global order, of the samples a rank learns from at a step.

    Raises:
        ValueError: If the batch cannot be cut into equal shares.
    """
    if batch_rows % world_size:
        raise ValueError(f"{batch_rows} rows cannot be shared by {world_size} ranks")
    count = batch_rows // world_size
    first = step * batch_rows + rank * count
    return range(first, first + count)


def fingerprints(tokens_BC: Tokens) -> list[str]:
    """Eight hexadecimal digits for each sequence, by which an audit finds it in the data set."""
    return [sha256(np.ascontiguousarray(row, dtype=np.int64).tobytes()).hexdigest()[:8] for row in tokens_BC]
