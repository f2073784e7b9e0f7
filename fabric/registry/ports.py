"""What the fabric needs of a model registry.

Knows nothing of who implements it. One contract suite runs against every implementation.
"""

from typing import Protocol

from fabric.registry.reference import ModelReference
from fabric.registry.versions import Candidate, ModelVersion


class ModelStore(Protocol):
    """Versions of models, and the aliases that point to them. Writes are durable when the call returns."""

    def register(self, candidate: Candidate) -> ModelVersion:
        """Make a version of `candidate`, or return the one that has its contents, with the newest evaluation."""
        ...

    def versions(self, name: str | None = None) -> tuple[ModelVersion, ...]:
        """All versions, or those of one model: by name, newest first."""
        ...

    def resolve(self, reference: ModelReference) -> ModelVersion:
        """The version that is meant now.

        Raises:
            NotFound: If there is no such model, version or alias; the message names what there is.
        """
        ...

    def move_alias(self, name: str, alias: str, version: int) -> None:
        """Point an alias to a version, whether it pointed elsewhere or is new.

        Raises:
            NotFound: If there is no such version.
        """
        ...
