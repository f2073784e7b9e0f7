"""Model versions for people and for services, and the version that each service is pinned to.

Knows nothing of how MLflow keeps them.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlparse

from fabric.api.admin import ModelVersionView
from fabric.core.errors import NotFound
from fabric.registry.reference import parse_reference
from fabric.registry.versions import ModelVersion
from fabric.store.mlflow_registry import mlflow_at

PIN = "model"
"""Kind of the value that says what a service is pinned to."""


class Pins(Protocol):
    """Values that are made once per workload."""

    def secret(self, workload: str, kind: str, make: Callable[[], str]) -> str:
        """The value of `kind`, made by `make` the first time and durable before it is returned."""
        ...

    def kept_secret(self, workload: str, kind: str) -> str | None:
        """The value of `kind`; None if it was not made, or there is no such workload."""
        ...


class Models:
    """Implements the models port of the service and the versions port of the blueprint."""

    def __init__(self, uri: str, pins: Pins) -> None:
        self._store = mlflow_at(uri)
        self._pins = pins

    def models(self) -> Sequence[ModelVersionView]:
        """Every registered version, by name, newest first.

        Raises:
            Unavailable: If MLflow does not answer.
        """
        return [_view(version) for version in self._store.versions()]

    def pinned(self, workload: str) -> str:
        """MODEL:VERSION that a service is pinned to; empty if it has not begun, or is gone."""
        kept = self._pins.kept_secret(workload, PIN)
        return str(json.loads(kept)["model"]) if kept else ""

    def folder(self, workload: str, reference: str) -> Path:
        """Where the files are of the version that the reference meant when this workload first asked.

        An alias that moves later does not change what a running service serves, nor what it serves after a restart.

        Raises:
            NotFound: If there is no such model, alias or version, or its files are gone.
            Unavailable: If MLflow does not answer.
        """

        def resolve() -> str:
            found = self._store.resolve(parse_reference(reference))
            return json.dumps({"model": f"{found.name}:{found.version}", "uri": found.uri})

        pin = json.loads(self._pins.secret(workload, PIN, resolve))
        folder = Path(unquote(urlparse(pin["uri"]).path))
        if not folder.is_dir():
            raise NotFound(f"the files of {pin['model']} are gone from {folder}. Register the model again.")
        return folder


def _view(version: ModelVersion) -> ModelVersionView:
    return ModelVersionView(
        name=version.name,
        version=version.version,
        aliases=version.aliases,
        uri=version.uri,
        metrics=dict(version.metrics),
        lineage=version.lineage.as_texts(),
        created_at=version.created_at,
    )
