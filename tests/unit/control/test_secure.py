"""Every answer of control says what browsers may make of it; pages of others say so themselves."""

from collections.abc import Callable

import httpx
import pytest

from fabric.control.http.secure import SECURE
from tests.unit.control.world import World


@pytest.mark.parametrize(
    ("method", "path", "key"),
    [
        ("GET", "/api/fabric/health", None),
        ("GET", "/api/fabric/nodes", "root"),
        ("GET", "/api/jobs/", "root"),
        ("GET", "/api/fabric/nodes", "nobody's"),
        ("GET", "/no/such/path", "root"),
        ("POST", "/api/fabric/keys", "root"),
        ("GET", "/visit/unheard-of", None),
    ],
)
def test_answers_and_refusals_are_no_pages(
    make_world: Callable[..., World], method: str, path: str, key: str | None
) -> None:
    world = make_world(anonymous=False)
    world.issue("root", "admin")
    headers = world.client(key).request(method, path, json={}).headers
    assert {name: headers[name] for name in SECURE} == SECURE


def test_what_an_answer_says_itself_stays(world: World) -> None:
    world.client().put("/api/fabric/artifacts/default/page.html", content=b"<script>alert(1)</script>")
    headers = world.client().get("/api/fabric/artifacts/default/page.html").headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Content-Disposition"].startswith("attachment")


def test_pages_of_others_are_left_as_they_are(make_world: Callable[..., World]) -> None:
    page = httpx.MockTransport(lambda request: httpx.Response(200, text="<html>", headers={"Cache-Control": "public"}))
    world = make_world(mlflow_port=5000, carrier=page)
    headers = world.client().get("/mlflow/").headers
    assert headers["Cache-Control"] == "public"
    assert "Content-Security-Policy" not in headers
