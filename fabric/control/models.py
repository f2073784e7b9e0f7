"""Model versions of projects for people and for services, and the version that each service is pinned to.

Knows nothing of how MLflow keeps them, but that each project has a workspace of its own.
"""

import json
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlparse

from fabric.api.admin import EvaluationView, ModelVersionView, ServedByView
from fabric.control.mlflow_spaces import project_of, space_of
from fabric.core.errors import NotFound, Unavailable
from fabric.registry.evaluation import Evaluation
from fabric.registry.reference import ModelReference, parse_reference
from fabric.registry.versions import ModelVersion
from fabric.store.mlflow_http import MlflowHttp
from fabric.store.mlflow_registry import MlflowModels
from fabric.workloads.record import Record

PIN = "model"
"""Kind of the value that says what a service is pinned to."""
PEOPLE_WAIT_S = 20.0
"""Longest wait for one answer of MLflow where people ask, in seconds: each of them holds one of few places meanwhile.
The very first request also makes the tables, which took 7 s on two busy cores."""
LOOP_WAITS_S = 3.0
"""The same where a service is to begin: the scheduler's loop waits, and all work with it. A choice."""
LEFT_ALONE_S = 15.0
"""For how long MLflow is not asked for services any more once it has used up that patience, in seconds. A choice."""


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

    def __init__(self, uri: str, pins: Pins, clock: Callable[[], float] = time.monotonic) -> None:
        """Ask nothing yet.

        Args:
            uri: Of MLflow's server.
            pins: Where services' versions are remembered.
            clock: Seconds that never go back.
        """
        self._uri, self._pins, self._clock = uri, pins, clock
        self._site = MlflowHttp(uri, timeout_s=PEOPLE_WAIT_S)
        self._registries: dict[tuple[str, float], MlflowModels] = {}
        self._silent_until, self._said = float("-inf"), ""

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

    def _registry(self, space: str, timeout_s: float = PEOPLE_WAIT_S) -> MlflowModels:
        # Made only where there is none: each has connections of its own.
        if (space, timeout_s) not in self._registries:
            self._registries[space, timeout_s] = MlflowModels(MlflowHttp(self._uri, space=space, timeout_s=timeout_s))
        return self._registries[space, timeout_s]

    def folder(self, workload: str, reference: str, project: str) -> Path:
        """Where the files are of the version that the reference meant when this workload first asked.

        An alias that moves later does not change what a running service serves, nor what it serves after a restart.
        The scheduler's loop waits for this, so MLflow must answer soon; where it hangs, all services together cost the
        loop `LOOP_WAITS_S` in every `LEFT_ALONE_S`.

        Raises:
            NotFound: If there is no such model, alias or version, or its files are gone.
            Unavailable: If MLflow does not answer.
        """

        def resolve() -> str:
            found = self._soon(space_of(project), parse_reference(reference))
            return json.dumps({"model": f"{found.name}:{found.version}", "uri": found.uri})

        pin = json.loads(self._pins.secret(workload, PIN, resolve))
        folder = Path(unquote(urlparse(pin["uri"]).path))
        if not folder.is_dir():
            raise NotFound(f"the files of {pin['model']} are gone from {folder}. Register the model again.")
        return folder

    def _soon(self, space: str, reference: ModelReference) -> ModelVersion:
        """The version that is meant now.

        Raises:
            NotFound: If there is none.
            Unavailable: If MLflow does not answer soon, or did not lately; the same is said while it is left alone.
        """
        began = self._clock()
        if began < self._silent_until:
            raise Unavailable(self._said)
        try:
            return self._registry(space, LOOP_WAITS_S).resolve(reference)
        except Unavailable as error:
            # One that refuses at once, as while it starts, costs nothing and may be asked again soon.
            if (now := self._clock()) - began >= LOOP_WAITS_S / 2:
                self._silent_until, self._said = now + LEFT_ALONE_S, error.message
            raise


def _view(version: ModelVersion, project: str) -> ModelVersionView:
    return ModelVersionView(
        name=version.name,
        project=project,
        version=version.version,
        aliases=version.aliases,
        uri=version.uri,
        metrics=dict(version.metrics),
        lineage=version.lineage.as_texts(),
        digest=version.digest,
        evaluation=_judged(version.evaluation),
        created_at=version.created_at,
    )


def _judged(evaluation: Evaluation | None) -> EvaluationView | None:
    if evaluation is None:
        return None
    right = evaluation.correct
    return EvaluationView(
        suite=evaluation.suite, metrics=dict(evaluation.metrics), num_items=len(right), num_right=sum(right)
    )


def with_services(
    found: Iterable[ModelVersionView], services: Iterable[Record], pinned: Callable[[str], str]
) -> tuple[ModelVersionView, ...]:
    """Versions with the services that serve them.

    Args:
        found: Versions.
        services: Those that are not final.
        pinned: MODEL:VERSION that a service began to serve; empty if it has not begun.
    """
    serving: dict[tuple[str, str], list[ServedByView]] = {}
    for record in sorted(services, key=lambda each: each.name):
        given = record.spec.service
        if given is None or not (version := pinned(record.name)):
            continue
        view = ServedByView(
            workload=record.name, deployment=given.deployment or "", asked=given.model, state=str(record.state),
            condition=record.condition,
        )  # fmt: skip
        serving.setdefault((record.spec.project, version), []).append(view)
    return tuple(
        each.model_copy(update={"served_by": tuple(by)})
        if (by := serving.get((each.project, f"{each.name}:{each.version}")))
        else each
        for each in found
    )
