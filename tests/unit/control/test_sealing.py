"""Which key seals the secrets of a site, what a start does about it, and a new key while everything goes on."""

import fcntl
import logging
import os
from pathlib import Path

import pytest
from sqlalchemy import insert

from fabric.config import env
from fabric.config.store import Store
from fabric.control import backups
from fabric.control.sealing import keyring_of, rekey, seal_plain, words_of
from fabric.core.errors import Conflict, FabricError
from fabric.store.backup import closing_store
from fabric.store.database import engine_of, writing
from fabric.store.keyring import KEY_FILE, Keyring
from fabric.store.named_secrets import NamedSecret, SqlNamedSecrets
from fabric.store.schema import NAMED_SECRETS
from tests.builders import tiny_site
from tests.stores import ready_store

HF = NamedSecret("alpha", "hf", "ann", 5.0)
KEY = "a2tra2tra2tra2tra2tra2tra2tra2tra2tra2tra2s=\n"


def test_a_site_names_the_file_or_it_is_beside_the_other_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shared, named = Store(url="postgresql://fabric@db/fabric"), Store(secrets_key_file="/etc/fabric/secrets")
    assert keyring_of(tiny_site(), tmp_path) == Keyring(tmp_path / KEY_FILE)
    assert keyring_of(tiny_site(store=named), tmp_path) == Keyring(Path("/etc/fabric/secrets"), ours=False)
    assert keyring_of(tiny_site(store=shared), tmp_path) == Keyring(None)
    monkeypatch.setenv(env.SECRETS_KEY_FILE, "/run/credentials/secrets")
    for store in (shared, named, Store()):
        assert keyring_of(tiny_site(store=store), tmp_path) == Keyring(Path("/run/credentials/secrets"), ours=False)


def test_a_start_seals_what_is_plain_and_says_what_is_lost(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    engine, keyring = ready_store(tmp_path), Keyring(tmp_path / KEY_FILE)
    kept = SqlNamedSecrets(engine, keyring)
    with writing(engine) as connection:
        row = {"project": "alpha", "name": "wandb", "value": "plain", "by": "ann", "at": 1.0}
        connection.execute(insert(NAMED_SECRETS), row)
    seal_plain(kept)
    assert "stay plain" in caplog.text
    keyring.ensure()
    (lost,) = keyring.ids()
    seal_plain(kept)
    (tmp_path / KEY_FILE).unlink()
    keyring.ensure()
    caplog.clear()
    with caplog.at_level(logging.ERROR):
        seal_plain(kept)
    assert f"without key {lost} for alpha/wandb. Put the key back" in caplog.text
    assert "plain" not in caplog.text
    engine.dispose()


def test_many_that_are_lost_are_said_in_few_words() -> None:
    words = words_of({"k2": ["b/x"], "k1": [f"a/{number}" for number in range(7)]})
    assert "key k1 for a/0, a/1, a/2, a/3, a/4 and 2 more; key k2 for b/x" in words
    assert words_of({}) == ""


def test_a_new_key_seals_everything_and_the_older_one_stays_until_it_is_to_go(tmp_path: Path) -> None:
    engine, site, keyring = ready_store(tmp_path), tiny_site(), Keyring(tmp_path / KEY_FILE)
    keyring.ensure()
    kept = SqlNamedSecrets(engine, keyring)
    kept.put_named_secret(HF, "v")
    (old,) = keyring.ids()
    said = rekey(site, tmp_path, forget_old=False)
    assert said.startswith("1 secrets of projects are sealed anew, with key ")
    assert f"older keys too ({old}): older backups need them" in said
    assert "older" not in rekey(site, tmp_path, forget_old=True)
    assert (len(keyring.ids()), kept.named_secret("alpha", "hf")) == (1, "v")
    (tmp_path / KEY_FILE).write_text(KEY)
    with pytest.raises(Conflict, match="cannot be read without key .* for alpha/hf"):
        rekey(site, tmp_path, forget_old=True)
    assert (tmp_path / KEY_FILE).read_text() == KEY
    engine.dispose()


def test_of_two_who_make_a_new_key_at_once_one_is_refused(tmp_path: Path) -> None:
    engine, held = ready_store(tmp_path), os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    with pytest.raises(Conflict, match="somebody else makes a new key"):
        rekey(tiny_site(), tmp_path, forget_old=False)
    os.close(held)
    rekey(tiny_site(), tmp_path, forget_old=False)
    engine.dispose()


@pytest.mark.parametrize("content", [None, "# later\n"])
def test_without_a_key_of_the_site_nothing_is_sealed_anew_and_it_is_said(tmp_path: Path, content: str | None) -> None:
    engine, file = ready_store(tmp_path), tmp_path / "named"
    if content is not None:
        file.write_text(content)
    with pytest.raises(FabricError, match="is not there|holds no key"):
        rekey(tiny_site(store=Store(secrets_key_file=str(file))), tmp_path, forget_old=False)
    engine.dispose()


def test_the_first_key_of_a_file_that_the_site_writes_seals_everything(tmp_path: Path) -> None:
    engine, file = ready_store(tmp_path), tmp_path / "named"
    site, old = tiny_site(store=Store(secrets_key_file=str(file))), Keyring(tmp_path / "old")
    old.ensure()
    SqlNamedSecrets(engine, old).put_named_secret(HF, "v")
    file.write_text(KEY + (tmp_path / "old").read_text())
    said = rekey(site, tmp_path, forget_old=True)
    assert (f"with key {keyring_of(site, tmp_path).ids()[0]}" in said, "take them out when none does" in said) == (
        True,
        True,
    )
    assert len(keyring_of(site, tmp_path).ids()) == 2, "we never write it"
    file.write_text(KEY)
    assert SqlNamedSecrets(engine, keyring_of(site, tmp_path)).named_secret("alpha", "hf") == "v"
    engine.dispose()


def test_a_backup_holds_secrets_sealed_and_not_the_key_and_both_are_said(tmp_path: Path) -> None:
    state, other, file = tmp_path / "state", tmp_path / "other", tmp_path / "b.tar"
    engine, keyring = ready_store(state), Keyring(state / KEY_FILE)
    keyring.ensure()
    SqlNamedSecrets(engine, keyring).put_named_secret(HF, "not-to-be-seen")
    engine.dispose()
    said = backups.back_up(tiny_site(), state, file)
    assert f"The key that opens secrets of projects is not in it: keep {state / KEY_FILE} apart." in said
    assert (state / KEY_FILE).read_bytes().strip() not in file.read_bytes()
    assert b"not-to-be-seen" not in file.read_bytes()
    ready_store(other).dispose()
    said = backups.restore(tiny_site(), other, file, force=True)
    assert f"But secrets of projects cannot be read without key {keyring.ids()[0]} for alpha/hf" in said
    with closing_store(engine_of(other)) as restored:
        assert SqlNamedSecrets(restored, keyring).named_secret("alpha", "hf") == "not-to-be-seen"
