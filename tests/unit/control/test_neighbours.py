"""`fabric doctor --site` looks at the database, the Kubernetes and the provider of log-ins that a site names."""

from typing import Any

import httpx
import pytest
from joserfc.jwk import ECKey, KeySet
from sqlalchemy import Engine, text

from fabric.backends.kuberay.api import NODES
from fabric.config.identity import Oidc
from fabric.config.site import Site
from fabric.config.store import Store
from fabric.control import neighbours as module
from fabric.control.neighbours import Found, neighbours
from fabric.core.errors import Denied, NotFound, Unavailable
from fabric.store.database import writing
from tests.builders import tiny_site
from tests.fake_api_server import FakeApiServer, kube_node
from tests.unit.backends.test_kuberay_manifest import pods_site

ISSUER = "https://login.example.org"


def found(site: Site, **more: Any) -> list[Found]:
    return list(neighbours(site, **more))


def statuses(all_found: list[Found]) -> dict[str, str]:
    return {each.name: each.status for each in all_found}


def test_a_site_that_relies_on_nobody_has_no_neighbours() -> None:
    assert found(tiny_site()) == []


@pytest.fixture
def server() -> FakeApiServer:
    api = FakeApiServer()
    for name, tier in (("c0", "commodity"), ("c1", "commodity"), ("g0", "gpu"), ("g1", "gpu")):
        api.add(NODES, kube_node(name, tier, gpus=2))
    return api


def looked(server: FakeApiServer) -> list[Found]:
    return found(pods_site(), api=lambda namespace: server)


def test_a_kubernetes_with_the_nodes_that_the_site_says_is_well(server: FakeApiServer) -> None:
    nodes, rights = looked(server)
    assert (nodes.status, nodes.found) == ("ok", "gpu 2 of 2 nodes, commodity 2 of 2 nodes")
    assert rights.status == "ok"
    assert not server.calls


def test_nodes_that_are_missing_are_counted_and_the_label_is_told() -> None:
    nodes, _ = looked(FakeApiServer())
    assert (nodes.status, nodes.found) == ("warning", "gpu 0 of 2 nodes, commodity 0 of 2 nodes")
    assert "`selector` of tier gpu, commodity" in nodes.advice


@pytest.mark.parametrize(
    ("what", "error", "name", "advice"),
    [
        ("nodes", Unavailable("nobody answers"), "kubernetes", "kubeconfig"),
        ("rayclusters", NotFound("there is no such kind"), "kuberay", "install KubeRay"),
        ("secrets", Denied("forbidden"), "kuberay", "rights.yaml"),
    ],
)
def test_what_kubernetes_refuses_is_told_with_the_remedy(
    server: FakeApiServer, what: str, error: Exception, name: str, advice: str
) -> None:
    server.refuses["list", what] = error  # type: ignore[assignment]
    last = looked(server)[-1]
    assert (last.name, last.status, advice in last.advice) == (name, "failed", True)
    assert str(error) in last.found


def provided(answer: httpx.Response | Exception) -> Found:
    def carried(request: httpx.Request) -> httpx.Response:
        if isinstance(answer, Exception):
            raise answer
        return answer if request.url.path.endswith("certs") else httpx.Response(200, json=ABOUT)

    site = tiny_site(oidc=Oidc(issuer=ISSUER, audience="fabric"))
    (one,) = found(site, provider=httpx.MockTransport(carried))
    return one


ABOUT = {"issuer": ISSUER, "jwks_uri": f"{ISSUER}/certs"}


def test_a_provider_of_log_ins_tells_its_keys() -> None:
    keys = KeySet([ECKey.generate_key("P-256", {"kid": "first"})]).as_dict(private=False)
    assert provided(httpx.Response(200, json=keys)) == Found("log-ins", "ok", f"{ISSUER} tells 1 keys")
    away = provided(httpx.ConnectError("refused"))
    assert (away.status, ISSUER in away.found) == ("failed", True)


@pytest.fixture
def database(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> Engine:
    """A SQLite in the place of the site's PostgreSQL."""
    monkeypatch.setattr(module, "postgres_engine", lambda store, process: engine)
    return engine


SHARED = tiny_site(store=Store(url="postgresql://fabric@db/fabric"))


def test_a_database_of_our_schema_is_well_and_a_newer_one_is_not(database: Engine) -> None:
    (well,) = found(SHARED)
    assert (well.status, "its schema" in well.found) == ("ok", True)
    with writing(database) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '0002'"))
    (older,) = found(SHARED)
    assert (older.status, "brings its schema from 0002 to" in older.found) == ("ok", True)
    with writing(database) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    (newer,) = found(SHARED)
    assert (newer.status, "newer fabric (schema 9999" in newer.found) == ("failed", True)


def test_a_database_that_does_not_answer_is_a_failure() -> None:
    (one,) = found(tiny_site(store=Store(url="postgresql://fabric@127.0.0.1:9/fabric")))
    assert (one.status, "correct `store`" in one.advice) == ("failed", True)
