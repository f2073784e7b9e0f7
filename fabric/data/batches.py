"""Cut the global order of samples into steps and shares: which rank trains on which samples at which step.

Knows nothing of processes or machines; `LocalBatches` reads in the process that asks. Arrays ending in _BT have two
dimensions: rows of the batch, tokens.

Whoever trains takes an object with `batches(rank=, world_size=, start_step=)`; `LocalBatches` here and `DataWorkers` in
`fabric.data.ray_pipeline` both have it, are picklable and give equal arrays.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from fabric.core.errors import BadInput, Conflict
from fabric.data.shards import Samples, Tokens, open_dataset


def share(step: int, batch_size: int, *, rank: int, world_size: int) -> range:
    """Global sample numbers of `rank` at `step`: its slice of the `batch_size` samples of that step.

    The union over the ranks does not depend on the world size; so neither does the mean of their gradients.

    Raises:
        BadInput: If the batch cannot be cut into equal shares, or there is no such rank.
    """
    if world_size < 1 or batch_size % world_size:
        raise BadInput(
            f"a batch of {batch_size} samples cannot be shared equally by {world_size} ranks. "
            f"Choose a batch size that is a multiple of every world size in use."
        )
    if not 0 <= rank < world_size or step < 0:
        raise BadInput(f"there is no rank {rank} of {world_size} at step {step}")
    size = batch_size // world_size
    start = step * batch_size + rank * size
    return range(start, start + size)


@dataclass(frozen=True)
class BatchSource:
    """Where the batches of one run come from; two equal sources give equal batches everywhere."""

    folder: Path
    """Folder of the data set."""

    context_tokens: int
    """Tokens a model sees at once; rows have one more."""

    batch_size: int
    """Samples of one step over all ranks."""

    seed: int
    """Seed of the order."""

    version: str | None = None
    """Version of the data set that the run began with; another one in the folder is refused. None takes any."""

    def samples(self) -> Samples:
        """Open the training samples without hashing them again.

        Raises:
            NotFound: If the folder holds no finished data set.
            Conflict: If it holds another version than the run began with.
            Corrupt: If a file is missing or has another size.
            BadInput: If the split is too short for the context.
        """
        dataset = open_dataset(self.folder, verify=False)
        if self.version not in (None, dataset.version):
            raise Conflict(
                f"{self.folder} holds version {dataset.version}, but the run began with {self.version}. Prepare that "
                f"one again, or begin a new run.",
                version=dataset.version,
            )
        return dataset.samples(self.context_tokens, self.seed)


@dataclass(frozen=True)
class LocalBatches:
    """Batches read in the process that trains."""

    source: BatchSource
    """Where they come from."""

    @cached_property
    def _samples(self) -> Samples:
        return self.source.samples()

    def __getstate__(self) -> dict[str, BatchSource]:
        # Memory maps would be pickled as whole arrays; the other side opens its own.
        return {"source": self.source}

    def batch(self, step: int, *, rank: int = 0, world_size: int = 1) -> Tokens:
        """Rows of `rank` at `step`: shape (batch_size / world_size, context_tokens + 1), int64.

        Raises:
            BadInput: If the batch cannot be cut into equal shares.
        """
        return self._samples.rows(share(step, self.source.batch_size, rank=rank, world_size=world_size))

    def batches(self, *, rank: int, world_size: int, start_step: int = 0) -> Iterator[Tokens]:
        """Rows of `rank` for `start_step` and every step after it, without end.

        Raises:
            BadInput: If the batch cannot be cut into equal shares.
        """
        step = start_step
        while True:
            yield self.batch(step, rank=rank, world_size=world_size)
            step += 1
