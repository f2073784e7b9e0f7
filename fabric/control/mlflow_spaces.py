"""Which workspace of MLflow is whose: each project has one of its own, and sees no other's runs and models.

Knows nothing of HTTP. MLflow keeps workspaces apart in its own stores (from 3.10 on), so whatever a request asks for by
id or name is looked for in one workspace alone; which one, control says and not who asks.
"""

import hashlib
import re
from collections.abc import Mapping

from fabric.workloads.spec import DEFAULT_PROJECT

HEADER = "x-mlflow-workspace"
"""Header by which MLflow is told, in small letters."""
SITES = "default"
"""MLflow's own: where everything is that was recorded before there were others. Work that names no project is there."""

_PLAIN = re.compile(r"[a-z0-9][a-z0-9-]{0,58}[a-z0-9]|[a-z0-9]")
"""Names of projects that may be part of the name of a workspace."""


def space_of(project: str) -> str:
    """The workspace of a project; no two projects have one."""
    if project == DEFAULT_PROJECT:
        return SITES
    if _PLAIN.fullmatch(project):
        return f"p-{project}"
    return f"h-{hashlib.sha256(project.encode()).hexdigest()[:40]}"


def project_in(space: str) -> str:
    """The project of a workspace that somebody of the whole site names; its own name where that says no project."""
    if space == SITES:
        return DEFAULT_PROJECT
    project = space.removeprefix("p-")
    return project if space_of(project) == space else space


def project_of(space: str, described: Mapping[str, str]) -> str:
    """The project of a workspace; empty if it is nobody's.

    Args:
        space: Its name.
        described: What MLflow says of each, which is the name of its project.
    """
    if space == SITES:
        return DEFAULT_PROJECT
    project = described.get(space, "")
    return project if project and space_of(project) == space else ""
