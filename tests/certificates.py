"""Certificates for tests, made in a moment.

Knows nothing of who shows or believes them.
"""

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Certificate:
    """Two files in PEM, and what signs others."""

    cert: Path
    key: Path
    signed: x509.Certificate
    secret: ec.EllipticCurvePrivateKey

    @classmethod
    def make(
        cls, folder: Path, *names: str, by: Self | None = None, valid: timedelta = DAY, passphrase: str | None = None
    ) -> Self:
        """One for these names and addresses; without names an authority, without `by` one that signs itself."""
        stem = names[0] if names else "authority"
        secret = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, stem)])
        now = datetime.now(UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(by.signed.subject if by else subject)
            .public_key(secret.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - 2 * DAY)
            .not_valid_after(now + valid)
            .add_extension(x509.BasicConstraints(ca=not names, path_length=None), critical=True)
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName([_general(name) for name in names]), False)
        signed = builder.sign(by.secret if by else secret, hashes.SHA256())
        cert, key = folder / f"{stem}.pem", folder / f"{stem}.key"
        cert.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
        hidden = serialization.BestAvailableEncryption(passphrase.encode()) if passphrase else None
        key.write_bytes(
            secret.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, hidden or serialization.NoEncryption()
            )
        )
        return cls(cert, key, signed, secret)


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
