"""A site says where its records are, and never with a secret in it."""

from pathlib import Path
from typing import Any

import pytest

from fabric.config.load import decode
from fabric.config.store import Store
from fabric.core.errors import BadConfig, NotFound
from fabric.store.postgres import place, postgres_engine, read_password

URL = "postgresql://fabric@db.site:5432/fabric"


@pytest.mark.parametrize(
    "good",
    [
        {},
        {"url": URL},
        {"url": "postgresql+psycopg://fabric@db.site/fabric?sslmode=verify-full"},
        {"url": "postgresql:///fabric?host=/run/postgresql", "lease_s": 10.0},
        {"url": URL, "password_file": "/etc/fabric/database"},
        {"secrets_key_file": "/etc/fabric/secrets"},
    ],
)
def test_a_store_is_sqlite_or_a_postgresql_that_is_named(good: dict[str, Any]) -> None:
    assert decode(Store, good, "site").url == good.get("url")


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        ({"url": "sqlite:///x.db"}, "must be of the form postgresql://USER@HOST:PORT/DATABASE"),
        ({"url": "mysql://fabric@db/fabric"}, "must be of the form"),
        ({"url": "postgresql://fabric@db"}, "must be of the form"),
        ({"url": "postgresql://fabric@db:port/fabric"}, "must be of the form"),
        ({"url": "postgresql://[fabric/fabric"}, "must be of the form"),
        ({"password_file": "/secret"}, "a password needs a database"),
        ({"url": URL, "password_file": "secret"}, "must be an absolute path"),
        ({"url": URL, "lease_s": 0.5}, "greater than or equal to 2"),
        ({"url": URL, "password": "x"}, "unknown key"),
    ],
)
def test_what_names_no_database_is_refused_with_what_to_write(bad: dict[str, Any], words: str) -> None:
    with pytest.raises(BadConfig, match=words):
        decode(Store, bad, "site")


@pytest.mark.parametrize(
    "url", ["postgresql://fabric:hunter2@db/fabric", "postgresql://fabric@db/fabric?password=hunter2"]
)
def test_a_password_in_the_url_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(BadConfig, match="write it into a file and name that as `password_file`") as raised:
        decode(Store, {"url": url}, "site")
    assert "hunter2" not in str(raised.value)


def test_a_password_is_read_from_a_file_that_only_its_owner_may_read(tmp_path: Path) -> None:
    file = tmp_path / "password"
    with pytest.raises(NotFound, match="no such file"):
        read_password(file)
    file.write_text("hunter2\n")
    file.chmod(0o644)
    with pytest.raises(BadConfig, match="chmod 600") as raised:
        read_password(file)
    assert "hunter2" not in str(raised.value)
    file.chmod(0o600)
    assert read_password(file) == "hunter2"
    file.write_text("\n")
    with pytest.raises(BadConfig, match="holds no password"):
        read_password(file)


def test_people_are_told_the_database_and_where_it_is() -> None:
    assert place(postgres_engine(Store(url=URL))) == "PostgreSQL database fabric on db.site"
    socket = Store(url="postgresql:///fabric?host=/run/postgresql")
    assert place(postgres_engine(socket)) == "PostgreSQL database fabric on /run/postgresql"
