"""Kueue beside the rig: its definitions, its process, and a queue with quota for exactly as many gangs as fit.

Knows nothing of what is measured. There is no kube-proxy, so nothing reaches a webhook by its service; Kueue gets none,
which spares it their time: objects are written as its webhooks would leave them, and its definitions serve the one
version that it writes, so that nothing is converted. It acts as the administrator, with clients as fast as the rig's
other components, and with no limit on how many Ray clusters it reconciles at once but its own for other kinds.
"""

import datetime
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import httpx

from scripts.benches._scale_world import HEAD, NUM_WORKERS, TIER, WORKER, World
from scripts.rigging.api import Api, Object, wait_until
from scripts.rigging.control_plane import DEFINITIONS, HOST, component
from scripts.rigging.credentials import Authority
from scripts.rigging.errors import RigError
from scripts.rigging.go_tools import is_built, module_folder
from scripts.rigging.layout import GPU, Layout
from scripts.rigging.pins import PEERS
from scripts.rigging.processes import Component, Processes

NAME = "kueue"
VERSION = "v1beta2"
API = f"/apis/kueue.x-k8s.io/{VERSION}"
QUEUE = "gangs"
"""Name of the queue, in its namespace and in the cluster."""
QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
SYSTEM = "kueue-system"
IN_USE = "kueue.x-k8s.io/resource-in-use"
"""Finalizer that its webhook puts on flavors and queues."""
WEBHOOK_PORT, PROBE_PORT = 23982, 23983
START_S = 180.0
FRAMEWORK = "ray.io/raycluster"
_CERTIFICATES = "/etc/kueue/metrics/certs"
"""Where it looks for a certificate, whether it serves metrics or not; it gets a folder /etc of its own."""


def definition(text: str) -> str:
    """A definition of one of its kinds, as a text in YAML, that serves and keeps the version which it writes.

    Raises:
        RigError: If the text is not as the version that was tried has it.
    """
    before, after = "served: true\n    storage: true", "served: true\n    storage: false"
    if text.count(before) != 1 or text.count(after) != 1:
        raise RigError("a definition of Kueue's has other versions than v1beta1 and v1beta2")
    return text.replace(before, "served: false\n    storage: false").replace(after, before, 1)


def configuration(certificates: Path) -> Object:
    """What it is told at its start."""
    return {
        "apiVersion": f"config.kueue.x-k8s.io/{VERSION}",
        "kind": "Configuration",
        "namespace": SYSTEM,
        "health": {"healthProbeBindAddress": f"127.0.0.1:{PROBE_PORT}"},
        "metrics": {"bindAddress": "0"},
        "webhook": {"port": WEBHOOK_PORT, "host": HOST, "certDir": str(certificates)},
        "leaderElection": {"leaderElect": False},
        "internalCertManagement": {"enable": False},
        "clientConnection": {"qps": 200, "burst": 400},
        "controller": {
            "groupKindConcurrency": {
                "RayCluster.ray.io": 5, "Workload.kueue.x-k8s.io": 5, "LocalQueue.kueue.x-k8s.io": 1,
                "ClusterQueue.kueue.x-k8s.io": 1, "ResourceFlavor.kueue.x-k8s.io": 1,
            },
        },
        "integrations": {"frameworks": [FRAMEWORK]},
    }  # fmt: skip


def flavor(tier: str) -> Object:
    """The nodes of a tier."""
    meta = {"name": tier, "finalizers": [IN_USE]}
    return {**_kind("ResourceFlavor"), "metadata": meta, "spec": {"nodeLabels": {TIER: tier}}}


def cluster_queue(num_gangs: int) -> Object:
    """A queue with quota for so many gangs, and not for a pod more."""
    quotas = {"commodity": _times(HEAD, num_gangs), "gpu": _times(WORKER, num_gangs * NUM_WORKERS)}
    flavors = [
        {"name": tier, "resources": [{"name": kind, "nominalQuota": has} for kind, has in amounts.items()]}
        for tier, amounts in quotas.items()
    ]
    group = {"coveredResources": ["cpu", "memory", GPU], "flavors": flavors}
    spec = {"namespaceSelector": {}, "queueingStrategy": "BestEffortFIFO", "resourceGroups": [group]}
    return {**_kind("ClusterQueue"), "metadata": {"name": QUEUE, "finalizers": [IN_USE]}, "spec": spec}


def local_queue() -> Object:
    """The same queue as a namespace sees it."""
    return {**_kind("LocalQueue"), "metadata": {"name": QUEUE}, "spec": {"clusterQueue": QUEUE}}


@contextmanager
def kueue(api: Api, layout: Layout, namespace: str, world: World) -> Iterator[int]:
    """Kueue with a queue for a namespace, its process id; afterwards its process, queue and flavors are gone.

    Raises:
        RigError: If it is not built, or does not come up.
    """
    if not is_built(layout, PEERS[0]):
        raise RigError("Kueue is not built: run scripts/rig build --peers")
    _define(api)
    folder = layout.state / NAME
    _certify(folder)
    (folder / "config.json").write_text(json.dumps(configuration(folder)))
    processes = Processes(layout.records, layout.logs)
    processes.end([NAME])
    processes.start(_component(layout, folder))
    try:
        _until_ready(processes)
        _make_queue(api, namespace, world)
        running = processes.find(NAME)
        if running is None:
            raise RigError(f"Kueue has ended:\n{processes.last_words(NAME)}")
        try:
            yield running.pid
        finally:
            _remove_queue(api, namespace)
    finally:
        processes.end([NAME])
        processes.forget(NAME)
        shutil.rmtree(folder, ignore_errors=True)


def _kind(kind: str) -> Object:
    return {"apiVersion": f"kueue.x-k8s.io/{VERSION}", "kind": kind}


def _times(amounts: Mapping[str, str], count: int) -> dict[str, str]:
    """So many times the amounts of one pod, none of what it does not ask for."""
    found = {}
    for kind in ("cpu", "memory", GPU):
        text = amounts.get(kind, "0")
        unit = text.lstrip("0123456789")
        found[kind] = f"{int(text.removesuffix(unit)) * count}{unit}"
    return found


def _define(api: Api) -> None:
    """Create its definitions, and wait until its objects can be asked for."""
    for file in sorted((module_folder(PEERS[0]) / "config/components/crd/bases").glob("*.yaml")):
        api.create(DEFINITIONS, definition(file.read_text()))
    wanted = {"workloads", "clusterqueues", "localqueues", "resourceflavors"}
    wait_until("Kueue's objects are served", lambda: wanted <= {r["name"] for r in api.get(API)["resources"]}, START_S)
    api.create("/api/v1/namespaces", {"metadata": {"name": SYSTEM}})


def _certify(folder: Path) -> None:
    """A certificate for the webhooks that nobody calls, under the names that it looks for."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    Authority(folder, datetime.datetime.now(datetime.UTC)).issue("tls", NAME, hosts=[HOST])


def _component(layout: Layout, folder: Path) -> Component:
    arguments = (f"--config={folder}/config.json", f"--kubeconfig={layout.kubeconfig}")
    plain = component(layout, NAME, *arguments, "--feature-gates=VisibilityOnDemand=false", "--zap-log-level=error")
    program = " ".join(plain.command)
    # Only its own view of the file system has that folder; it ends with the process.
    copied = f"cp {folder}/tls.crt {folder}/tls.key {_CERTIFICATES}"
    steps = ("mount -t tmpfs tmpfs /etc", f"mkdir -p {_CERTIFICATES}", copied, f"exec {program}")
    return Component(NAME, ("unshare", "--mount", "sh", "-c", " && ".join(steps)), plain.variables)


def _until_ready(processes: Processes) -> None:
    def is_ready() -> bool:
        return httpx.get(f"http://127.0.0.1:{PROBE_PORT}/readyz", trust_env=False).is_success

    wait_until("Kueue is ready", is_ready, START_S, hint=lambda: processes.last_words(NAME))


def _make_queue(api: Api, namespace: str, world: World) -> None:
    for tier in ("commodity", "gpu"):
        api.create(f"{API}/resourceflavors", flavor(tier))
    api.create(f"{API}/clusterqueues", cluster_queue(world.fit))
    api.create(f"{API}/namespaces/{namespace}/localqueues", local_queue())

    def is_active() -> bool:
        conditions = api.get(f"{API}/clusterqueues/{QUEUE}").get("status", {}).get("conditions", [])
        return any(c["type"] == "Active" and c["status"] == "True" for c in conditions)

    wait_until("Kueue's queue is active", is_active, START_S)


def _remove_queue(api: Api, namespace: str) -> None:
    """Delete its objects while it is there to let them go.

    Raises:
        RigError: If some stay.
    """
    workloads = f"{API}/namespaces/{namespace}/workloads"
    wait_until("Kueue's workloads are gone", lambda: not api.items(workloads), START_S)
    for path in (f"namespaces/{namespace}/localqueues", "clusterqueues", "resourceflavors"):
        api.delete(f"{API}/{path}")
        wait_until(f"{path} are gone", lambda path=path: not api.items(f"{API}/{path}"), START_S)  # type: ignore[misc]
