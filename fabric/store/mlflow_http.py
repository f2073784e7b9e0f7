"""MLflow's REST API, as far as the fabric uses it, so that nobody has to import MLflow to reach a server.

Knows nothing of what the values mean.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import httpx

from fabric.config import env
from fabric.config.trust import trust
from fabric.core.errors import BadInput, Conflict, Denied, FabricError, NotFound, Unauthenticated, Unavailable
from fabric.store.mlflow_registry import Row, Run

MLFLOW_ERRORS: Mapping[str, type[FabricError]] = {
    "RESOURCE_DOES_NOT_EXIST": NotFound,
    "NOT_FOUND": NotFound,
    "ENDPOINT_NOT_FOUND": NotFound,
    "RESOURCE_ALREADY_EXISTS": Conflict,
    "ALREADY_EXISTS": Conflict,
    "RESOURCE_CONFLICT": Conflict,
    "INVALID_STATE": Conflict,
    "INVALID_STATE_TRANSITION": Conflict,
    "ABORTED": Conflict,
    "INVALID_PARAMETER_VALUE": BadInput,
    "BAD_REQUEST": BadInput,
    "MALFORMED_REQUEST": BadInput,
    "PERMISSION_DENIED": Denied,
    "CUSTOMER_UNAUTHORIZED": Denied,
    "UNAUTHENTICATED": Unauthenticated,
}
"""MLflow's error codes that are not a reason to try again; any other is `Unavailable`."""

TIMEOUT_S = 60.0
"""Longest wait for one answer in seconds: the first request also makes the tables (7 s on 2 busy cores)."""
CONNECT_S = 5.0
"""Longest wait for a connection in seconds, so that a server that is not there is found out soon."""
PAGE = 1000
"""Rows asked for at once."""


class MlflowHttp:
    """MLflow behind `uri`; safe to use from any thread."""

    def __init__(
        self,
        uri: str,
        token: str | None = None,
        now: Callable[[], float] = time.time,
        *,
        space: str | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        """Ask nothing yet.

        Args:
            uri: Of the server.
            token: Bearer token, where somebody stands before it.
            now: Seconds since the epoch.
            space: Name of the workspace that is meant, where nobody before the server says so.
            timeout_s: Longest wait for one answer, in seconds.
        """
        self._place = uri.rstrip("/")
        self._now = now
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        headers |= {"X-MLFLOW-WORKSPACE": space} if space else {}
        timeout = httpx.Timeout(timeout_s, connect=min(CONNECT_S, timeout_s))
        self._http = httpx.Client(
            base_url=f"{self._place}/api/2.0/mlflow/", headers=headers, timeout=timeout,
            verify=trust(self._place, env.get(env.CA)),
        )  # fmt: skip

    def make_model(self, name: str) -> None:
        """Make a model without versions; one that is there stays as it is."""
        try:
            self._call("POST", "registered-models/create", {"name": name})
        except Conflict:
            return

    def make_version(self, row: Row, source: str, run_id: str) -> int:
        """Make the next version of `row.name` with its tags, and return its number."""
        body = {"name": row.name, "source": source, "run_id": run_id, "tags": _pairs(row.tags)}
        return int(self._call("POST", "model-versions/create", body)["model_version"]["version"])

    def drop_version(self, name: str, version: int) -> None:
        """Remove a version."""
        self._call("DELETE", "model-versions/delete", {"name": name, "version": str(version)})

    def rows(self, name: str | None) -> list[Row]:
        """All versions, or those of one model."""
        query = {} if name is None else {"filter": f"name='{name}'"}
        return [_row(value) for value in self._pages("model-versions/search", "model_versions", query)]

    def aliases(self, name: str | None) -> Mapping[str, Mapping[str, int]]:
        """Versions by alias by model; of all models, or of one."""
        query = {} if name is None else {"filter": f"name='{name}'"}
        models = self._pages("registered-models/search", "registered_models", query)
        return {m["name"]: {a["alias"]: int(a["version"]) for a in m.get("aliases", [])} for m in models}

    def set_alias(self, name: str, alias: str, version: int) -> None:
        """Point an alias to a version."""
        self._call("POST", "registered-models/alias", {"name": name, "alias": alias, "version": str(version)})

    def set_tags(self, name: str, version: int, tags: Mapping[str, str]) -> None:
        """Write tags of a version."""
        for pair in _pairs(tags):
            self._call("POST", "model-versions/set-tag", {"name": name, "version": str(version), **pair})

    def make_run(self, experiment: str, run: Run) -> str:
        """Record a finished run, and return its id; one with the same tags is used again."""
        number = self._experiment(experiment)
        known = " and ".join(f"tags.`{key}` = '{value}'" for key, value in run.tags.items())
        query = {"experiment_ids": [number], "filter": known, "max_results": 1}
        found = self._call("POST", "runs/search", query).get("runs", [])
        now_ms = int(self._now() * 1000)
        start = {"experiment_id": number, "run_name": run.name, "start_time": now_ms, "tags": _pairs(run.tags)}
        info = found[0]["info"] if found else self._call("POST", "runs/create", start)["run"]["info"]
        metrics = [{"key": k, "value": v, "timestamp": now_ms, "step": 0} for k, v in run.metrics.items()]
        if info["status"] == "RUNNING":
            batch = {"run_id": info["run_id"], "metrics": metrics, "params": _pairs(run.params)}
            self._call("POST", "runs/log-batch", batch)
            self._call("POST", "runs/update", {"run_id": info["run_id"], "status": "FINISHED", "end_time": now_ms})
        return str(info["run_id"])

    def _experiment(self, name: str) -> str:
        # Two rounds, because somebody else may make it in between.
        for _ in range(2):
            try:
                return str(
                    self._call("GET", "experiments/get-by-name", {"experiment_name": name})["experiment"][
                        "experiment_id"
                    ]
                )
            except NotFound:
                pass
            try:
                return str(self._call("POST", "experiments/create", {"name": name})["experiment_id"])
            except Conflict:
                continue
        raise Unavailable(f"{self._place}: experiment {name} can neither be found nor made. Is it deleted in MLflow?")

    def spaces(self) -> Mapping[str, str]:
        """What is said of each workspace, by its name."""
        found = self._call("GET", f"{self._place}/api/3.0/mlflow/workspaces", {}).get("workspaces", [])
        return {space["name"]: space.get("description", "") for space in found}

    def _pages(self, path: str, key: str, query: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
        token: str | None = ""
        while token is not None:
            answer = self._call("GET", path, {**query, "max_results": PAGE, **({"page_token": token} if token else {})})
            yield from answer.get(key, [])
            token = answer.get("next_page_token") or None

    def _call(self, method: str, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        content = {"params": dict(body)} if method == "GET" else {"json": dict(body)}
        try:
            answer = self._http.request(method, path, **content)  # type: ignore[arg-type]
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            said = str(error) or type(error).__name__
            raise Unavailable(f"MLflow at {self._place} does not answer: {said}. Is the fabric up?") from error
        value = _json(answer)
        if answer.is_success and value is not None:
            return value
        raise _error(self._place, answer.status_code, value or {})


def _json(answer: httpx.Response) -> dict[str, Any] | None:
    """The body as an object; None if it is none, which a proxy or another server sends."""
    try:
        value = answer.json() if answer.content else {}
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _error(place: str, status: int, told: Mapping[str, Any]) -> FabricError:
    """The fabric's error for an answer: MLflow's own body, or the one of the proxy before it."""
    code = str(told.get("error_code", ""))
    by_status = {401: Unauthenticated, 403: Denied, 404: NotFound, 409: Conflict}
    kind = MLFLOW_ERRORS.get(code) or (Unavailable if code else by_status.get(status, Unavailable))
    return kind(f"MLflow at {place}: {told.get('message') or f'it answered with status {status}'}", status=status)


def _pairs(values: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in values.items()]


def _row(value: Mapping[str, Any]) -> Row:
    tags = {tag["key"]: tag["value"] for tag in value.get("tags", [])}
    return Row(value["name"], int(value["version"]), tags, int(value.get("creation_timestamp", 0)) / 1000)
