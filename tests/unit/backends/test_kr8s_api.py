"""The client of a real API server, whose answers come from memory: whatever goes wrong there, who asked hears of it."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from kr8s._auth import KubeAuth

from fabric.backends.kuberay.api import PODS
from fabric.backends.kuberay.kr8s_api import Kr8sApi
from fabric.core.errors import Unavailable

VERSION = {"major": "1", "minor": "37", "gitVersion": "v1.37.2"}


class Answers:
    """What an API server answers, and what it heard."""

    def __init__(self) -> None:
        self.heard: list[httpx.Request] = []
        self.clients = 0
        """How often somebody connected."""
        self.answer: Callable[[httpx.Request], httpx.Response] = lambda _: httpx.Response(200, json={})

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path.startswith("/version"):
            return httpx.Response(200, json=VERSION)
        self.heard.append(request)
        return self.answer(request)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Answers:
    answers = Answers()

    class Client(httpx.AsyncClient):
        def __init__(self, *, verify: Any, **more: Any) -> None:
            answers.clients += 1
            super().__init__(transport=httpx.MockTransport(answers), **more)

    # `kr8s._api` names a function of the package, too.
    monkeypatch.setattr(sys.modules["kr8s._api"], "httpx", SimpleNamespace(**{**vars(httpx), "AsyncClient": Client}))
    return answers


@pytest.fixture
def api(server: Answers, tmp_path: Path) -> Iterator[Kr8sApi]:
    access = tmp_path / "kubeconfig"
    access.write_text(json.dumps({
        "apiVersion": "v1", "kind": "Config", "current-context": "x",
        "clusters": [{"name": "x", "cluster": {"server": "http://api"}}],
        "users": [{"name": "x", "user": {"token": "t-1"}}],
        "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
    }))  # fmt: skip
    made = Kr8sApi("fabric", str(access))
    yield made
    made.close()


def unknown(_: httpx.Request) -> httpx.Response:
    return httpx.Response(401, json={"message": "Unauthorized"})


@pytest.fixture
def plug_in_fails(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """A credential plug-in that fails from now on, as kr8s tells it."""

    async def fails(_: object) -> None:
        raise RuntimeError("no credentials: the provider is away")

    return lambda: monkeypatch.setattr(KubeAuth, "reauthenticate", fails)


def test_a_watch_whose_credentials_cannot_be_renewed_says_so(
    server: Answers, api: Kr8sApi, plug_in_fails: Callable[[], None]
) -> None:
    server.answer = lambda _: httpx.Response(200, json={"items": [], "metadata": {"resourceVersion": "1"}})
    assert api.listing(PODS).version == "1"
    server.answer = unknown
    plug_in_fails()
    with pytest.raises(Unavailable, match="watch pods: Kubernetes does not answer: RuntimeError no credentials"):
        list(api.watch(PODS, "1"))
    with pytest.raises(Unavailable, match="RuntimeError no credentials"):
        api.get(PODS, "p")


def test_credentials_that_cannot_be_had_at_first_are_asked_for_again(
    server: Answers, api: Kr8sApi, plug_in_fails: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    works = KubeAuth.reauthenticate
    plug_in_fails()
    with pytest.raises(Unavailable, match="the provider is away"):
        api.get(PODS, "p")
    monkeypatch.setattr(KubeAuth, "reauthenticate", works)
    assert api.get(PODS, "p") == {}


def test_what_is_no_json_is_told_to_who_watches_and_who_asks(server: Answers, api: Kr8sApi) -> None:
    server.answer = lambda _: httpx.Response(200, text="<html>a proxy</html>")
    with pytest.raises(Unavailable, match="JSONDecodeError"):
        list(api.watch(PODS, "1"))
    with pytest.raises(Unavailable, match="JSONDecodeError"):
        api.get(PODS, "p")


def test_a_watch_on_which_nothing_comes_is_given_up_soon_after_the_server_should_have_ended_it(
    server: Answers, api: Kr8sApi
) -> None:
    server.answer = lambda _: httpx.Response(200)
    assert list(api.watch(PODS, "1")) == []
    (asked,) = server.heard
    server_ends_s = float(asked.url.params["timeoutSeconds"])
    assert server_ends_s < asked.extensions["timeout"]["read"] <= server_ends_s + 15.0 <= 90.0
