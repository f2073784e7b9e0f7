import pickle
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from fabric.core.errors import BadInput, Conflict
from fabric.data.batches import BatchSource, LocalBatches, share
from fabric.data.shards import open_dataset
from tests.unit.data.world import small_dataset


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_dataset(tmp_path_factory.mktemp("dataset"))


@pytest.mark.parametrize("world_size", [1, 2, 3, 4, 6, 12])
def test_the_ranks_of_a_step_share_its_samples(world_size: int) -> None:
    shares = [share(5, 12, rank=rank, world_size=world_size) for rank in range(world_size)]
    assert [index for part in shares for index in part] == list(range(60, 72))


@pytest.mark.parametrize(
    ("batch", "rank", "world_size", "message"),
    [
        (8, 0, 3, "multiple of every world size"),
        (8, 0, 0, "0 ranks"),
        (8, 2, 2, "no rank 2 of 2"),
        (8, -1, 2, "no rank"),
    ],
)
def test_shares_that_do_not_exist_are_refused(batch: int, rank: int, world_size: int, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        share(0, batch, rank=rank, world_size=world_size)


def test_a_run_that_goes_on_elsewhere_sees_each_sample_once_and_in_order(folder: Path) -> None:
    source = LocalBatches(BatchSource(folder, 16, 12, 3))
    straight = list(islice(source.batches(rank=0, world_size=1), 12))
    pieces, step = [], 0
    for world_size in (2, 1, 3, 4):
        ranks = [source.batches(rank=rank, world_size=world_size, start_step=step) for rank in range(world_size)]
        pieces += [np.concatenate(rows) for rows in islice(zip(*ranks, strict=True), 3)]
        step += 3
    assert all((one == other).all() for one, other in zip(straight, pieces, strict=True))


def test_batches_go_on_over_epochs(folder: Path) -> None:
    source = LocalBatches(BatchSource(folder, 16, 8, 3))
    per_epoch = open_dataset(folder).samples(16, 3).per_epoch
    rows = np.concatenate(list(islice(source.batches(rank=0, world_size=1), 2 * per_epoch // 8 + 1)))
    first, second = rows[:per_epoch].tolist(), rows[per_epoch : 2 * per_epoch].tolist()
    assert sorted(first) == sorted(second)
    assert first != second


def test_a_source_travels_without_its_shards(folder: Path) -> None:
    source = LocalBatches(BatchSource(folder, 16, 8, 3))
    expected = source.batch(7, rank=1, world_size=2)
    packed = pickle.dumps(source)
    assert len(packed) < 1000
    assert (pickle.loads(packed).batch(7, rank=1, world_size=2) == expected).all()  # noqa: S301


def test_another_data_set_in_the_folder_is_refused(folder: Path) -> None:
    version = open_dataset(folder).version
    assert LocalBatches(BatchSource(folder, 16, 8, 3, version)).batch(0).shape == (8, 17)
    with pytest.raises(Conflict, match="the run began with 000000000000"):
        LocalBatches(BatchSource(folder, 16, 8, 3, "000000000000")).batch(0)
