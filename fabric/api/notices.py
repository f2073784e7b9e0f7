"""How a notice of the web hook is signed, for control and for whoever receives it.

Knows nothing of what a notice says, and has no clock.
"""

import hashlib
import hmac
from collections.abc import Mapping

from fabric.core.errors import Unauthenticated

TIMESTAMP_HEADER, SIGNATURE_HEADER = "Fabric-Timestamp", "Fabric-Signature"
"""When a notice was sent, in whole seconds since the epoch, and `v1=` before HMAC-SHA256 as hexadecimal digits."""

TOLERANCE_S = 300.0
"""Seconds by which a notice may be dated otherwise than the receiver's clock; five minutes are a choice, as of others'
web hooks."""

_VERSION = "v1="


def signed_headers(secret: str, body: bytes, now: float) -> dict[str, str]:
    """What is sent beside a body.

    Args:
        secret: Known to the sender and the receiver alone.
        body: Byte for byte as it is sent.
        now: Seconds since the epoch.
    """
    timestamp = str(int(now))
    return {TIMESTAMP_HEADER: timestamp, SIGNATURE_HEADER: _VERSION + _digest(secret, timestamp, body)}


def check_signature(secret: str, headers: Mapping[str, str], body: bytes, now: float) -> None:
    """Check that a notice comes from who knows the secret, as it is and just now.

    A notice that is sent again by somebody else has an old timestamp. Within the tolerance it has an `id` that the
    receiver has seen, as each is to be compared anyway.

    Args:
        secret: Known to the sender and the receiver alone.
        headers: Of the request, under names in any case.
        body: Byte for byte as it came, before anything reads it.
        now: Seconds since the epoch.

    Raises:
        Unauthenticated: If it is not to be believed.
    """
    given = {name.lower(): value for name, value in headers.items()}
    timestamp, signature = (given.get(name.lower(), "") for name in (TIMESTAMP_HEADER, SIGNATURE_HEADER))
    ours = (_VERSION + _digest(secret, timestamp, body)).encode()
    # Digits alone: a body has points too, at which somebody might cut a notice that was signed.
    if not (hmac.compare_digest(signature.encode(), ours) and timestamp.isascii() and timestamp.isdecimal()):
        raise Unauthenticated(f"{SIGNATURE_HEADER}: this notice is not signed with the secret that it should be")
    if abs(now - int(timestamp)) > TOLERANCE_S:
        raise Unauthenticated(
            f"{TIMESTAMP_HEADER}: sent {now - int(timestamp):.0f} s ago, more than {TOLERANCE_S:g}: somebody repeats "
            "it, or a clock is wrong"
        )


def _digest(secret: str, timestamp: str, body: bytes) -> str:
    return hmac.new(secret.encode(), f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()
