"""With which key secrets of projects are sealed, and sealing them anew.

Knows nothing of ciphers, or of where the secrets are.
"""

import fcntl
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from fabric.config import env
from fabric.config.site import Site
from fabric.core.errors import Conflict, FabricError
from fabric.store.backup import closing_store
from fabric.store.database import engine_of, schema_of
from fabric.store.keyring import KEY_FILE, Keyring
from fabric.store.named_secrets import SqlNamedSecrets

_log = logging.getLogger(__name__)

_MOST_SAID = 5


class Sealing(Protocol):
    """Secrets that can be sealed anew."""

    def seal_plain(self) -> int:
        """Seal what an earlier fabric kept as plain text; how many."""
        ...

    def lost(self) -> Mapping[str, Sequence[str]]:
        """Secrets that no key opens, by the id of the key that would."""
        ...


def keyring_of(site: Site, state: Path) -> Keyring:
    """The keys of a site: those it names, or one in the state folder.

    Controls that share a database would not know each other's, so a site with a database server names one.
    """
    if named := env.get(env.SECRETS_KEY_FILE) or site.store.secrets_key_file:
        return Keyring(Path(named), ours=False)
    return Keyring(None if site.store.url is not None else state / KEY_FILE)


def ensured_keyring(site: Site, state: Path) -> Keyring:
    """The same, with a first key where the file is ours and not there yet.

    Raises:
        Unavailable: If the site names a file that is not there.
    """
    keyring = keyring_of(site, state)
    keyring.ensure()
    return keyring


def seal_plain(kept: Sealing) -> None:
    """Seal what an earlier fabric kept as plain text, and log what cannot be read any more; neither stops a start."""
    try:
        if number := kept.seal_plain():
            _log.warning("%d secrets of projects, plain until now, are sealed; older backups hold them plain", number)
        if words := words_of(kept.lost()):
            _log.error("%s", words)
    except FabricError as error:
        _log.error("secrets of projects stay plain: %s", error.message)


def words_of(lost: Mapping[str, Sequence[str]]) -> str:
    """Which secrets cannot be read, and the remedy; empty where all can."""
    found = []
    for key, names in sorted(lost.items()):
        more = f" and {len(names) - _MOST_SAID} more" if len(names) > _MOST_SAID else ""
        found.append(f"key {key} for {', '.join(names[:_MOST_SAID])}{more}")
    if not found:
        return ""
    return (
        f"secrets of projects cannot be read without {'; '.join(found)}. Put the key back into the file of keys, or "
        "set these secrets again."
    )


def rekey(site: Site, state: Path, *, forget_old: bool) -> str:
    """Seal all secrets of projects with a new key, or with the first one of a file of the site; control may run.

    Args:
        site: The installation.
        state: Its state folder.
        forget_old: Whether older keys go, without which older backups' secrets cannot be read.

    Returns:
        What was done, for people.

    Raises:
        Conflict: If a secret cannot be read, the records are of another schema, or somebody else does this just now.
        BadConfig: If there is no key to seal with.
        FabricError: If something cannot be read or written.
    """
    keyring = keyring_of(site, state)
    with closing_store(engine_of(state, site.store)) as engine, _alone(state):
        present, ours = schema_of(engine)
        if present != ours:
            raise Conflict(f"the records have schema {present or 'none'}; start this fabric once, then make a new key")
        kept = SqlNamedSecrets(engine, keyring)
        if words := words_of(kept.lost()):
            raise Conflict(words)
        keyring.require_key()
        if keyring.ours:
            keyring.add()
        number = kept.seal_again()
        if forget_old and keyring.ours:
            keyring.forget_old()
    first, *older = keyring.ids()
    said = f"{number} secrets of projects are sealed anew, with key {first} of {keyring.file}."
    if not older:
        return said
    needed = "older backups need them" if keyring.ours else "only older backups need them, take them out when none does"
    return f"{said} It holds older keys too ({', '.join(older)}): {needed}."


@contextmanager
def _alone(state: Path) -> Iterator[None]:
    """Let nobody else make a new key meanwhile: who forgets the old ones would forget one that seals.

    Raises:
        Conflict: If somebody does.
    """
    held = os.open(state, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Conflict("somebody else makes a new key just now; wait until that is done") from None
        yield
    finally:
        os.close(held)
