"""The tree of everything a caller of the fabric may catch.

Knows nothing of transports: `code` is a stable word that the HTTP layer and the command line map to their own numbers.

    FabricError
    ├── BadInput            what was asked is wrong; asking again the same way cannot help
    │   ├── BadConfig       a file or a setting
    │   ├── BadPackage      an uploaded working_dir
    │   └── DoesNotFit      no node could ever hold it
    ├── NotFound            no such workload, model, package
    ├── Conflict            it exists already, or is in a state that forbids this
    ├── Denied              who asks may not
    │   └── Unauthenticated nobody we know
    ├── Unavailable         try again: a process, port or store is not there
    │   ├── StorageFull     the disk that should hold it is full
    │   └── ClusterLost     a Ray cluster or one of its nodes is gone
    └── Corrupt             bytes are not what was written
"""

from collections.abc import Mapping


class FabricError(Exception):
    """Root of everything a caller may catch; `fields` carries what the message says, so that nobody parses text."""

    code = "internal"

    def __init__(self, message: str, **fields: str | int | float | None) -> None:
        super().__init__(message)
        self.message = message
        self.fields: Mapping[str, str | int | float | None] = fields


class BadInput(FabricError):
    """What was asked is wrong; asking again the same way cannot help."""

    code = "bad_input"


class BadConfig(BadInput):
    """A configuration file or `--set` has an unknown key, a wrong type or an impossible value."""

    code = "bad_config"


class BadPackage(BadInput):
    """An uploaded package is truncated, too large or would write outside its folder."""

    code = "bad_package"


class DoesNotFit(BadInput):
    """No node, however empty, could ever hold this request."""

    code = "does_not_fit"


class NotFound(FabricError):
    """There is no such workload, model, package or node."""

    code = "not_found"


class Conflict(FabricError):
    """It exists already with other contents, or its state forbids the operation."""

    code = "conflict"


class Denied(FabricError):
    """The caller is known and may not do this."""

    code = "denied"


class Unauthenticated(Denied):
    """No key, or a key that nobody issued or that has expired."""

    code = "unauthenticated"


class Unavailable(FabricError):
    """Something that should answer does not; trying again may help."""

    code = "unavailable"


class StorageFull(Unavailable):
    """The disk that should hold this is full; what was there before is intact."""

    code = "storage_full"


class ClusterLost(Unavailable):
    """A Ray cluster, or a node of it, is gone."""

    code = "cluster_lost"


class Corrupt(FabricError):
    """Stored bytes are not the bytes that were written."""

    code = "corrupt"


ERRORS: Mapping[str, type[FabricError]] = {
    error.code: error
    for error in (
        FabricError, BadInput, BadConfig, BadPackage, DoesNotFit, NotFound, Conflict, Denied, Unauthenticated,
        Unavailable, StorageFull, ClusterLost, Corrupt,
    )
}  # fmt: skip
"""Every error by its stable code, so that a client can raise what the server raised."""
