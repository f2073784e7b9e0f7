"""What `kustomize build` makes of a folder of `clusters/`, as far as the folders use it: resources, namespace, images.

Knows nothing of a Kubernetes that would take it.
"""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tests.architecture.tree import ROOT

BASE = ROOT / "clusters" / "base"
FOLDERS = sorted(file.parent for file in (ROOT / "clusters").rglob("kustomization.yaml"))
"""Every folder that can be built."""
_WIDE = {"Namespace", "ClusterRole", "ClusterRoleBinding"}
"""Kinds that are in no namespace."""
_KNOWN = {"apiVersion", "kind", "namespace", "resources", "images"}


def built(folder: Path, namespace: str | None = None) -> list[dict[str, Any]]:
    """Every object of a kustomization.

    Args:
        folder: With `kustomization.yaml`.
        namespace: Where to put them instead of where it says.

    Raises:
        ValueError: If it uses what this does not know.
    """
    said = YAML(typ="safe").load(folder / "kustomization.yaml")
    if more := set(said) - _KNOWN:
        raise ValueError(f"{folder}: {sorted(more)} is unknown here")
    images = {image["name"]: f"{image['newName']}:{image['newTag']}" for image in said.get("images", ())}
    where = namespace or said["namespace"]
    return [_placed(item, where, images) for name in said["resources"] for item in documents(folder / name)]


def documents(file: Path) -> Iterator[dict[str, Any]]:
    """The objects of one file as they are written."""
    yield from YAML(typ="safe").load_all(file)


def _placed(item: dict[str, Any], namespace: str, images: dict[str, str]) -> dict[str, Any]:
    made = copy.deepcopy(item)
    if made["kind"] == "Namespace":
        made["metadata"]["name"] = namespace
    elif made["kind"] not in _WIDE:
        made["metadata"]["namespace"] = namespace
    for subject in made.get("subjects", ()):
        if subject["kind"] == "ServiceAccount":
            subject["namespace"] = namespace
    for container in made.get("spec", {}).get("template", {}).get("spec", {}).get("containers", ()):
        container["image"] = images.get(container["image"], container["image"])
    return made
