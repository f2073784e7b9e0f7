"""Which model a name means, and who a key belongs to."""

import pytest

from fabric.api.gateway import EndpointView, GatewaySnapshot, KeyView, ServedModel
from fabric.core.errors import NotFound, Unauthenticated
from fabric.gateway.table import Caller, Table
from tests.unit.gateway.world import KEY, key, snapshot

NOW = 1000.0


def test_a_model_is_found_by_its_name_and_its_aliases() -> None:
    table = Table(snapshot("s1"))
    assert table.model("parrot") is table.model("parrot@champion")


def test_a_models_own_name_goes_before_anothers_alias() -> None:
    first, second = ServedModel(id="a", aliases=("b",), workload="w1"), ServedModel(id="b", workload="w2")
    assert Table(GatewaySnapshot(models=(first, second))).model("b") is second


def test_of_two_models_of_one_name_a_project_asks_its_own_and_everybody_else_the_one_that_is_ready() -> None:
    ready = (EndpointView(url="http://a"),)
    alpha = ServedModel(id="chat", workload="a", project="alpha", created=1)
    beta = ServedModel(id="chat", aliases=("chat@v2",), workload="b", project="beta", created=2, endpoints=ready)
    table = Table(GatewaySnapshot(models=(alpha, beta)))
    asked = {project: table.model("chat", project).workload for project in ("alpha", "beta", "gamma", "")}
    assert asked == {"alpha": "a", "beta": "b", "gamma": "b", "": "b"}
    assert [(card.id, card.owned_by) for card in table.cards("alpha").data] == [("chat", "alpha"), ("chat@v2", "beta")]


def test_an_unknown_model_is_answered_with_those_there_are() -> None:
    with pytest.raises(NotFound, match=r"'crow' does not exist\. Served: parrot, parrot@champion"):
        Table(snapshot("s1")).model("crow")


def test_models_are_listed_with_their_aliases() -> None:
    cards = Table(snapshot("s1")).cards().data
    assert [(card.id, card.root, card.owned_by, card.created) for card in cards] == [
        ("parrot", None, "zoo", 7), ("parrot@champion", "parrot", "zoo", 7),
    ]  # fmt: skip


@pytest.mark.parametrize("header", [f"Bearer {KEY}", f"bearer {KEY}", f"Bearer  {KEY} "])
def test_a_good_key_tells_its_project(header: str) -> None:
    assert Table(snapshot()).caller(header, NOW) == Caller("physics")


@pytest.mark.parametrize(
    ("header", "says"),
    [
        (None, "no API key"),
        ("", "no API key"),
        ("Bearer ", "no API key"),
        ("Bearer sk-bad", "not valid"),
        (f"Bearer {KEY}x", "not valid"),
        (f"Basic {KEY}", "must read"),
        (KEY, "must read"),
    ],
)
def test_a_wrong_key_is_refused_and_never_repeated(header: str | None, says: str) -> None:
    with pytest.raises(Unauthenticated, match=says) as refused:
        Table(snapshot()).caller(header, NOW)
    assert "sk-" not in refused.value.message
    assert "`fabric " not in refused.value.message, "no command makes keys"


@pytest.mark.parametrize(("expires_at", "good"), [(None, True), (NOW + 1, True), (NOW, False), (NOW - 1, False)])
def test_a_key_ends_when_it_expires(expires_at: float | None, good: bool) -> None:
    table = Table(snapshot(keys=(key(expires_at=expires_at),)))
    if good:
        assert table.caller(f"Bearer {KEY}", NOW).project == "physics"
        return
    with pytest.raises(Unauthenticated, match="expired"):
        table.caller(f"Bearer {KEY}", NOW)


def test_without_a_key_only_an_open_site_answers() -> None:
    table = Table(snapshot(anonymous=True))
    assert table.caller(None, NOW) == Caller("anonymous", everywhere=True)
    with pytest.raises(Unauthenticated, match="not valid"):
        table.caller("Bearer sk-bad", NOW)


def test_a_snapshot_shows_no_key() -> None:
    assert KEY not in snapshot().model_dump_json()


@pytest.mark.parametrize(
    ("cls", "wrong"),
    [
        (EndpointView, {"url": "127.0.0.1:80"}),
        (KeyView, {"sha256": "abc", "project": "p"}),
        (KeyView, {"sha256": "0" * 64}),
        (ServedModel, {"id": "a"}),
        (GatewaySnapshot, {"version": -1}),
        (GatewaySnapshot, {"modells": ()}),
    ],
)
def test_a_snapshot_that_makes_no_sense_is_refused(cls: type, wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        cls(**wrong)


def test_an_endpoints_url_has_no_slash_at_its_end() -> None:
    assert EndpointView(url="http://a:1/").url == "http://a:1"
