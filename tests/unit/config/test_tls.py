"""What a site answers https with is looked at before anything starts."""

import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from fabric.config import env
from fabric.config.load import decode
from fabric.config.site import Site
from fabric.config.tls import Tls, check_tls
from fabric.config.trust import believing, trust
from fabric.core.errors import BadConfig
from tests.certificates import DAY, Certificate

TIERS = [{"name": "all", "nodes": 1, "capacity": {"cpus": 4, "memory": "8 GiB"}, "heads": True}]


def tls_of(made: Certificate, **more: str) -> Tls:
    return Tls(cert=str(made.cert), key=str(made.key), **more)


@pytest.mark.parametrize("name", ["127.0.0.1", "fabric.example", "::1"])
def test_one_that_signed_itself_is_taken_for_the_names_in_it(tmp_path: Path, name: str) -> None:
    check_tls(tls_of(Certificate.make(tmp_path, "127.0.0.1", "::1", "fabric.example")), name)


def test_one_that_an_authority_signed_is_taken_with_the_authority_or_by_itself(tmp_path: Path) -> None:
    authority = Certificate.make(tmp_path)
    made = Certificate.make(tmp_path, "fabric.example", by=authority)
    check_tls(tls_of(made, ca=str(authority.cert)), "fabric.example")
    check_tls(tls_of(made), "fabric.example")


def rubbish(folder: Path) -> Tls:
    (folder / "rubbish.pem").write_text("nothing\n")
    return tls_of(Certificate.make(folder, "a.example"), ca=str(folder / "rubbish.pem"))


def no_pem(folder: Path) -> Tls:
    made = Certificate.make(folder, "a.example")
    made.cert.write_text("nothing\n")
    return tls_of(made)


def of_each_other(folder: Path) -> Tls:
    one, other = Certificate.make(folder, "a.example"), Certificate.make(folder, "b.example")
    return Tls(cert=str(one.cert), key=str(other.key))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda folder: Tls(cert=f"{folder}/none.pem", key=f"{folder}/none.key"), "none.pem: cannot be read: No such"),
        (lambda folder: Tls(cert=str(folder), key=str(folder)), "cannot be read: Is a directory"),
        (no_pem, "a.example.pem, .*a.example.key: no certificate and key in PEM"),
        (of_each_other, "b.example.key: is not the key of the certificate in .*a.example.pem"),
        (lambda f: tls_of(Certificate.make(f, "a.example", passphrase="x")), "a.example.key: needs a passphrase"),
        (lambda f: tls_of(Certificate.make(f, "a.example", valid=-DAY)), "will refuse it: certificate has expired"),
        (lambda f: tls_of(Certificate.make(f, "b.example")), "will refuse it: Hostname mismatch, .* 'a.example'"),
        (
            lambda f: tls_of(Certificate.make(f, "a.example"), ca=str(Certificate.make(f).cert)),
            "will refuse it: self-signed certificate",
        ),
        (rubbish, "rubbish.pem: no certificates can be read from it"),
    ],
)
def test_what_clients_would_refuse_is_found_with_the_file(
    tmp_path: Path, make: Callable[[Path], Tls], words: str
) -> None:
    with pytest.raises(BadConfig, match=words):
        check_tls(make(tmp_path), "a.example")


@pytest.mark.parametrize(
    ("tls", "words"),
    [
        ({"cert": "a.pem", "key": "/a.key"}, "cert must be an absolute path"),
        ({"cert": "/a.pem"}, "tls.key: is required"),
        ({"cert": "/a.pem", "key": "/a.key", "password": "x"}, "tls.password: unknown key"),
    ],
)
def test_a_site_names_both_files_by_whole_paths(tls: dict[str, str], words: str) -> None:
    with pytest.raises(BadConfig, match=words):
        decode(Site, {"name": "s", "tiers": TIERS, "tls": tls}, "site")


@pytest.mark.parametrize(
    ("site", "url"),
    [
        ({"host": "0.0.0.0"}, "http://127.0.0.1:8270"),
        ({"tls": {"cert": "/a", "key": "/b"}}, "https://127.0.0.1:8270"),
        ({"host": "0.0.0.0", "tls": {"cert": "/a", "key": "/b", "name": "fab.example"}}, "https://fab.example:8270"),
        ({"host": "::1", "tls": {"cert": "/a", "key": "/b"}}, "https://[::1]:8270"),
    ],
)
def test_a_sites_address_is_the_one_in_its_certificate(site: dict[str, object], url: str) -> None:
    read = decode(Site, {"name": "s", "tiers": TIERS, **site}, "site")
    assert read.url(read.ports.control) == url


def test_plain_http_loads_no_certificates(tmp_path: Path) -> None:
    assert trust("http://127.0.0.1:8270", tmp_path / "none.pem") is False
    with pytest.raises(BadConfig, match=r"none\.pem: no certificates can be read from it: No such file"):
        trust("https://127.0.0.1:8270", tmp_path / "none.pem")


def test_without_a_file_the_systems_authorities_are_believed_and_names_are_checked() -> None:
    context = believing(None)
    assert (context.check_hostname, context.verify_mode) == (True, ssl.CERT_REQUIRED)
    assert context.cert_store_stats()["x509_ca"] > 0


def test_who_says_nothing_believes_the_certificate_of_the_local_fabric(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(env.CA, raising=False)
    assert env.authority(tmp_path) is None
    (tmp_path / env.CA_FILE).write_text("x")
    assert env.authority(tmp_path) == tmp_path / env.CA_FILE
    monkeypatch.setenv(env.CA, "/site/ca.pem")
    assert env.authority(tmp_path) == Path("/site/ca.pem")
