"""The certificate of a site, and whether clients will take it.

Knows nothing of the programs that show it.
"""

import ssl
from pathlib import Path
from typing import Self

from pydantic import model_validator

from fabric.config.settings import Settings
from fabric.config.trust import believing, reason
from fabric.core.errors import BadConfig


class Tls(Settings):
    """What control, gateway and console answer https with."""

    cert: str
    """File in PEM with the certificate, and those between it and its authority behind it; an absolute path."""

    key: str
    """File in PEM with its private key, without a passphrase; an absolute path."""

    name: str | None = None
    """Name in the certificate by which clients call this machine; None if it is the address that is listened on."""

    ca: str | None = None
    """File in PEM with the certificates that clients should believe, an absolute path; None gives them the certificate
    itself, as for one that signed itself."""

    @model_validator(mode="after")
    def _absolute(self) -> Self:
        for field in ("cert", "key", "ca"):
            given = getattr(self, field)
            if given is not None and not given.startswith("/"):
                raise ValueError(f"{field} must be an absolute path")
        return self

    @property
    def believed(self) -> str:
        """The file that clients should believe."""
        return self.ca or self.cert


_ROUNDS = 5
"""Exchanges after which any handshake is over."""


def check_tls(tls: Tls, name: str) -> None:
    """Check that the files belong together and that a client who calls the server `name` takes them.

    Raises:
        BadConfig: Naming the file and what is wrong with it.
    """
    for file in (tls.cert, tls.key):
        try:
            Path(file).read_bytes()
        except OSError as error:
            raise BadConfig(f"{file}: cannot be read: {reason(error)}", path=file) from None
    server, client = _showing(tls), believing(tls.believed)
    try:
        _shake_hands(server, client, name)
    except ssl.SSLCertVerificationError as error:
        raise BadConfig(
            f"{tls.cert}: clients will refuse it: {error.verify_message.rstrip('.')}", path=tls.cert
        ) from None


def _showing(tls: Tls) -> ssl.SSLContext:
    """A server's side.

    Raises:
        BadConfig: If certificate and key are none, or none of each other.
    """

    def passphrase() -> str:
        raise BadConfig(f"{tls.key}: needs a passphrase, which nobody types when the fabric starts", path=tls.key)

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(tls.cert, tls.key, passphrase)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise BadConfig(f"{tls.key}: is not the key of the certificate in {tls.cert}", path=tls.key) from None
        raise BadConfig(
            f"{tls.cert}, {tls.key}: no certificate and key in PEM: {reason(error)}", path=tls.cert
        ) from None
    return context


def _shake_hands(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> None:
    """Let both meet in memory.

    Raises:
        ssl.SSLCertVerificationError: If the client does not take what the server shows.
    """
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        client.wrap_bio(back, there, server_hostname=name),
        server.wrap_bio(there, back, server_side=True),
    )
    for _ in range(_ROUNDS):
        for end in ends:
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
