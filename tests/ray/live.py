"""A live fabric for tests: started as a person starts it, looked at from outside (processes, files, Ray's own answers).

Knows nothing of what is tested.
"""

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import httpx

from fabric.backends.local import processes
from fabric.backends.local.layout import Layout
from fabric.config import env
from fabric.config.load import decode, read_yaml
from fabric.config.trust import trust
from fabric.workloads.states import State

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
START_S = 120.0


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    probes = [socket.socket() for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [int(probe.getsockname()[1]) for probe in probes]
    for probe in probes:
        probe.close()
    return ports


@dataclass
class Live:
    """One `fabric up` and the commands people use with it."""

    folder: Path
    ports: list[int] = field(default_factory=lambda: free_ports(2))
    process: subprocess.Popen[bytes] | None = None
    grace_s: float = 5.0
    sets: tuple[str, ...] = ()
    """What else is unlike the site file."""
    site: str = "configs/sites/laptop.yaml"
    """The site file."""
    host: str = "127.0.0.1"
    """Where it listens."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """What `fabric up` finds in its environment besides."""
    words: tuple[str, ...] = ()
    """What else is typed behind `fabric up`."""

    @property
    def state(self) -> Path:
        """Folder of its records."""
        return self.folder / "state"

    @property
    def scheme(self) -> str:
        """Whether it has a certificate."""
        return "https" if "--tls-cert" in self.words else "http"

    @property
    def verify(self) -> ssl.SSLContext | bool:
        """Whose certificates are believed."""
        return trust(self.address, env.authority(self.state))

    @property
    def address(self) -> str:
        """Of control."""
        return f"{self.scheme}://{self.host}:{self.ports[0]}"

    @property
    def gateway(self) -> str:
        """Of the OpenAI API."""
        return f"{self.scheme}://{self.host}:{self.ports[1]}/v1"

    @property
    def key(self) -> str:
        """The administrator's."""
        return (self.state / "admin.key").read_text().strip()

    def environment(self, **more: str) -> dict[str, str]:
        """For commands that talk to this fabric."""
        # `ray.init` of an earlier test turns tokens on for its process; what is started here is somebody else's.
        kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH_")}
        return {**kept, env.STATE: str(self.state), env.ADDRESS: self.address, **more}

    def __enter__(self) -> Self:
        """Up; what does not come up is taken down again."""
        try:
            self.up()
        except BaseException:
            self.down()
            raise
        return self

    def __exit__(self, *ended: object) -> None:
        """Down, and no process of its clusters is left."""
        self.down()
        assert self.cluster_processes() == []

    def up(self) -> None:
        """`fabric up`, until it says that it is."""
        sets = [
            "--set",
            f"ports.control={self.ports[0]}",
            "--set",
            f"ports.gateway={self.ports[1]}",
            "--set",
            "ports.console=null",
            "--set",
            f"grace_s={self.grace_s:g}",
            *(word for change in self.sets for word in ("--set", change)),
        ]
        command = [str(BIN / "fabric"), "up", "--site", self.site, "--state", str(self.state), *sets, *self.words]
        log = self.folder / "up.log"
        begins = log.stat().st_size if log.exists() else 0
        with log.open("ab") as out:
            self.process = subprocess.Popen(
                command, cwd=ROOT, stdout=out, stderr=out, stdin=subprocess.DEVNULL, start_new_session=True,
                # NiceGUI behaves otherwise where it is tested itself.
                env={name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
                | dict(self.variables),
            )  # fmt: skip
        until(lambda: self._said_up(log, begins), START_S, lambda: f"`fabric up` is not up:\n{log.read_text()[-3000:]}")

    def _said_up(self, log: Path, begins: int) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, log.read_text()[-3000:]
        return b"is up" in log.read_bytes()[begins:]

    def interrupt(self) -> None:
        """Ctrl-C."""
        assert self.process is not None
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(60) == 0, (self.folder / "up.log").read_text()[-3000:]

    def down(self) -> None:
        """`fabric down --now`, and nothing of it is left."""
        self.fabric("down", "--now", check=False)
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(60)

    def program(self, name: str) -> processes.Process:
        """The live process of control or gateway of this fabric."""
        found = [
            p for p in _all() if f"fabric.{name}" in processes.command(p) and str(self.state) in processes.command(p)
        ]
        assert len(found) == 1, [processes.command(p) for p in found]
        return found[0]

    def program_is_new(self, name: str, old: processes.Process) -> bool:
        """Whether a program was started again and answers."""
        found = [
            p for p in _all() if f"fabric.{name}" in processes.command(p) and str(self.state) in processes.command(p)
        ]
        if len(found) != 1 or found[0] == old:
            return False
        try:
            return httpx.get(
                self.address + "/api/fabric/health", timeout=2, trust_env=False, verify=self.verify
            ).is_success
        except httpx.HTTPError:
            return False

    def fabric(self, *words: str, check: bool = True, timeout_s: float = 200.0) -> subprocess.CompletedProcess[str]:
        """The fabric's own command line."""
        return run([str(BIN / "fabric"), *words], self.environment(), check=check, timeout_s=timeout_s)

    def ray(
        self, *words: str, check: bool = True, cwd: Path | None = None, timeout_s: float = 200.0
    ) -> subprocess.CompletedProcess[str]:
        """The stock Ray command line: `ray job WORDS` against this fabric."""
        verb, *rest = words
        command = [str(BIN / "ray"), "job", verb, "--address", self.address, *rest]
        return run(command, self.environment(), check=check, cwd=cwd, timeout_s=timeout_s)

    def serve(
        self, verb: str, *words: str, address: str | None = None, check: bool = True, **more: str
    ) -> subprocess.CompletedProcess[str]:
        """The stock Serve command line against this fabric; `more` are environment variables."""
        command = [str(BIN / "serve"), verb, "--address", address or self.address, *words]
        return run(command, self.environment(**more), check=check)

    def get(self, path: str) -> Any:
        """JSON of the admin API."""
        headers = {"Authorization": f"Bearer {self.key}"}
        answer = httpx.get(
            self.address + path, timeout=30, trust_env=False, headers=headers, verify=self.verify
        )  # fmt: skip
        answer.raise_for_status()
        return answer.json()

    def workload(self, name: str) -> Mapping[str, Any]:
        """As the fabric tells it."""
        found: Mapping[str, Any] = self.get(f"/api/fabric/workloads/{name}")
        return found

    def wait(self, name: str, *states: str, within_s: float = 150.0) -> Mapping[str, Any]:
        """Until the workload is in one of the states."""
        until(lambda: self.workload(name)["state"] in states, within_s, lambda: f"{name}: {self.explained(name)}")
        return self.workload(name)

    def active(self) -> set[str]:
        """Names of workloads that have not ended."""
        views = self.get("/api/fabric/workloads")["workloads"]
        return {view["name"] for view in views if not State(view["state"]).final}

    def stop_all(self, names: Iterable[str]) -> None:
        """Stop workloads that have not ended, and wait until they have."""
        for name in names:
            self.fabric("stop", name, check=False)
        for name in names:
            self.wait(name, *(state for state in State if state.final))

    def explained(self, name: str) -> str:
        """For failure messages."""
        return self.fabric("explain", name, check=False).stdout

    def layout(self, cluster: str) -> Layout:
        """What the local backend wrote down of a cluster."""
        file = self.state / "clusters" / cluster / "cluster.json"
        return decode(Layout, read_yaml(file), str(file))

    def owned(self, *marks: str) -> list[processes.Process]:
        """Live processes of this fabric's clusters."""
        return processes.marked((f"{env.STATE}={self.state}", *marks))

    def cluster_processes(self) -> list[str]:
        """Command lines of everything that belongs to any cluster of this fabric."""
        return [processes.command(p) for p in self.owned() if _is_in_cluster(p)]

    def raylet(self, cluster: str, slice_name: str) -> processes.Process:
        """The raylet process of one slice."""
        marked = self.owned(f"{env.CLUSTER}={cluster}", f"{env.SLICE}={slice_name}")
        (found,) = [p for p in marked if "/raylet/raylet " in processes.command(p)]
        return found


def _all() -> list[processes.Process]:
    found = (processes.identify(int(entry.name)) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return [process for process in found if process]


def _is_in_cluster(process: processes.Process) -> bool:
    try:
        return f"{env.CLUSTER}=".encode() in Path(f"/proc/{process.pid}/environ").read_bytes()
    except OSError:
        return False


def until(wish: Callable[[], bool], within_s: float, words: Callable[[], str]) -> None:
    """Look until the wish is true; fail with words."""
    deadline = time.monotonic() + within_s
    while not wish():
        assert time.monotonic() < deadline, f"not within {within_s:g} s: {words()}"
        time.sleep(0.1)


def run(
    command: list[str],
    environment: Mapping[str, str],
    check: bool = True,
    cwd: Path | None = None,
    timeout_s: float = 200.0,
) -> subprocess.CompletedProcess[str]:
    """A command to its end, its output as text."""
    done = subprocess.run(
        command, env=dict(environment), cwd=cwd or ROOT, capture_output=True, text=True, timeout=timeout_s, check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert not check or done.returncode == 0, f"{command} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return done


def spec_file(folder: Path, **spec: Any) -> Path:
    """A workload spec as a file for `fabric submit`."""
    file = folder / f"{spec['name']}.yaml"
    file.write_text(json.dumps(spec))  # JSON is YAML
    return file
