"""Model versions and aliases in MLflow, each with everything the fabric needs in its tags.

Knows nothing of which files a model has; equal contents are one version, whoever registers them and however often.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from fabric.core.errors import Conflict, Corrupt, NotFound
from fabric.registry.evaluation import Evaluation
from fabric.registry.reference import ModelReference
from fabric.registry.versions import Candidate, Lineage, ModelVersion, Parent

EXPERIMENT = "fabric"
"""MLflow experiment that holds one run for each version, where people compare metrics."""
SOURCE = "fabric:/models-by-content"
"""How the source of a version begins, before name and digest. MLflow's server takes no path of files, nor one that is a
link somewhere, because it would read what that names; the fabric's own URI is in a tag, and MLflow is never asked for
files."""
MOST_PARAM_LETTERS = 6000
"""Letters that MLflow takes as the value of a run's parameter (MLflow 3.17); the version's tags have all of them."""

_DIGEST, _URI, _LINEAGE, _METRICS, _EVALUATION = (
    f"fabric.{word}" for word in ("digest", "uri", "lineage", "metrics", "evaluation")
)


@dataclass(frozen=True, slots=True)
class Row:
    """One version as MLflow has it."""

    name: str
    version: int
    tags: Mapping[str, str]
    created_at: float = 0.0
    """Seconds since the epoch."""


@dataclass(frozen=True, slots=True)
class Run:
    """What people see in MLflow's pages about one version."""

    name: str
    tags: Mapping[str, str]
    params: Mapping[str, str] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)


class Mlflow(Protocol):
    """The part of MLflow that is used: over HTTP, or in this process with a database file."""

    def make_model(self, name: str) -> None:
        """Make a model without versions; one that is there stays as it is."""
        ...

    def make_version(self, row: Row, source: str, run_id: str) -> int:
        """Make the next version of `row.name` with its tags, and return its number."""
        ...

    def drop_version(self, name: str, version: int) -> None:
        """Remove a version."""
        ...

    def rows(self, name: str | None) -> list[Row]:
        """All versions, or those of one model."""
        ...

    def aliases(self, name: str | None) -> Mapping[str, Mapping[str, int]]:
        """Versions by alias by model; of all models, or of one."""
        ...

    def set_alias(self, name: str, alias: str, version: int) -> None:
        """Point an alias to a version."""
        ...

    def set_tags(self, name: str, version: int, tags: Mapping[str, str]) -> None:
        """Write tags of a version."""
        ...

    def make_run(self, experiment: str, run: Run) -> str:
        """Record a finished run, and return its id; one with the same tags is used again."""
        ...


class MlflowModels:
    """The port `fabric.registry.ports.ModelStore` on MLflow.

    Args:
        mlflow: How to reach it; see `mlflow_at`.
    """

    def __init__(self, mlflow: Mlflow) -> None:
        self._mlflow = mlflow

    def register(self, candidate: Candidate) -> ModelVersion:
        """Make a version of `candidate`, or return the one that has its contents, with the newest evaluation.

        Raises:
            BadInput: If MLflow does not take a name or value.
            Unavailable: If MLflow does not answer; calling again goes on where this stopped.
        """
        self._mlflow.make_model(candidate.name)
        number = self._of_digest(candidate) or self._make(candidate)
        self._mlflow.set_tags(candidate.name, number, _tags(candidate))
        return self.resolve(ModelReference(candidate.name, None, number))

    def versions(self, name: str | None = None) -> tuple[ModelVersion, ...]:
        """All versions, or those of one model: by name, newest first; versions that others made in MLflow are left out.

        Raises:
            Unavailable: If MLflow does not answer.
            Corrupt: If a tag of the fabric was changed into something else.
        """
        aliases = self._mlflow.aliases(name)
        rows = [row for row in self._mlflow.rows(name) if _DIGEST in row.tags]
        rows.sort(key=lambda row: (row.name, -row.version))
        return tuple(_version(row, aliases.get(row.name, {})) for row in rows)

    def resolve(self, reference: ModelReference) -> ModelVersion:
        """The version that is meant now.

        Raises:
            NotFound: If there is no such model, version or alias.
            Unavailable: If MLflow does not answer.
        """
        known = self.versions(reference.name)
        for version in known:
            if version.version == reference.version or reference.alias in version.aliases:
                return version
        raise NotFound(f"there is no model {reference}. {_what_there_is(self, reference, known)}", model=str(reference))

    def move_alias(self, name: str, alias: str, version: int) -> None:
        """Point an alias to a version, whether it pointed elsewhere or is new.

        Raises:
            NotFound: If there is no such version.
            Unavailable: If MLflow does not answer.
        """
        self.resolve(ModelReference(name, None, version))
        self._mlflow.set_alias(name, alias, version)

    def _of_digest(self, candidate: Candidate) -> int | None:
        """The oldest version with the same contents."""
        rows = self._mlflow.rows(candidate.name)
        return min((row.version for row in rows if row.tags.get(_DIGEST) == candidate.digest), default=None)

    def _make(self, candidate: Candidate) -> int:
        # If two came at the same instant, the first stays.
        run = Run(
            name=f"{candidate.name}-{candidate.digest}",
            tags={_DIGEST: candidate.digest, "fabric.model": candidate.name},
            params={key: text[:MOST_PARAM_LETTERS] for key, text in candidate.lineage.as_texts().items()},
            metrics={key: number for key, number in candidate.metrics.items() if math.isfinite(number)},
        )
        run_id = self._mlflow.make_run(EXPERIMENT, run)
        row = Row(candidate.name, 0, _tags(candidate))
        mine = self._mlflow.make_version(row, f"{SOURCE}/{candidate.name}/{candidate.digest}", run_id)
        first = self._of_digest(candidate)
        if first is None:
            raise Conflict(f"{candidate.name}:{mine} was removed while it was made. Register it again.")
        if first != mine:
            self._mlflow.drop_version(candidate.name, mine)
        return first


def _what_there_is(models: MlflowModels, reference: ModelReference, known: tuple[ModelVersion, ...]) -> str:
    if not known:
        names = sorted({version.name for version in models.versions()})
        return f"Registered models: {', '.join(names) or 'none yet'}."
    aliases = sorted(f"@{alias}" for version in known for alias in version.aliases)
    numbers = [f":{version.version}" for version in reversed(known)]
    return f"{reference.name} has {', '.join([*aliases, *numbers])}."


def _tags(candidate: Candidate) -> dict[str, str]:
    lineage = candidate.lineage
    parents = [{"name": p.name, "version": p.version, "kind": p.kind} for p in lineage.parents]
    tags = {
        _DIGEST: candidate.digest,
        _URI: candidate.uri,
        _LINEAGE: json.dumps({"revision": lineage.revision, "config": lineage.config, "parents": parents}),
        _METRICS: json.dumps(dict(candidate.metrics)),
    }
    return tags if candidate.evaluation is None else {**tags, _EVALUATION: candidate.evaluation.to_json()}


def _version(row: Row, aliases: Mapping[str, int]) -> ModelVersion:
    try:
        return ModelVersion(
            name=row.name,
            digest=row.tags[_DIGEST],
            uri=row.tags[_URI],
            lineage=_lineage(json.loads(row.tags[_LINEAGE])),
            metrics={name: float(value) for name, value in json.loads(row.tags[_METRICS]).items()},
            evaluation=Evaluation.from_json(row.tags[_EVALUATION]) if _EVALUATION in row.tags else None,
            version=row.version,
            aliases=tuple(sorted(alias for alias, version in aliases.items() if version == row.version)),
            created_at=row.created_at,
        )
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        raise Corrupt(
            f"MLflow's tags of {row.name}:{row.version} are not what was written ({error}). Register the model again.",
            model=f"{row.name}:{row.version}",
        ) from None


def _lineage(value: Mapping[str, Any]) -> Lineage:
    return Lineage(value["revision"], value["config"], tuple(Parent(**parent) for parent in value["parents"]))


def mlflow_at(uri: str, token: str | None = None, space: str | None = None) -> MlflowModels:
    """The registry at a tracking URI.

    Args:
        uri: `http://...` of a server, or `sqlite:///...` of a database file that nobody else has open.
        token: Bearer token for the server.
        space: Workspace of the server that is meant, where nobody before it says so.
    """
    if uri.startswith(("http://", "https://")):
        from fabric.store.mlflow_http import MlflowHttp

        return MlflowModels(MlflowHttp(uri, token, space=space))
    # Importing MLflow costs seconds and 170 MB, which a client of a server is spared.
    from fabric.store.mlflow_file import MlflowFile

    return MlflowModels(MlflowFile(uri))
