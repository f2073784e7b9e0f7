"""Keys of secrets: made once, read by nobody else, and what they sealed opens with them alone."""

import base64
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from fabric.core.errors import BadConfig, FabricError, Unavailable
from fabric.store.keyring import Keyring, id_of

PLACE, WHAT = "named_secrets/alpha/hf", "secret hf of project alpha"


@pytest.fixture
def keyring(tmp_path: Path) -> Keyring:
    ring = Keyring(tmp_path / "secrets.key")
    ring.ensure()
    return ring


def line(key: bytes) -> bytes:
    return base64.b64encode(key) + b"\n"


def test_the_first_key_is_made_once_and_only_its_owner_reads_it(keyring: Keyring) -> None:
    assert keyring.file is not None
    keyring.file.chmod(0o644)
    made = keyring.file.read_bytes()
    keyring.ensure()
    assert (keyring.file.read_bytes(), stat.S_IMODE(keyring.file.stat().st_mode)) == (made, 0o600)


def test_what_is_sealed_opens_in_its_place_and_twice_the_same_looks_different(keyring: Keyring) -> None:
    one, other = (keyring.seal("hf-1 ü", PLACE) for _ in range(2))
    assert keyring.open(one, PLACE, WHAT) == keyring.open(other, PLACE, WHAT) == "hf-1 ü"
    assert one.text != other.text
    assert "hf-1" not in str(one)


@pytest.mark.parametrize("place", ["named_secrets/beta/hf", "named_secrets/alpha/h"])
def test_what_is_moved_elsewhere_is_not_believed(keyring: Keyring, place: str) -> None:
    with pytest.raises(Unavailable, match="secret hf of project alpha was changed in the database"):
        keyring.open(keyring.seal("v", PLACE), place, WHAT)


@pytest.mark.parametrize("text", ["", "no base64!", "AAAA", base64.b64encode(b"x" * 40).decode()])
def test_what_is_changed_is_not_believed(keyring: Keyring, text: str) -> None:
    with pytest.raises(Unavailable, match="not believed; set it again"):
        keyring.open(replace(keyring.seal("v", PLACE), text=text), PLACE, WHAT)


def test_a_lost_key_is_named_with_the_remedy(keyring: Keyring, tmp_path: Path) -> None:
    sealed = keyring.seal("v", PLACE)
    (tmp_path / "secrets.key").unlink()
    with pytest.raises(Unavailable, match="is not there. Put it back"):
        keyring.open(sealed, PLACE, WHAT)
    keyring.ensure()
    with pytest.raises(Unavailable, match=f"sealed with key {sealed.key}, which .* does not hold. Put a line"):
        keyring.open(sealed, PLACE, WHAT)


def test_who_needs_a_value_waits_while_the_file_of_keys_is_wrong(keyring: Keyring, tmp_path: Path) -> None:
    sealed, file = keyring.seal("v", PLACE), tmp_path / "secrets.key"
    good = file.read_bytes()
    file.write_bytes(good + b"half a li")
    with pytest.raises(Unavailable, match="base64 of 32 random bytes"):
        keyring.open(sealed, PLACE, WHAT)
    file.write_bytes(good)
    assert keyring.open(sealed, PLACE, WHAT) == "v"


def test_a_new_key_seals_and_the_older_ones_open_until_they_are_forgotten(keyring: Keyring) -> None:
    before = keyring.seal("v", PLACE)
    new = keyring.add()
    assert keyring.ids() == (new, before.key)
    assert keyring.seal("v", PLACE).key == new
    assert keyring.open(before, PLACE, WHAT) == "v"
    keyring.forget_old()
    assert keyring.ids() == (new,)


def test_a_file_of_the_site_is_read_with_its_comments_and_never_written(tmp_path: Path) -> None:
    file = tmp_path / "named"
    ring = Keyring(file, ours=False)
    with pytest.raises(Unavailable, match="named, which opens secrets of projects, is not there"):
        ring.ensure()
    url_safe = base64.urlsafe_b64encode(b"\xff" * 32)
    file.write_bytes(b"# of 2026\n" + url_safe + b"\n\n" + line(b"b" * 32))
    ring.ensure()
    assert ring.ids() == (id_of(b"\xff" * 32), id_of(b"b" * 32))
    for change in (ring.add, ring.forget_old):
        with pytest.raises(BadConfig, match="written by the site"):
            change()


@pytest.mark.parametrize("content", [b"not base64 ~~~\n", line(b"short"), b"# only words\n"])
def test_a_file_without_keys_is_wrong_and_not_repeated(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "named").write_bytes(content)
    with pytest.raises(BadConfig, match="base64 of 32 random bytes") as error:
        Keyring(tmp_path / "named", ours=False).seal("v", PLACE)
    assert content.decode().strip() not in str(error.value)


def test_without_a_file_the_site_is_told_to_name_one() -> None:
    ring = Keyring(None)
    ring.ensure()
    assert ring.ids() == ()
    with pytest.raises(FabricError, match="secrets_key_file"):
        ring.seal("v", PLACE)
