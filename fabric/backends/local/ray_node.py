"""Be one Ray node: start its processes, watch them, end with the first that is lost.

Knows nothing of the fabric but the JSON file it is given. It does what `ray start --block` does, without that command's
seven seconds of imports (Serve, pandas) and without the parts of a head that a fabric cluster never uses: autoscaler
monitor, Ray Client server and the dashboard modules that no one asks. It adopts whatever loses its parent, and at its
end ends all that descends from it: what emptied its environment is found by no mark. The classes used are private to
Ray, which is why Ray's version is pinned and checked.
"""

import json
import os
import signal
import socket
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

from fabric.backends.local import processes

RAY_VERSION = "2.60.0"
"""The only version whose private classes this module was written against."""

DASHBOARD_MODULES = "JobHead,NodeHead,StateHead,ServeHead,ReportHead"
"""Jobs and Serve REST, `ray list`, node table and health; metrics, event, train and data pages are left out."""

DRAIN = signal.SIGUSR1
"""Asks the Ray node to take nothing more and to leave once it is idle; whoever sends it ends what stays."""

_POLL_S = 0.2
_DRAIN_S = 120.0
"""How long Ray is told that a draining node stays; Serve moves replicas within it, and Ray itself kills nothing."""
_PATIENCE_S = 2.0
"""Between asking what is left to end and killing it; shorter than the patience of who ends this process."""
_REGISTER_S = 120.0


def main(config: Path) -> int:
    """Run one Ray node until SIGTERM, or until one of its processes is lost; `DRAIN` lets it leave once it is idle.

    Args:
        config: JSON file: `head`, `address` (GCS host:port), `params` (of RayParams).

    Returns:
        Exit code: 0 after SIGTERM, 1 if a process was lost.
    """
    settings = json.loads(config.read_text(encoding="utf-8"))
    processes.adopt_orphans()
    asked = _Asked()
    signal.signal(DRAIN, asked.note)
    if not settings["head"]:
        _wait_for(settings["address"])
    node = _start(settings)
    signal.signal(signal.SIGTERM, _leave)
    try:
        while True:
            time.sleep(_POLL_S)
            processes.reap_orphans(_own(node))
            if asked.to_drain:
                asked.to_drain = False
                _drain(node)
            lost = [(kind, process.returncode) for kind, process in node.dead_processes()]
            if lost:
                sys.stderr.write(f"lost {lost}; the rest of this Ray node ends\n")
                return 1
    except _Left:
        return 0
    finally:
        # Who asks twice must not cut this short.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        node.kill_all_processes(check_alive=False, allow_graceful=False)
        processes.end_descendants(_PATIENCE_S)


def _own(node: Any) -> set[int]:
    """Process numbers of the Ray node's own parts."""
    return {part.process.pid for parts in node.all_processes.values() for part in parts}


class _Asked:
    """What a signal left to be done, as a handler that speaks to the GCS could interrupt anything."""

    to_drain = False

    def note(self, signum: int, frame: FrameType | None) -> None:
        """Remember it."""
        self.to_drain = True


def _drain(node: Any) -> None:
    """Tell the GCS that this node leaves; if it cannot be told, the node is ended without."""
    from ray.core.generated.autoscaler_pb2 import DrainNodeReason

    until_ms = int((time.time() + _DRAIN_S) * 1000)
    reason = DrainNodeReason.DRAIN_NODE_REASON_PREEMPTION
    try:
        node.get_gcs_client().drain_node(node.node_id, reason, "this slice is given back", until_ms, timeout=5)
    except Exception as error:  # Ray's own classes, of another version each time
        sys.stderr.write(f"could not be drained: {error}\n")


class _Left(Exception):
    """SIGTERM came."""


def _leave(signum: int, frame: FrameType | None) -> None:
    raise _Left


def _start(settings: dict[str, Any]) -> Any:
    """The Ray node with all of its processes running.

    Raises:
        SystemExit: If another version of Ray is installed.
    """
    import ray
    from ray._private import services
    from ray._private.node import Node
    from ray._private.parameter import RayParams

    if ray.__version__ != RAY_VERSION:
        raise SystemExit(f"ray {ray.__version__} is installed, but this backend needs {RAY_VERSION}: run scripts/setup")
    _load_fewer_modules(services, settings["modules"])
    services.get_node = _patient(services.get_node)
    params = RayParams(**settings["params"])
    if settings["head"]:
        # Where entrypoints look for their cluster; without it Ray takes any that runs on this machine.
        Path(params.temp_dir).mkdir(parents=True, exist_ok=True)
        ray._private.utils.write_ray_address(settings["address"], params.temp_dir)
    return Node(params, head=settings["head"], shutdown_at_exit=False, spawn_reaper=True, connect_only=False)


def _load_fewer_modules(services: Any, modules: str) -> None:
    """Give the dashboard's command the modules to load; Ray has no setting for it."""
    from ray._private.ray_constants import PROCESS_TYPE_DASHBOARD

    start_process = services.start_ray_process

    def start_fewer(command: list[str], process_type: str, *args: Any, **kwargs: Any) -> Any:
        if process_type == PROCESS_TYPE_DASHBOARD:
            command = [*command, f"--modules-to-load={modules}"]
        return start_process(command, process_type, *args, **kwargs)

    services.start_ray_process = start_fewer


def _patient(get_node: Any) -> Any:
    """Wait longer for this node to be known to the GCS than Ray's fixed 30 s, which a busy machine exceeds."""

    def get_node_patiently(gcs_address: str, node_id: str) -> Any:
        deadline = time.monotonic() + _REGISTER_S
        while True:
            try:
                return get_node(gcs_address, node_id)
            except RuntimeError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_POLL_S)

    return get_node_patiently


def _wait_for(address: str) -> None:
    """Return once something listens on `address`; the head may still be starting."""
    host, _, port = address.rpartition(":")
    while True:
        try:
            socket.create_connection((host, int(port)), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return


if __name__ == "__main__":
    code = main(Path(sys.argv[1]))
    sys.stderr.flush()
    os._exit(code)
