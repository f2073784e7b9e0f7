"""Where the records of a site are: in its state folder, or in a PostgreSQL that several controls share.

Knows nothing of SQL; passwords are named and never in here.
"""

from typing import Self
from urllib.parse import parse_qs, urlsplit

from pydantic import Field, model_validator

from fabric.config.settings import Settings

SCHEMES = ("postgresql", "postgresql+psycopg")
"""How the URL of a database may begin."""


class Store(Settings):
    """The database of a site."""

    url: str | None = None
    """PostgreSQL that keeps the records, `postgresql://USER@HOST:PORT/DATABASE`, with parameters of libpq such as
    `?sslmode=verify-full` behind; None keeps them in SQLite in the state folder."""

    password_file: str | None = None
    """File with the password of that user, read at each connection; an absolute path that only control's user may read.
    None leaves it to libpq (`~/.pgpass`, or a server that asks for none)."""

    secrets_key_file: str | None = None
    """File of the keys with which secrets of projects are sealed, an absolute path that only control's user may read,
    as a key service writes it: base64 of 32 random bytes, one key a line; the first seals, all open. None keeps a key
    in the state folder, made at the first start; controls that share a database need one file, named here or in
    `FABRIC_SECRETS_KEY_FILE`."""

    lease_s: float = Field(default=5.0, ge=2.0, le=60.0)
    """How long a control leads without being heard of, in seconds. With 5, another one has taken over within 10 s after
    a leader was killed or hangs; a leader that is kept from its processor for longer than this loses the lead."""

    @model_validator(mode="after")
    def _sound(self) -> Self:
        # Checked as a whole, because what is wrong with a single field is shown with what was given there.
        if self.secrets_key_file is not None and not self.secrets_key_file.startswith("/"):
            raise ValueError("secrets_key_file must be an absolute path")
        if self.url is None:
            if self.password_file is not None:
                raise ValueError("a password needs a database; give `url`, or leave `password_file` out")
            return self
        if self.password_file is not None and not self.password_file.startswith("/"):
            raise ValueError("password_file must be an absolute path")
        _check_url(self.url)
        return self


def _check_url(url: str) -> None:
    """Refuse what names no PostgreSQL or holds a password, without repeating it.

    Raises:
        ValueError: Saying what to write instead.
    """
    form = "postgresql://USER@HOST:PORT/DATABASE"
    try:
        parts, secret = urlsplit(url), "password" in parse_qs(urlsplit(url).query)
        named = parts.scheme in SCHEMES and parts.path.strip("/") and (parts.port is None or parts.port > 0)
    except ValueError:
        named, secret, parts = "", False, urlsplit("")
    if parts.password is not None or secret:
        raise ValueError("url must hold no password: write it into a file and name that as `password_file`")
    if not named:
        raise ValueError(f"url must be of the form {form}")
