"""Checkpoints are there whole or not at all, and a damaged one is stepped over."""

import errno
import json
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from fabric.core.errors import Conflict, Corrupt, StorageFull, Unavailable
from fabric.train.checkpoint import Checkpoints, check_same_run
from fabric.train.manifest import full_disk, verify
from tests.storage import REFUSALS, refuse


def filled_with(text: str) -> Callable[[Path], None]:
    def fill(folder: Path) -> None:
        (folder / "model").mkdir()
        (folder / "model" / "weights").write_text(text)
        (folder / "state").write_text(text[::-1])

    return fill


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with good checkpoints of steps 10 and 20."""
    kept = Checkpoints(tmp_path / "checkpoints", keep_last=2)
    for step in (10, 20):
        kept.save(step, filled_with(f"step {step}"), {"run": {"seed": 1}})
    return tmp_path / "checkpoints"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_newest_checkpoint_is_found_with_its_notes(folder: Path) -> None:
    found = Checkpoints(folder, keep_last=2).newest()
    assert found.checkpoint is not None
    assert found.skipped == ()
    assert (found.checkpoint.step, found.checkpoint.notes, found.checkpoint.num_bytes) == (20, {"run": {"seed": 1}}, 14)
    assert (found.checkpoint.path / "model" / "weights").read_text() == "step 20"


def test_a_run_without_checkpoints_starts_at_the_beginning(tmp_path: Path) -> None:
    assert Checkpoints(tmp_path / "none", keep_last=1).newest().checkpoint is None


def test_only_the_last_ones_are_kept(folder: Path) -> None:
    Checkpoints(folder, keep_last=2).save(30, filled_with("step 30"), {})
    assert names(folder) == ["step-00000020", "step-00000030"]


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[0] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda newest: flip_a_bit(newest / "model" / "weights"), "weights: its bytes are not those that were written"),
        (lambda newest: (newest / "state").write_text("step"), "state: has 4 bytes instead of 7"),
        (lambda newest: (newest / "state").unlink(), "state: is missing"),
        (lambda newest: (newest / "manifest.json").write_text("{"), r"manifest\.json: cannot be read"),
        (lambda newest: (newest / "manifest.json").unlink(), r"manifest\.json: cannot be read"),
    ],
    ids=["bit flip", "cut short", "file gone", "manifest cut short", "manifest gone"],
)
def test_a_damaged_checkpoint_is_named_set_aside_and_the_one_before_is_used(
    folder: Path, damage: Callable[[Path], None], said: str
) -> None:
    damage(folder / "step-00000020")
    found = Checkpoints(folder, keep_last=2).newest()
    assert found.checkpoint is not None
    assert found.checkpoint.step == 10
    assert len(found.skipped) == 1
    assert re.search(said, found.skipped[0])
    assert names(folder) == ["step-00000010", "step-00000020.corrupt"]


def test_without_any_good_checkpoint_nothing_is_trained_anew_behind_ones_back(folder: Path) -> None:
    for step in (10, 20):
        flip_a_bit(folder / f"step-{step:08d}" / "state")
    with pytest.raises(
        Corrupt, match=r"no checkpoint is good: .*00000020.*00000010.*Remove .* to train from the beginning"
    ):
        Checkpoints(folder, keep_last=2).newest()
    for _ in range(2):  # nor by who runs it again
        with pytest.raises(Corrupt, match=r"no checkpoint is good: .*00000010\.corrupt; step-00000020\.corrupt\. "):
            Checkpoints(folder, keep_last=2).newest()


def test_an_attempt_that_ended_while_it_set_checkpoints_aside_hides_none_of_them(folder: Path) -> None:
    (folder / "step-00000020").rename(folder / "step-00000020.corrupt")
    flip_a_bit(folder / "step-00000010" / "state")
    with pytest.raises(Corrupt, match=r"no checkpoint is good: .*00000010/state: .*; step-00000020\.corrupt"):
        Checkpoints(folder, keep_last=2).newest()


def test_a_checkpoint_that_was_set_aside_is_in_nobodys_way_once_there_is_a_good_one(folder: Path) -> None:
    (folder / "step-00000020").rename(folder / "step-00000020.corrupt")
    found = Checkpoints(folder, keep_last=2).newest()
    assert (found.checkpoint and found.checkpoint.step, found.skipped) == (10, ())


@pytest.mark.parametrize("number", REFUSALS)
@pytest.mark.parametrize("name", ["state", "manifest.json"])
def test_a_checkpoint_that_cannot_be_read_for_a_while_is_neither_set_aside_nor_passed_over(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, number: int
) -> None:
    with monkeypatch.context() as patch:
        refuse(patch, name, number)
        with pytest.raises(Unavailable, match=rf"00000020/{name}: .* Run it again .* It was not set aside\.") as caught:
            Checkpoints(folder, keep_last=2).newest()
        assert os.strerror(number) in caught.value.message
    assert names(folder) == ["step-00000010", "step-00000020"]
    found = Checkpoints(folder, keep_last=2).newest().checkpoint
    assert found is not None
    assert found.step == 20


def test_a_folder_that_may_not_be_looked_into_is_not_taken_for_one_without_checkpoints(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(path: str) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)

    for listing in ("listdir", "scandir"):
        monkeypatch.setattr(os, listing, refused)
    with pytest.raises(Unavailable, match="checkpoints: cannot be read: Permission denied"):
        Checkpoints(folder, keep_last=2).newest()


def test_what_a_killed_writer_left_is_removed_and_never_used(folder: Path) -> None:
    half = folder / "step-00000030.partial"
    half.mkdir()
    (half / "state").write_text("half")
    (folder / "step-00000005.stale").mkdir()
    found = Checkpoints(folder, keep_last=2).newest()
    assert found.checkpoint is not None
    assert found.checkpoint.step == 20
    assert names(folder) == ["step-00000010", "step-00000020"]


def test_a_full_disk_is_said_with_place_and_bytes_and_the_previous_checkpoint_is_intact(folder: Path) -> None:
    def onto_a_full_disk(partial: Path) -> None:
        (partial / "state").write_text("some of it")
        with Path("/dev/full").open("w") as full:
            full.write("the rest")

    kept = Checkpoints(folder, keep_last=2)
    with pytest.raises(
        StorageFull, match=r"no room to write the checkpoint of step 30 \(\d+ bytes are free\)"
    ) as caught:
        kept.save(30, onto_a_full_disk, {})
    assert caught.value.fields["path"] == str(folder)
    assert names(folder) == ["step-00000010", "step-00000020"]
    found = kept.newest().checkpoint
    assert found is not None
    assert verify(found.path)["step"] == 20


def wrapped(cause: Exception) -> Exception:
    outer = RuntimeError("unexpected pos 576 vs 534")
    outer.__context__ = cause
    return outer


@pytest.mark.parametrize(
    ("error", "is_full"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), True),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), True),
        (wrapped(OSError(errno.ENOSPC, "No space left on device")), True),
        (Exception("Error while serializing: I/O error: No space left on device (os error 28)"), True),
        (OSError(errno.EACCES, "Permission denied"), False),
        (RuntimeError("something else"), False),
    ],
    ids=["disk", "quota", "torch", "safetensors", "permission", "other"],
)
def test_a_full_disk_is_recognised_through_what_libraries_make_of_it(
    tmp_path: Path, error: Exception, is_full: bool
) -> None:
    assert (full_disk(error, tmp_path, "it") is not None) is is_full


def test_another_failure_while_saving_is_raised_as_it_is(folder: Path) -> None:
    def fails(_: Path) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        Checkpoints(folder, keep_last=2).save(30, fails, {})
    assert names(folder) == ["step-00000010", "step-00000020"]


def test_a_step_is_written_once(folder: Path) -> None:
    again = Checkpoints(folder, keep_last=2).save(20, filled_with("other"), {})
    assert (again.path / "state").read_text() == "02 pets"


def test_the_checkpoint_of_another_run_is_refused_with_what_differs(folder: Path) -> None:
    checkpoint = Checkpoints(folder, keep_last=2).newest().checkpoint
    assert checkpoint is not None
    check_same_run(checkpoint, {"seed": 1})
    with pytest.raises(Conflict, match=r"other settings \(batch, seed\)\. Choose another `output`"):
        check_same_run(checkpoint, {"seed": 2, "batch": 4})


def test_the_manifest_is_json_that_a_person_can_read(folder: Path) -> None:
    manifest = json.loads((folder / "step-00000020" / "manifest.json").read_text())
    assert (manifest["kind"], manifest["step"], sorted(manifest["files"])) == (
        "checkpoint",
        20,
        ["model/weights", "state"],
    )
    assert len(manifest["version"]) == 12
