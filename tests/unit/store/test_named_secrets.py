"""Secrets of projects are kept until they are forgotten, sealed, and show their value to who asks for it alone."""

from pathlib import Path

import pytest
from sqlalchemy import Engine, insert, select, update

from fabric.core.errors import Unavailable
from fabric.store.database import DATABASE, reading, writing
from fabric.store.keyring import Keyring
from fabric.store.named_secrets import NamedSecret, SqlNamedSecrets
from fabric.store.schema import NAMED_SECRETS

HF = NamedSecret("alpha", "hf", "ann", 5.0)


@pytest.fixture
def keyring(tmp_path: Path) -> Keyring:
    ring = Keyring(tmp_path / "secrets.key")
    ring.ensure()
    return ring


@pytest.fixture
def kept(engine: Engine, keyring: Keyring) -> SqlNamedSecrets:
    return SqlNamedSecrets(engine, keyring)


def plain(engine: Engine, name: str, value: str) -> None:
    """A row as an earlier fabric wrote it."""
    with writing(engine) as connection:
        row = {"project": "alpha", "name": name, "value": value, "by": "ann", "at": 5.0}
        connection.execute(insert(NAMED_SECRETS), row)


def on_disk(tmp_path: Path) -> bytes:
    """Everything that SQLite has in files."""
    return b"".join(file.read_bytes() for file in (tmp_path / "state").glob(f"{DATABASE}*"))


def test_what_is_set_last_is_what_it_holds(kept: SqlNamedSecrets) -> None:
    kept.put_named_secret(HF, "hf-1 ü")
    kept.put_named_secret(newer := NamedSecret("alpha", "hf", "bob", 6.0), "hf-2")
    kept.put_named_secret(other := NamedSecret("alpha", "a", "bob", 6.0), "x")
    assert kept.named_secrets("alpha") == (other, newer)
    assert kept.named_secret("alpha", "hf") == "hf-2"


def test_projects_have_secrets_of_their_own(kept: SqlNamedSecrets) -> None:
    kept.put_named_secret(HF, "v")
    assert (kept.named_secrets("beta"), kept.named_secret("beta", "hf")) == ((), None)
    assert not kept.drop_named_secret("beta", "hf")
    assert kept.drop_named_secret("alpha", "hf")
    assert kept.named_secret("alpha", "hf") is None


def test_no_file_of_the_database_holds_what_is_secret(kept: SqlNamedSecrets, tmp_path: Path) -> None:
    kept.put_named_secret(HF, "not-to-be-seen")
    assert b"ann" in on_disk(tmp_path)
    assert b"not-to-be-seen" not in on_disk(tmp_path)


def test_what_an_earlier_fabric_kept_plain_is_read_and_then_sealed_without_a_trace(
    engine: Engine, kept: SqlNamedSecrets, tmp_path: Path
) -> None:
    plain(engine, "hf", "not-to-be-seen")
    plain(engine, "wandb", "nor-this")
    assert kept.named_secret("alpha", "hf") == "not-to-be-seen"
    assert b"not-to-be-seen" in on_disk(tmp_path)
    assert (kept.seal_plain(), kept.seal_plain()) == (2, 0)
    assert b"not-to-be-seen" not in on_disk(tmp_path)
    assert [kept.named_secret("alpha", name) for name in ("hf", "wandb")] == ["not-to-be-seen", "nor-this"]


def test_a_new_key_seals_everything_again(kept: SqlNamedSecrets, keyring: Keyring) -> None:
    kept.put_named_secret(HF, "v")
    assert kept.seal_again() == 0
    keyring.add()
    kept.put_named_secret(NamedSecret("alpha", "new", "ann", 6.0), "w")
    assert kept.seal_again() == 1
    keyring.forget_old()
    assert kept.lost() == {}
    assert [kept.named_secret("alpha", name) for name in ("hf", "new")] == ["v", "w"]


def test_with_a_lost_key_nothing_is_sealed_again_and_it_is_said_what_is_lost(
    engine: Engine, kept: SqlNamedSecrets, keyring: Keyring, tmp_path: Path
) -> None:
    kept.put_named_secret(HF, "v")
    (old,) = keyring.ids()
    (tmp_path / "secrets.key").unlink()
    keyring.ensure()
    plain(engine, "a", "w")
    assert kept.lost() == {old: ["alpha/hf"]}
    with pytest.raises(Unavailable, match="secret hf of project alpha is sealed with key"):
        kept.seal_again()
    with reading(engine) as connection:
        keys = connection.execute(select(NAMED_SECRETS.c.sealed_with).order_by(NAMED_SECRETS.c.name)).scalars().all()
    assert keys == [None, old]


def test_a_row_cannot_stand_in_for_another_one(engine: Engine, kept: SqlNamedSecrets) -> None:
    kept.put_named_secret(HF, "of alpha")
    with writing(engine) as connection:
        connection.execute(update(NAMED_SECRETS).values(project="beta"))
    with pytest.raises(Unavailable, match="secret hf of project beta was changed in the database"):
        kept.named_secret("beta", "hf")
