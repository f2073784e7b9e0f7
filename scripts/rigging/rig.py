"""Bring a Kubernetes with KubeRay up on this machine, say how it is, break parts of it on purpose, take it down.

Knows nothing of how programs are built. Every step may be done again: what is there is left alone.
"""

import datetime
import fcntl
import os
import shutil
import signal
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx

from scripts.rigging import control_plane, nodes
from scripts.rigging.api import Api, wait_until
from scripts.rigging.building import missing
from scripts.rigging.credentials import make_secrets
from scripts.rigging.errors import RigError
from scripts.rigging.images import pause_archive, ray_archive
from scripts.rigging.layout import GPU, NODES, Layout, Node
from scripts.rigging.leaving import clean_up, end_pods, remains
from scripts.rigging.network import make_bridge
from scripts.rigging.processes import Component, Processes
from scripts.rigging.progress import say
from scripts.rigging.refusing import refusal

START_S = 240.0
"""How long a part may take to answer after it was started."""
RECOVERY_S = 180.0
"""How long the cluster may take to answer again after a part came back: an API server that lost its store waits."""
CONTROL = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "coredns", "kuberay-operator", "kwok")
"""Components of the control plane, in the order in which they are started."""


@dataclass(frozen=True, slots=True)
class Status:
    """How the rig is."""

    up: bool
    """Whether every component runs and every real node is ready."""
    kubeconfig: str
    server: str
    components: dict[str, int | None]
    """Process id by component; none if it does not run."""
    nodes: dict[str, str]
    """What the cluster says of each node whose pods are processes: ready, not ready or unknown."""

    def as_json(self) -> dict[str, object]:
        """The same as plain values."""
        return asdict(self)


class Rig:
    """The rig of this machine.

    Args:
        layout: Where it keeps what.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._processes = Processes(layout.records, layout.logs)

    @property
    def component_names(self) -> list[str]:
        """Everything that can be killed and started alone."""
        pairs = [(nodes.containerd_name(node), nodes.kubelet_name(node)) for node in NODES]
        return [*CONTROL, *(name for pair in pairs for name in pair)]

    def up(self) -> None:
        """Start what does not run and wait until pods can be.

        Raises:
            RigError: If this machine cannot run it, or a part does not come up; the message has its last words.
        """
        with self._alone():
            began = time.monotonic()
            if self.status().up:
                say("is up already")
                return
            self._refuse_what_cannot_be()
            self._lay_out()
            with ThreadPoolExecutor(len(NODES)) as pool:
                runtimes = [pool.submit(self._start_runtime, node) for node in NODES]
                self._start_control_plane()
                for runtime in runtimes:
                    runtime.result()
                say("container runtimes answer")
                for node in NODES:
                    self._processes.start(nodes.kubelet(self._layout, node))
                self._start_add_ons()
                for ready in [pool.submit(self._wait_for_node, node) for node in NODES]:
                    ready.result()
            say(f"is up after {time.monotonic() - began:.0f} s; access is in {self._layout.kubeconfig}")

    def down(self) -> None:
        """End everything that `up` started and remove everything it made.

        Raises:
            RigError: If something does not go away.
        """
        with self._alone():
            kubelets = [nodes.kubelet_name(node) for node in NODES]
            self._processes.end(kubelets, signal.SIGKILL)
            self._processes.end([nodes.containerd_name(node) for node in NODES], signal.SIGKILL)
            for node in NODES:
                end_pods(self._layout, node)
            # What reads ends before what is read, so that nobody waits for an answer that does not come.
            for part in (CONTROL[2:], CONTROL[1:2], CONTROL[:1]):
                self._processes.end(part, patience_s=3.0)
            clean_up(self._layout)
            for folder in (self._layout.state, self._layout.sockets, self._layout.shared):
                shutil.rmtree(folder, ignore_errors=True)
            if left := remains(self._layout):
                raise RigError(f"still there after down: {', '.join(left)}. Run scripts/rig down again")
            say("is down, nothing is left")

    def status(self) -> Status:
        """How it is now."""
        found = {name: self._processes.find(name) for name in self.component_names}
        states = self._node_states()
        up = all(found.values()) and all(state == "ready" for state in states.values())
        pids = {name: running.pid if running else None for name, running in found.items()}
        return Status(up, str(self._layout.kubeconfig), control_plane.SERVER, pids, states)

    def kill(self, name: str) -> None:
        """Kill a component where it stands, or a whole node: its kubelet, its runtime and all processes of its pods.

        Raises:
            RigError: If there is nothing of that name.
        """
        if node := self._node(name):
            self._processes.end([nodes.kubelet_name(node), nodes.containerd_name(node)], signal.SIGKILL)
            end_pods(self._layout, node)
            say(f"killed node {name} and its pods")
            return
        self._known(name)
        ended = self._processes.end([name], signal.SIGKILL)
        say(f"killed {name}" if ended else f"{name} did not run")

    def start(self, name: str) -> None:
        """Start a component, or a whole node, that was killed, and wait until it answers.

        Raises:
            RigError: If there is nothing of that name, or it does not come back.
        """
        self._refuse_what_cannot_be(started=True)
        if node := self._node(name):
            self._start_runtime(node)
            self._start_kubelet(node)
        elif node := self._node_of(name):
            if name == nodes.kubelet_name(node):
                self._start_kubelet(node)
            else:
                self._start_runtime(node)
        else:
            self._known(name)
            for component in self._control_components():
                if component.name == name:
                    self._processes.start(component)
            if name in CONTROL[:2]:
                self._wait_for_api(RECOVERY_S)
        say(f"started {name}")

    def remains(self) -> list[str]:
        """What is still there of a rig that is down."""
        return remains(self._layout)

    def _known(self, name: str) -> None:
        if name not in self.component_names:
            names = ", ".join([*self.component_names, *(node.name for node in NODES)])
            raise RigError(f"no component or node is called {name!r}; there are {names}")

    def _node(self, name: str) -> Node | None:
        return next((node for node in NODES if node.name == name), None)

    def _node_of(self, component: str) -> Node | None:
        owned = {nodes.kubelet_name(node): node for node in NODES} | {nodes.containerd_name(n): n for n in NODES}
        return owned.get(component)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep another `up` or `down` waiting.

        Raises:
            RigError: If we may not do either.
        """
        if os.geteuid() != 0:
            raise RigError("the rig starts containers and a network, which only root may: run it as root")
        with Path("/run/lock/fabric-rig.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _refuse_what_cannot_be(self, *, started: bool = False) -> None:
        if reason := refusal():
            raise RigError(reason)
        if absent := missing(self._layout):
            raise RigError(f"the rig lacks {', '.join(absent)}: run scripts/rig build")
        if started and not self._layout.kubeconfig.exists():
            raise RigError("the rig is down: run scripts/rig up")

    def _lay_out(self) -> None:
        make_bridge([node.address for node in NODES])
        self._refuse_busy_ports()
        for folder in (self._layout.state, self._layout.sockets):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._layout.shared.mkdir(parents=True, exist_ok=True)
        self._layout.shared.chmod(0o1777)
        if not self._layout.kubeconfig.exists():
            now = datetime.datetime.now(datetime.UTC)
            make_secrets(self._layout, control_plane.HOST, control_plane.SERVER, now)
        ray_archive(self._layout.state / "images" / "ray.tar", self._layout)
        pause_archive(self._layout.state / "images" / "pause.tar", self._layout)

    def _refuse_busy_ports(self) -> None:
        if self._processes.names():
            return
        for host, port in control_plane.PORTS:
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((host, port))
                except OSError as error:
                    raise RigError(
                        f"something else listens at {host}:{port} ({error.strerror}); end it first"
                    ) from error

    def _control_components(self) -> list[Component]:
        ours = self._layout
        first = [control_plane.etcd(ours), control_plane.api_server(ours), *control_plane.controllers(ours)]
        return [*first, *control_plane.add_ons(ours)]

    def _start_control_plane(self) -> None:
        for component in (control_plane.etcd(self._layout), control_plane.api_server(self._layout)):
            self._processes.start(component)
        self._wait_for_api(START_S)
        say("the API server is ready")
        for component in control_plane.controllers(self._layout):
            self._processes.start(component)

    def _start_add_ons(self) -> None:
        with self.api() as api:
            control_plane.fill(api, self._layout)
            wait_until("Ray's objects are served", lambda: control_plane.is_served(api), START_S)
        say("KubeRay's definitions are in place")
        for component in control_plane.add_ons(self._layout):
            self._processes.start(component)
        probe = f"http://127.0.0.1:{control_plane.OPERATOR_PROBE_PORT}/readyz"
        self._wait("the operator is ready", lambda: httpx.get(probe, trust_env=False).is_success, "kuberay-operator")

    def _start_runtime(self, node: Node) -> None:
        ours, name = self._layout, nodes.containerd_name(node)
        nodes.make_cgroups(node)
        nodes.write_base_spec(ours, node)
        (ours.sockets / node.name).mkdir(parents=True, exist_ok=True)
        self._processes.start(nodes.containerd(ours, node))
        self._wait(f"{name} answers", lambda: self._has_images(node), name)

    def _has_images(self, node: Node) -> bool:
        """Import the images as soon as the runtime listens; whether they are there."""
        if not nodes.socket(self._layout, node).exists():
            return False
        for file in ("pause", "ray"):
            archive = str(self._layout.state / "images" / f"{file}.tar")
            nodes.runtime_command(self._layout, node, "images", "import", archive)
        return True

    def _start_kubelet(self, node: Node) -> None:
        self._processes.start(nodes.kubelet(self._layout, node))
        self._wait_for_node(node)

    def _wait_for_node(self, node: Node) -> None:
        name = nodes.kubelet_name(node)
        started = time.time()
        with self.api() as api:
            self._wait(f"node {node.name} is ready", lambda: _is_ready(api, node.name, started), name)
            if node.num_gpus:
                # A kubelet that starts forgets what was said of its node.
                self._wait("GPUs are counted", lambda: _count_gpus(api, node), name)
            accounts = "/api/v1/namespaces/default/serviceaccounts/default"
            self._wait("pods can be", lambda: api.get(accounts), "kube-controller-manager")
        say(f"node {node.name} is ready")

    def _wait_for_api(self, limit_s: float) -> None:
        def answers() -> bool:
            with self.api(timeout_s=5.0) as api:
                return api.text("/readyz") == "ok"

        self._wait("the API server is ready", answers, "kube-apiserver", limit_s)

    def _wait(self, what: str, holds: Callable[[], object], component: str, limit_s: float = START_S) -> None:
        def hint() -> str:
            alive = "runs" if self._processes.find(component) else "has ended"
            log = self._processes.log(component)
            return f"{component} {alive}; the end of {log}:\n{self._processes.last_words(component)}"

        wait_until(what, holds, limit_s, hint=hint)

    def api(self, user: str = "admin", timeout_s: float = 60.0) -> Api:
        """Access to the API server as one of the rig's users.

        Args:
            user: One of `USERS`.
            timeout_s: How long a request may take.

        Raises:
            FileNotFoundError: If the rig is down.
        """
        file = self._layout.kubeconfig if user == "admin" else self._layout.kubeconfig_of(user)
        return Api(file, timeout_s)

    def _node_states(self) -> dict[str, str]:
        if not self._processes.find("kube-apiserver"):
            return {node.name: "unknown" for node in NODES}
        try:
            with self.api(timeout_s=5.0) as api:
                return {n.name: "ready" if _is_ready(api, n.name) else "not ready" for n in NODES}
        except (RigError, httpx.HTTPError, FileNotFoundError):
            return {node.name: "unknown" for node in NODES}


def _is_ready(api: Api, name: str, since: float = 0.0) -> bool:
    """Whether the cluster counts the node as ready, and heard so after an instant."""
    conditions = api.get(f"/api/v1/nodes/{name}")["status"].get("conditions", [])
    found = next((c for c in conditions if c["type"] == "Ready"), None)
    if found is None or found["status"] != "True":
        return False
    heard = datetime.datetime.fromisoformat(found["lastHeartbeatTime"]).timestamp()
    return heard >= int(since)


def _count_gpus(api: Api, node: Node) -> bool:
    """Say how many GPUs the node has; whether it says so, too."""
    path = f"/api/v1/nodes/{node.name}"
    if api.get(path)["status"]["allocatable"].get(GPU) == str(node.num_gpus):
        return True
    api.patch(f"{path}/status", nodes.gpu_capacity(node))
    return False
