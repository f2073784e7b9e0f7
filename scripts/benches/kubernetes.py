"""From submission to the first task on the rig: the fabric against plain KubeRay; about 6 minutes, with the rig built.

Both sides make a Ray cluster of a head on the commodity node and a worker with one GPU on the other, of equal pods, and
run the same program, whose first task writes down when it began. The fabric is asked by the stock `ray job submit`;
plain KubeRay gets a RayJob whose operator submits (HTTPMode, the faster of its modes), its pods sent to the same nodes.
The clock starts before the request. Runs alternate A-B-B-A, each after the pods of the one before it are gone.
"""

import argparse
import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Any

from scripts.benches._own_fabric import ROOT, OwnFabric, own_fabric
from scripts.benches._sides import compared
from scripts.rigging.api import Api, wait_until
from scripts.rigging.images import RAY_IMAGE
from scripts.rigging.installing import make_namespace
from scripts.rigging.layout import GPU, NODES, layout
from scripts.rigging.rig import Rig

AT_MOST = 1.2
"""Fabric / plain KubeRay; the goal of the project."""
NAMESPACE = "fabric-bench"
PATIENCE_S = 300.0
HEAD_MEMORY, WORK_MEMORY = "2560Mi", "2Gi"
"""What the rig's site file gives heads, and work that does not say."""
BIN = Path(sys.executable).parent
PROGRAM = """
import sys, time
from pathlib import Path
import ray
ray.init(log_to_driver=False)
began = ray.get(ray.remote(num_cpus=0)(lambda: time.time()).remote())
Path(sys.argv[1]).write_text(str(began))
"""


@dataclass(frozen=True, slots=True)
class Bench:
    """What all runs share."""

    api: Api
    folder: Path
    """Seen by all pods under the same path."""

    def began_at(self, mark: Path) -> float:
        """When the first task began, once it has; seconds since the epoch, as this machine's pods count them too.

        Raises:
            RigError: If it does not begin.
        """
        wait_until("the first task begins", lambda: mark.exists() and mark.read_text(), PATIENCE_S)
        return float(mark.read_text())

    def until_empty(self) -> None:
        """Wait until no pod of the run before is left.

        Raises:
            RigError: If some stay.
        """
        pods = f"/api/v1/namespaces/{NAMESPACE}/pods"
        wait_until("all pods are gone", lambda: not self.api.items(pods), PATIENCE_S)


def command(folder: Path, mark: Path) -> list[str]:
    """What both sides run."""
    return ["python", str(folder / "first.py"), str(mark)]


def by_fabric(bench: Bench, fabric: OwnFabric, mark: Path) -> None:
    """Submit as people do."""
    key = (fabric.state / "admin.key").read_text().strip()
    header = json.dumps({"Authorization": f"Bearer {key}"})
    words = [str(BIN / "ray"), "job", "submit", "--no-wait", "--address", fabric.address]
    sizes = ["--entrypoint-num-cpus", "1", "--entrypoint-num-gpus", "1"]
    done = subprocess.run(
        [*words, *sizes, "--", *command(bench.folder, mark)],
        env={**os.environ, "RAY_JOB_HEADERS": header}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        sys.exit(f"bench: `ray job submit` ended with {done.returncode}: {done.stdout}{done.stderr}")


def by_kuberay(bench: Bench, name: str, mark: Path) -> None:
    """Create a RayJob."""
    bench.api.create(f"/apis/ray.io/v1/namespaces/{NAMESPACE}/rayjobs", ray_job(name, command(bench.folder, mark)))


def ray_job(name: str, words: list[str]) -> dict[str, Any]:
    """A job on a new cluster of a head without resources and a worker with a GPU."""
    head, worker = (_pod(node.name, min(node.num_gpus, 1)) for node in NODES[::-1])
    group = {"groupName": "workers", "replicas": 1, "minReplicas": 1, "maxReplicas": 1, "rayStartParams": {}}
    return {
        "apiVersion": "ray.io/v1",
        "kind": "RayJob",
        "metadata": {"name": name},
        "spec": {
            "entrypoint": " ".join(words),
            "submissionMode": "HTTPMode",
            "shutdownAfterJobFinishes": True,
            "rayClusterSpec": {
                "headGroupSpec": {"rayStartParams": {"num-cpus": "0"}, "template": head},
                "workerGroupSpecs": [{**group, "template": worker}],
            },
        },
    }


def _pod(node: str, num_gpus: int) -> dict[str, Any]:
    memory = WORK_MEMORY if num_gpus else HEAD_MEMORY
    amounts = {"cpu": "1", "memory": memory, **({GPU: str(num_gpus)} if num_gpus else {})}
    container = {"name": "ray", "image": RAY_IMAGE, "imagePullPolicy": "Never"}
    container["resources"] = {"requests": amounts, "limits": amounts}  # type: ignore[assignment]
    spec: dict[str, Any] = {"containers": [container], "nodeSelector": {"kubernetes.io/hostname": node}}
    if num_gpus:
        spec["tolerations"] = [{"key": GPU, "operator": "Exists", "effect": "NoSchedule"}]
    return {"spec": spec}


def measured(bench: Bench, start: Callable[[Path], None]) -> float:
    """Seconds from the request to the first task."""
    bench.until_empty()
    mark = bench.folder / f"mark-{uuid.uuid4().hex[:8]}"
    asked_at = time.time()
    start(mark)
    return bench.began_at(mark) - asked_at


def main() -> int:
    """Measure, print a table and JSON; 1 if the ratio is above its bound."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=5, help="runs of each side")
    options = parser.parse_args()
    rig = Rig(layout())
    was_up = rig.status().up
    try:
        rig.up()
        with rig.api() as api:
            make_namespace(api, {"metadata": {"name": NAMESPACE}})
            found = _all(Bench(api, layout().shared), options.times)
            api.delete(f"/api/v1/namespaces/{NAMESPACE}")
    finally:
        if not was_up:
            rig.down()
    return compared(found, AT_MOST)


def _all(bench: Bench, times: int) -> dict[str, list[float]]:
    (bench.folder / "first.py").write_text(PROGRAM)
    found: dict[str, list[float]] = {"fabric": [], "kuberay": []}
    site, host = ROOT / "configs" / "sites" / "rig.yaml", NODES[0].address
    sets = (f"kubernetes.namespace={NAMESPACE}", "kubernetes.control_url=null")
    variables = {"KUBECONFIG": str(layout().kubeconfig)}
    with own_fabric(site, sets, host=host, within=bench.folder, variables=variables) as fabric:
        starts: dict[str, Callable[[Path], None]] = {
            "fabric": lambda mark: by_fabric(bench, fabric, mark),
            "kuberay": lambda mark: by_kuberay(bench, mark.name, mark),
        }
        for name in islice(cycle(("fabric", "kuberay", "kuberay", "fabric")), 2 * times):
            found[name].append(measured(bench, starts[name]))
            print(f"{name:8} {found[name][-1]:6.2f} s", flush=True)
        bench.until_empty()
    return found


if __name__ == "__main__":
    sys.exit(main())
