from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from fabric.core.errors import BadInput, Corrupt, NotFound
from fabric.data.bpe import load_tokenizer
from fabric.data.shards import Dataset, open_dataset
from tests.unit.data.world import small_dataset


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_dataset(tmp_path_factory.mktemp("dataset"))


@pytest.fixture
def dataset(folder: Path) -> Dataset:
    return open_dataset(folder)


def test_shards_read_as_one_stream(dataset: Dataset) -> None:
    record = dataset.manifest.splits["train"]
    assert len(record.shards) == 2
    whole = np.concatenate([np.load(dataset.folder / path) for path in record.shards])
    stream = dataset.stream("train")
    assert len(stream) == len(whole) == dataset.num_tokens("train")
    border = record.shard_tokens[0]
    for start, count in ((0, 10), (border - 5, 10), (border, 3), (border - 3, 3), (0, len(whole)), (len(whole), 0)):
        assert (stream.read(start, count) == whole[start : start + count]).all()


@pytest.mark.parametrize(("start", "count"), [(-1, 2), (0, -1), (10**9, 1)])
def test_tokens_outside_a_stream_are_refused(dataset: Dataset, start: int, count: int) -> None:
    with pytest.raises(BadInput, match="not inside a stream"):
        dataset.stream("train").read(start, count)


def test_every_text_stands_between_its_marks(dataset: Dataset) -> None:
    begin, end = (load_tokenizer(dataset.tokenizer_folder).token_to_id(mark) for mark in ("<|bos|>", "<|eos|>"))
    for split in ("train", "held_out"):
        stream, next_start = dataset.stream(split), 0
        for text in dataset.documents(split):
            tokens = stream.read(text.start, text.tokens)
            assert (text.start, tokens[0], tokens[-1]) == (next_start, begin, end)
            assert not {begin, end} & set(tokens[1:-1].tolist())
            next_start += text.tokens
        assert next_start == len(stream)


def test_an_epoch_makes_every_token_a_target_once(dataset: Dataset) -> None:
    samples = dataset.samples(context_tokens=16, seed=1)
    rows = samples.rows(range(samples.per_epoch))
    assert rows.shape == (samples.per_epoch, 17)
    whole = dataset.stream("train").read(0, dataset.num_tokens("train"))
    used = samples.per_epoch * 16
    assert len(whole) - 1 - used < 16
    assert Counter(rows[:, 1:].flatten().tolist()) == Counter(whole[1 : used + 1].tolist())


def test_samples_depend_on_index_and_seed_alone(dataset: Dataset) -> None:
    first, again, other = (open_dataset(dataset.folder).samples(16, seed) for seed in (1, 1, 2))
    last = first.sample_at(99)
    assert (again.rows(range(90, 100))[9] == last).all()
    assert not (other.rows(range(100)) == first.rows(range(100))).all()


@pytest.mark.parametrize("context", [0, 10**6])
def test_a_context_that_does_not_fit_is_refused(dataset: Dataset, context: int) -> None:
    with pytest.raises(BadInput, match="Choose a shorter context"):
        dataset.samples(context, seed=0)


def test_a_folder_without_a_manifest_is_unfinished(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"manifest\.json is missing. Run the prepare stage first"):
        open_dataset(tmp_path)


@pytest.mark.parametrize("verify", [True, False])
def test_a_missing_shard_is_named(tmp_path: Path, verify: bool) -> None:
    folder = small_dataset(tmp_path)
    shard = next(folder.rglob("train-00001.npy"))
    shard.unlink()
    with pytest.raises(Corrupt, match=r"train-00001\.npy: is missing.*Run the prepare stage again") as caught:
        open_dataset(folder, verify=verify)
    assert caught.value.fields == {"path": str(shard)}


def test_a_truncated_shard_is_named(tmp_path: Path) -> None:
    folder = small_dataset(tmp_path)
    shard = next(folder.rglob("train-00000.npy"))
    shard.write_bytes(shard.read_bytes()[:-2])
    with pytest.raises(Corrupt, match=r"train-00000\.npy: has \d+ bytes, expected \d+"):
        open_dataset(folder, verify=False)


def test_a_changed_byte_is_found(tmp_path: Path) -> None:
    folder = small_dataset(tmp_path)
    shard = next(folder.rglob("held_out-00000.npy"))
    raw = bytearray(shard.read_bytes())
    raw[-1] ^= 1
    shard.write_bytes(raw)
    with pytest.raises(Corrupt, match=r"held_out-00000\.npy: its sha256 is not"):
        open_dataset(folder)


def test_a_shard_that_is_no_token_array_is_named(tmp_path: Path) -> None:
    folder = small_dataset(tmp_path)
    shard = next(folder.rglob("train-00000.npy"))
    shard.write_bytes(b"x" * shard.stat().st_size)
    with pytest.raises(Corrupt, match=r"train-00000\.npy: cannot be read as a token shard"):
        open_dataset(folder, verify=False).stream("train")


@pytest.mark.parametrize("manifest", ["", "[]", '{"kind": "model"}', '{"kind": "dataset", "version": 1}'])
def test_a_damaged_manifest_is_named(tmp_path: Path, manifest: str) -> None:
    (tmp_path / "manifest.json").write_text(manifest)
    with pytest.raises(Corrupt, match=r"manifest\.json: is no manifest of a data set"):
        open_dataset(tmp_path)
