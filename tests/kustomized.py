"""What `kustomize build` makes of a folder of `clusters/`: resources, namespace, images and config maps of files.

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
_KNOWN = {"apiVersion", "kind", "namespace", "resources", "images", "configMapGenerator"}


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
    items = [item for name in said.get("resources", ()) for item in documents(folder / name)]
    maps = [_config_map(folder, asked) for asked in said.get("configMapGenerator", ())]
    return [_placed(item, where, images) for item in (*items, *maps)]


def documents(file: Path) -> Iterator[dict[str, Any]]:
    """The objects of one file as they are written."""
    yield from YAML(typ="safe").load_all(file)


def _config_map(folder: Path, asked: dict[str, Any]) -> dict[str, Any]:
    """A map from names of files to what they hold, as an entry of `configMapGenerator` asks for it.

    Raises:
        ValueError: If it uses what this does not know.
    """
    options = asked["options"]
    if set(asked) != {"name", "files", "options"} or not options.get("disableNameSuffixHash"):
        raise ValueError(f"{folder}: {asked} is unknown here")
    data = {name: (folder / name).read_text(encoding="utf-8") for name in asked["files"]}
    meta = {"name": asked["name"], "labels": options.get("labels", {})}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}


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
