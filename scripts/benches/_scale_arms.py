"""The same gangs by three ways: our door, our adoption of objects that exist, and Kueue.

Knows nothing of rounds or of how results are kept: one run of one way gives figures.
"""

import contextlib
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from fabric.api.admin import WORKLOADS
from fabric.backends.kuberay import names
from scripts.benches import _scale_kueue
from scripts.benches._own_fabric import OwnFabric, own_fabric
from scripts.benches._scale_costs import Costs, about_placement, by_the_fabric, pid_of, request_counts
from scripts.benches._scale_gangs import Gangs, quantile
from scripts.benches._scale_watching import Watching
from scripts.benches._scale_world import (
    CLUSTERS,
    PATIENCE_S,
    World,
    at_once,
    empty,
    gang_object,
    gang_spec,
    site_file,
    until_gone,
)
from scripts.rigging.api import Api
from scripts.rigging.errors import RigError
from scripts.rigging.installing import USER, install, uninstall
from scripts.rigging.layout import NODES, Layout, layout
from scripts.rigging.processes import Processes
from scripts.rigging.rig import Rig

POLL_S = 0.2
BUSY = (httpx.codes.TOO_MANY_REQUESTS, httpx.codes.SERVICE_UNAVAILABLE)
"""What the fabric answers to who should come again later."""
PARTS = ("etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kuberay-operator", "kwok")
"""What works in every run."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Where one run takes place."""

    rig: Rig
    api: Api
    world: World
    folder: Path
    namespace: str
    layout: Layout = field(default_factory=layout)


@dataclass(frozen=True, slots=True)
class Playing:
    """A way that is ready to be asked."""

    ask: Callable[[], None]
    """Ask for all gangs."""
    pids: Mapping[str, int]
    """Processes of its own."""
    granted: Callable[[], Mapping[str, float]]
    """When each gang was granted, by its RayCluster, in seconds since the epoch; empty where nobody says."""


Way = Callable[[Stage], contextlib.AbstractContextManager[Playing]]


@contextmanager
def staged(rig: Rig, api: Api, world: World, folder: Path) -> Iterator[Stage]:
    """A new namespace with control's rights in it; afterwards it is gone with all that was made."""
    namespace = f"scale-{uuid.uuid4().hex[:6]}"
    install(api, namespace)
    try:
        yield Stage(rig, api, world, folder, namespace)
    finally:
        empty(api, namespace)
        uninstall(api, namespace)
        until_gone(api, namespace)


@contextmanager
def our_control(stage: Stage) -> Iterator[tuple[OwnFabric, httpx.Client, dict[str, int]]]:
    """Control beside the cluster with the rights of the install, somebody who may ask it, and its process.

    Raises:
        RigError: If it ends.
    """
    site = site_file(stage.world, stage.folder)
    variables = {"KUBECONFIG": str(stage.layout.kubeconfig_of(USER))}
    sets = (f"kubernetes.namespace={stage.namespace}",)
    with own_fabric(site, sets, host=NODES[0].address, within=stage.folder, variables=variables, leaves=True) as fabric:
        key = (fabric.state / "admin.key").read_text().strip()
        headers = {"Authorization": f"Bearer {key}"}
        pid = pid_of("fabric.control", str(fabric.state))
        if pid is None:
            raise RigError("the fabric's control has ended")
        with httpx.Client(base_url=fabric.address, headers=headers, timeout=60.0, trust_env=False) as client:
            yield fabric, client, {"control": pid}


@contextmanager
def by_the_door(stage: Stage) -> Iterator[Playing]:
    """Workloads, handed in at the API as people do."""
    with our_control(stage) as (_, client, pids):

        def submit(name: str) -> None:
            asked(client, WORKLOADS, {"spec": gang_spec(name)})

        yield Playing(
            lambda: at_once(submit, stage.world.gangs), pids, lambda: granted_at(client, lambda w: f"{w['name']}-1")
        )


@contextmanager
def by_adoption(stage: Stage) -> Iterator[Playing]:
    """Suspended RayClusters that name their project."""
    with our_control(stage) as (_, client, pids):
        labels = {names.PROJECT: "default"}
        yield Playing(
            lambda: create_all(stage, labels), pids, lambda: granted_at(client, lambda w: w["name"].rpartition("-")[0])
        )


@contextmanager
def by_kueue(stage: Stage) -> Iterator[Playing]:
    """The same suspended RayClusters, which name a queue of Kueue's."""
    with _scale_kueue.kueue(stage.api, stage.layout, stage.namespace, stage.world) as pid:
        labels = {_scale_kueue.QUEUE_LABEL: _scale_kueue.QUEUE}
        try:
            yield Playing(lambda: create_all(stage, labels), {"kueue": pid}, dict)
        finally:
            # It lets go of its own objects only while it is there.
            empty(stage.api, stage.namespace)


WAYS: Mapping[str, Way] = {"door": by_the_door, "adoption": by_adoption, "kueue": by_kueue}
"""Every way, by its name in tables."""


def asked(client: httpx.Client, path: str, body: Mapping[str, Any] | None) -> None:
    """Ask the fabric for something, again as long as it says that it has too much to do.

    Raises:
        httpx.HTTPStatusError: If it refuses.
    """
    while (answer := client.post(path, json=body)).status_code in BUSY:
        time.sleep(float(answer.headers.get("Retry-After", POLL_S)))
    answer.raise_for_status()


def create_all(stage: Stage, labels: Mapping[str, str]) -> None:
    """Create every gang as a RayCluster, several at a time."""
    path = CLUSTERS.format(stage.namespace)
    at_once(lambda name: stage.api.create(path, gang_object(name, labels)), stage.world.gangs)


def granted_at(client: httpx.Client, cluster_of: Callable[[Mapping[str, Any]], str]) -> dict[str, float]:
    """When each workload that starts was granted, by the name of its RayCluster."""
    chosen = {"state": ["placing", "starting", "running"], "limit": "1000"}
    found = client.get(WORKLOADS, params=chosen).raise_for_status().json()["workloads"]
    return {cluster_of(each): each["granted_at"] for each in found if each["granted_at"] is not None}


def measured(stage: Stage, way: Way) -> dict[str, Any]:
    """One run: figures, and what went wrong."""
    gangs = Gangs(stage.world.capacity())
    with way(stage) as playing, Watching(stage.rig.api, stage.namespace, gangs) as watching:
        before, processes = request_counts(stage.api.text("/metrics")), {**standing(stage.layout), **playing.pids}
        with Costs(processes) as costs:
            began = time.time()
            playing.ask()
            asked_s = time.time() - began
            problem = until_ready(gangs, watching, stage.world.fit, processes)
            ended = time.time()
        counts = request_counts(stage.api.text("/metrics")) - before
        return {
            "asked_s": round(asked_s, 2),
            "problem": problem,
            **times(gangs, began, ended, stage.world.fit),
            **pauses(gangs, playing.granted()),
            "calls_per_gang": round(about_placement(counts) / stage.world.fit, 1),
            "control_calls_per_gang": round(by_the_fabric(counts) / stage.world.fit, 2) if playing.granted() else None,
            "requests": dict(counts.most_common(30)),
            "memory_mib": {name: round(peak / 2**20) for name, peak in costs.peak_bytes.items()},
            "cpu_s": costs.used_s,
        }


def until_ready(gangs: Gangs, watching: Watching, fit: int, pids: Mapping[str, int]) -> str:
    """Wait until as many gangs are ready as fit; why they are not, or nothing."""
    deadline = time.time() + PATIENCE_S
    while gangs.num_ready() < fit:
        watching.check()
        gone = [name for name, pid in pids.items() if not Path(f"/proc/{pid}").exists()]
        if gone:
            return f"{gone[0]} has ended"
        if time.time() > deadline:
            return f"{gangs.num_ready()} of {fit} gangs were ready after {PATIENCE_S:.0f} s"
        time.sleep(POLL_S)
    return ""


def times(gangs: Gangs, began: float, ended: float, fit: int) -> dict[str, Any]:
    """How many were ready when, and how many were started in part."""
    ready_s = sorted(at - began for at in gangs.ready_at.values())
    return {
        "ready": len(ready_s),
        "seconds": round(ready_s[fit - 1], 2) if len(ready_s) >= fit else None,
        "first_s": round(ready_s[0], 2) if ready_s else None,
        "half_of_them_s": round(ready_s[fit // 2], 2) if len(ready_s) > fit // 2 else None,
        "ready_s": [round(each, 2) for each in ready_s],
        "most_half_started": gangs.most_half,
        "longest_half_started_s": round(gangs.longest_half_s(ended), 3),
        "overcommitted": gangs.overcommitted,
    }


def pauses(gangs: Gangs, granted: Mapping[str, float]) -> dict[str, Any]:
    """Seconds from the grant until the last gate of a gang fell."""
    released = gangs.released_at()
    found = [released[name] - at for name, at in granted.items() if name in released]
    if not found:
        return {}
    shares = {"p50": 0.5, "p99": 0.99}
    return {"grant_to_release_s": {name: round(quantile(found, share), 2) for name, share in shares.items()}}


def standing(of: Layout) -> dict[str, int]:
    """Process ids of what works in every run, by its name.

    Raises:
        RigError: If something does not run.
    """
    processes = Processes(of.records, of.logs)
    found = {}
    for name in PARTS:
        running = processes.find(name)
        if running is None:
            raise RigError(f"{name} of the rig does not run: scripts/rig up")
        found[name] = running.pid
    return found
