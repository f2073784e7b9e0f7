"""The REST API of one Ray head; every foreign error ends here.

Knows nothing of processes or of the fabric's states.
"""

import ssl
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import httpx

from fabric.backends.keeping.demand import Bundle, Demand
from fabric.backends.keeping.layout import START_LABEL, Layout
from fabric.core.errors import BadInput, ClusterLost, FabricError, NotFound


class RayHead:
    """Calls to one head; each maps what httpx and Ray say to the fabric's errors."""

    def __init__(self, url: str, token: str, timeout_s: float = 10.0) -> None:
        headers = {"Authorization": f"Bearer {token}"}
        self._http = httpx.Client(
            base_url=url, headers=headers, timeout=timeout_s, trust_env=False, verify=_authorities()
        )

    def close(self) -> None:
        """Give the connections back."""
        self._http.close()

    def answers(self) -> bool:
        """Whether its API is up."""
        try:
            self._call("GET", "/api/version")
        except FabricError:
            return False
        return True

    def slices(self, layout: Layout) -> set[str]:
        """Slices of `layout` whose Ray nodes are alive; an earlier node of the same slice is none of them."""
        return {
            labels["fabric/slice"]
            for labels in self._alive().values()
            if (start := layout.start_of(labels["fabric/slice"])) == labels.get(START_LABEL, start)
        }

    def slices_with_replicas(self) -> set[str]:
        """Slices on which Serve has replicas, those included that are ending."""
        where, apps = self._alive(), self.serve_status().get("applications", {}).values()
        deployments = [deployment for app in apps for deployment in app.get("deployments", {}).values()]
        nodes = {replica.get("node_id") for deployment in deployments for replica in deployment.get("replicas", ())}
        return {where[node]["fabric/slice"] for node in nodes & where.keys()}

    def _alive(self) -> dict[str, dict[str, str]]:
        """Labels of the live nodes of slices, by Ray's number of the node."""
        body = self._call("GET", "/nodes", params={"view": "summary"})
        raylets = [node.get("raylet", {}) for node in body["data"]["summary"]]
        return {
            raylet["nodeId"]: raylet["labels"]
            for raylet in raylets
            if raylet.get("state") == "ALIVE" and "fabric/slice" in raylet.get("labels", {})
        }

    def put_package(self, uri: str, file: Path) -> None:
        """Bring a working_dir package to the head, unless it is there."""
        protocol, _, name = uri.partition("://")
        path = f"/api/packages/{protocol}/{name}"
        try:
            self._call("GET", path)
        except NotFound:
            self._call("PUT", path, content=file.read_bytes(), timeout=120.0)

    def submit(self, request: Mapping[str, Any]) -> None:
        """Submit an entrypoint; one that is there already is left alone."""
        if self.job(str(request["submission_id"])) is None:
            self._call("POST", "/api/jobs/", json=dict(request), timeout=60.0)

    def job(self, submission_id: str) -> dict[str, Any] | None:
        """What Ray knows of a submission; None if nothing."""
        try:
            found: dict[str, Any] = self._call("GET", f"/api/jobs/{submission_id}")
        except NotFound:
            return None
        return found

    def stop_job(self, submission_id: str) -> None:
        """Ask an entrypoint to end (SIGTERM, then SIGKILL after Ray's own grace)."""
        self._call("POST", f"/api/jobs/{submission_id}/stop")

    def deploy(self, config: Mapping[str, Any]) -> None:
        """Bring about a Serve configuration."""
        self._call("PUT", "/api/serve/applications/", json=dict(config), timeout=60.0)

    def serve_status(self) -> dict[str, Any]:
        """Serve's own view: applications with status and message."""
        body: dict[str, Any] = self._call("GET", "/api/serve/applications/")
        return body

    def pending_demands(self) -> list[Demand]:
        """Tasks, actors and placement groups that wait for room on nodes."""
        tasks = self._state("tasks", "PENDING_NODE_ASSIGNMENT") + self._state("tasks", "PENDING_ARGS_AVAIL")
        actors = self._state("actors", "PENDING_CREATION") + self._state("actors", "DEPENDENCIES_UNREADY")
        groups = self._state("placement_groups", "PENDING") + self._state("placement_groups", "PREPARED")
        found = [*map(_demand_of_one, (*tasks, *actors)), *map(_demand_of_group, groups)]
        return [demand for demand in found if any(bundle.resources or bundle.labels for bundle in demand.bundles)]

    def _state(self, kind: str, state: str) -> list[dict[str, Any]]:
        body = self._call(
            "GET",
            f"/api/v0/{kind}",
            params={
                "filter_keys": "state",
                "filter_predicates": "=",
                "filter_values": state,
                "detail": "true",
                "limit": 100,
                "timeout": 5,
            },
        )
        found: list[dict[str, Any]] = body["data"]["result"]["result"]
        return found

    def _call(self, method: str, path: str, **kwargs: Any) -> Any:
        """One request; the JSON of its answer, or None.

        Raises:
            NotFound: On 404.
            BadInput: On any other 4xx.
            ClusterLost: If nobody answers, or with a server error.
        """
        try:
            answer = self._http.request(method, path, **kwargs)
        except httpx.HTTPError as error:
            raise ClusterLost(f"the Ray head does not answer {method} {path}: {type(error).__name__} {error}") from None
        if answer.status_code == httpx.codes.NOT_FOUND:
            raise NotFound(f"the Ray head knows nothing at {path}: {answer.text[:300]}")
        if answer.is_server_error:
            raise ClusterLost(f"the Ray head fails {method} {path}: {answer.status_code} {answer.text[:2000]}")
        if answer.is_error:
            raise BadInput(f"the Ray head refuses {method} {path}: {answer.status_code} {answer.text[:2000]}")
        return answer.json() if "json" in answer.headers.get("content-type", "") else None


@cache
def _authorities() -> ssl.SSLContext:
    """Whom clients trust; read once, because it takes 20 ms and a megabyte for each client otherwise."""
    return ssl.create_default_context()


def _demand_of_one(item: Mapping[str, Any]) -> Demand:
    """A task's or an actor's demand, as the state API tells it."""
    fallback = (item.get("fallback_strategy") or {}).get("options")
    # With a fallback, the first selector need not be met.
    return Demand((Bundle(item.get("required_resources") or {}, {} if fallback else item.get("label_selector") or {}),))


def _demand_of_group(item: Mapping[str, Any]) -> Demand:
    """A placement group's demand, as the state API tells it; that names no strategy."""
    bundles = tuple(
        Bundle(bundle.get("unit_resources") or {}, bundle.get("label_selector") or {})
        for bundle in item.get("bundles") or []
    )
    infeasible = (item.get("stats") or {}).get("scheduling_state") == "INFEASIBLE"
    return Demand(bundles, group=True, infeasible=infeasible)
