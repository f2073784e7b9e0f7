"""What a keeper needs of a backend and of the store.

Knows nothing of who implements them.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from fabric.backends.keeping.layout import Layout
from fabric.workloads.record import Slice


class RayNodes(Protocol):
    """The Ray nodes of one cluster: processes of this machine, or pods."""

    @property
    def layout(self) -> Layout:
        """What the cluster is made of, as it was last written down."""
        ...

    @property
    def serve_url(self) -> str:
        """Base URL of its Serve proxy."""
        ...

    def head(self) -> tuple[str, str]:
        """URL of the head's REST API, and the cluster's token; empty while they are not known."""
        ...

    @property
    def start_timeout_s(self) -> float:
        """How long slices may take to join before the attempt is given up, in seconds."""
        ...

    def listening(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """A Serve configuration that listens where this cluster's Serve proxy may."""
        ...

    def change(self, how: Callable[[Any], Any]) -> Layout:
        """Write down another layout, before anything is done about it; safe to call from several threads.

        Raises:
            OSError: If it cannot be written; then the cluster is still made of what it was.
        """
        ...

    def tend(self) -> None:
        """Do what is due between two looks."""
        ...

    def lost(self) -> list[str]:
        """Names of slices whose Ray node is seen to have ended; not one that is to leave, or is being started now."""
        ...

    def last_words(self, name: str) -> str:
        """How a slice's Ray node ended."""
        ...

    def awaits(self, names: Sequence[str]) -> str:
        """Why slices have not joined, where anything says so; empty if nothing does."""
        ...

    def oversized(self, slices: Mapping[str, Slice]) -> str:
        """A sentence about the first slice that holds more memory than granted; empty where none does or may."""
        ...

    def drain(self, name: str) -> None:
        """Let Ray place nothing more on a slice, and tell Serve to move its replicas elsewhere.

        Raises:
            OSError: If its Ray node cannot be looked at now.
        """
        ...

    def has_left(self, name: str) -> bool:
        """Whether a drained slice's Ray node is seen to have ended by itself."""
        ...

    def end_one(self, name: str, patience_s: float) -> bool:
        """End everything of one slice; whether it is gone.

        Raises:
            OSError: If that cannot be looked at now.
        """
        ...

    def end(self, patience_s: float) -> bool:
        """End workers, then the head, then whatever else is left; whether all are gone.

        Raises:
            OSError: If that cannot be looked at now.
        """
        ...

    def forget(self) -> None:
        """Remove what is kept of a cluster that is gone."""
        ...


class Output(Protocol):
    """What the entrypoint of one attempt writes."""

    def copy(self) -> None:
        """Copy to the store everything that is there and not yet kept.

        Raises:
            Unavailable: If it cannot be read or kept now.
        """
        ...

    def note(self, sentence: str) -> None:
        """Write a line of ours where the entrypoint writes, if that is possible."""
        ...

    def finish(self) -> None:
        """Copy the rest and note that nothing follows.

        Raises:
            Unavailable: If it cannot be read or kept now.
        """
        ...


class DriverLogs(Protocol):
    """Where the output of entrypoints is kept."""

    def begin(self, workload: str, attempt: int) -> None:
        """Forget what a deleted workload of that name left from this attempt on; called before anything is started."""
        ...

    def end(self, workload: str, attempt: int) -> int:
        """Offset after the last byte kept of one attempt."""
        ...

    def append(self, workload: str, attempt: int, offset: int, data: bytes) -> int:
        """Keep `data`, which begins at `offset` of the attempt's output; what is kept already is passed over.

        Returns:
            Offset after the last byte kept.
        """
        ...

    def mark_complete(self, workload: str, attempt: int) -> None:
        """Note that nothing follows for this attempt."""
        ...


class Packages(Protocol):
    """Uploaded working directories."""

    def path(self, name: str, project: str) -> Path:
        """The file of a package such as `_ray_pkg_0123.zip` that work of a project may use.

        Raises:
            NotFound: If nobody uploaded it.
        """
        ...
