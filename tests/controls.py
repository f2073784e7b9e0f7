"""Real control processes over sleeping Ray nodes: started, killed, stopped and asked from outside.

Knows nothing of what is tested.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from fabric.backends.local import processes
from fabric.backends.local.ports import free_ports
from fabric.config import env
from fabric.config.store import Store
from fabric.workloads.states import State
from tests.fake_ray import RUNS

ROOT = Path(__file__).resolve().parents[1]
START_S = 120.0
TIERS = [
    {"name": "gpu", "nodes": 2, "capacity": {"cpus": 4, "gpus": 2, "memory": "8 GiB"}, "pretend": True},
    {"name": "commodity", "nodes": 2, "capacity": {"cpus": 6, "memory": "8 GiB"}, "heads": True},
]
"""A small hybrid site."""
SITE: Mapping[str, Any] = {
    "name": "kills", "tiers": TIERS, "head": {"cpus": 0.5, "memory": "256 MiB"}, "anonymous": True, "grace_s": 1.0,
    "policy": {"min_run_s": 0.0, "restart_s": 0.0},
}  # fmt: skip


@dataclass
class Control:
    """One control process and what it says."""

    state: Path
    store: Store = field(default_factory=Store)
    name: str = "control"
    port: int = field(default_factory=lambda: free_ports(("control",))["control"])
    process: subprocess.Popen[bytes] | None = None
    site: Mapping[str, Any] = field(default_factory=lambda: SITE)
    """What its site file says, but where it listens and keeps its records."""
    _client: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=5.0, trust_env=False))

    @property
    def log(self) -> Path:
        """What it wrote, over all its lives."""
        return self.state / f"{self.name}.log"

    @property
    def address(self) -> str:
        """Of its HTTP interface."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it; it answers some seconds later."""
        self.state.mkdir(exist_ok=True)
        site = self.state / f"{self.name}.yaml"
        ports = {"control": self.port, "gateway": 1, "console": None}
        site.write_text(json.dumps({**self.site, "ports": ports, "store": self.store.model_dump(mode="json")}))
        words = [sys.executable, "-m", "tests.fake_control", "--site", str(site), "--state", str(self.state)]
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                words, cwd=ROOT, stdout=out, stderr=out, stdin=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": str(ROOT)}, start_new_session=True,
            )  # fmt: skip

    def up(self) -> None:
        """Start it, and wait until it answers."""
        self.start()
        until(lambda: self.health() is not None, START_S, self.last_words)

    def last_words(self) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-3000:]

    def send(self, number: signal.Signals) -> None:
        """Signal it."""
        assert self.process is not None
        os.kill(self.process.pid, number)

    def kill(self) -> None:
        """End it at once, and collect it."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(30)

    def end(self) -> None:
        """Let it end well; kill it if it does not."""
        assert self.process is not None
        if self.process.poll() is None:
            self.send(signal.SIGCONT)
            self.send(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.kill()

    def ask(self, method: str, path: str, body: object = None, **headers: str) -> httpx.Response:
        """One request to the admin API."""
        return self._client.request(method, f"{self.address}/api/fabric/{path}", json=body, headers=headers)

    def health(self) -> Mapping[str, Any] | None:
        """What it says of itself; None while it does not answer."""
        try:
            answer = self.ask("GET", "health")
        except httpx.HTTPError:
            return None
        return answer.json() if answer.is_success else None

    @property
    def leads(self) -> bool:
        """Whether it says that it acts."""
        told = self.health()
        return bool(told and told["leads"])

    def submit(self, name: str, entrypoint: str = "sleep 1", **spec: Any) -> httpx.Response:
        """Ask for a job; the same again is the same job."""
        group = {"cpus": 1.0, "memory": "256 MiB", **spec.pop("group", {})}
        wanted = {"name": name, "entrypoint": entrypoint, "groups": [group], **spec}
        return self.ask("POST", "workloads", {"spec": wanted}, **{"Idempotency-Key": name})

    def states(self) -> dict[str, State]:
        """State of every workload."""
        views = self.ask("GET", "workloads").raise_for_status().json()["workloads"]
        return {view["name"]: State(view["state"]) for view in views}

    def get(self, name: str) -> Mapping[str, Any]:
        """One workload."""
        found: Mapping[str, Any] = self.ask("GET", f"workloads/{name}").raise_for_status().json()
        return found

    def wait(self, name: str, *states: str, within_s: float = 60.0) -> Mapping[str, Any]:
        """Until a workload is in one of the states."""
        until(lambda: self.get(name)["state"] in states, within_s, lambda: f"{self.get(name)}\n{self.last_words()}")
        return self.get(name)


@dataclass(frozen=True, slots=True)
class Run:
    """A cluster was asked for, or its entrypoint began or ended, as was written down there."""

    cluster: str
    what: str
    at: float


def runs(state: Path) -> list[Run]:
    """Everything that was asked for, began and ended, in the order of writing."""
    file = state / RUNS
    lines = file.read_text().splitlines() if file.exists() else []
    return [Run(cluster, what, float(at)) for cluster, what, at, *_ in map(str.split, lines)]


def sleepers(state: Path) -> list[processes.Process]:
    """Live processes of clusters."""
    return [p for p in processes.marked((f"{env.STATE}={state}",)) if "fake_control" not in processes.command(p)]


def end_sleepers(state: Path) -> None:
    """End what a test left behind when it failed."""
    for process in sleepers(state):
        processes.send(process, signal.SIGKILL)


def until(wish: Callable[[], bool], within_s: float, words: Callable[[], str]) -> float:
    """Look until the wish is true, or fail with words; the seconds that it took."""
    began = time.monotonic()
    while not wish():
        assert time.monotonic() - began < within_s, f"not within {within_s:g} s: {words()}"
        time.sleep(0.05)
    return time.monotonic() - began
