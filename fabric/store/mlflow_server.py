"""Run MLflow's server as a child process that is started again when it dies, and never outlives its parent.

Knows nothing of who may talk to it: it listens on loopback, and control stands before it.

MLflow's own command starts ten processes (server, supervisor, job runner, seven queues), which took 900 MB and 60
seconds of processor time; this one process takes a quarter of that and has the same pages and REST API.
"""

import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import httpx

from fabric.config import env
from fabric.core.errors import FabricError
from fabric.store.errors import file_errors
from fabric.store.files import make_folder

_log = logging.getLogger(__name__)

DATABASE = "mlflow.db"
"""Name of MLflow's database in its folder."""
LOG = "mlflow.log"
"""Name of the file with the server's output, in the same folder."""
HOST = "127.0.0.1"
"""Where it listens."""
END_S = 5.0
"""How long the server may take to end by itself, in seconds."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 120.0
"""The first pause and the longest before a server that died is started again, in seconds; each death soon after doubles
the next, because every start costs 14 s of processor time. Both are choices."""
STEADY_S = 120.0
"""A server that lived this long, in seconds, begins again with the first pause: it has served."""


class MlflowServer:
    """One server; it serves below `/`, so a proxy that has it at a longer path takes that path away.

    Args:
        folder: Folder of database, log and artifacts; made if need be.
        artifacts: URI of what runs log as files; clients write there themselves. Left out, inside `folder`.
        port: On loopback; left out, a free one is chosen when somebody first asks.
        origins: Origins, such as `https://fabric.example:8270`, of which a browser's pages may write; loopback's may.
    """

    def __init__(
        self, folder: Path, artifacts: str | None = None, port: int | None = None, origins: Sequence[str] = ()
    ) -> None:
        self._folder = folder
        self._artifacts = artifacts
        self._port = port
        self._origins = tuple(origins)
        self._process: subprocess.Popen[bytes] | None = None
        self._keeper: threading.Thread | None = None
        self._over = threading.Event()
        # Held by whoever begins or ends it, so that none is begun behind the back of who ends it.
        self._turn = threading.Lock()

    @cached_property
    def port(self) -> int:
        """Where it listens."""
        if self._port is not None:
            return self._port
        with socket.socket() as probe:
            probe.bind((HOST, 0))
            return int(probe.getsockname()[1])

    @property
    def url(self) -> str:
        """Tracking URI for who may talk to it directly."""
        return f"http://{HOST}:{self.port}"

    @property
    def pid(self) -> int | None:
        """Of its process, while that lives."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def start(self) -> None:
        """Start it, and again whenever it has died, until `end`; it serves some seconds later, see `serves`.

        Raises:
            StorageFull: If the disk is full.
            Unavailable: If it cannot be started.
        """
        with self._turn:
            if self._keeper is not None:
                return
            self._over.clear()
            self._process = self._begun()
            self._keeper = threading.Thread(target=self._keep, args=(self._process,), name="mlflow", daemon=True)
            self._keeper.start()

    def _begun(self) -> subprocess.Popen[bytes]:
        make_folder(self._folder)
        with file_errors(self._folder), (self._folder / LOG).open("ab") as log:
            # The pipe is never written to: its end tells the child that this process is gone, whichever way it went.
            return subprocess.Popen(
                self._command(),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=env.inherited() | self._told(),
                cwd=self._folder,
                start_new_session=True,
            )

    def _command(self) -> list[str]:
        return [sys.executable, "-m", "fabric.store.mlflow_server", str(self.port)]

    def _keep(self, process: subprocess.Popen[bytes]) -> None:
        """Wait for the end of each server, and start the next one, after ever longer pauses, until `end`."""
        pause_s = FIRST_PAUSE_S
        while True:
            began = time.monotonic()
            code = process.wait()
            _close(process)
            if self._over.is_set():
                return
            lived_s = time.monotonic() - began
            pause_s = FIRST_PAUSE_S if lived_s >= STEADY_S else pause_s
            _log.warning(
                "MLflow's server ended with code %s after %.0f s and is started again in %g s; its log: %s",
                code, lived_s, pause_s, self._folder / LOG,
            )  # fmt: skip
            another = None
            while another is None:
                if self._over.wait(pause_s):
                    return
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
                another = self._begun_again(pause_s)
            process = another

    def _begun_again(self, pause_s: float) -> subprocess.Popen[bytes] | None:
        """Another one; None if it cannot be started now, or is not wanted any more."""
        with self._turn:
            if self._over.is_set():
                return None
            try:
                self._process = self._begun()
            except FabricError as error:
                _log.warning("MLflow's server cannot be started, tried again in %g s: %s", pause_s, error.message)
                return None
            return self._process

    def serves(self) -> bool:
        """Whether it answers; asks it and waits up to a second."""
        try:
            return httpx.get(f"{self.url}/health", timeout=1.0, trust_env=False).is_success
        except httpx.HTTPError:
            return False

    def end(self) -> None:
        """End it, and start none any more; what was answered is on the disk."""
        with self._turn:
            self._over.set()
            keeper, process, self._keeper = self._keeper, self._process, None
        if keeper is None or process is None:
            return
        _close(process)
        keeper.join(END_S)
        if keeper.is_alive():
            process.kill()
            keeper.join()

    def _told(self) -> dict[str, str]:
        """Its settings. Those with an underscore are how MLflow's own command tells its workers (MLflow 3.17)."""
        folder = self._folder.resolve()
        told = {
            "_MLFLOW_SERVER_FILE_STORE": f"sqlite:///{folder / DATABASE}",
            "_MLFLOW_SERVER_ARTIFACT_ROOT": self._artifacts or (folder / "artifacts").as_uri(),
            "_MLFLOW_SGI_NAME": "uvicorn",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            # Each project has one, so that runs and models of one are not found by another.
            "MLFLOW_ENABLE_WORKSPACES": "true",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }
        return told | ({"MLFLOW_SERVER_CORS_ALLOWED_ORIGINS": ",".join(self._origins)} if self._origins else {})


def _close(process: subprocess.Popen[bytes]) -> None:
    """Let go of its standard input, at whose end it leaves."""
    if process.stdin is not None:
        process.stdin.close()


def leave_with_parent() -> None:
    """End this process when its standard input ends, which the death of the parent brings about in every case.

    The kernel's own signal on a parent's death follows the thread that started the child, and threads come and go.
    """

    def wait() -> None:
        while os.read(0, 4096):
            pass
        os._exit(0)

    threading.Thread(target=wait, name="leave-with-parent", daemon=True).start()


def main() -> None:
    """Serve on the port given as the only argument, until the parent dies or a signal comes."""
    leave_with_parent()
    import uvicorn

    uvicorn.run("mlflow.server.fastapi_app:app", host=HOST, port=int(sys.argv[1]), log_level="warning")


if __name__ == "__main__":
    main()
