"""A backend whose Ray nodes are sleeping processes: real processes, files and signals, and no Ray.

Knows nothing of records. Like a real one it writes down what it is about to do, finds everything again after a kill,
and its head takes one submission of an entrypoint and refuses every other.

    clusters/CLUSTER/layout.json   what it is made of; written before anything is started
                     up-SLICE      the slice was seen alive, so that it counts as lost when it is not
                     submit        a pipe that the head reads once
                     submitted     it has
                     driver        number of the entrypoint's process group
                     stopped       somebody asked it to end
                     outcome       exit status of the entrypoint
                     leaving       it is being taken away
    runs                           a line where a cluster is asked for, and where its entrypoint begins and ends, of
                                   all clusters for ever
"""

import json
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from fabric.backends.keeping.surroundings import Surroundings
from fabric.backends.local import processes
from fabric.backends.local.processes import Process
from fabric.config import env
from fabric.config.site import Site
from fabric.core.errors import Unavailable
from fabric.scheduler.machines import nodes_of
from fabric.scheduler.ports import ClusterView, Door, Outcome, Phase, Sight, WantedCluster
from fabric.scheduler.sightings import Sightings
from fabric.scheduler.snapshot import Node
from fabric.store.files import write_atomically
from fabric.store.rows import grant_json, grant_of
from fabric.workloads.record import Grant, Slice
from tests.fake_backend import NothingMeasured, NothingWarm

RUNS = "runs"
"""File in the state folder with a line where a cluster is asked for, and where its entrypoint begins and ends: cluster,
what, instant, status."""

HEAD = """
cd "$1"
read -r entry < submit
: > submitted
echo "$2 began $(date +%s.%N)" >> "$3"
FAKE_NODE= setsid sh -c "$entry" &
echo $! > driver.new; mv driver.new driver
wait $!; code=$?
echo "$2 ended $(date +%s.%N) $code" >> "$3"
echo $code > outcome.new; mv outcome.new outcome
exec sleep 1000000
"""
_SLEEPER = ("sleep", "1000000")
_KILL_S = 5.0


class FakeRayBackend(NothingWarm, NothingMeasured):
    """Implements `fabric.scheduler.ports.Backend`; a real process that does nothing for each slice."""

    def __init__(self, site: Site, around: Surroundings) -> None:
        self._folder = around.state / "clusters"
        self._state = around.state
        self._nodes = nodes_of(site.tiers)
        self._known: dict[str, dict[str, Process]] = {}
        self._own: dict[int, subprocess.Popen[bytes]] = {}
        self._waiting: dict[str, str] = {}
        self._stopping: set[str] = set()
        self._sightings = Sightings()
        self._lock = threading.RLock()

    def start(self) -> None:
        """Find the processes that an earlier control left."""
        self._folder.mkdir(parents=True, exist_ok=True)
        for folder in self._folder.iterdir():
            if _layout(folder) is None:  # nothing was started before it was written down
                shutil.rmtree(folder)
        for process in processes.marked((f"{env.STATE}={self._state}",)):
            told = _environment(process)
            if (cluster := told.get(env.CLUSTER)) and (part := told.get(env.SLICE)) and told.get("FAKE_NODE"):
                if _leads_its_group(process):
                    self._known.setdefault(cluster, {})[part] = process
        for cluster, parts in self._known.items():
            for part in parts:
                if (self._folder / cluster).is_dir():
                    (self._folder / cluster / f"up-{part}").touch()

    def close(self) -> None:
        """Nothing; what sleeps sleeps on."""

    def door(self, cluster: str) -> Door | None:
        """None: nothing answers for a head that sleeps."""
        return None

    def nodes(self) -> tuple[Node, ...]:
        """The pretend nodes of the site."""
        return self._nodes

    def observe(self) -> Mapping[str, ClusterView]:
        """Every cluster, by name."""
        with self._lock:
            for pid in [pid for pid, own in self._own.items() if own.poll() is not None]:
                del self._own[pid]
            if not self._folder.is_dir():
                return {}
            for name, entrypoint in list(self._waiting.items()):
                self._submit(self._folder / name, entrypoint)
            for name in list(self._stopping):
                self.stop(name, 0.0)
            views = (self._view(folder) for folder in sorted(self._folder.iterdir()))
            return {view.name: view for view in views if view is not None}

    def changes(self, since: int) -> Sight:
        """The clusters that changed after a look."""
        return self._sightings.since(since, self.observe())

    def realise(self, wanted: WantedCluster) -> None:
        """Start what is missing, end what is too much, and hand over the entrypoint once everything is there."""
        with self._lock:
            mine = [each for each in self._folder.iterdir() if each.name.rpartition("-")[0] == wanted.workload]
            attempts = [view for view in map(self._view, sorted(mine)) if view is not None]
            if earlier := [view for view in attempts if view.born != wanted.born]:
                for view in earlier:
                    self.remove(view.name)
                return
            folder = self._folder / wanted.name
            if (folder / "leaving").exists():
                return
            try:
                if _layout(folder) is None:
                    self._note(f"{wanted.name} asked {time.time()}")
                self._make(folder, wanted)
            except OSError as error:
                raise Unavailable(f"{wanted.name} cannot be started now: {error}") from error
            if wanted.serve is None and not (folder / "submitted").exists():
                self._waiting[wanted.name] = wanted.entrypoint
                self._submit(folder, wanted.entrypoint)

    def stop(self, cluster: str, grace_s: float) -> None:
        """End the entrypoint."""
        folder = self._folder / cluster
        self._stopping.discard(cluster)
        if (folder / "driver").exists() and not (folder / "outcome").exists():
            (folder / "stopped").touch()
            _kill_group(int((folder / "driver").read_text()), signal.SIGTERM)
        elif (folder / "submitted").exists() and not (folder / "outcome").exists():
            self._stopping.add(cluster)  # the head is about to begin it

    def remove(self, cluster: str) -> None:
        """End everything of it, and forget it."""
        with self._lock:
            folder = self._folder / cluster
            if not folder.is_dir():
                return
            (folder / "leaving").touch()
            self._kill(self._known.pop(cluster, {}).values())
            if (folder / "submitted").exists():
                self._kill(processes.marked((f"{env.STATE}={self._state}", f"{env.CLUSTER}={cluster}")))
            shutil.rmtree(folder)

    def _note(self, line: str) -> None:
        with (self._state / RUNS).open("a") as runs:
            runs.write(f"{line}\n")

    def _make(self, folder: Path, wanted: WantedCluster) -> None:
        """What there is becomes what is granted; everything that was there and died stays lost."""
        before = _layout(folder)
        if before is None:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True)
            os.mkfifo(folder / "submit")
        if before is None or before["generation"] < wanted.generation:
            layout = {"generation": wanted.generation, "born": wanted.born, "serve": wanted.serve is not None}
            write_atomically(folder / "layout.json", json.dumps({**layout, "grant": grant_json(wanted.grant)}).encode())
        granted = {part.name: part for part in wanted.grant.slices}
        known = self._known.setdefault(wanted.name, {})
        for name in [name for name in known if name not in granted]:
            self._kill([known.pop(name)])
            (folder / f"up-{name}").unlink(missing_ok=True)
        for name, part in granted.items():
            if name not in known and not (folder / f"up-{name}").exists():
                known[name] = self._sleeper(folder, part, wanted)
                (folder / f"up-{name}").touch()

    def _sleeper(self, folder: Path, part: Slice, wanted: WantedCluster) -> Process:
        words = ("sh", "-c", HEAD, "head", str(folder), wanted.name, str(self._state / RUNS)) if part.head else _SLEEPER
        marks = {env.STATE: str(self._state), env.CLUSTER: wanted.name, env.SLICE: part.name, "FAKE_NODE": part.node}
        told = {"PATH": os.environ["PATH"], **wanted.env, **marks}
        own = subprocess.Popen(
            words, env=told, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        self._own[own.pid] = own
        found = processes.identify(own.pid)
        if found is None:
            raise OSError(f"{part.name} ended at once")
        return found

    def _submit(self, folder: Path, entrypoint: str) -> None:
        view = self._view(folder)
        if view is None or (folder / "submitted").exists():
            self._waiting.pop(folder.name, None)
            return
        if view.phase is not Phase.READY:
            return
        try:
            pipe = os.open(folder / "submit", os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            return  # the head does not read yet, or has read
        os.write(pipe, f"{entrypoint}\n".encode())
        os.close(pipe)

    def _view(self, folder: Path) -> ClusterView | None:
        layout = _layout(folder)
        if layout is None:
            return None
        granted: Grant = grant_of(layout["grant"])
        known = self._known.get(folder.name, {})
        alive = {name for name, process in known.items() if processes.alive(process)}
        names = {part.name for part in granted.slices}
        lost = [part for part in granted.slices if part.name not in alive and (folder / f"up-{part.name}").exists()]
        view = ClusterView(
            folder.name, Phase.READY, _outcome(folder, layout), generation=layout["generation"], born=layout["born"],
            held=granted.slices,
        )  # fmt: skip
        if (folder / "leaving").exists():
            return replace(view, phase=Phase.LEAVING)
        if view.outcome.ended:
            code = int((folder / "outcome").read_text())
            return replace(view, message=str(view.outcome), exit_code=code)
        if lost:
            problem = f"slice {lost[0].name} on node {lost[0].node} lost"
            return replace(view, phase=Phase.BROKEN, problem=problem)
        if alive >= names:
            return replace(view, endpoint="http://127.0.0.1:9" if layout["serve"] else None)
        # What is to come is no part of it yet.
        generation = layout["generation"] - (layout["generation"] > 1)
        running = (folder / "submitted").exists() or layout["serve"]
        return replace(view, phase=Phase.READY if running else Phase.STARTING, generation=generation)

    def _kill(self, group: Iterable[Process]) -> None:
        doomed = [process for process in group if processes.alive(process)]
        for process in doomed:
            _kill_group(process.pid, signal.SIGKILL)
            processes.send(process, signal.SIGKILL)
        ends = time.monotonic() + _KILL_S
        while any(processes.alive(process) for process in doomed) and time.monotonic() < ends:
            time.sleep(0.005)


def _layout(folder: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads((folder / "layout.json").read_text())
    except FileNotFoundError:
        return None
    return found


def _outcome(folder: Path, layout: Mapping[str, Any]) -> Outcome:
    if layout["serve"]:
        return Outcome.RUNNING
    if (folder / "outcome").exists():
        if (folder / "stopped").exists():
            return Outcome.STOPPED
        return Outcome.SUCCEEDED if (folder / "outcome").read_text().strip() == "0" else Outcome.FAILED
    return Outcome.RUNNING if (folder / "submitted").exists() else Outcome.NONE


def _environment(process: Process) -> dict[str, str]:
    try:
        lines = Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return {}
    return dict(line.decode(errors="replace").split("=", 1) for line in lines if b"=" in line)


def _leads_its_group(process: Process) -> bool:
    """Whether it is the process that was started, and none of those that this one started."""
    try:
        return os.getsid(process.pid) == process.pid
    except ProcessLookupError:
        return False


def _kill_group(pid: int, number: int) -> None:
    try:
        os.killpg(pid, number)
    except (ProcessLookupError, PermissionError):
        return
