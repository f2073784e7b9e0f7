"""The client of a real API server asks and hears as Kubernetes' REST API says; the server here speaks it in memory."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from fabric.backends.kuberay.api import NODES, PODS, RAY_CLUSTERS, SECRETS, Change, Expired, Kind
from fabric.backends.kuberay.kr8s_api import Kr8sApi
from fabric.core.errors import BadConfig, BadInput, Conflict, Denied, FabricError, NotFound, Unavailable
from tests.fake_api_server import FakeApiServer, kube_node

# It listens on loopback, which the fast tier may not.
pytestmark = pytest.mark.ray

STATUS = {"bad_input": 422, "conflict": 409, "not_found": 404, "denied": 403, "unavailable": 503}
MERGE, STEPS = "application/merge-patch+json", "application/json-patch+json"


class Rest(BaseHTTPRequestHandler):
    """Kubernetes' REST API over the objects of `server.objects`."""

    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""

    def _answer(self) -> None:
        url = urlsplit(self.path)
        asked = {key: values[0] for key, values in parse_qs(url.query).items()}
        size = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(size)) if size else None
        server: Any = self.server
        server.heard.append((self.command, self.path, self.headers.get("Authorization"), body))
        if url.path.strip("/") == "version":
            self._send(200, {"major": "1", "minor": "37", "gitVersion": "v1.37.2"})
            return
        try:
            if "watch" in asked:
                self._stream(server, self._kind(url.path)[0])
            else:
                self._send(200, self._do(server.objects, *self._kind(url.path), body))
        except FabricError as error:
            code = 410 if isinstance(error, Expired) else STATUS[error.code]
            self._send(code, {"kind": "Status", "code": code, "message": error.message})

    do_GET = do_POST = do_PATCH = do_DELETE = _answer

    def _kind(self, path: str) -> tuple[Kind, str]:
        """Kind and name that a path is about."""
        parts = path.strip("/").split("/")
        version = parts[1] if parts[0] == "api" else "/".join(parts[1:3])
        rest = parts[2:] if parts[0] == "api" else parts[3:]
        namespaced = rest[0] == "namespaces"
        plural, *name = rest[2:] if namespaced else rest
        return Kind(version, plural, namespaced), "".join(name)

    def _do(self, objects: FakeApiServer, kind: Kind, name: str, body: Any) -> Any:
        if self.command == "POST":
            return objects.create(kind, body)
        if self.command == "PATCH":
            assert self.headers["Content-Type"] == (STEPS if isinstance(body, list) else MERGE)
            return objects.patch(kind, name, body)
        if self.command == "DELETE":
            objects.delete(kind, name, body.get("gracePeriodSeconds"))
            return {}
        if name:
            return objects.get(kind, name)
        found = objects.listing(kind)
        return {"items": list(found.items), "metadata": {"resourceVersion": found.version}}

    def _stream(self, server: Any, kind: Kind) -> None:
        changes = server.objects.watch(kind, parse_qs(urlsplit(self.path).query)["resourceVersion"][0])
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Connection", "close")
        self.end_headers()
        try:
            for change in changes:
                self.wfile.write(json.dumps({"type": change.kind, "object": change.object}).encode() + b"\n")
                self.wfile.flush()
        except Expired as error:
            said = {"type": "ERROR", "object": {"code": 410, "message": error.message}}
            self.wfile.write(json.dumps(said).encode() + b"\n")
        self.close_connection = True

    def _send(self, code: int, body: Any) -> None:
        data = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


class Server(ThreadingHTTPServer):
    """An API server on loopback."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Rest)
        self.objects = FakeApiServer()
        self.heard: list[tuple[str, str, str | None, Any]] = []

    def access(self, file: Path) -> str:
        """A file with the access to it."""
        where = {"server": f"http://127.0.0.1:{self.server_address[1]}"}
        file.write_text(json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "x",
            "clusters": [{"name": "x", "cluster": where}], "users": [{"name": "x", "user": {"token": "t-1"}}],
            "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
        }))  # fmt: skip
        return str(file)


@pytest.fixture
def server() -> Iterator[Server]:
    made = Server()
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    yield made
    made.objects.close()
    made.shutdown()
    made.server_close()
    thread.join(5.0)


@pytest.fixture
def api(server: Server, tmp_path: Path) -> Iterator[Kr8sApi]:
    made = Kr8sApi("fabric", server.access(tmp_path / "kubeconfig"))
    yield made
    made.close()


def pod(name: str) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "labels": {}},
        "spec": {"schedulingGates": ["x"]},
        "status": {"phase": "Pending"},
    }


def test_objects_are_made_found_changed_and_taken_away(server: Server, api: Kr8sApi) -> None:
    server.objects.makes_pods = False
    assert api.create(RAY_CLUSTERS, {"metadata": {"name": "w-1"}, "spec": {"a": 1}})["spec"] == {"a": 1}
    assert api.patch(RAY_CLUSTERS, "w-1", {"spec": {"b": 2}})["spec"] == {"a": 1, "b": 2}
    assert api.patch(RAY_CLUSTERS, "w-1", [{"op": "remove", "path": "/spec/a"}])["spec"] == {"b": 2}
    assert api.get(RAY_CLUSTERS, "w-1")["spec"] == {"b": 2}
    assert [item["metadata"]["name"] for item in api.listing(RAY_CLUSTERS, "a=b").items] == ["w-1"]
    api.delete(RAY_CLUSTERS, "w-1", grace_s=3)
    api.delete(RAY_CLUSTERS, "w-1")
    assert api.listing(RAY_CLUSTERS).items == ()
    paths = [path for _, path, _, _ in server.heard]
    assert "/apis/ray.io/v1/namespaces/fabric/rayclusters/w-1" in paths
    assert "/apis/ray.io/v1/namespaces/fabric/rayclusters?labelSelector=a%3Db" in paths
    assert {token for _, path, token, _ in server.heard if path != "/version"} == {"Bearer t-1"}
    options = [body for method, _, _, body in server.heard if method == "DELETE"]
    assert options[0] == {"propagationPolicy": "Background", "gracePeriodSeconds": 3}


def test_calls_at_the_same_time_share_one_connection(server: Server, api: Kr8sApi) -> None:
    askers = [threading.Thread(target=api.listing, args=(kind,)) for kind in (NODES, PODS, RAY_CLUSTERS)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join(10.0)
    assert len([path for _, path, _, _ in server.heard if path == "/version/"]) == 1


def test_nodes_are_in_no_namespace(server: Server, api: Kr8sApi) -> None:
    server.objects.add(NODES, kube_node("n0", "gpu"))
    assert len(api.listing(NODES).items) == 1
    assert server.heard[-1][1] == "/api/v1/nodes"


@contextmanager
def watched(server: Server, api: Kr8sApi) -> Iterator[list[Change]]:
    """What a watch of pods tells until the server ends it, whole at the end."""
    told: list[Change] = []
    version = api.listing(PODS).version
    watching = threading.Thread(target=lambda: told.extend(api.watch(PODS, version)))
    watching.start()
    while not server.objects._watches:
        watching.join(0.01)
    yield told
    server.objects.close()
    watching.join(10.0)


def test_a_watch_tells_what_changes_until_the_server_ends_it(server: Server, api: Kr8sApi) -> None:
    with watched(server, api) as told:
        server.objects.add(PODS, pod("a"))
        server.objects.take(PODS, "a")
    assert [(change.kind, change.object["metadata"]["name"]) for change in told] == [("ADDED", "a"), ("DELETED", "a")]


def test_a_watch_from_a_version_that_is_forgotten_says_so(server: Server, api: Kr8sApi) -> None:
    server.objects.add(PODS, pod("a"))
    with pytest.raises(Expired):
        list(api.watch(PODS, "0"))


def test_a_watch_goes_on_while_other_calls_are_refused(server: Server, api: Kr8sApi) -> None:
    with watched(server, api) as told:
        server.objects.refuses["create", "secrets"] = Denied("forbidden")
        for _ in range(10):
            with pytest.raises(Denied):
                api.create(SECRETS, {"metadata": {"name": "s"}})
        server.objects.add(PODS, pod("a"))
    assert [change.object["metadata"]["name"] for change in told] == ["a"]
    assert [method for method, _, _, _ in server.heard].count("POST") == 10


@pytest.mark.parametrize(
    "error",
    [Conflict("it is there"), Denied("forbidden"), BadInput("no such field"), NotFound("gone"), Unavailable("x")],
)
def test_what_the_server_refuses_is_mapped(server: Server, api: Kr8sApi, error: FabricError) -> None:
    server.objects.refuses["create", "pods"] = error
    with pytest.raises(type(error)) as caught:
        api.create(PODS, pod("a"))
    assert error.message in caught.value.message


def test_a_server_that_is_away_and_an_access_that_is_none_are_told(server: Server, tmp_path: Path) -> None:
    access = server.access(tmp_path / "kubeconfig")
    server.shutdown()
    server.server_close()
    for file, error, words in ((access, Unavailable, "does not answer"), (str(tmp_path / "none"), BadConfig, "none")):
        api = Kr8sApi("fabric", file)
        with pytest.raises(error, match=words):
            api.listing(PODS)
        api.close()


def test_of_several_that_are_changed_at_once_each_has_its_own_answer(server: Server, api: Kr8sApi) -> None:
    server.objects.add(NODES, kube_node("n0", "gpu"), kube_node("n1", "gpu"))
    mark = {"metadata": {"labels": {"marked": "yes"}}}
    stale = {"metadata": {"resourceVersion": "0"}}
    found = api.patch_each(NODES, {"n0": mark, "n1": stale, "nobody": mark})
    assert isinstance(found["n0"], dict)
    assert found["n0"]["metadata"]["labels"]["marked"] == "yes"
    assert [type(found[name]) for name in ("n1", "nobody")] == [Conflict, NotFound]
