"""Model versions of projects for people and for services, and the version that each service is pinned to.

Knows nothing of how MLflow keeps them, but that each project has a workspace of its own.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlparse

from fabric.api.admin import ModelVersionView
from fabric.control.mlflow_spaces import project_of, space_of
from fabric.core.errors import NotFound
from fabric.registry.reference import parse_reference
from fabric.registry.versions import ModelVersion
from fabric.store.mlflow_http import MlflowHttp
from fabric.store.mlflow_registry import MlflowModels

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
        self._uri, self._pins = uri, pins
        self._site = MlflowHttp(uri)
        self._registries: dict[str, MlflowModels] = {}

    def models(self, project: str | None = None) -> Sequence[ModelVersionView]:
        """Every registered version of a project, or of all of them, by name, newest first.

        Raises:
            Unavailable: If MLflow does not answer.
        """
        if project is not None:
            return self._of(space_of(project), project)
        described = self._site.spaces()
        found = [each for space in described for each in self._of(space, project_of(space, described))]
        return sorted(found, key=lambda each: (each.name, each.project, -each.version))

    def move_alias(self, project: str, model: str, alias: str, version: int) -> None:
        """Point an alias to a version, whether it pointed elsewhere or is new.

        Raises:
            FabricError: If MLflow does not take it, or does not answer.
        """
        self._registry(space_of(project)).move_alias(model, alias, version)

    def pinned(self, workload: str) -> str:
        """MODEL:VERSION that a service is pinned to; empty if it has not begun, or is gone."""
        kept = self._pins.kept_secret(workload, PIN)
        return str(json.loads(kept)["model"]) if kept else ""

    def _of(self, space: str, project: str) -> list[ModelVersionView]:
        try:
            return [_view(version, project) for version in self._registry(space).versions()]
        except NotFound:  # it is made when somebody of the project first asks MLflow for something
            return []

    def _registry(self, space: str) -> MlflowModels:
        # Made only where there is none: each has connections of its own.
        if space not in self._registries:
            self._registries[space] = MlflowModels(MlflowHttp(self._uri, space=space))
        return self._registries[space]

    def folder(self, workload: str, reference: str, project: str) -> Path:
        """Where the files are of the version that the reference meant when this workload first asked.

        An alias that moves later does not change what a running service serves, nor what it serves after a restart.

        Raises:
            NotFound: If there is no such model, alias or version, or its files are gone.
            Unavailable: If MLflow does not answer.
        """

        def resolve() -> str:
            found = self._registry(space_of(project)).resolve(parse_reference(reference))
            return json.dumps({"model": f"{found.name}:{found.version}", "uri": found.uri})

        pin = json.loads(self._pins.secret(workload, PIN, resolve))
        folder = Path(unquote(urlparse(pin["uri"]).path))
        if not folder.is_dir():
            raise NotFound(f"the files of {pin['model']} are gone from {folder}. Register the model again.")
        return folder


def _view(version: ModelVersion, project: str) -> ModelVersionView:
    return ModelVersionView(
        name=version.name,
        project=project,
        version=version.version,
        aliases=version.aliases,
        uri=version.uri,
        metrics=dict(version.metrics),
        lineage=version.lineage.as_texts(),
        created_at=version.created_at,
    )
