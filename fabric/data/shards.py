"""Read a prepared data set: token streams on disk, training samples in a fixed order, whole texts.

Knows nothing of ranks, workers or how the tokens were made. Arrays ending in _T have one dimension, tokens.

Opening and reading, as training does it:

    dataset = open_dataset(folder)                       # verifies every file, raises Corrupt
    samples = dataset.samples(context_tokens=256, seed=7)
    tokens_T = samples.sample_at(12_345)                 # 257 tokens: inputs are [:-1], targets are [1:]
    for work in dataset.documents("held_out"):           # the sum of nats / ln 2 / work.bytes is bits per byte
        tokens_T = dataset.stream("held_out").read(work.start, work.tokens)
"""

from bisect import bisect_right
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fabric.core.errors import BadInput, Corrupt
from fabric.data.files import unread
from fabric.data.manifest import DatasetManifest, Document, Split, read_manifest, verify_file
from fabric.data.order import Shuffle

Tokens = NDArray[np.int64]
"""Token ids, as models take them."""


class TokenStream:
    """The shards of one split as one long array, mapped into memory and never read as a whole."""

    def __init__(self, paths: tuple[Path, ...], shard_tokens: tuple[int, ...]) -> None:
        self._shards = [_map_shard(path, tokens) for path, tokens in zip(paths, shard_tokens, strict=True)]
        self._ends = list(accumulate(shard_tokens))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def read(self, start: int, count: int) -> Tokens:
        """`count` tokens from `start`, over the borders of shards.

        Raises:
            BadInput: If the range is not inside the stream.
        """
        if start < 0 or count < 0 or start + count > len(self):
            raise BadInput(f"tokens {start} to {start + count} are not inside a stream of {len(self)}")
        pieces: list[NDArray[np.uint16]] = []
        shard = bisect_right(self._ends, start)
        while count > 0:
            begin = self._ends[shard] - len(self._shards[shard])
            piece = self._shards[shard][start - begin : start - begin + count]
            pieces.append(piece)
            start, count, shard = start + len(piece), count - len(piece), shard + 1
        return np.concatenate(pieces).astype(np.int64) if pieces else np.empty(0, np.int64)


def _map_shard(path: Path, tokens: int) -> NDArray[np.uint16]:
    """Map one shard.

    Raises:
        Corrupt: If it is missing or no array of `tokens` tokens.
        Unavailable: If it cannot be read at the moment.
    """
    remedy = "Run the prepare stage again with the same config to write it anew."
    try:
        array: NDArray[np.uint16] = np.load(path, mmap_mode="r", allow_pickle=False)
    except OSError as error:
        refused = unread(path, error, remedy)
        raise refused from None
    except (ValueError, EOFError) as error:
        raise Corrupt(f"{path}: cannot be read as a token shard: {error}. {remedy}", path=str(path)) from None
    if array.dtype != np.uint16 or array.shape != (tokens,):
        raise Corrupt(
            f"{path}: holds {array.dtype}{list(array.shape)}, expected uint16[{tokens}]. {remedy}", path=str(path)
        )
    return array


@dataclass(frozen=True)
class Samples:
    """All training samples of a run in their one global order.

    Sample `i` does not depend on the world size, the number of workers, the shard size or what was read before, so a
    run that stopped after sample `i` goes on with `i + 1` wherever and on however many ranks it is started again.
    """

    stream: TokenStream
    """Tokens of the training split."""

    context_tokens: int
    """Tokens that a model sees at once; a sample has one more, the last target."""

    seed: int
    """Seed of the order; each epoch has its own permutation."""

    def __post_init__(self) -> None:
        if self.context_tokens < 1 or len(self.stream) <= self.context_tokens:
            raise BadInput(
                f"context_tokens must be between 1 and {len(self.stream) - 1} (the training split has "
                f"{len(self.stream)} tokens), got {self.context_tokens}. Choose a shorter context."
            )

    @property
    def per_epoch(self) -> int:
        """Samples after which all training tokens but a last incomplete window have been targets once."""
        return (len(self.stream) - 1) // self.context_tokens

    def sample_at(self, index: int) -> Tokens:
        """The `context_tokens` + 1 tokens of sample `index`, counted from 0 over all epochs.

        Raises:
            ValueError: If `index` is negative.
        """
        window = Shuffle(self.per_epoch, self.seed).at(index)
        return self.stream.read(window * self.context_tokens, self.context_tokens + 1)

    def rows(self, indices: range) -> Tokens:
        """Samples `indices`, stacked: shape (number of indices, context_tokens + 1)."""
        if not len(indices):
            return np.empty((0, self.context_tokens + 1), np.int64)
        return np.stack([self.sample_at(index) for index in indices])


class Dataset:
    """A prepared data set on disk; get one from `open_dataset`."""

    def __init__(self, folder: Path, manifest: DatasetManifest) -> None:
        self.folder = folder
        self.manifest = manifest

    @property
    def version(self) -> str:
        """Content hash, for lineage."""
        return self.manifest.version

    @property
    def vocab_size(self) -> int:
        """Tokens that the model must know."""
        return self.manifest.vocab_size

    @property
    def tokenizer_folder(self) -> Path:
        """Folder for `AutoTokenizer.from_pretrained`."""
        return self.folder / self.manifest.tokenizer

    @property
    def xz_bits_per_byte(self) -> float:
        """Bits per held-out byte that `xz -9e` needs after having seen the training split: the baseline to beat."""
        return self.manifest.metrics["xz_bits_per_byte"]

    def documents(self, split: Split) -> tuple[Document, ...]:
        """Texts of a split: name, place in the stream, and UTF-8 bytes."""
        return self.manifest.splits[split].documents

    def num_tokens(self, split: Split) -> int:
        """Tokens of a split."""
        return self.manifest.splits[split].tokens

    def stream(self, split: Split) -> TokenStream:
        """The token stream of a split.

        Raises:
            Corrupt: If a shard is missing or no token array.
        """
        record = self.manifest.splits[split]
        return TokenStream(tuple(self.folder / path for path in record.shards), record.shard_tokens)

    def samples(self, context_tokens: int, seed: int) -> Samples:
        """Training samples in the global order that `seed` gives.

        Raises:
            BadInput: If the split is too short for the context.
            Corrupt: If a shard is missing or no token array.
        """
        return Samples(self.stream("train"), context_tokens, seed)


def open_dataset(folder: Path, *, verify: bool = True) -> Dataset:
    """Open the data set in `folder`.

    Args:
        folder: Output folder of the prepare stage.
        verify: Hash every file; otherwise only presence and size are checked. Verify once per run, in the driver.

    Raises:
        NotFound: If the folder holds no finished data set.
        Corrupt: Naming the first file that is missing or not what was written.
        Unavailable: If one cannot be read at the moment.
    """
    manifest = read_manifest(folder)
    for record in manifest.files:
        verify_file(folder, record, contents=verify)
    return Dataset(folder, manifest)
