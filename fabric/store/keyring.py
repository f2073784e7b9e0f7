"""The keys that open secrets of projects: a file of one key a line, of which the first seals and all open.

Knows nothing of what is sealed, or of where it is kept. A key is 32 random bytes as base64. It is told from others by
its id, a part of its hash, so that what was sealed says which key it needs.
"""

import base64
import binascii
import hashlib
import os
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from fabric.core.errors import BadConfig, NotFound, Unavailable
from fabric.store.errors import file_errors
from fabric.store.files import write_atomically

KEY_FILE = "secrets.key"
"""Name of the file in the state folder."""
_KEY_BYTES, _NONCE_BYTES, _ID_DIGITS = 32, 12, 8


@dataclass(frozen=True, slots=True)
class Sealed:
    """A value that only who has the key can read, and nobody can change unnoticed."""

    key: str
    """Id of the key."""
    text: str
    """Nonce and AES-256-GCM's answer, as base64."""


@dataclass(frozen=True, slots=True)
class Keyring:
    """The keys in a file, which is read again whenever it matters; safe to call from any thread and process."""

    file: Path | None
    """None where the site has to name one first."""
    ours: bool = True
    """Whether we may write it; one that the site names is its own."""

    def seal(self, value: str, place: str) -> Sealed:
        """Seal a value with the first key.

        Args:
            value: What is secret.
            place: Where it is kept; it opens there only.

        Raises:
            BadConfig: If the file holds no keys.
            Unavailable: If there is none, or it cannot be read.
        """
        key_id, key = self._first()
        nonce = secrets.token_bytes(_NONCE_BYTES)
        hidden = AESGCM(key).encrypt(nonce, value.encode(), place.encode())
        return Sealed(key_id, base64.b64encode(nonce + hidden).decode())

    def open(self, sealed: Sealed, place: str, what: str) -> str:
        """The value.

        Args:
            sealed: As it is kept.
            place: Where.
            what: What it is, for people.

        Raises:
            Unavailable: If its key is lost, the file of keys is wrong, or somebody changed it; with the remedy.
        """
        try:
            key = self._keys().get(sealed.key)
        except (BadConfig, NotFound) as error:
            # It is mended in the file: who needs the value waits for that, and does not fail for good.
            raise Unavailable(error.message, path=str(self.file)) from None
        if key is None:
            raise Unavailable(
                f"{what} is sealed with key {sealed.key}, which {self.file} does not hold. Put a line with that key "
                "back into the file, from where you keep it apart from backups; or set the secret again.",
                key=sealed.key,
            )
        try:
            raw = base64.b64decode(sealed.text, validate=True)
            return AESGCM(key).decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], place.encode()).decode()
        except (InvalidTag, ValueError):
            raise Unavailable(f"{what} was changed in the database and is not believed; set it again") from None

    def ids(self) -> tuple[str, ...]:
        """Of all keys, the one that seals first; none where there is no file.

        Raises:
            BadConfig: If the file holds something else.
        """
        return tuple(self._keys()) if self.file is not None and self.file.exists() else ()

    def require_key(self) -> None:
        """See that there is a key to seal with, or that we may make one.

        Raises:
            BadConfig: If the file holds no keys.
            Unavailable: If there is none, or it cannot be read.
        """
        if self.file is None or not self.ours:
            self._first()

    def ensure(self) -> None:
        """Make the first key where the file is ours and not there; only this user can read it.

        Raises:
            Unavailable: If the site names a file that is not there.
        """
        if self.file is None or self.file.exists():
            if self.file is not None and self.ours:
                with file_errors(self.file):
                    os.chmod(self.file, 0o600)
            return
        if not self.ours:
            raise Unavailable(_missing(self.file), path=str(self.file))
        self._write([secrets.token_bytes(_KEY_BYTES)])

    def add(self) -> str:
        """Let a new key seal from now on, with which all others still open; its id.

        Raises:
            BadConfig: If the file is the site's own.
        """
        self._require_ours()
        key = secrets.token_bytes(_KEY_BYTES)
        self._write([key, *(self._keys().values() if self.ids() else ())])
        return id_of(key)

    def forget_old(self) -> None:
        """Keep the first key only.

        Raises:
            BadConfig: If the file is the site's own.
        """
        self._require_ours()
        self._write([*self._keys().values()][:1])

    def _first(self) -> tuple[str, bytes]:
        """Id and key that seal.

        Raises:
            BadConfig: If the file holds no keys.
        """
        found = next(iter(self._keys().items()), None)
        if found is None:
            raise BadConfig(f"{self.file} holds no key; write one as base64 of 32 random bytes", path=str(self.file))
        return found

    def _require_ours(self) -> None:
        """Refuse to write what the site writes.

        Raises:
            BadConfig: If it is.
        """
        if self.file is None or not self.ours:
            raise BadConfig(f"{self.file or 'the key of secrets'} is written by the site, and not by the fabric")

    def _keys(self) -> Mapping[str, bytes]:
        """Keys by id, in the order of the file.

        Raises:
            BadConfig: If the file holds something else.
            Unavailable: If it is not there or cannot be read.
        """
        if self.file is None:
            raise Unavailable(
                "controls that share a database need one key for secrets: name its file in the site file as "
                "`store: {secrets_key_file: /PATH}`, or in FABRIC_SECRETS_KEY_FILE"
            )
        if not self.file.exists():
            raise Unavailable(_missing(self.file), path=str(self.file))
        with file_errors(self.file):
            lines = self.file.read_bytes().split(b"\n")
        found = {}
        for number, line in enumerate(lines, 1):
            if (text := line.strip()) and not text.startswith(b"#"):
                key = _key(text, f"{self.file}:{number}")
                found[id_of(key)] = key
        return found

    def _write(self, keys: Iterable[bytes]) -> None:
        if self.file is not None:
            lines = (base64.b64encode(key).decode() for key in keys)
            write_atomically(self.file, "".join(f"{line}\n" for line in lines).encode())


def id_of(key: bytes) -> str:
    """What a key is called where it is not shown."""
    return hashlib.sha256(b"fabric secrets key\n" + key).hexdigest()[:_ID_DIGITS]


def _key(text: bytes, place: str) -> bytes:
    """Read a line.

    Raises:
        BadConfig: Naming the line, and not what it holds.
    """
    try:
        key = base64.b64decode(text.translate(bytes.maketrans(b"-_", b"+/")), validate=True)
    except binascii.Error:
        key = b""
    if len(key) != _KEY_BYTES:
        raise BadConfig(f"{place}: no key; write each as base64 of {_KEY_BYTES} random bytes, the one that seals first")
    return key


def _missing(file: Path) -> str:
    return (
        f"{file}, which opens secrets of projects, is not there. Put it back from where you keep it apart from backups;"
        " or start the fabric anew with a new key in it, and set the secrets again."
    )
