"""Uploaded working directories, each step checked against who asks, and removed once nobody needs them.

Knows nothing of HTTP, or of what is inside a package.
"""

from collections.abc import Callable, Iterable, Sequence

from fabric.control.admission import named_packages
from fabric.control.callers import Caller
from fabric.control.ports import Packages
from fabric.workloads.record import Record


class UploadedPackages:
    """What callers may ask of packages."""

    def __init__(self, packages: Packages, active: Callable[[], Sequence[Record]]) -> None:
        """Remember where they are.

        Args:
            packages: Where they are.
            active: Work that has not ended and may name some.
        """
        self._packages = packages
        self._active = active

    def has(self, name: str, caller: Caller) -> bool:
        """Whether an uploaded package is here for the caller's project."""
        return self._packages.has(name, caller.project or "")

    def put(self, name: str, chunks: Iterable[bytes], caller: Caller, expected_bytes: int = 0) -> None:
        """Keep an uploaded package for the caller's project, or for all where the caller is of the whole site.

        Raises:
            BadPackage: If it is too large, truncated, would write outside its folder, or the quota is full.
        """
        project, named = caller.project or "", named_packages(self._active())
        self._packages.collect(named)
        self._packages.make_room(project, expected_bytes, named)
        self._packages.put(name, chunks, project)
