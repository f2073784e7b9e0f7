"""From a service's record to the Serve configuration of its cluster.

Knows nothing of how replicas work.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fabric.control.snapshots import served_names
from fabric.core.errors import BadInput
from fabric.serve.endpoints import ReplicaSpec, serve_config
from fabric.workloads.record import Record


def serve_config_of(record: Record, folder: Path, secret: str) -> Mapping[str, Any]:
    """As Ray's Serve API takes it: one replica per worker of the service's group, inside that group's slices.

    Raises:
        BadInput: If the record is no service.
    """
    service = record.spec.service
    if service is None:
        raise BadInput(f"{record.name} is a job, not a service")
    group = next(group for group in record.spec.groups if group.name == service.group)
    # One that is being shrunk is told its new size with the grant that has no more; one of a fixed size has others
    # while it moves to other nodes.
    now = record.grant.size(group.name) if record.grant else group.count
    return serve_config(
        ReplicaSpec(
            model_folder=str(folder),
            names=served_names(record),
            engine=service.engine,
            max_context=service.max_context,
            num_replicas=group.count,
            num_cpus=group.cpus,
            num_gpus=group.gpus,
            label_selector={"fabric/group": group.name},
            secret=secret,
        ),
        num_replicas=now,
    )
