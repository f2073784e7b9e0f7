"""Namespaces that are installed as `clusters/base` says, for the rig's user without other rights.

Knows nothing of what runs in them. The manifests bind control's rights to an account of the cluster; here control runs
beside it, so they are bound to the user `fabric`.
"""

from collections.abc import Iterator
from typing import Any

from ruamel.yaml import YAML

from scripts.rigging.api import NOT_FOUND, Api, Object, Refused, wait_until
from scripts.rigging.layout import ROOT

BASE = ROOT / "clusters" / "base"
USER = "fabric"
GONE_S = 180.0
"""How long a namespace that was deleted may take to be gone, with pods that are asked to leave."""
_RBAC = "/apis/rbac.authorization.k8s.io/v1"
_NAMESPACES = "/api/v1/namespaces"


def install(api: Api, namespace: str) -> None:
    """Make the namespace, and give the user `fabric` control's rights in it and no others."""
    for item in _documents("namespace.yaml"):
        make_namespace(api, {**item, "metadata": {**item["metadata"], "name": namespace}})
    for item in _documents("rights.yaml"):
        if item["kind"] in ("Role", "ClusterRole"):
            api.create(_collection(item["kind"], namespace), item)
        elif item["kind"] in ("RoleBinding", "ClusterRoleBinding"):
            api.create(_collection(item["kind"], namespace), _bound(item, namespace))


def make_namespace(api: Api, item: Object) -> None:
    """Make a namespace unless it is there; one of that name that leaves is gone before.

    Raises:
        RigError: If it stays.
    """
    name = item["metadata"]["name"]
    wait_until(f"an earlier namespace {name} is gone", lambda: not _leaves(api, name), GONE_S)
    api.create(_NAMESPACES, item)


def _leaves(api: Api, namespace: str) -> bool:
    try:
        return "deletionTimestamp" in api.get(f"{_NAMESPACES}/{namespace}")["metadata"]
    except Refused as refused:
        if refused.status != NOT_FOUND:
            raise
        return False


def uninstall(api: Api, namespace: str) -> None:
    """Take away what belongs to no namespace, and the namespace with the rest."""
    for item in _documents("rights.yaml"):
        if item["kind"] == "ClusterRoleBinding":
            name = _bound(item, namespace)["metadata"]["name"]
            api.delete(f"{_collection('ClusterRoleBinding', namespace)}/{name}")
    api.delete(f"{_NAMESPACES}/{namespace}")


def _bound(item: Object, namespace: str) -> Object:
    metadata = {"name": f"{item['metadata']['name']}-{namespace}"}
    subjects = [{"kind": "User", "name": USER, "apiGroup": "rbac.authorization.k8s.io"}]
    return {**item, "metadata": metadata, "subjects": subjects}


def _collection(kind: str, namespace: str) -> str:
    plural = f"{kind.lower()}s"
    return f"{_RBAC}/{plural}" if kind.startswith("Cluster") else f"{_RBAC}/namespaces/{namespace}/{plural}"


def _documents(name: str) -> Iterator[dict[str, Any]]:
    yield from YAML(typ="safe").load_all(BASE / name)
