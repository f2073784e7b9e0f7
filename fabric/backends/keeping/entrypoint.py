"""What is handed to Ray of an entrypoint or of Serve applications, and where it runs.

Knows nothing of the head it goes to.
"""

from collections.abc import Mapping
from typing import Any

from fabric.scheduler.ports import WantedCluster
from fabric.workloads.record import Slice


def job_request(wanted: WantedCluster, late: Mapping[str, str] | None = None) -> dict[str, Any]:
    """As Ray's Jobs API takes it.

    The entrypoint holds its accelerators in Ray, so that it sees them, but no CPUs or memory: the cluster has nothing
    beside the grant, and a driver that held its CPUs would leave its own tasks none.

    Args:
        wanted: The work.
        late: Variables that its cluster's processes were not told at their start; those it sets itself hold.
    """
    request: dict[str, Any] = {
        "entrypoint": wanted.entrypoint,
        "submission_id": wanted.name,
        "runtime_env": _with(wanted.runtime_env, late or {}),
        "metadata": dict(wanted.metadata),
    }
    if wanted.driver and len(wanted.grant.slices) > 1:
        request["entrypoint_label_selector"] = {"fabric/slice": driver_slice(wanted).name}
    if wanted.driver.get("num_gpus"):
        request["entrypoint_num_gpus"] = wanted.driver["num_gpus"]
    return request


def _with(runtime_env: Mapping[str, Any], late: Mapping[str, str]) -> dict[str, Any]:
    told = {**late, **(runtime_env.get("env_vars") or {})}
    return {**runtime_env, **({"env_vars": told} if told else {})}


def driver_slice(wanted: WantedCluster) -> Slice:
    """Where an entrypoint runs that asks for resources of its own: the first slice of its group."""
    workers = [part for part in wanted.grant.slices if not part.only_head]
    return next((part for part in workers if part.group == wanted.driver_group), workers[0])


def packages_in(runtime_env: Any) -> list[str]:
    """URIs of uploaded packages that a runtime environment names."""
    named = [runtime_env.get("working_dir"), *(runtime_env.get("py_modules") or [])]
    return [uri for uri in named if isinstance(uri, str) and uri.startswith("gcs://")]
