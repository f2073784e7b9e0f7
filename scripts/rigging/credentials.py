"""Keys, certificates, tokens and access files of one rig, made anew for each.

Knows nothing of the components beyond their names and groups.
"""

import base64
import datetime
import ipaddress
import json
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from scripts.rigging.layout import NODES, Layout

MASTERS = "system:masters"
USERS: Mapping[str, Sequence[str]] = {
    "admin": (MASTERS,),
    "fabric": (),
    "kuberay-operator": (),
    "kwok": (),
    "coredns": (),
    "system:kube-controller-manager": (),
    "system:kube-scheduler": (),
    **{f"system:node:{node.name}": ("system:nodes",) for node in NODES},
}
"""Everybody who has a token, and their groups. What they may do is said in the cluster."""
LIFETIME = datetime.timedelta(days=30)
KEY_BITS = 2048


class Authority:
    """A certificate authority that exists for one rig."""

    def __init__(self, folder: Path, now: datetime.datetime) -> None:
        self._folder, self._now = folder, now
        self._key = _new_key()
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "fabric-rig")])
        builder = self._builder(self._name, self._key).add_extension(x509.BasicConstraints(True, None), critical=True)
        self._write("ca", builder, None)

    def issue(self, file: str, name: str, *, groups: Sequence[str] = (), hosts: Sequence[str] = ()) -> None:
        """Write a key and a certificate, for a server if it has hosts, else for a client."""
        names = [x509.NameAttribute(NameOID.COMMON_NAME, name)]
        names += [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
        key = _new_key()
        usage = ExtendedKeyUsageOID.SERVER_AUTH if hosts else ExtendedKeyUsageOID.CLIENT_AUTH
        builder = self._builder(x509.Name(names), key).add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        if hosts:
            alternatives = x509.SubjectAlternativeName([_general(host) for host in hosts])
            builder = builder.add_extension(alternatives, critical=False)
        self._write(file, builder, key)

    def _builder(self, subject: x509.Name, key: rsa.RSAPrivateKey) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._now - datetime.timedelta(hours=1))
            .not_valid_after(self._now + LIFETIME)
        )

    def _write(self, file: str, builder: x509.CertificateBuilder, key: rsa.RSAPrivateKey | None) -> None:
        certificate = builder.sign(self._key, hashes.SHA256())
        (self._folder / f"{file}.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        if key:
            _write_key(self._folder / f"{file}.key", key)


def make_secrets(layout: Layout, host: str, server: str, now: datetime.datetime) -> None:
    """Write all keys, certificates and tokens, and one access file for each user.

    Args:
        layout: Where they go.
        host: Address at which the API server listens.
        server: Its URL.
        now: From when the certificates are valid.
    """
    folder = layout.secrets
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    authority = Authority(folder, now)
    names = ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "localhost", host, "127.0.0.1"]
    authority.issue("apiserver", "kube-apiserver", hosts=names)
    authority.issue("kubelet-client", "kube-apiserver-kubelet-client", groups=[MASTERS])
    _write_key(folder / "accounts.key", _new_key())
    tokens = {user: secrets.token_urlsafe(24) for user in USERS}
    lines = [f'{token},{user},{user},"{",".join(USERS[user])}"' for user, token in tokens.items()]
    _private(folder / "tokens.csv", "\n".join([*lines, ""]))
    authority_data = base64.b64encode((folder / "ca.crt").read_bytes()).decode()
    for user, token in tokens.items():
        file = layout.kubeconfig if user == "admin" else layout.kubeconfig_of(user)
        file.parent.mkdir(parents=True, exist_ok=True)
        _private(file, _kubeconfig(server, authority_data, user, token))


def _kubeconfig(server: str, authority_data: str, user: str, token: str) -> str:
    """An access file; JSON is YAML, too."""
    named = "fabric-rig"
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": named,
        "contexts": [{"name": named, "context": {"cluster": named, "user": user}}],
        "clusters": [{"name": named, "cluster": {"server": server, "certificate-authority-data": authority_data}}],
        "users": [{"name": user, "user": {"token": token}}],
    }
    return json.dumps(config, indent=1) + "\n"


def _new_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)


def _general(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _write_key(file: Path, key: rsa.RSAPrivateKey) -> None:
    text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    _private(file, text.decode())


def _private(file: Path, text: str) -> None:
    file.touch(mode=0o600)
    file.write_text(text)
