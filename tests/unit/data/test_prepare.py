import errno
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest

from fabric.core.errors import BadConfig, BadInput, NotFound, StorageFull, Unavailable
from fabric.data.baseline import xz_bits_per_byte, xz_size
from fabric.data.bpe import load_tokenizer
from fabric.data.corpus import TextFile
from fabric.data.files import folder_of
from fabric.data.pieces import plan_shards
from fabric.data.prepare import Here, Item, Result, prepare
from fabric.data.shards import open_dataset
from fabric.data.summary import summary
from tests.storage import refuse
from tests.unit.data.world import FakeReporter, corpus, prepared, prose, settings, words_of


@pytest.fixture
def texts(tmp_path: Path) -> Path:
    """Two plays with a second spelling each, a copy, a part, and something else."""
    a, b, c = prose(1), prose(2), prose(3)
    return corpus(
        tmp_path / "texts",
        hamlet=a,
        hamlet_f=prose(4, 300) + words_of(a, 0, 100),
        macbeth=b,
        macbeth_f=prose(5, 300) + words_of(b, 0, 100),
        lost=c,
        lost_copy=c,
        lost_part=words_of(c, 0, 99),
    )


class Backwards(Here):
    """An engine whose results arrive in the opposite order."""

    def map(self, work: Callable[[Item], Result], items: Sequence[Item]) -> Iterator[Result]:
        return iter([work(item) for item in reversed(items)])


def test_a_corpus_becomes_tokens_that_decode_to_it(texts: Path, tmp_path: Path) -> None:
    prepared(settings(texts, "hamlet"), tmp_path / "data")
    dataset = open_dataset(tmp_path / "data")
    tokenizer = load_tokenizer(dataset.tokenizer_folder)
    names = {split: [text.name for text in dataset.documents(split)] for split in ("train", "held_out")}
    assert names == {"train": ["lost", "macbeth", "macbeth_f"], "held_out": ["hamlet"]}
    for split in ("train", "held_out"):
        for text in dataset.documents(split):
            decoded = tokenizer.decode(dataset.stream(split).read(text.start, text.tokens).tolist())
            assert decoded == (texts / f"{text.name}.txt").read_text()
            assert text.bytes == len(decoded.encode())


def test_the_manifest_says_what_became_of_every_text(texts: Path, tmp_path: Path) -> None:
    manifest = prepared(settings(texts, "hamlet"), tmp_path / "data").manifest
    assert {name: reason.partition(":")[0] for name, reason in manifest.decisions.items()} == {
        "hamlet": "held_out",
        "hamlet_f": "leak",
        "lost": "train",
        "lost_copy": "exact_duplicate",
        "lost_part": "contained",
        "macbeth": "train",
        "macbeth_f": "train",
    }
    assert manifest.metrics["exact_groups"] == 1
    assert manifest.metrics["related_pairs"] == 2
    assert "7: 3 to train on, 1 held out, 1 left out because" in summary(manifest)


def test_xz_is_measured_on_the_bytes_that_models_are(texts: Path, tmp_path: Path) -> None:
    metrics = prepared(settings(texts, "hamlet"), tmp_path / "data").manifest.metrics
    train = [(texts / f"{name}.txt").read_text() for name in ("lost", "macbeth", "macbeth_f")]
    held_out = (texts / "hamlet.txt").read_text()
    sizes = xz_size(train), xz_size([*train, held_out])
    assert metrics["xz_bits_per_byte"] == 8 * (sizes[1] - sizes[0]) / len(held_out.encode())


def test_repeated_text_costs_xz_nothing() -> None:
    text = prose(1, 5000)
    sizes = xz_size([text]), xz_size([text, text])
    assert xz_bits_per_byte(train_bytes=sizes[0], both_bytes=sizes[1], held_out_bytes=len(text)) < 0.02


def test_the_version_does_not_depend_on_who_works_in_which_order(texts: Path, tmp_path: Path) -> None:
    chosen = settings(texts, "hamlet")
    one = prepared(chosen, tmp_path / "one").manifest
    other = prepare(chosen, tmp_path / "other", Backwards(), reporter=FakeReporter(), say=lambda line: None).manifest
    assert one == other


def test_files_are_those_of_the_manifest(texts: Path, tmp_path: Path) -> None:
    manifest = prepared(settings(texts, "hamlet"), tmp_path / "data").manifest
    there = {str(path.relative_to(tmp_path / "data")) for path in (tmp_path / "data").rglob("*") if path.is_file()}
    assert there == {"manifest.json", *(record.path for record in manifest.files)}
    assert (tmp_path / "data" / manifest.tokenizer / "tokenizer.json").exists()
    assert all(np.load(path).dtype == np.uint16 for path in (tmp_path / "data").rglob("*.npy"))


@pytest.mark.parametrize(
    "changes",
    [{"tokenizer": {"vocab_size": 390}}, {"shard_bytes": 1}, {"similarity": {"contained": 0.2}}],
    ids=lambda c: next(iter(c)),
)
@pytest.mark.slow
def test_other_settings_make_another_version(texts: Path, tmp_path: Path, changes: dict[str, object]) -> None:
    first = prepared(settings(texts, "hamlet"), tmp_path / "data").manifest
    second = prepared(settings(texts, "hamlet", **changes), tmp_path / "data")
    assert not second.reused
    assert second.manifest.recipe != first.recipe
    assert second.manifest.version != first.version


def test_what_is_there_is_used_again(texts: Path, tmp_path: Path) -> None:
    first = prepared(settings(texts, "hamlet"), tmp_path / "data")
    moved = settings(texts, "hamlet", workload={"entrypoint": "python x.py"})
    again = prepared(moved, tmp_path / "data")
    assert (first.reused, again.reused) == (False, True)
    assert again.manifest == first.manifest
    assert not prepared(settings(texts, "hamlet", reuse=False), tmp_path / "data").reused


@pytest.mark.slow
def test_a_changed_text_is_noticed(texts: Path, tmp_path: Path) -> None:
    first = prepared(settings(texts, "hamlet"), tmp_path / "data")
    corpus(texts, macbeth=prose(9))
    second = prepared(settings(texts, "hamlet"), tmp_path / "data")
    assert not second.reused
    assert second.manifest.parents != first.manifest.parents


@pytest.mark.slow
def test_a_damaged_shard_is_made_again(texts: Path, tmp_path: Path) -> None:
    first = prepared(settings(texts, "hamlet"), tmp_path / "data")
    min((tmp_path / "data").rglob("train-*.npy")).write_bytes(b"")
    lines: list[str] = []
    second = prepare(settings(texts, "hamlet"), tmp_path / "data", Here(), reporter=FakeReporter(), say=lines.append)
    assert any("making it again" in line and "train-00000.npy" in line for line in lines)
    assert (second.reused, second.manifest) == (False, first.manifest)
    open_dataset(tmp_path / "data")


def test_a_data_set_that_cannot_be_read_for_a_while_is_not_made_again(
    texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = prepared(settings(texts, "hamlet"), tmp_path / "data")
    for name in ("train-00000.npy", "manifest.json"):
        with monkeypatch.context() as patch:
            refuse(patch, name)
            with pytest.raises(Unavailable, match=rf"{name}: cannot be read: Stale file handle.*Run it again"):
                prepared(settings(texts, "hamlet"), tmp_path / "data")
    again = prepared(settings(texts, "hamlet"), tmp_path / "data")
    assert (again.reused, again.manifest) == (True, first.manifest)


def test_a_run_that_fails_leaves_the_former_data_set(texts: Path, tmp_path: Path) -> None:
    first = prepared(settings(texts, "hamlet"), tmp_path / "data")
    (tmp_path / "data" / ".building-left-by-a-kill").mkdir()
    with pytest.raises(BadConfig, match="cannot be learned from the training split"):
        prepared(settings(texts, "hamlet", tokenizer={"vocab_size": 60_000}), tmp_path / "data")
    assert open_dataset(tmp_path / "data").version == first.manifest.version
    assert list((tmp_path / "data").glob(".building*")) == []


def test_a_full_disk_is_said_and_nothing_is_lost(texts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = prepared(settings(texts, "hamlet"), tmp_path / "data")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StorageFull, match=r"no room on its disk\. Free some space"):
        prepared(settings(texts, "hamlet", shard_bytes=1), tmp_path / "data")
    monkeypatch.undo()
    assert open_dataset(tmp_path / "data").version == first.manifest.version


def test_an_output_that_is_a_file_is_said(texts: Path, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("")
    with pytest.raises(Unavailable, match="data: cannot be written"):
        prepared(settings(texts, "hamlet"), tmp_path / "data")


def test_progress_is_told(texts: Path, tmp_path: Path) -> None:
    reporter = FakeReporter()
    prepare(settings(texts, "hamlet"), tmp_path / "data", Here(), reporter=reporter, say=lambda line: None)
    assert reporter.stages == ["fingerprint", "tokenise"]
    assert (7, 7, "texts") in reporter.done
    assert reporter.done[-1][2] == "shards"


def test_shards_end_with_the_text_that_fills_them() -> None:
    sizes = {"a": 5, "b": 20, "c": 3, "d": 3, "e": 9}
    plans = plan_shards("train", [(TextFile(name, Path(name)), size) for name, size in sizes.items()], 10)
    assert [(plan.file_name, "".join(text.name for text in plan.texts)) for plan in plans] == [
        ("train-00000.npy", "ab"),
        ("train-00001.npy", "cde"),
    ]


def test_the_tokenizer_knows_its_classes(texts: Path, tmp_path: Path) -> None:
    manifest = prepared(settings(texts, "hamlet"), tmp_path / "data").manifest
    chosen = json.loads((tmp_path / "data" / manifest.tokenizer / "tokenizer_config.json").read_text())
    assert (chosen["tokenizer_class"], chosen["bos_token"], chosen["eos_token"]) == (
        "PreTrainedTokenizerFast",
        "<|bos|>",
        "<|eos|>",
    )
    assert load_tokenizer(tmp_path / "data" / manifest.tokenizer).get_vocab_size() == 400


@pytest.mark.parametrize(
    ("held_out", "message"),
    [
        (("hamlett",), r"no text 'hamlett' among the 7 of the source. Did you mean hamlet"),
        (("zzz",), r"There are hamlet, hamlet_f"),
        (("hamlet", "hamlet_f", "lost", "lost_copy", "lost_part", "macbeth", "macbeth_f"), "names all 7 texts"),
    ],
)
def test_held_out_names_that_cannot_be_are_refused(
    texts: Path, tmp_path: Path, held_out: tuple[str, ...], message: str
) -> None:
    with pytest.raises(BadConfig, match=message):
        prepared(settings(texts, *held_out), tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_a_text_that_is_not_utf8_is_named(texts: Path, tmp_path: Path) -> None:
    (texts / "latin.txt").write_bytes(b"caf\xe9")
    with pytest.raises(BadInput, match=r"latin\.txt: byte 3 is not UTF-8"):
        prepared(settings(texts, "hamlet"), tmp_path / "data")


def test_two_texts_of_one_name_are_refused(texts: Path, tmp_path: Path) -> None:
    corpus(texts / "more", hamlet=prose(8))
    with pytest.raises(BadInput, match="two texts are called hamlet"):
        prepared(settings(texts, "hamlet"), tmp_path / "data")


def test_a_source_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r"source\.folder .*nowhere: no such folder"):
        prepared(settings(tmp_path / "nowhere", "a"), tmp_path / "data")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadInput, match=r"no \*\.txt file"):
        prepared(settings(tmp_path / "empty", "a"), tmp_path / "data")


def test_only_folders_of_this_machine_are_written_to() -> None:
    assert folder_of("file:///a/b%20c") == Path("/a/b c")
    with pytest.raises(BadConfig, match="s3://bucket"):
        folder_of("s3://bucket/x")
