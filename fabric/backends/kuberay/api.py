"""What the backend asks of a Kubernetes API server, and what each refusal means.

Knows nothing of HTTP clients: one implementation speaks to a real server, tests keep one in memory.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from fabric.core.errors import BadInput, Conflict, Denied, FabricError, NotFound, Unauthenticated, Unavailable

Object = dict[str, Any]
"""An object as the API server has it."""
Patch = Sequence[Mapping[str, Any]] | Mapping[str, Any]
"""A list is a JSON patch, a mapping a merge patch."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A collection of objects."""

    version: str
    """API group and version, such as `ray.io/v1`."""
    plural: str
    namespaced: bool = True


RAY_CLUSTERS, RAY_JOBS = Kind("ray.io/v1", "rayclusters"), Kind("ray.io/v1", "rayjobs")
PODS, SECRETS, NODES = Kind("v1", "pods"), Kind("v1", "secrets"), Kind("v1", "nodes", namespaced=False)
EVENTS, JOBS = Kind("v1", "events"), Kind("batch/v1", "jobs")
KINDS = (RAY_CLUSTERS, RAY_JOBS, PODS, SECRETS, NODES, EVENTS, JOBS)
"""All that the backend touches; the role in `clusters/` allows exactly this."""


@dataclass(frozen=True, slots=True)
class Listing:
    """Objects of one kind at one instant."""

    items: tuple[Object, ...]
    version: str
    """From which to watch."""


@dataclass(frozen=True, slots=True)
class Change:
    """Something a watch tells."""

    kind: str
    """ADDED, MODIFIED, DELETED or BOOKMARK."""
    object: Object


class Expired(Unavailable):
    """A watch asked for changes that the server has forgotten; list again."""


class KubeApi(Protocol):
    """One namespace of one API server. Every call maps what the server says to the fabric's errors."""

    def listing(self, kind: Kind, selector: str = "", fields: str = "") -> Listing:
        """All objects that have the labels and the values of fields."""
        ...

    def watch(self, kind: Kind, version: str, selector: str = "") -> Iterator[Change]:
        """Changes after `version`, until the server ends the connection.

        Raises:
            Expired: If the server has forgotten that version.
        """
        ...

    def get(self, kind: Kind, name: str) -> Object:
        """One object.

        Raises:
            NotFound: If it is not there.
        """
        ...

    def create(self, kind: Kind, item: Object) -> Object:
        """Make an object.

        Raises:
            Conflict: If it is there.
        """
        ...

    def patch(self, kind: Kind, name: str, patch: Patch) -> Object:
        """Change an object.

        Raises:
            Conflict: If it has changed since.
            NotFound: If it is not there.
        """
        ...

    def patch_each(self, kind: Kind, patches: Mapping[str, Patch]) -> Mapping[str, Object | FabricError]:
        """Change several objects at the same time; what each is then, or why it was not changed, by its name."""
        ...

    def delete(self, kind: Kind, name: str, grace_s: int | None = None) -> None:
        """Take an object away, and in the background what belongs to it; one that is not there is no mistake."""
        ...

    def close(self) -> None:
        """Give the connections back; watches end."""
        ...


_UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND, _CONFLICT, _GONE, _INVALID, _TOO_MANY = 401, 403, 404, 409, 410, 422, 429
_FIRST_SERVER_ERROR = 500


def refusal(verb: str, kind: Kind, where: str, *, status: int, message: str) -> FabricError:
    """What an answer of the API server means.

    Args:
        verb: As roles write it: get, list, watch, create, patch, delete.
        kind: What it was about.
        where: The namespace, and the name where there is one.
        status: Of the answer.
        message: What the server says.
    """
    what = f"{verb} {kind.plural} in {where}"
    if status == _UNAUTHORIZED:
        return Unauthenticated(f"Kubernetes does not know the fabric's account ({what}): {message}")
    if status == _FORBIDDEN and "exceeded quota" in message:
        return Unavailable(f"a quota of Kubernetes refuses to {what}: {message}. It is tried again.")
    if status == _FORBIDDEN:
        group = kind.version.partition("/")[0] if "/" in kind.version else '""'
        return Denied(
            f"the fabric may not {what}: grant verb {verb} on resource {kind.plural} of API group {group} "
            f"(clusters/ has the role): {message}",
            verb=verb,
            resource=kind.plural,
        )
    if status == _NOT_FOUND and "could not find the requested resource" in message:
        return NotFound(f"Kubernetes has no {kind.plural} of {kind.version}: install the KubeRay operator and its CRDs")
    if status == _NOT_FOUND and "namespaces" in message:
        return NotFound(f"there is no namespace {where.partition('/')[0]}: create it, or name another in the site file")
    return _other(what, status, message)


def _other(what: str, status: int, message: str) -> FabricError:
    by_status: Mapping[int, type[FabricError]] = {
        _NOT_FOUND: NotFound, _CONFLICT: Conflict, _GONE: Expired, _INVALID: BadInput, _TOO_MANY: Unavailable,
    }  # fmt: skip
    words = {
        _NOT_FOUND: "Kubernetes does not have it",
        _CONFLICT: "it exists, or has changed meanwhile",
        _GONE: "Kubernetes has forgotten that far back",
        _INVALID: "Kubernetes takes no such object",
        _TOO_MANY: "Kubernetes throttles; it is tried again",
    }
    if status in by_status:
        return by_status[status](f"{what}: {words[status]}: {message}")
    if status >= _FIRST_SERVER_ERROR:
        return Unavailable(f"{what}: Kubernetes fails with {status}: {message}. It is tried again.")
    return BadInput(f"{what}: Kubernetes refuses with {status}: {message}")
