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
from fabric.core.errors import Denied, Unauthenticated, Unavailable

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


def kubeconfig(folder: Path, token: str) -> str:
    """A file with the access of who has this token."""
    file = folder / "kubeconfig"
    file.write_text(json.dumps({
        "apiVersion": "v1", "kind": "Config", "current-context": "x",
        "clusters": [{"name": "x", "cluster": {"server": "http://api"}}],
        "users": [{"name": "x", "user": {"token": token}}],
        "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
    }))  # fmt: skip
    return str(file)


@pytest.fixture
def api(server: Answers, tmp_path: Path) -> Iterator[Kr8sApi]:
    made = Kr8sApi("fabric", kubeconfig(tmp_path, "t-1"))
    yield made
    made.close()


def unknown(_: httpx.Request) -> httpx.Response:
    return httpx.Response(401, json={"message": "Unauthorized"})


def known_by(token: str) -> Callable[[httpx.Request], httpx.Response]:
    """A server that knows who has this token."""

    def answer(request: httpx.Request) -> httpx.Response:
        return (
            httpx.Response(200, json={}) if request.headers["Authorization"] == f"Bearer {token}" else unknown(request)
        )

    return answer


@pytest.fixture
def plug_in_fails(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """A credential plug-in that fails from now on, as kr8s tells it."""

    async def fails(_: object) -> None:
        raise RuntimeError("no credentials: the provider is away")

    return lambda: monkeypatch.setattr(KubeAuth, "reauthenticate", fails)


@pytest.mark.parametrize("asks", [lambda api: list(api.watch(PODS, "1")), lambda api: api.get(PODS, "p")])
def test_who_watches_or_asks_hears_that_credentials_cannot_be_renewed(
    server: Answers, api: Kr8sApi, plug_in_fails: Callable[[], None], asks: Callable[[Kr8sApi], object]
) -> None:
    server.answer = lambda _: httpx.Response(200, json={"items": [], "metadata": {"resourceVersion": "1"}})
    assert api.listing(PODS).version == "1"
    server.answer = unknown
    plug_in_fails()
    with pytest.raises(Unavailable, match="pods: Kubernetes does not answer: RuntimeError no credentials"):
        asks(api)


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


def test_a_refusal_costs_one_call_and_leaves_the_connections_of_all_others_as_they_are(
    server: Answers, api: Kr8sApi
) -> None:
    server.answer = lambda _: httpx.Response(403, json={"message": "exceeded quota: few"})
    for _ in range(3):
        with pytest.raises(Unavailable, match="a quota of Kubernetes refuses to create pods"):
            api.create(PODS, {})
    server.answer = lambda _: httpx.Response(403, json={"message": "pods is forbidden"})
    with pytest.raises(Denied, match="pods is forbidden"):
        list(api.watch(PODS, "1"))
    assert (len(server.heard), server.clients) == (4, 1)


def test_a_token_that_has_expired_is_read_anew_and_the_call_made_again(
    server: Answers, api: Kr8sApi, tmp_path: Path
) -> None:
    server.answer = known_by("t-1")
    assert api.get(PODS, "p") == {}
    server.answer = known_by("t-2")
    kubeconfig(tmp_path, "t-2")
    assert api.get(PODS, "p") == {}
    assert api.get(PODS, "p") == {}
    shown = [request.headers["Authorization"].removeprefix("Bearer ") for request in server.heard]
    assert (shown, server.clients) == (["t-1", "t-1", "t-2", "t-2"], 2)


def test_a_watch_whose_token_has_expired_ends_as_if_the_server_had_ended_it_and_the_next_has_the_new_one(
    server: Answers, api: Kr8sApi, tmp_path: Path
) -> None:
    server.answer = known_by("t-1")
    api.get(PODS, "p")
    server.answer = unknown
    kubeconfig(tmp_path, "t-2")
    assert list(api.watch(PODS, "1")) == []
    with pytest.raises(Unauthenticated):
        list(api.watch(PODS, "1"))
    shown = [request.headers["Authorization"].removeprefix("Bearer ") for request in server.heard]
    assert (shown, server.clients) == (["t-1", "t-1", "t-2"], 2)


def test_who_is_not_known_looks_for_other_credentials_only_now_and_then(server: Answers, api: Kr8sApi) -> None:
    server.answer = unknown
    for _ in range(3):
        with pytest.raises(Unauthenticated, match="does not know the fabric's account"):
            api.get(PODS, "p")
    assert (len(server.heard), server.clients) == (4, 2)
