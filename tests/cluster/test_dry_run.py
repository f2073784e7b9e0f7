"""The API server would take, field for field, what an install and a render would apply; nothing of it stays."""

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from fabric.backends.kuberay.manifest import cluster_secret
from fabric.backends.kuberay.pods import Home
from fabric.backends.kuberay.preflight_job import Asked, job_of
from fabric.config.env import TOKEN
from fabric.config.load import load
from fabric.config.site import Site
from fabric.config.vet import Vet
from fabric.control.render import rendered
from scripts.rigging.api import Refused
from tests.architecture.tree import ROOT
from tests.builders import group, job, wanted
from tests.cluster.pods import Namespace
from tests.docs.blocks import blocks
from tests.kustomized import FOLDERS, built

COLLECTIONS = {
    "Namespace": "/api/v1/namespaces",
    "ServiceAccount": "/api/v1/namespaces/{}/serviceaccounts",
    "Service": "/api/v1/namespaces/{}/services",
    "Secret": "/api/v1/namespaces/{}/secrets",
    "ConfigMap": "/api/v1/namespaces/{}/configmaps",
    "PersistentVolumeClaim": "/api/v1/namespaces/{}/persistentvolumeclaims",
    "Deployment": "/apis/apps/v1/namespaces/{}/deployments",
    "Job": "/apis/batch/v1/namespaces/{}/jobs",
    "NetworkPolicy": "/apis/networking.k8s.io/v1/namespaces/{}/networkpolicies",
    "Role": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/roles",
    "RoleBinding": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/rolebindings",
    "ClusterRole": "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    "RayCluster": "/apis/ray.io/v1/namespaces/{}/rayclusters",
    "RayJob": "/apis/ray.io/v1/namespaces/{}/rayjobs",
}
"""Where objects of a kind are kept."""
SITES = sorted((ROOT / "configs" / "sites").glob("*.yaml"))


def applied(namespace: Namespace, item: dict[str, Any]) -> dict[str, Any]:
    """What the server would make of an object in this namespace."""
    collection = COLLECTIONS[item["kind"]].format(namespace.name)
    meta = {**item["metadata"], **({"namespace": namespace.name} if "/namespaces/" in collection else {})}
    return namespace.api.dry_run(f"{collection}/{meta['name']}", {**item, "metadata": meta})


def examples() -> list[dict[str, Any]]:
    """Objects that the documents of the install show people."""
    shown = [block.text for block in blocks("yaml") if block.file.parent.name == "clusters"]
    return [YAML(typ="safe").load(text) for text in shown]


def pods_sites() -> list[Site]:
    """Every site of the repository that is for Kubernetes."""
    return [site for file in SITES if (site := load(Site, file)).kubernetes is not None]


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_what_is_installed_is_taken_as_it_is(namespace: Namespace, folder: Path) -> None:
    for item in built(folder, namespace.name):
        made = applied(namespace, item)
        assert (made["kind"], made["metadata"]["name"]) == (item["kind"], item["metadata"]["name"])
    assert namespace.api.items(namespace.path("services")) == [], "nothing of it was kept"


@pytest.mark.parametrize("site", pods_sites(), ids=lambda site: site.name)
def test_what_is_rendered_for_each_tier_of_each_site_is_taken_as_it_is(namespace: Namespace, site: Site) -> None:
    for tier in site.tiers:
        amounts: dict[str, Any] = {"gpus": min(1.0, tier.capacity.gpus), "cpus": 1.0, "memory": "1 GiB"}
        spec = job(f"render-{tier.name}", "python train.py", group("workers", 1, tier.name, **amounts))
        made = applied(namespace, YAML(typ="safe").load(rendered(site, spec)))
        assert made["spec"]["workerGroupSpecs"] or made["spec"]["headGroupSpec"]


@pytest.mark.parametrize("site", pods_sites(), ids=lambda site: site.name)
def test_secrets_and_preflights_of_each_site_are_taken_as_they_are(namespace: Namespace, site: Site) -> None:
    home = Home(site)
    cluster = wanted("w-1", env={TOKEN: "secret"})
    applied(namespace, cluster_secret(cluster, home, "token", {"metadata": {"name": "w-1", "uid": "u"}}))
    for tier in site.tiers:
        assert tier.kubernetes is not None
        vets = tier.kubernetes.model_copy(update={"vet": tier.kubernetes.vet or Vet(shm="1 GiB")})
        asked = Asked(node=f"{tier.name}-0", boot="b", ask="a", at=0.0)
        made = applied(namespace, job_of(asked, tier, vets, home, hostname=f"{tier.name}-0"))
        assert made["spec"]["backoffLimit"] == 0


def test_the_objects_that_people_are_shown_to_write_are_taken_as_they_are(namespace: Namespace) -> None:
    shown = examples()
    assert shown
    for item in shown:
        assert applied(namespace, item)["spec"]["suspend"] is True


def test_a_field_that_kubernetes_does_not_know_is_not_taken(namespace: Namespace) -> None:
    item = examples()[0]
    item["spec"]["suspended"] = True
    with pytest.raises(Refused, match="suspended"):
        applied(namespace, item)
