"""Run MLflow's server as a child process that never outlives its parent.

Knows nothing of who may talk to it: it listens on loopback, and control stands before it.

MLflow's own command starts ten processes (server, supervisor, job runner, seven queues), which took 900 MB and 60
seconds of processor time; this one process takes a quarter of that and has the same pages and REST API.
"""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import httpx

from fabric.config import env
from fabric.store.errors import file_errors
from fabric.store.files import make_folder

DATABASE = "mlflow.db"
"""Name of MLflow's database in its folder."""
LOG = "mlflow.log"
"""Name of the file with the server's output, in the same folder."""
HOST = "127.0.0.1"
"""Where it listens."""
END_S = 5.0
"""How long the server may take to end by itself, in seconds."""


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
        """Start it, unless it runs; it serves some seconds later, see `serves`.

        Raises:
            StorageFull: If the disk is full.
            Unavailable: If it cannot be started.
        """
        if self.pid is not None:
            return
        make_folder(self._folder)
        with file_errors(self._folder), (self._folder / LOG).open("ab") as log:
            # The pipe is never written to: its end tells the child that this process is gone, whichever way it went.
            self._process = subprocess.Popen(
                [sys.executable, "-m", "fabric.store.mlflow_server", str(self.port)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=env.inherited() | self._told(),
                cwd=self._folder,
                start_new_session=True,
            )

    def serves(self) -> bool:
        """Whether it answers; asks it and waits up to a second."""
        try:
            return httpx.get(f"{self.url}/health", timeout=1.0, trust_env=False).is_success
        except httpx.HTTPError:
            return False

    def end(self) -> None:
        """End it; what was answered is on the disk."""
        if self._process is None or self._process.stdin is None:
            return
        self._process.stdin.close()
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

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
