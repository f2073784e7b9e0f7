"""Files of projects that outlive the work which wrote them, as JSON.

Knows nothing of HTTP frameworks; the constants name the routes for server and SDK alike.
"""

from fabric.config.settings import Settings

ARTIFACTS = "/api/fabric/artifacts"
"""`/PROJECT` GET lists: `path`, `recursive`, `after`, `limit`. `/PROJECT/PATH` GET reads: `offset`; PUT writes:
`replace`. Jobs know the same folder as `FABRIC_ARTIFACTS`."""
LONGEST_LIST = 1000
"""Entries of one answer at most."""
VERSION = "ETag"
"""Header of a file that is read: another one once the file has changed."""


class ArtifactView(Settings):
    """A file, or a folder."""

    path: str
    """Where it lies below the project's own folder, with slashes."""
    folder: bool = False
    """Whether it is a folder."""
    num_bytes: int = 0
    """Size of a file."""
    modified_at: float = 0.0
    """When its contents last changed, in seconds since the epoch."""
    sha256: str = ""
    """Digest of the contents, in hexadecimal digits; only of what was just written."""
    problem: str = ""
    """Why what is in it, or what it is, cannot be told; empty where nothing is wrong."""


class ArtifactList(Settings):
    """Files and folders by path, a folder before what is in it; also those that cannot be read, with their problem."""

    artifacts: tuple[ArtifactView, ...]
    """By path."""
    after: str | None = None
    """What to ask for next as `after`; None if these were all."""
