"""A RayCluster and RayJobs that somebody makes himself wait, start, survive and end on the rig, with real Ray."""

import os
import shlex
import signal
from collections.abc import Iterator
from typing import Any

import pytest

from fabric.backends.kuberay import names
from scripts.rigging.api import Api, Object
from tests.cluster.on_rig import START_S, OnRig, beside_the_rig, installed_as
from tests.cluster.pods import Namespace, spec
from tests.cluster.ray_clusters import run_job, until_ready
from tests.ray.live import until

pytestmark = pytest.mark.timeout(900)
GPUS = 4
"""All that the GPU node has, so that two such objects cannot run together."""
TASK = (
    "import ray; ray.init(); f = ray.remote(num_gpus=4)(lambda: ray.get_gpu_ids()); "
    "print('GPUS', sorted(map(int, ray.get(f.remote()))))"
)
"""A program whose task can only run on the worker."""


@pytest.fixture(scope="module")
def installed(api: Api) -> Iterator[Namespace]:
    with installed_as(api, "adopting") as namespace:
        yield namespace


@pytest.fixture(scope="module")
def fabric(installed: Namespace) -> Iterator[OnRig]:
    """One fabric for the module; no pod of anybody is left."""
    with beside_the_rig(installed) as fabric:
        yield fabric
    assert installed.pods() == []


@pytest.fixture(autouse=True)
def alone(fabric: OnRig, installed: Namespace) -> Iterator[None]:
    """Takes away what a test made, so that one that failed does not keep the GPUs from the next."""
    yield
    installed.api.delete(installed.ray("rayjobs"))
    installed.empty()


def template(gpus: int = 0) -> Object:
    """A pod of one CPU, as people write it: it says nothing of gates or taints."""
    kept = spec(cpus="1", memory="2Gi", gpus=gpus)
    return {"spec": {key: value for key, value in kept.items() if key not in {"restartPolicy", "tolerations"}}}


def cluster_spec() -> Object:
    """A head, and one worker that takes all GPUs."""
    group = {"groupName": "workers", "replicas": 1, "minReplicas": 1, "maxReplicas": 1, "rayStartParams": {}}
    return {
        "headGroupSpec": {"rayStartParams": {"num-cpus": "0"}, "template": template()},
        "workerGroupSpecs": [{**group, "template": template(GPUS)}],
    }


def made(namespace: Namespace, kind: str, name: str, **more: Any) -> str:
    """Make a suspended object of the project `default`; its path."""
    path = namespace.ray(f"{kind.lower()}s")
    labels = {names.PROJECT: "default"}
    item = {"apiVersion": "ray.io/v1", "kind": kind, "metadata": {"name": name, "labels": labels}}
    namespace.api.create(path, {**item, "spec": {"suspend": True, **more}})
    return f"{path}/{name}"


def job(namespace: Namespace, name: str, program: str) -> str:
    """Make a RayJob whose operator submits over HTTP; its path."""
    entrypoint = f"python -c {shlex.quote(program)}"
    more = {"shutdownAfterJobFinishes": True, "submissionMode": "HTTPMode", "entrypoint": entrypoint}
    return made(namespace, "RayJob", name, rayClusterSpec=cluster_spec(), **more)


def said(namespace: Namespace, path: str) -> dict[str, str]:
    """What the fabric wrote on an object."""
    found: dict[str, str] = namespace.api.get(path)["metadata"].get("annotations", {})
    return found


def events(namespace: Namespace, uid: str, reason: str) -> list[str]:
    """Messages of an object's events with a reason."""
    about = (e for e in namespace.api.items(namespace.path("events")) if e["involvedObject"].get("uid") == uid)
    return [e["message"] for e in about if e["reason"] == reason]


def workload_of(live: OnRig, namespace: Namespace, path: str) -> str:
    """Name of an object's workload, once there is one."""

    def found() -> str:
        prefix = path.rpartition("/")[2]
        return next((name for name in live.active() if name.startswith(f"{prefix}-")), "")

    until(lambda: bool(found()), START_S, lambda: str(said(namespace, path)))
    return found()


def comes_to(live: OnRig, workload: str, *states: str) -> None:
    """Wait for a state, however busy the machine."""
    live.wait(workload, *states, within_s=START_S)


def placed(namespace: Namespace, workload: str) -> dict[str, str]:
    """Node of each slice, read from pods."""
    pods = namespace.pods(f"{names.WORKLOAD}={workload}")
    return {pod["metadata"]["annotations"][names.SLICE]: pod["spec"]["nodeName"] for pod in pods}


def empty(namespace: Namespace) -> None:
    """Wait until nobody has pods."""
    until(lambda: not namespace.pods(), START_S, lambda: str([pod["metadata"]["name"] for pod in namespace.pods()]))


def test_a_ray_cluster_runs_where_it_was_granted_while_a_ray_job_waits_and_reads_why(
    fabric: OnRig, installed: Namespace
) -> None:
    mine = made(installed, "RayCluster", "mine", **cluster_spec())
    workload = workload_of(fabric, installed, mine)
    comes_to(fabric, workload, "running")
    granted = {part["name"]: part["node"] for part in fabric.workload(workload)["slices"]}
    assert placed(installed, workload) == granted == {"head": "commodity-0", "workers-0": "gpu-0"}
    until_ready(installed, "mine")

    train = job(installed, "train", TASK)
    waiting = workload_of(fabric, installed, train)
    until(lambda: "waits: " in said(installed, train).get(names.MESSAGE, ""), 60, lambda: str(said(installed, train)))
    uid = installed.api.get(train)["metadata"]["uid"]
    # The event is written after the annotation.
    until(
        lambda: any("GPUs" in told for told in events(installed, uid, "Waiting")),
        60,
        lambda: str(said(installed, train)),
    )
    assert fabric.workload(waiting)["state"] == "queued"

    (head,) = [pod["metadata"]["name"] for pod in installed.pods("ray.io/cluster=mine,ray.io/node-type=head")]
    assert "GPUS [0, 1, 2, 3]" in run_job(installed, head, f"python -c {shlex.quote(TASK)}")

    installed.api.delete(mine)
    comes_to(fabric, waiting, "succeeded")
    assert fabric.workload(workload)["state"] == "cancelled"
    until(lambda: said(installed, train).get(names.STATE) == "succeeded", 60, lambda: str(said(installed, train)))
    assert installed.api.get(train)["status"]["jobDeploymentStatus"] == "Complete"
    empty(installed)


def test_a_ray_job_outlives_control_and_a_lost_pod_costs_an_attempt(fabric: OnRig, installed: Namespace) -> None:
    end = fabric.folder / "end"
    waits = f"import os, time\nwhile not os.path.exists({str(end)!r}): time.sleep(0.2)"
    path = job(installed, "robbed", waits)
    workload = workload_of(fabric, installed, path)
    comes_to(fabric, workload, "running")
    pods = {pod["metadata"]["uid"]: pod["metadata"]["name"] for pod in installed.pods()}

    control = fabric.program("control")
    os.kill(control.pid, signal.SIGKILL)
    until(lambda: fabric.program_is_new("control", control), 60, lambda: "control has not come back")
    comes_to(fabric, workload, "running")
    assert {pod["metadata"]["uid"] for pod in installed.pods()} == set(pods), "nothing was started again"
    assert fabric.workload(workload)["attempt"] == 1

    (worker,) = [pod["metadata"]["name"] for pod in installed.pods("ray.io/node-type=worker")]
    installed.api.delete(installed.path(f"pods/{worker}"), grace_s=0)
    until(lambda: fabric.workload(workload)["attempt"] == 2, START_S, lambda: fabric.explained(workload))
    comes_to(fabric, workload, "running")
    assert not {pod["metadata"]["uid"] for pod in installed.pods()} & set(pods)
    end.touch()
    comes_to(fabric, workload, "succeeded")
    assert fabric.workload(workload)["failures"] == 1
    empty(installed)


def test_what_is_stopped_is_suspended_and_never_deleted(fabric: OnRig, installed: Namespace) -> None:
    path = made(installed, "RayCluster", "idle", **cluster_spec())
    workload = workload_of(fabric, installed, path)
    comes_to(fabric, workload, "running")
    fabric.fabric("stop", workload)
    comes_to(fabric, workload, "cancelled")
    empty(installed)
    found = installed.api.get(path)
    assert found["spec"]["suspend"] is True
    assert "schedulingGates" not in found["spec"]["headGroupSpec"]["template"]["spec"]
    until(lambda: said(installed, path).get(names.STATE) == "cancelled", 60, lambda: str(said(installed, path)))


def test_what_cannot_be_taken_says_so_on_the_object(fabric: OnRig, installed: Namespace) -> None:
    asks = cluster_spec()
    asks["workerGroupSpecs"][0]["maxReplicas"] = 2**31 - 1
    path = made(installed, "RayCluster", "growing", **asks, enableInTreeAutoscaling=True)
    until(lambda: names.STATE in said(installed, path), 60, lambda: str(said(installed, path)))
    assert said(installed, path)[names.STATE] == "refused"
    assert "set maxReplicas" in said(installed, path)[names.MESSAGE]
