"""The pieces of work that workers do: fingerprint a text, learn the vocabulary, compress, write a shard.

Knows nothing of Ray and of each other: a piece is a function of plain values that may run anywhere, twice or again.
Texts are read and cleaned anew in every piece, which is cheaper than moving them between machines.
"""

import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fabric.core.errors import Corrupt
from fabric.data.baseline import xz_size
from fabric.data.bpe import encode_text, load_tokenizer, save_tokenizer, train_bpe
from fabric.data.clean import clean_text
from fabric.data.corpus import TextFile
from fabric.data.files import write_atomically
from fabric.data.fingerprint import Fingerprint, fingerprint
from fabric.data.settings import PrepareSettings


def read_text(text: TextFile) -> str:
    """The cleaned text of a file.

    Raises:
        Corrupt: If the file cannot be read any more.
        BadInput: If it is not UTF-8.
    """
    try:
        raw = text.path.read_bytes()
    except OSError as error:
        raise Corrupt(
            f"{text.path}: cannot be read: {error.strerror}. Install the source again.", path=str(text.path)
        ) from None
    return clean_text(raw, str(text.path))


def _read_all(texts: Sequence[TextFile]) -> Iterator[str]:
    return (read_text(text) for text in texts)


@dataclass(frozen=True, slots=True)
class FingerprintText:
    """Fingerprint texts."""

    settings: PrepareSettings
    """Which shingles, and how many of them."""

    def __call__(self, text: TextFile) -> Fingerprint:
        """Fingerprint one.

        Raises:
            BadInput: If it is not UTF-8.
        """
        similarity = self.settings.similarity
        return fingerprint(
            text.name,
            read_text(text),
            shingle_words=similarity.shingle_words,
            sketch_one_in=similarity.sketch_one_in,
        )


def learn_vocabulary(texts: Sequence[TextFile], vocab_size: int, folder: Path) -> None:
    """Train the tokenizer on `texts` and save it in `folder`.

    Raises:
        BadConfig: If the texts are too short for so large a vocabulary.
        StorageFull: If the disk has no room.
    """
    save_tokenizer(train_bpe(_read_all(texts), vocab_size), folder)


def compressed_size(texts: Sequence[TextFile]) -> int:
    """Bytes of the `xz -9e` stream over the cleaned `texts`, in order."""
    return xz_size(_read_all(texts))


@dataclass(frozen=True, slots=True)
class ShardPlan:
    """One shard to write."""

    file_name: str
    """Name of its file."""

    texts: tuple[TextFile, ...]
    """What goes into it, in order."""


@dataclass(frozen=True, slots=True)
class ShardDone:
    """One shard that was written."""

    file_name: str
    """Name of its file."""

    lengths: tuple[tuple[str, int, int], ...]
    """Name, tokens and UTF-8 bytes of each text, in order."""

    @property
    def tokens(self) -> int:
        """Tokens in the shard."""
        return sum(tokens for _, tokens, _ in self.lengths)


@dataclass(frozen=True, slots=True)
class WriteShard:
    """Tokenise texts and write them as shards."""

    tokenizer_folder: Path
    """Where the tokenizer was saved."""

    folder: Path
    """Where shards go."""

    def __call__(self, plan: ShardPlan) -> ShardDone:
        """Write one.

        Raises:
            StorageFull: If the disk has no room.
        """
        tokenizer = load_tokenizer(self.tokenizer_folder)
        texts = [(text.name, read_text(text)) for text in plan.texts]
        tokens = [encode_text(tokenizer, text) for _, text in texts]
        buffer = io.BytesIO()
        np.save(buffer, np.concatenate(tokens), allow_pickle=False)
        write_atomically(self.folder / plan.file_name, buffer.getvalue())
        lengths = zip(texts, tokens, strict=True)
        return ShardDone(plan.file_name, tuple((name, len(ids), len(text.encode())) for (name, text), ids in lengths))


def plan_shards(prefix: str, texts: Sequence[tuple[TextFile, int]], shard_bytes: int) -> tuple[ShardPlan, ...]:
    """Cut texts with their bytes into shards, in order; a shard ends with the text that reaches `shard_bytes`."""
    shards: list[list[TextFile]] = [[]]
    filled = 0
    for text, num_bytes in texts:
        if filled >= shard_bytes:
            shards.append([])
            filled = 0
        shards[-1].append(text)
        filled += num_bytes
    return tuple(ShardPlan(f"{prefix}-{number:05d}.npy", tuple(shard)) for number, shard in enumerate(shards))
