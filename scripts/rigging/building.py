"""Bring everything that the rig runs into the cache, each once; what is there and the same is left alone.

Knows nothing of running it.
"""

import time

from scripts.rigging.go_tools import build_tool, is_built, module_folder
from scripts.rigging.layout import Layout
from scripts.rigging.packages import absent_packages, need, unpack_packages
from scripts.rigging.pins import KUBERAY, KWOK, PEERS, STAGES, TOOLS
from scripts.rigging.progress import say

MADE_FROM = f"kuberay {KUBERAY}, kwok {KWOK}"
"""Versions of the modules whose manifests are copied."""


def build(layout: Layout, *, peers: bool = False) -> None:
    """Make sure that every program is in the cache.

    Args:
        layout: Where the cache is.
        peers: Whether also to build what the fabric is compared with.

    Raises:
        RigError: If something that is needed is missing, or a step fails.
    """
    began = time.monotonic()
    unpack_packages(layout)
    tools = [*TOOLS, *(PEERS if peers else ())]
    wanted = [tool for tool in tools if not is_built(layout, tool)]
    if wanted:
        need("go", "Install Go 1.26 or newer and put it in the PATH")
    for number, tool in enumerate(wanted, start=1):
        say(f"building {', '.join(tool.packages)} {tool.version} ({number} of {len(wanted)})".replace("  ", " "))
        started = time.monotonic()
        build_tool(layout, tool)
        say(f"{tool.name} took {time.monotonic() - started:.0f} s")
    if not _has_manifests(layout):
        copy_manifests(layout)
    say(f"everything is built, {time.monotonic() - began:.0f} s")


def missing(layout: Layout) -> list[str]:
    """What the rig needs and the cache lacks, or has in another version."""
    programs = [name for tool in TOOLS if not is_built(layout, tool) for name in tool.packages]
    return absent_packages(layout) + programs + ([] if _has_manifests(layout) else ["manifests"])


def copy_manifests(layout: Layout) -> None:
    """Copy what the cluster needs of the operator's and kwok's modules next to the programs.

    Raises:
        RigError: If a module cannot be fetched.
    """
    modules = {tool.name: tool for tool in TOOLS}
    kuberay, kwok = module_folder(modules["kuberay"]), module_folder(modules["kwok"])
    wanted = {f"kuberay/{file.name}": file for file in (kuberay / "config/crd/bases").glob("*.yaml")}
    wanted["kuberay/role.yaml"] = kuberay / "config/rbac/role.yaml"
    for stage in STAGES:
        files = (kwok / "kustomize/stage" / stage).glob("*.yaml")
        wanted |= {f"kwok/{stage}/{file.name}": file for file in files if file.name != "kustomization.yaml"}
    for name, file in wanted.items():
        to = layout.manifests / name
        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_bytes(file.read_bytes())
    (layout.manifests / "versions").write_text(MADE_FROM)


def _has_manifests(layout: Layout) -> bool:
    versions = layout.manifests / "versions"
    return versions.exists() and versions.read_text() == MADE_FROM
