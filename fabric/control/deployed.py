"""What a cluster is told of a Serve configuration, and what its owner is told of the cluster.

Knows nothing of stores, HTTP or Ray: values in, values out.
"""

from collections.abc import Mapping
from typing import Any

from fabric.api.serve import ServeApplication, ServeDeployment
from fabric.control.spec_from_serve import read_config
from fabric.control.views import message_of
from fabric.core.errors import BadInput
from fabric.scheduler.ports import ClusterView
from fabric.serve.endpoints import KEEP_ALIVE_S
from fabric.workloads.environments import told_without_secrets
from fabric.workloads.record import Record
from fabric.workloads.spec import ServeSpec, WorkloadSpec
from fabric.workloads.states import State

GROUP_LABEL = "fabric/group"
"""Label of every Ray node that says whose workers it holds."""

NOTHING: Mapping[str, Any] = {"controller_info": {}, "proxies": {}, "applications": {}, "target_capacity": None}
"""What Serve answers where nothing is deployed."""

_HIDDEN = "<hidden>"
_OURS = ("http_options", "grpc_options", "proxy_location", "applications", "target_capacity")
"""Parts of a configuration that are told in our own way."""
_INSIDE = frozenset({"http_options", "target_groups"})
"""What Serve says of ports that only the gateway reaches."""
_SERVES = frozenset({State.STARTING, State.RUNNING, State.RESIZING})
"""States in which what the cluster says of its applications is true."""


def deployment_of(spec: WorkloadSpec) -> str | None:
    """The deployment that a service is a revision of; None if it is of none."""
    if spec.serve is not None:
        return spec.serve.deployment
    return spec.service.deployment if spec.service else None


def serve_of(record: Record) -> ServeSpec:
    """The Serve section of a record's spec.

    Raises:
        BadInput: If it has none.
    """
    if record.spec.serve is None:
        raise BadInput(f"{record.name} runs no Serve applications", workload=record.name)
    return record.spec.serve


def deployed_config(record: Record) -> dict[str, Any]:
    """A record's configuration as its own Serve is to have it.

    One proxy beside the head listens on the cluster's own port. Replicas are kept on the slices of their group, and
    where a number of replicas may change it is the granted one, which Serve may not change.
    """
    serve = serve_of(record)
    config = read_config(serve.config)
    given = {key: value for key, value in serve.config.items() if key not in _OURS}
    options = serve.config.get("http_options") or {}
    kept = {key: options[key] for key in ("root_path", "request_timeout_s") if key in options}
    applications = [
        _application(record, parsed, document)
        for parsed, document in zip(config.applications, serve.config["applications"], strict=True)
    ]
    return {
        **given,
        "proxy_location": "HeadOnly",
        "http_options": {"keep_alive_timeout_s": KEEP_ALIVE_S, **kept},
        "applications": applications,
    }


def _application(record: Record, parsed: ServeApplication, document: Mapping[str, Any]) -> dict[str, Any]:
    """One application as Serve is told it."""
    told = told_without_secrets(document)
    deployments = document.get("deployments") or []
    told["deployments"] = [
        _deployment(record, parsed.name, deployment, given)
        for deployment, given in zip(parsed.deployments, deployments, strict=True)
    ]
    if any(deployment.scales for deployment in parsed.deployments):
        told["external_scaler_enabled"] = True
    return told


def _deployment(
    record: Record, application: str, parsed: ServeDeployment, document: Mapping[str, Any]
) -> dict[str, Any]:
    """One deployment as Serve is told it."""
    told = dict(document)
    if isinstance(options := document.get("ray_actor_options"), Mapping):
        told["ray_actor_options"] = told_without_secrets(options)
    group = serve_of(record).group_of(application, parsed.name)
    if group is None:
        return told
    here = {GROUP_LABEL: group}
    if parsed.placement_group_bundles:
        told["placement_group_bundle_label_selector"] = [here]
    elif parsed.ray_actor_options is not None:
        told["ray_actor_options"] = {**told["ray_actor_options"], "label_selector": here}
    if parsed.scales is not None:
        told.pop("autoscaling_config", None)
        told["num_replicas"] = replicas_of(record, group)
    return told


def replicas_of(record: Record, group: str) -> int:
    """Replicas that an elastic group has now; of one that is being shrunk, those that it has until it is smaller."""
    found = next(one for one in record.spec.groups if one.name == group)
    return record.grant.size(group) if record.grant and found.elastic else found.count


def details_of(record: Record, view: ClusterView | None, *, secrets: bool) -> dict[str, Any]:
    """A deployment in the form in which Serve describes itself (`ServeInstanceDetails`).

    Args:
        record: Of the workload.
        view: Of its cluster; None if there is none.
        secrets: Whether the caller may see the values of environment variables.
    """
    serve = serve_of(record)
    config = read_config(serve.config)
    seen = (view.details if view and record.state in _SERVES else None) or {}
    documents = serve.config["applications"]
    applications = {
        parsed.name: _described(record, parsed, document, seen.get("applications", {}).get(parsed.name))
        for parsed, document in zip(config.applications, documents, strict=True)
    }
    found = {
        **{key: value for key, value in seen.items() if key not in _INSIDE},
        # Clients take Serve for absent where its controller is on no node; a workload that waits has none yet.
        "controller_info": seen.get("controller_info") or {"node_id": record.name},
        "proxy_location": seen.get("proxy_location"),
        "proxies": seen.get("proxies", {}),
        "applications": applications,
        "target_capacity": None,
    }
    return found if secrets else _without_secrets(found)


def _described(
    record: Record, parsed: ServeApplication, document: Mapping[str, Any], seen: Mapping[str, Any] | None
) -> dict[str, Any]:
    """One application: as its Serve tells it, or as the records know it."""
    status, message = _status(record)
    told: dict[str, Any] = dict(seen or {})
    if seen is None:
        told = {"name": parsed.name, "route_prefix": parsed.route_prefix, "docs_path": None, "deployments": {}}
        told |= {"status": status, "message": message}
    elif told["status"] != "RUNNING" and not told.get("message"):
        told["message"] = message
    told["deployments"] = _with_owners_counts(parsed, document, told["deployments"])
    told |= {
        "deployed_app_config": dict(document),
        "last_deployed_time_s": record.at.submitted,
        "source": "declarative",
        "external_scaler_enabled": parsed.external_scaler_enabled,
    }
    return told


def _with_owners_counts(
    parsed: ServeApplication, document: Mapping[str, Any], seen: Mapping[str, Any]
) -> dict[str, Any]:
    """Deployments as Serve tells them, with the `autoscaling_config` that was given instead of a number."""
    told = {name: dict(deployment) for name, deployment in seen.items()}
    for deployment, given in zip(parsed.deployments, document.get("deployments") or [], strict=True):
        here = told.get(deployment.name)
        if here is None or deployment.scales is None:
            continue
        options = {key: value for key, value in here.get("deployment_config", {}).items() if key != "num_replicas"}
        owners = {key: given[key] for key in ("num_replicas", "autoscaling_config") if key in given}
        here["deployment_config"] = {**options, **owners}
    return told


def _status(record: Record) -> tuple[str, str]:
    """Status of applications of which no Serve tells anything, and why it is so."""
    if record.state is State.FAILED:
        return "DEPLOY_FAILED", record.message
    if record.stop_requested or record.state is State.STOPPING:
        return "DELETING", record.message
    return "DEPLOYING", message_of(record)


def _without_secrets(value: Any) -> Any:
    """The same without the values of environment variables."""
    if isinstance(value, Mapping):
        return {key: _hidden(inner) if key == "env_vars" else _without_secrets(inner) for key, inner in value.items()}
    return [_without_secrets(inner) for inner in value] if isinstance(value, list) else value


def _hidden(value: Any) -> Any:
    return dict.fromkeys(value, _HIDDEN) if isinstance(value, Mapping) else _without_secrets(value)
