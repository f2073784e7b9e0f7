"""MLflow on a database file, in this process: for a machine where no server runs. Importing this imports MLflow.

Knows nothing of what the values mean.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from fabric.core.errors import Conflict, Unavailable
from fabric.store.mlflow_http import MLFLOW_ERRORS, PAGE
from fabric.store.mlflow_registry import Row, Run


@contextmanager
def mlflow_errors(place: str) -> Iterator[None]:
    """Raise the fabric's errors for MLflow's.

    Raises:
        FabricError: Of the kind in `MLFLOW_ERRORS`, otherwise `Unavailable`.
    """
    try:
        yield
    except MlflowException as error:
        kind = MLFLOW_ERRORS.get(str(error.error_code), Unavailable)
        mapped = kind(f"MLflow at {place}: {error.message}", code=str(error.error_code))
        raise mapped from error


class MlflowFile:
    """MLflow on `uri`, such as `sqlite:///runs/mlflow.db`; its first use makes the tables, which takes seconds."""

    def __init__(self, uri: str, now: Callable[[], float] = time.time) -> None:
        self._place = uri
        self._now = now
        with mlflow_errors(uri):
            self._client = MlflowClient(tracking_uri=uri, registry_uri=uri)

    def make_model(self, name: str) -> None:
        """Make a model without versions; one that is there stays as it is."""
        try:
            with mlflow_errors(self._place):
                self._client.create_registered_model(name)
        except Conflict:
            return

    def make_version(self, row: Row, source: str, run_id: str) -> int:
        """Make the next version of `row.name` with its tags, and return its number."""
        with mlflow_errors(self._place):
            return int(self._client.create_model_version(row.name, source, run_id=run_id, tags=dict(row.tags)).version)

    def drop_version(self, name: str, version: int) -> None:
        """Remove a version."""
        with mlflow_errors(self._place):
            self._client.delete_model_version(name, str(version))

    def rows(self, name: str | None) -> list[Row]:
        """All versions, or those of one model."""
        found = self._pages(self._client.search_model_versions, _filter(name))
        return [Row(v.name, int(v.version), v.tags, v.creation_timestamp / 1000) for v in found]

    def aliases(self, name: str | None) -> Mapping[str, Mapping[str, int]]:
        """Versions by alias by model; of all models, or of one."""
        found = self._pages(self._client.search_registered_models, _filter(name))
        return {model.name: {alias: int(v) for alias, v in model.aliases.items()} for model in found}

    def set_alias(self, name: str, alias: str, version: int) -> None:
        """Point an alias to a version."""
        with mlflow_errors(self._place):
            self._client.set_registered_model_alias(name, alias, str(version))

    def set_tags(self, name: str, version: int, tags: Mapping[str, str]) -> None:
        """Write tags of a version."""
        with mlflow_errors(self._place):
            for key, value in tags.items():
                self._client.set_model_version_tag(name, str(version), key, value)

    def make_run(self, experiment: str, run: Run) -> str:
        """Record a finished run, and return its id; one with the same tags is used again."""
        with mlflow_errors(self._place):
            place = self._client.get_experiment_by_name(experiment)
            number = place.experiment_id if place else self._client.create_experiment(experiment)
            known = " and ".join(f"tags.`{key}` = '{value}'" for key, value in run.tags.items())
            found = self._client.search_runs([number], known, max_results=1)
            made = found[0] if found else self._client.create_run(number, tags=dict(run.tags), run_name=run.name)
            if made.info.status == "RUNNING":
                now_ms = int(self._now() * 1000)
                metrics = [Metric(key, value, now_ms, 0) for key, value in run.metrics.items()]
                params = [Param(key, value) for key, value in run.params.items()]
                tags: list[Any] = [RunTag(key, value) for key, value in run.tags.items()]
                self._client.log_batch(made.info.run_id, metrics=metrics, params=params, tags=tags)
                self._client.set_terminated(made.info.run_id)
            return str(made.info.run_id)

    def _pages(self, search: Callable[..., Any], filter_string: str) -> Sequence[Any]:
        found: list[Any] = []
        token = None
        with mlflow_errors(self._place):
            while True:
                page = search(filter_string=filter_string, max_results=PAGE, page_token=token)
                found += page
                token = page.token
                if not token:
                    return found


def _filter(name: str | None) -> str:
    return "" if name is None else f"name='{name}'"
