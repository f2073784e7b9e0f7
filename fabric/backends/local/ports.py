"""What the local backend needs of the store, and free TCP ports.

Knows nothing of who implements the store.
"""

import socket
from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol


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

    def path(self, name: str) -> Path:
        """The file of a package such as `_ray_pkg_0123.zip`.

        Raises:
            NotFound: If nobody uploaded it.
        """
        ...


def free_ports(names: Iterable[str], host: str = "127.0.0.1") -> dict[str, int]:
    """A different free TCP port for each name; the kernel hands them out, so two clusters rarely clash."""
    with ExitStack() as stack:
        ports = {}
        for name in names:
            listener = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
            listener.bind((host, 0))
            ports[name] = listener.getsockname()[1]
        return ports
