"""A stock Serve configuration becomes a spec: its replicas are the workers of groups, its counts are the fabric's.

Knows nothing of the service, of stores or of nodes beyond the names of tiers.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fabric.api.jobs import TIER_LABEL
from fabric.api.serve import ActorOptions, Autoscaling, ServeApplication, ServeConfig, ServeDeployment
from fabric.config.load import decode
from fabric.config.site import Site
from fabric.core.errors import BadConfig, BadInput
from fabric.core.quantity import Bytes
from fabric.workloads.spec import HEAD_GROUP, Priority, WorkloadSpec

_NOT_IN_NAMES = re.compile(r"[^a-zA-Z0-9]+")
_LONGEST_GROUP = 40
_ALL = 100.0
_CPU, _GPU, _MEMORY = "CPU", "GPU", "memory"


def read_config(document: Mapping[str, Any]) -> ServeConfig:
    """The part of a Serve configuration that the fabric reads.

    Raises:
        BadInput: Naming every wrong place.
    """
    try:
        return decode(ServeConfig, document, "Serve configuration")
    except BadConfig as error:
        raise BadInput(error.message) from None


def spec_from_serve(document: Mapping[str, Any], site: Site, deployment: str) -> WorkloadSpec:
    """The service that a Serve configuration asks for; its name and project are still to be said.

    Each listed deployment becomes a group. A worker holds one replica, or as many as share one CPU. CPUs are rounded up
    to whole ones, since a slice becomes a Ray node, and those have whole CPUs. An application that lists no deployment
    becomes one worker of the site's default size: only its code knows what it holds, and that is not read here.

    Args:
        document: As it arrived.
        site: Defaults and tiers.
        deployment: Name under which the project finds it.

    Raises:
        BadInput: If it contradicts itself, or asks for what no node can give.
    """
    config = check_config(document)
    groups: dict[str, dict[str, Any]] = {}
    places: dict[str, str] = {}
    for place in _places(config):
        name = _group_name(place, several=len(config.applications) > 1, taken=groups)
        groups[name] = _group(place, name, site)
        places[place.key] = name
    elastic = [key for key, name in places.items() if groups[name].get("min") != groups[name].get("max")]
    if len(elastic) > 1:
        raise BadInput(
            f"{elastic[0]} and {elastic[1]} both have an autoscaling_config; one deployment of a configuration may "
            "change its size. Give the other a num_replicas, or deploy it for itself under another name (header "
            "fabric-deployment).",
            deployment=elastic[1],
        )
    asked = {
        "kind": "service",
        "priority": Priority.SERVING,
        "groups": list(groups.values()),
        "max_failures": site.defaults.max_failures,
        "serve": {"deployment": deployment, "config": dict(document), "groups": places},
    }
    try:
        return decode(WorkloadSpec, asked, "Serve configuration")
    except BadConfig as error:
        raise BadInput(error.message) from None


@dataclass(frozen=True, slots=True)
class _Place:
    """A deployment, or an application that lists none."""

    application: ServeApplication
    deployment: ServeDeployment | None

    @property
    def key(self) -> str:
        """As in `ServeSpec.groups`, and as people call it."""
        return f"{self.application.name}/{self.deployment.name}" if self.deployment else self.application.name

    @property
    def options(self) -> ActorOptions:
        return (self.deployment.ray_actor_options if self.deployment else None) or ActorOptions()


def _places(config: ServeConfig) -> Iterator[_Place]:
    for application in config.applications:
        if not application.deployments:
            yield _Place(application, None)
        for deployment in application.deployments:
            yield _Place(application, deployment)


def check_config(document: Mapping[str, Any]) -> ServeConfig:
    """Refuse what would not work on a cluster of the fabric.

    Raises:
        BadInput: Naming every wrong place, or saying what to do instead.
    """
    config = read_config(document)
    if not config.applications:
        raise BadInput("applications: the configuration has none. To end a deployment, use `serve shutdown`.")
    if config.grpc_options and config.grpc_options.grpc_servicer_functions:
        raise BadInput(
            "grpc_options.grpc_servicer_functions: the gateway passes on HTTP only, so nobody could reach them. "
            "Leave them out."
        )
    if config.target_capacity not in (None, _ALL):
        raise BadInput(
            f"target_capacity: {config.target_capacity:g} % of the replicas cannot be asked for, since the fabric "
            "sizes deployments. Give num_replicas, or scale the deployment.",
            target_capacity=config.target_capacity,
        )
    return config


def _group_name(place: _Place, *, several: bool, taken: Mapping[str, object]) -> str:
    """A name that a label can hold and no other group has."""
    words = [place.application.name] if several or place.deployment is None else []
    words += [place.deployment.name] if place.deployment else []
    stem = _NOT_IN_NAMES.sub("-", "-".join(words)).strip("-")[:_LONGEST_GROUP].strip("-") or "replicas"
    name, number = stem, 2
    while name in taken or name == HEAD_GROUP:
        name, number = f"{stem}-{number}", number + 1
    return name


def _group(place: _Place, name: str, site: Site) -> dict[str, Any]:
    """The fields of the group of workers that hold a deployment's replicas.

    Raises:
        BadInput: If a replica asks for something that no node has.
    """
    _require_known(place, site)
    cpus, gpus, memory = _held(place)
    if not gpus.is_integer():
        raise BadInput(
            f"{place.key}: num_gpus {gpus:g} is no whole number of accelerators, and a Ray node of the fabric has "
            "whole ones. Ask for 1, or serve several models in one replica.",
            deployment=place.key,
            gpus=gpus,
        )
    scales = place.deployment.scales if place.deployment else None
    replicas = _fixed(place) if scales is None else 1
    together = _together(cpus, gpus) if scales is None else 1
    together = min(together, replicas)
    selector = place.options.label_selector or {}
    return {
        "name": name,
        **(_sizes(scales) if scales else {"count": math.ceil(replicas / together)}),
        "tier": selector.get(TIER_LABEL),
        "cpus": float(max(1, math.ceil(cpus * together))),
        "gpus": gpus,
        "memory": f"{math.ceil(memory) * together} B" if memory else _times(site.defaults.memory, together),
    }


def _fixed(place: _Place) -> int:
    found = place.deployment.num_replicas if place.deployment else None
    return found if isinstance(found, int) else 1


def _together(cpus: float, gpus: float) -> int:
    """Replicas that share one worker: those that share a CPU."""
    return int(1 / cpus) if 0 < cpus < 1 and not gpus else 1


def _times(memory: str, number: int) -> str:
    """An amount of memory for so many replicas."""
    return memory if number == 1 else f"{Bytes.of(memory).count * number} B"


def _sizes(scales: Autoscaling) -> dict[str, int]:
    """Sizes of an elastic group; a service's last replica is never given up, so none is taken as one."""
    least, most = max(1, scales.min_replicas), scales.max_replicas
    first = least if scales.initial_replicas is None else max(1, scales.initial_replicas)
    return {"count": first, "min": least, "max": most}


def _held(place: _Place) -> tuple[float, float, float]:
    """CPUs, accelerators and bytes of one replica, with what its tasks hold.

    Raises:
        BadInput: If a bundle holds something else.
    """
    options = place.options
    own = (1.0 if options.num_cpus is None else options.num_cpus, options.num_gpus or 0.0, options.memory or 0.0)
    bundles = place.deployment.placement_group_bundles if place.deployment else None
    if not bundles:
        return own
    unknown = sorted({kind for bundle in bundles for kind in bundle} - {_CPU, _GPU, _MEMORY})
    if unknown:
        raise BadInput(
            f"{place.key}: placement_group_bundles: unknown resource {unknown[0]!r}. Known: CPU, GPU, memory.",
            deployment=place.key,
        )
    cpus, gpus, memory = (sum(bundle.get(kind, 0.0) for bundle in bundles) for kind in (_CPU, _GPU, _MEMORY))
    return cpus, gpus, max(memory, own[2])


def _require_known(place: _Place, site: Site) -> None:
    """Refuse wishes that no Ray node of the fabric could meet.

    Raises:
        BadInput: Naming what can be asked for.
    """
    options = place.options
    if options.resources:
        raise BadInput(
            f"{place.key}: ray_actor_options.resources: our nodes have no {sorted(options.resources)[0]!r}. Ask for "
            f"num_cpus, num_gpus or memory, and choose a tier with label_selector: {{{TIER_LABEL}: NAME}}.",
            deployment=place.key,
        )
    if options.accelerator_type:
        raise BadInput(
            f"{place.key}: ray_actor_options.accelerator_type: choose the tier instead, with label_selector: "
            f"{{{TIER_LABEL}: NAME}}.",
            deployment=place.key,
        )
    for label, value in (options.label_selector or {}).items():
        tiers = [tier.name for tier in site.tiers]
        if label != TIER_LABEL:
            raise BadInput(
                f"{place.key}: label_selector: unknown label {label!r}. Known: {TIER_LABEL}.", deployment=place.key
            )
        if value not in tiers:
            raise BadInput(
                f"{place.key}: label_selector: unknown tier {value!r}. The site has {', '.join(tiers)}.",
                deployment=place.key,
            )
