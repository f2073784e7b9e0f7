"""A real PostgreSQL for tests: a server of one's own in a temporary folder, on a free port, as nobody of importance.

Knows nothing of what is tested.
"""

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import psycopg
from sqlalchemy import Engine, text, update

from fabric.backends.local.ports import free_ports
from fabric.config.store import Store
from fabric.store.schema import LEASES, METADATA

START_S, END_S = 60.0, 30.0
SETTINGS = {
    # The operating system stays up, so what a killed server wrote is there without flushing.
    "fsync": "off",
    "shared_buffers": "16MB",
    "max_connections": "60",
    "listen_addresses": "127.0.0.1",
    "autovacuum": "off",
    "log_min_messages": "warning",
}


def programs() -> Path | None:
    """Folder of `initdb` and `postgres`; None where they are not installed (`scripts/postgres` installs them)."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    inside = shutil.which("initdb")
    return found[-1].parent if found else Path(inside).parent if inside else None


@dataclass
class Postgres:
    """One server; ended by its process number."""

    folder: Path
    bin: Path
    port: int = field(default_factory=lambda: free_ports(("sql",))["sql"])
    process: subprocess.Popen[bytes] | None = None
    _numbers: Iterator[int] = field(default_factory=count)

    def begin(self) -> None:
        """Make the files and start."""
        self.folder.chmod(0o755)
        data = self.folder / "data"
        data.mkdir()
        if (user := unprivileged()) is not None:
            shutil.chown(data, user, pwd.getpwnam(user).pw_gid)
        words = [str(self.bin / "initdb"), "-D", str(data), "-U", "fabric", "-A", "trust", "-N", "-E", "UTF8"]
        made = subprocess.run(
            [*words, "--locale=C.UTF-8"], capture_output=True, text=True, check=False, user=user, cwd="/"
        )
        assert made.returncode == 0, made.stderr
        self.start()

    def start(self) -> None:
        """Start, and wait until it answers."""
        settings = SETTINGS | {"port": str(self.port), "unix_socket_directories": ""}
        words = [str(self.bin / "postgres"), "-D", str(self.folder / "data")]
        words += [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        with (self.folder / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                words, stdout=log, stderr=log, stdin=subprocess.DEVNULL, user=unprivileged(), cwd="/",
                start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + START_S
        while not self._answers():
            assert self.process.poll() is None, (self.folder / "server.log").read_text()
            assert time.monotonic() < deadline, (self.folder / "server.log").read_text()
            time.sleep(0.1)

    def _answers(self) -> bool:
        try:
            psycopg.connect(self._words("postgres"), connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def _words(self, database: str) -> str:
        return f"host=127.0.0.1 port={self.port} user=fabric dbname={database}"

    def end(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it: SIGINT drops connections and writes everything, SIGQUIT is a crash."""
        assert self.process is not None
        if self.process.poll() is None:
            os.kill(self.process.pid, how)
        self.process.wait(END_S)

    def store(self, template: str = "template1") -> Store:
        """A database of its own."""
        name = f"fabric{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return Store(url=f"postgresql://fabric@127.0.0.1:{self.port}/{name}")

    def execute(self, sql: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """Run a statement as the owner; its rows."""
        with psycopg.connect(self._words(database), autocommit=True) as connection:
            done = connection.execute(sql.encode())
            return done.fetchall() if done.description else []


def unprivileged() -> str | None:
    """Whom the server runs as where we are root, for whom it does not start; None where we are somebody else."""
    if os.geteuid() != 0:
        return None
    users = {entry.pw_name for entry in pwd.getpwall()}
    return next((name for name in ("postgres", "nobody") if name in users), None)


def emptied(engine: Engine) -> Engine:
    """The database without rows, as after its migrations."""
    with engine.begin() as connection:
        names = ", ".join(f'"{table.name}"' for table in METADATA.sorted_tables if table is not LEASES)
        connection.execute(text(f"TRUNCATE {names} RESTART IDENTITY CASCADE"))
        connection.execute(update(LEASES).values(holder="", address="", token=0, expires=0.0))
    return engine


@contextmanager
def postgres() -> Iterator[Postgres]:
    """A server while it is entered; nothing of it is left.

    Raises:
        FileNotFoundError: If it is not installed.
    """
    found = programs()
    if found is None:
        raise FileNotFoundError("PostgreSQL is not installed; scripts/postgres installs it")
    with tempfile.TemporaryDirectory(prefix="fab-pg-", ignore_cleanup_errors=True) as folder:
        server = Postgres(Path(folder), found)
        try:
            server.begin()
            yield server
        finally:
            if server.process is not None:
                server.end()
