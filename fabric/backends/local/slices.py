"""Start the Ray nodes of one cluster, find them again, and tell which are lost or too large.

Knows nothing of jobs: it sees processes.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fabric.backends.keeping.resizing import on_port
from fabric.backends.local import processes, ray_node
from fabric.backends.local.layout import Layout, NodeLaunch
from fabric.backends.local.processes import Process
from fabric.config import env
from fabric.workloads.record import Slice

RAY_PARTS = ("ray_node.py", "gcs_server", "/raylet/raylet", "dashboard", "log_monitor.py", "runtime_env/agent",
             "ray::DashboardAgent", "ray::RuntimeEnvAgent", "process_reaper.py", "ray-dashboard")  # fmt: skip
"""In the command lines of Ray's own processes on a node, for which no user asked."""


class Slices:
    """The Ray nodes of one cluster as processes; implements `fabric.backends.keeping.ports.RayNodes`."""

    start_timeout_s = 300.0

    def __init__(self, layout: Layout, folder: Path, state: Path) -> None:
        self._layout = layout
        self.folder = folder
        self._marks = (f"{env.CLUSTER}={layout.mark}", f"{env.STATE}={state}")
        self._state = state
        self._changing = threading.RLock()
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        self._watched: dict[str, Process] = {}
        self._census = processes.Census(self._user_slice)

    def start(self, launches: Mapping[str, NodeLaunch]) -> None:
        """Start every Ray node at once, each in its own session; the workers wait for the head by themselves."""
        for name, launch in launches.items():
            config = self.folder / f"{name}.json"
            config.write_text(json.dumps(launch.config), encoding="utf-8")
            with (self.folder / f"{name}.log").open("ab") as output:
                child = subprocess.Popen(
                    [sys.executable, str(Path(ray_node.__file__)), str(config)],
                    env=self._environment(launch.env),
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    cwd=self.folder,
                )
            self._children[name] = child
            process = processes.identify(child.pid)
            if process:
                self._watched[name] = process

    @property
    def layout(self) -> Layout:
        """What the cluster is made of, as it was last written down."""
        return self._layout

    @property
    def serve_url(self) -> str:
        """Base URL of its Serve proxy."""
        return self._layout.serve_url

    def head(self) -> tuple[str, str]:
        """URL of the head's REST API, and the cluster's token."""
        return self._layout.dashboard_url, self._layout.token

    def listening(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """A Serve configuration that listens on the cluster's own port."""
        return on_port(config, "127.0.0.1", self._layout.ports["serve"])

    def tend(self) -> None:
        """Nothing: processes start as soon as they are asked for."""

    def awaits(self, names: Sequence[str]) -> str:
        """Nothing says why a process takes long."""
        return ""

    def write_down(self) -> None:
        """Make the layout what an adopting fabric finds.

        Raises:
            OSError: If the disk refuses.
        """
        _write(self.folder / "cluster.json", self._layout.model_dump_json(indent=1))

    def change(self, how: Callable[[Layout], Layout]) -> Layout:
        """Write down another layout, before anything is done about it; safe to call from several threads.

        Raises:
            OSError: If the disk refuses; then the cluster is still made of what it was.
        """
        with self._changing:
            before, self._layout = self._layout, how(self._layout)
            try:
                if self._layout != before:
                    self.write_down()
            except OSError:
                self._layout = before
                raise
            return self._layout

    def adopt(self) -> None:
        """Find the Ray nodes that an earlier fabric started; those not found are lost.

        A slice that was to join and of which nothing was started is forgotten, and is added anew when it is asked for.
        """
        self._find()
        unborn = [name for name in self._layout.joining if name not in self._watched]
        if unborn:
            self.change(lambda layout: layout.without(unborn))

    def _find(self) -> None:
        for name in self._layout.slices:
            mark = f"{env.SLICE}={name}"
            nodes = [p for p in processes.marked((*self._marks, mark)) if "ray_node.py" in processes.command(p)]
            if nodes:
                self._watched[name] = nodes[0]

    def lost(self) -> list[str]:
        """Names of slices whose Ray node is seen to have ended; not one that is to leave, or is being started now."""
        for child in list(self._children.values()):
            child.poll()  # so that none stays a zombie
        layout = self._layout
        started = (name for name in layout.staying if name in self._watched or name not in layout.joining)
        return [name for name in started if not self._lives(name)]

    def _lives(self, name: str) -> bool:
        try:
            return name in self._watched and processes.alive(self._watched[name])
        except OSError:
            return True  # this process can open nothing more, which says nothing of others

    def drain(self, name: str) -> None:
        """Let Ray place nothing more on a slice, and tell Serve to move its replicas elsewhere."""
        if name in self._watched:
            processes.send(self._watched[name], ray_node.DRAIN)

    def has_left(self, name: str) -> bool:
        """Whether a drained slice's Ray node has ended by itself."""
        return not self._lives(name)

    def end_one(self, name: str, patience_s: float) -> bool:
        """End everything of one slice; whether it is gone."""
        gone = processes.end_all((*self._marks, f"{env.SLICE}={name}"), patience_s)
        child = self._children.get(name)
        if child:
            child.poll()
        if gone:
            self._watched.pop(name, None)
            self._children.pop(name, None)
        return gone

    def last_words(self, name: str) -> str:
        """The last line that a slice's Ray node wrote, or how it ended."""
        child = self._children.get(name)
        code = child.poll() if child else None
        if code is not None and code < 0:
            return f"ended by {signal.Signals(-code).name}"
        try:
            lines = (self.folder / f"{name}.log").read_text(errors="replace").strip().splitlines()
        except OSError:
            lines = []
        return lines[-1] if lines else "its processes are gone"

    def oversized(self, slices: Mapping[str, Slice]) -> str:
        """A sentence about the first slice whose user processes hold more memory than granted; empty if none does."""
        for name, num_bytes in sorted(self._used_bytes().items()):
            if name not in slices:
                continue
            granted = slices[name].resources.memory
            if num_bytes > granted.count:
                where = f"slice {name} on {slices[name].node}"
                return (
                    f"{where} uses {num_bytes / 2**30:.2f} GiB of {granted} granted; ask for more memory in its group"
                )
        return ""

    def _used_bytes(self) -> dict[str, int]:
        """What the user processes of each slice hold; nothing of any while this process can open nothing more."""
        try:
            return {name: sum(map(processes.own_memory_bytes, users)) for name, users in self._census.take().items()}
        except OSError:
            return {}

    def _user_slice(self, process: Process, environment: Mapping[bytes, bytes]) -> str | None:
        """The slice that a user's process of this cluster is on."""
        marks = dict(mark.split("=", 1) for mark in self._marks)
        if any(environment.get(name.encode()) != value.encode() for name, value in marks.items()):
            return None
        if any(part in processes.command(process) for part in RAY_PARTS):
            return None
        return environment.get(env.SLICE.encode(), b"").decode() or None

    def end(self, patience_s: float) -> bool:
        """End workers, then the head, then whatever else carries the cluster's mark; whether all are gone."""
        for name in reversed(self._layout.slices):
            processes.end_all((*self._marks, f"{env.SLICE}={name}"), patience_s)
        gone = processes.end_all(self._marks, 0.0)
        for child in self._children.values():
            child.poll()
        return gone

    def forget(self) -> None:
        """Remove the folders of a cluster that is gone."""
        shutil.rmtree(self._layout.temp_dir, ignore_errors=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _environment(self, own: Mapping[str, str]) -> dict[str, str]:
        inherited = env.inherited()
        path = os.pathsep.join([str(Path(sys.executable).parent), inherited.get("PATH", "")])
        marks = {env.STATE: str(self._state)}
        return {**inherited, "PATH": path, **own, **marks}


def _write(file: Path, text: str) -> None:
    """Write a whole file for this user's eyes only, or none."""
    partial = file.with_suffix(".partial")
    with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as target:
        target.write(text)
        target.flush()
        os.fsync(target.fileno())
    partial.replace(file)
