"""Show what would be applied to Kubernetes for a workload, if it had a site's empty nodes to itself.

Knows nothing of a Kubernetes: site and spec in, text out.
"""

import io

from ruamel.yaml import YAML

from fabric.backends.kuberay.manifest import ray_cluster
from fabric.backends.kuberay.names import object_name
from fabric.backends.kuberay.pods import Home
from fabric.config.site import Site
from fabric.config.site_file import policy_of
from fabric.control.blueprint import told
from fabric.core.errors import BadInput
from fabric.core.ids import attempt_id, check_name
from fabric.scheduler.cycle import decide
from fabric.scheduler.machines import nodes_of
from fabric.scheduler.placement import require_possible
from fabric.scheduler.policy import Policy
from fabric.scheduler.ports import WantedCluster
from fabric.scheduler.snapshot import Snapshot, waiting_of
from fabric.workloads.environments import without_secrets
from fabric.workloads.record import Grant, Instants, Record
from fabric.workloads.spec import WorkloadSpec
from fabric.workloads.states import State


def rendered(site: Site, spec: WorkloadSpec) -> str:
    """The RayCluster of a first attempt as YAML; comments say what is made beside it and which pod goes where.

    Raises:
        BadInput: If the site is none of Kubernetes, or the workload has no name.
        DoesNotFit: If no node could ever hold it.
    """
    home = Home(site)
    namespace = home.kubernetes.namespace
    if spec.name is None:
        raise BadInput("the workload has no `name`; give it one, as objects are called by it")
    record = Record(check_name(spec.name), spec, State.QUEUED, Instants(0.0))
    wanted = _wanted(record, site)
    stream = io.StringIO()
    yaml = YAML()
    yaml.width = 120
    yaml.dump(ray_cluster(wanted, home, layout="{}"), stream)
    name = object_name(wanted.name)
    return "\n".join((
        f"# Workload {spec.name} on site {site.name}: RayCluster {namespace}/{name}.",
        f"# The fabric adds the secret {name} with its tokens, and what the cluster is made of as fabric/layout.",
        "# On empty nodes each pod would be released from its gate to:",
        *(f"#   {part.name}: {part.tier} node such as {part.node} ({part.resources})" for part in wanted.grant.slices),
        stream.getvalue(),
    ))  # fmt: skip


def _wanted(record: Record, site: Site) -> WantedCluster:
    spec = record.spec
    return WantedCluster(
        name=attempt_id(record.name, record.attempt),
        workload=record.name,
        attempt=record.attempt,
        generation=record.generation,
        grant=_grant(record, site),
        entrypoint=spec.entrypoint,
        runtime_env=without_secrets(spec.runtime_env),
        env={
            **dict.fromkeys(spec.named_secrets, "set-by-control"),
            **told(record, site, artifacts="set-by-control", token="set-by-control"),  # noqa: S106 - no token
        },
        hidden=frozenset(spec.named_secrets),
        metadata=spec.metadata,
        driver={},
        images={group.name: group.image.name for group in spec.groups if group.image},
    )


def _grant(record: Record, site: Site) -> Grant:
    """What the site's own policy grants on empty nodes.

    Raises:
        BadInput: If it would wait there.
        DoesNotFit: If no node could ever hold it.
    """
    nodes = nodes_of(site.tiers)
    require_possible(record.name, record.spec.groups, nodes, site.head.resources)
    snapshot = Snapshot.of(nodes, waiting=(waiting_of(record, {}),), head=site.head.resources)
    plan = decide(snapshot, policy_of(site, Policy), 0.0)
    for place in plan.placed:
        return place.grant
    reasons = "; ".join(wait.reason for wait in plan.waits)
    raise BadInput(f"{record.name} would wait on {site.name} with every node empty: {reasons}")
