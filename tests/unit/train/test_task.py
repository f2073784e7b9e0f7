"""Getting an output folder ready, and what is left in it at the end."""

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from fabric.core.errors import BadConfig, Conflict, Corrupt
from fabric.train.attend import stops_on_sigterm, tells_progress
from fabric.train.history import History
from fabric.train.pretrain import finish, finished, summary
from fabric.train.report import duration
from fabric.train.task import Outcome, StopFile, Task, check_vocabulary, folder_of, resume
from tests.unit.train import worlds


def checkpoint(task: Task, step: int) -> None:
    """Save something under `step`."""

    def fill(folder: Path) -> None:
        (folder / "model").mkdir()
        (folder / "model" / "model.safetensors").write_text(f"weights {step}")
        (folder / "state.pt").write_text("state")

    task.checkpoints.save(step, fill, {"run": task.run})


def said_by(task: Task) -> list[str]:
    """What resuming says."""
    lines: list[str] = []
    resume(task, lines.append)
    return lines


def test_a_fresh_run_starts_at_the_beginning_and_says_nothing(tmp_path: Path) -> None:
    assert said_by(worlds.task(tmp_path / "new" / "run")) == []
    assert (tmp_path / "new" / "run").is_dir()


def test_a_run_goes_on_from_its_newest_checkpoint_and_forgets_what_came_after(tmp_path: Path) -> None:
    task = worlds.task(tmp_path)
    for step in range(1, 9):
        task.losses.append({"step": step})
        task.samples_of(1).append({"step": step})
    task.readings.append({"step": 6})
    (tmp_path / "report.jsonl").write_text('{"at": 1}\n')
    checkpoint(task, 5)
    StopFile(tmp_path).ask("an old request")
    assert said_by(task) == ["going on from step-00000005: 5 of 12 steps done"]
    assert [record["step"] for record in task.losses.records()] == [1, 2, 3, 4, 5]
    assert [record["step"] for record in task.samples_of(1).records()] == [1, 2, 3, 4, 5]
    assert task.readings.records() == []
    assert (tmp_path / "report.jsonl").read_text() == '{"at": 1}\n'
    assert StopFile(tmp_path).now() == ""


def test_a_corrupt_checkpoint_is_named_and_the_one_that_is_used_too(tmp_path: Path) -> None:
    task = worlds.task(tmp_path)
    checkpoint(task, 5)
    checkpoint(task, 10)
    (tmp_path / "checkpoints" / "step-00000010" / "state.pt").write_text("stat!")
    corrupt, used = said_by(task)
    assert corrupt.startswith("corrupt checkpoint set aside: ")
    assert corrupt.endswith("step-00000010/state.pt: its bytes are not those that were written")
    assert used == "going on from step-00000005: 5 of 12 steps done"


def test_a_run_with_other_settings_or_other_data_does_not_go_on_from_it(tmp_path: Path) -> None:
    task = worlds.task(tmp_path)
    checkpoint(task, 5)
    with pytest.raises(Conflict, match=r"other settings \(seed\)"):
        said_by(worlds.task(tmp_path, seed=5))
    with pytest.raises(Conflict, match=r"other settings \(data\)"):
        said_by(replace(task, data_version="ba9876543210"))


def test_a_history_leaves_out_a_line_that_a_crash_cut_short(tmp_path: Path) -> None:
    history = History(tmp_path / "x.jsonl")
    history.append({"step": 1, "loss": 0.5})
    with history.path.open("a") as stream:
        stream.write('{"step": 2, "lo')
    assert history.records() == [{"step": 1, "loss": 0.5}]
    history.rewind(2)
    assert history.path.read_text() == '{"step": 1, "loss": 0.5}\n'


def test_a_stop_file_carries_its_reason(tmp_path: Path) -> None:
    notices = StopFile(tmp_path)
    assert notices.at_step(3) == ""
    notices.ask("walltime")
    assert (notices.at_step(4), notices.now()) == ("walltime", "walltime")


def test_a_model_that_does_not_know_all_tokens_is_refused() -> None:
    check_vocabulary(worlds.shape(), worlds.VOCABULARY)
    with pytest.raises(BadConfig, match=r"vocabulary of 64 tokens and the data one of 4096\. Set vocab_size"):
        check_vocabulary(worlds.shape(), 4096)


def test_artifacts_elsewhere_than_in_files_are_refused() -> None:
    assert folder_of("file:///srv/my%20artifacts") == Path("/srv/my artifacts")
    with pytest.raises(BadConfig, match="s3://bucket/x, but training writes checkpoints to file:// only"):
        folder_of("s3://bucket/x")


def done(folder: Path) -> tuple[Task, dict[str, object]]:
    """A run of twelve steps that has ended, and its manifest."""
    task = worlds.task(folder, short="Short.")
    resume(task, print)
    for step in range(1, 13):
        task.losses.append({"step": step, "loss": 4 - step / 12, "tokens": step * 128})
    task.readings.append({"step": 12, "of": "all", "bits_per_byte": 2.25})
    checkpoint(task, 12)
    tokenizer = folder / "elsewhere"
    tokenizer.mkdir()
    (tokenizer / "tokenizer.json").write_text("{}")
    return task, finish(task, Outcome(12, 3.0, 2.25), data="demo/data", tokenizer=tokenizer)


def test_a_finished_run_leaves_a_model_with_tokenizer_a_curve_and_a_manifest_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FABRIC_REVISION", "abc")
    _, manifest = done(tmp_path)
    assert manifest["revision"] == "abc"
    assert json.loads((tmp_path / "manifest.json").read_text()) == manifest
    assert manifest["metrics"] == {
        "num_params": worlds.shape().num_params,
        "num_tokens": 1536,
        "trained_s": 3.0,
        "tokens_per_s": 512.0,
        "bits_per_byte": 2.25,
        "xz_bits_per_byte": 2.5,
    }
    assert manifest["parents"] == [{"name": "demo/data", "version": "0123456789ab"}]
    assert isinstance(manifest["files"], dict)
    assert sorted(manifest["files"]) == [
        "losses.jsonl",
        "losses.png",
        "model/model.safetensors",
        "model/tokenizer.json",
        "readings.jsonl",
    ]
    assert (tmp_path / "losses.png").read_bytes().startswith(b"\x89PNG")
    assert summary(manifest).splitlines()[1:] == ["held-out works: 2.250 bits per byte (xz -9e: 2.500)", "Short."]


def test_a_finished_run_is_recognised_and_not_repeated(tmp_path: Path) -> None:
    task, manifest = done(tmp_path)
    assert finished(task) == manifest
    assert finished(worlds.task(tmp_path / "other")) is None
    with pytest.raises(Conflict, match=r"finished run with other settings \(steps\)"):
        finished(worlds.task(tmp_path, steps=13))


def test_a_finished_run_that_was_damaged_since_says_what_to_do(tmp_path: Path) -> None:
    task, _ = done(tmp_path)
    (tmp_path / "model" / "model.safetensors").write_text("weights 13")
    with pytest.raises(Corrupt, match=r"model\.safetensors: its bytes .*\. Remove .*manifest\.json to make it again\."):
        finished(task)


@pytest.mark.parametrize(("seconds", "text"), [(0.4, "0s"), (59, "59s"), (200, "3m20s"), (3900, "1h05m")])
def test_a_duration_is_short(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_progress_is_told_from_what_the_ranks_record_and_not_from_earlier_attempts(tmp_path: Path) -> None:
    task, lines = worlds.task(tmp_path), list[str]()
    task.losses.append({"step": 1, "loss": 9.0, "tokens": 128, "tokens_per_s": 1.0})
    with tells_progress(task, lines.append):
        for step, rate in ((2, 100.0), (3, 300.0)):
            task.losses.append({"step": step, "loss": 6.0 - step, "tokens": step * 128, "tokens_per_s": rate})
        task.readings.append({"step": 3, "of": "subset", "bits_per_byte": 2.5})
    assert lines == [
        "step 3: 2.500 bits per byte on held-out works (subset)",
        "step 3/12  loss 3.500  150 tokens/s  8s to go",
    ]


def test_the_first_sigterm_becomes_a_notice_and_the_next_is_what_it_was(tmp_path: Path) -> None:
    task, lines = worlds.task(tmp_path), list[str]()
    got: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: got.append(number))
    try:
        with stops_on_sigterm(task, 20, lines.append):
            os.kill(os.getpid(), signal.SIGTERM)
            assert StopFile(tmp_path).now() == "it was asked to stop"
            assert got == []
            os.kill(os.getpid(), signal.SIGTERM)
        assert got == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)
    assert lines == ["asked to stop: the ranks save their state within 20s and leave"]
