"""Whose certificates a client of ours believes: the system's authorities, and one file of a site's own.

Knows nothing of requests. The standard library only, as the SDK loads it.
"""

import ssl
from importlib.util import find_spec
from pathlib import Path

from fabric.core.errors import BadConfig


def trust(url: str, ca: str | Path | None = None) -> ssl.SSLContext | bool:
    """What httpx takes as `verify` for a server: plain HTTP needs nothing, and certificates take 30 ms to load.

    Args:
        url: Of the server.
        ca: File of certificates, in PEM, that are believed beside the system's.

    Raises:
        BadConfig: If that file cannot be read.
    """
    return believing(ca) if url.startswith("https:") else False


def believing(ca: str | Path | None) -> ssl.SSLContext:
    """A client's side of TLS.

    Args:
        ca: File of certificates, in PEM, that are believed beside the system's: of authorities, or a server's own.

    Raises:
        BadConfig: If it cannot be read.
    """
    context = ssl.create_default_context()
    if find_spec("certifi") is not None:  # comes with httpx; small images have no authorities of the system's
        import certifi

        context.load_verify_locations(certifi.where())
    if ca is not None:
        try:
            context.load_verify_locations(cafile=ca)
        except OSError as error:  # ssl.SSLError is one
            raise BadConfig(f"{ca}: no certificates can be read from it: {reason(error)}", path=str(ca)) from None
        # A server's own certificate may stand for the authority that signed it.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def reason(error: OSError) -> str:
    """What the system or OpenSSL says, in words."""
    if isinstance(error, ssl.SSLError):
        return (error.reason or "it is no PEM").replace("_", " ").lower()
    return error.strerror or str(error)
