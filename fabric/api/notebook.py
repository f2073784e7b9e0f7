"""Notebook servers inside workloads, as control reaches them.

Knows nothing of HTTP frameworks. Nothing inside a workload listens to a network: its server listens on a socket of its
own file system, and the workload calls control. On one web socket control asks for streams; for each the workload opens
a further web socket, whose binary messages are the bytes of one connection to the server.
"""

from fabric.config.settings import Settings

NOTEBOOK = "/notebook"
"""`/NAME/…`: what the notebook server of a workload answers, web sockets too; for who submitted it, and nobody else."""
VISIT = "/notebook-visit"
"""GET `/TICKET`, by a browser: opens once, and leads to the notebook of the workload that the ticket is for."""
LINK = "/api/fabric/workloads/{name}/notebook"
"""POST: a `fabric.api.dashboard.DashboardLink` for one browser."""
SERVED = "/api/fabric/workloads/{name}/notebook/served"
"""Web socket of the workload itself: it says `Serves` once, and then hears `Opens`."""
STREAM = "/api/fabric/workloads/{name}/notebook/served/{stream}"
"""Web socket of the workload itself for one stream that was asked for."""

SOCKETS = "fabric-notebook-"
"""How names of folders begin in which sockets are, among temporary files; a process holds a lock on each of its own,
so that one that nobody holds was left by a process that was killed."""
LARGEST_PIECE = 2**16
"""Most bytes of one message of a stream."""


class Serves(Settings):
    """A workload says that its server is there."""

    token: str
    """What opens the server; nobody but control hears it."""


class Opens(Settings):
    """Control asks for a stream."""

    stream: str
    """What to call it; opens once."""
