"""Deployments over time, as JSON: what a project serves under a name, what it served before, and the way back.

Knows nothing of HTTP frameworks; the constants name the routes for server and SDK alike.
"""

from fabric.config.settings import Settings

DEPLOYED = "/api/fabric/deployments"
"""GET lists; `/NAME` GET; `/NAME/rollback` POST `RollbackRequest`; each with `project`. A deployment is made by
submitting a service that names it, or by `serve deploy`."""


class RevisionView(Settings):
    """One workload that was, or is, what a deployment runs."""

    workload: str
    """Its name, by which one goes back to it."""
    serves: str
    """The model reference, or the names of Serve's applications."""
    version: str = ""
    """Of a model: MODEL:VERSION that the reference meant when it began; empty until it has begun."""
    state: str
    """As in `fabric.workloads.states.State`."""
    condition: str = ""
    """Of what runs: ready, degraded, updating."""
    message: str = ""
    """First line of the explanation."""
    deployed_at: float
    """When it was handed in, in seconds since the epoch."""
    deployed_by: str = ""
    """Who handed it in."""
    ran: bool = False
    """Whether it has answered."""


class DeploymentView(Settings):
    """A deployment and its revisions."""

    name: str
    """Name, unique in the project."""
    project: str
    """Who pays."""
    kind: str
    """`model`, or `serve` for applications of Ray Serve."""
    revisions: tuple[RevisionView, ...]
    """Newest first: the first is what runs, unless it has ended; the list of all deployments has only that one."""


class DeploymentList(Settings):
    """Deployments by project and name."""

    deployments: tuple[DeploymentView, ...]
    """By project and name, each with its newest revision."""


class RollbackRequest(Settings):
    """Where to go back to."""

    to: str | None = None
    """Workload of the deployment whose like should run again; None for the newest before the present one that has
    answered and served something else."""
