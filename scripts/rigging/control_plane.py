"""The components of the control plane as commands, and what must be in the cluster before work can.

Knows nothing of processes and nodes.
"""

import os
from collections.abc import Sequence
from pathlib import Path

from scripts.rigging.api import Api, Object
from scripts.rigging.layout import DOMAIN, FAKE_PODS, NODES, SERVICES, Layout
from scripts.rigging.pins import STAGES
from scripts.rigging.processes import Component

HOST = NODES[0].address
"""Where the API server and the DNS listen: pods reach it, other machines do not."""
API_PORT = 6443
SERVER = f"https://{HOST}:{API_PORT}"
ETCD_PORT, ETCD_PEER_PORT = 23979, 23980
OPERATOR_PROBE_PORT = 23981
DNS_PORT = 53
PORTS = (
    (HOST, API_PORT), ("127.0.0.1", ETCD_PORT), ("127.0.0.1", ETCD_PEER_PORT), ("127.0.0.1", OPERATOR_PROBE_PORT),
    (HOST, DNS_PORT),
)  # fmt: skip
"""What the control plane listens at."""
NODE_GRACE_S = 20
"""How long a silent node counts as ready; a lease is renewed every few seconds."""
EVICTION_S = 30
"""How long pods stay on a node that is not ready, unless they say otherwise."""
MARKER = "FABRIC_TEST_RUN"
"""Handed on to components, so that a run of tests finds what it left behind."""


def variables(layout: Layout) -> dict[str, str]:
    """The environment of a component: nothing of its starter's but the marker of a run of tests."""
    marker = {MARKER: os.environ[MARKER]} if MARKER in os.environ else {}
    return {"PATH": layout.path(), "HOME": str(layout.state), **marker}


def component(layout: Layout, name: str, *arguments: str, program: str = "") -> Component:
    """A component that runs one of the rig's programs, by default the one of its name."""
    return Component(name, (layout.program(program or name), *arguments), variables(layout))


def etcd(layout: Layout) -> Component:
    """The store. It need not survive the machine, so it does not wait for the disk."""
    client, peer = f"http://127.0.0.1:{ETCD_PORT}", f"http://127.0.0.1:{ETCD_PEER_PORT}"
    return component(
        layout, "etcd", "--name=rig", f"--data-dir={layout.state}/etcd", "--unsafe-no-fsync", "--log-level=warn",
        f"--listen-client-urls={client}", f"--advertise-client-urls={client}", f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}", f"--initial-cluster=rig={peer}",
    )  # fmt: skip


def api_server(layout: Layout) -> Component:
    """The API server: real certificates, tokens and RBAC."""
    keys = layout.secrets
    return component(
        layout, "kube-apiserver", f"--etcd-servers=http://127.0.0.1:{ETCD_PORT}", f"--bind-address={HOST}",
        f"--secure-port={API_PORT}", f"--advertise-address={HOST}", "--endpoint-reconciler-type=none",
        f"--tls-cert-file={keys}/apiserver.crt", f"--tls-private-key-file={keys}/apiserver.key",
        f"--client-ca-file={keys}/ca.crt", f"--cert-dir={keys}", f"--token-auth-file={keys}/tokens.csv",
        f"--kubelet-client-certificate={keys}/kubelet-client.crt", f"--kubelet-client-key={keys}/kubelet-client.key",
        "--kubelet-preferred-address-types=InternalIP", f"--service-account-key-file={keys}/accounts.key",
        f"--service-account-signing-key-file={keys}/accounts.key",
        f"--service-account-issuer=https://kubernetes.default.svc.{DOMAIN}", "--authorization-mode=Node,RBAC",
        "--anonymous-auth=false", "--allow-privileged=true", f"--service-cluster-ip-range={SERVICES}",
        f"--default-not-ready-toleration-seconds={EVICTION_S}",
        f"--default-unreachable-toleration-seconds={EVICTION_S}", "--profiling=false",
    )  # fmt: skip


def controllers(layout: Layout) -> list[Component]:
    """What makes objects happen, and what places pods that name no node."""
    manager, scheduler = "kube-controller-manager", "kube-scheduler"
    common = ("--leader-elect=false", "--secure-port=0", "--kube-api-qps=200", "--kube-api-burst=400")
    return [
        component(
            layout, manager, f"--kubeconfig={layout.kubeconfig_of(f'system:{manager}')}", *common,
            f"--service-account-private-key-file={layout.secrets}/accounts.key",
            f"--root-ca-file={layout.secrets}/ca.crt", "--use-service-account-credentials=true",
            f"--node-monitor-grace-period={NODE_GRACE_S}s", "--node-monitor-period=2s",
        ),
        component(layout, scheduler, f"--kubeconfig={layout.kubeconfig_of(f'system:{scheduler}')}", *common),
    ]  # fmt: skip


def add_ons(layout: Layout) -> list[Component]:
    """Names for pods, Ray clusters from their objects, and nodes that do not exist."""
    corefile = layout.state / "Corefile"
    corefile.write_text(
        f"{DOMAIN}:{DNS_PORT} {{\n  bind {HOST}\n  errors\n  kubernetes {DOMAIN} {{\n"
        f"    kubeconfig {layout.kubeconfig_of('coredns')}\n    ttl 1\n  }}\n}}\n"
    )
    stages = [f"--config={file}" for file in stage_files(layout)]
    return [
        component(layout, "coredns", "-conf", str(corefile)),
        component(
            layout, "kuberay-operator", f"-kubeconfig={layout.kubeconfig_of('kuberay-operator')}",
            "-enable-leader-election=false", "-use-kubernetes-proxy", "-metrics-addr=0",
            f"-health-probe-bind-address=127.0.0.1:{OPERATOR_PROBE_PORT}",
        ),
        component(
            layout, "kwok", f"--kubeconfig={layout.kubeconfig_of('kwok')}", "--manage-all-nodes=false",
            "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake", f"--node-ip={HOST}",
            f"--cidr={FAKE_PODS}", "--node-port=0", "--node-lease-duration-seconds=40", *stages,
        ),
    ]  # fmt: skip


def stage_files(layout: Layout) -> list[Path]:
    """Files of kwok's behaviours."""
    folders = (layout.manifests / "kwok" / stage for stage in STAGES)
    return sorted(file for folder in folders for file in folder.glob("*.yaml"))


ALL_VERBS = ["create", "delete", "get", "list", "patch", "update", "watch"]


def role(name: str, rules: Sequence[Object]) -> Object:
    """A cluster role of these rules."""
    kind = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole"}
    return {**kind, "metadata": {"name": name}, "rules": list(rules)}


def binding(user: str, to: str) -> Object:
    """What gives a user a cluster role."""
    group = "rbac.authorization.k8s.io"
    return {
        "apiVersion": f"{group}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": f"rig:{user}"},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": to},
        "subjects": [{"apiGroup": group, "kind": "User", "name": user}],
    }


ROLES = (
    role(
        "rig:coredns",
        [
            {"apiGroups": [""], "resources": ["services", "pods", "namespaces"], "verbs": ["list", "watch"]},
            {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
        ],
    ),
    role(
        "rig:kwok",
        [
            {
                "apiGroups": ["", "events.k8s.io"],
                "resources": ["nodes", "nodes/status", "pods", "pods/status", "events"],
                "verbs": ALL_VERBS,
            },
            {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ALL_VERBS},
        ],
    ),
)
BINDINGS = (
    binding("coredns", "rig:coredns"),
    binding("kwok", "rig:kwok"),
    binding("kuberay-operator", "kuberay-operator"),
)
RBAC = "/apis/rbac.authorization.k8s.io/v1"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def fill(api: Api, layout: Layout) -> None:
    """Create what components need in the cluster: roles, and the definitions of Ray's objects."""
    for rule in ROLES:
        api.create(f"{RBAC}/clusterroles", rule)
    api.create(f"{RBAC}/clusterroles", (layout.manifests / "kuberay/role.yaml").read_text())
    for bound in BINDINGS:
        api.create(f"{RBAC}/clusterrolebindings", bound)
    for file in sorted((layout.manifests / "kuberay").glob("ray.io_*.yaml")):
        api.create(DEFINITIONS, file.read_text())


def is_served(api: Api) -> bool:
    """Whether Ray's objects can be asked for."""
    return {"rayclusters", "rayjobs", "rayservices"} <= {r["name"] for r in api.get("/apis/ray.io/v1")["resources"]}
