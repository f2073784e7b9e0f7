"""People log in with tokens of the site's provider, and with nothing that is not one."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OctKey

from fabric.config.identity import ClaimRule, Oidc, roles_of
from fabric.control.logins import Logins
from fabric.control.oidc import ASK_AGAIN_S, FAILED_S, KEYS_GOOD_S, RENEWED_AFTER_S, OidcTokens
from fabric.core.errors import Unauthenticated, Unavailable
from tests.unit.control.world import START, World

ISSUER = "https://login.example.org/realms/hpc"
SETTINGS = Oidc(
    issuer=ISSUER,
    audience="fabric",
    rules=(
        ClaimRule(claim="groups", value="alpha-people", project="alpha", role="member"),
        ClaimRule(claim="groups", value="beta-people", project="beta", role="viewer"),
        ClaimRule(claim="realm_access.roles", value="staff", role="operator"),
    ),
)


class Provider:
    """An issuer without a network: its keys, its tokens, and how often it was asked."""

    def __init__(self) -> None:
        self.key = ECKey.generate_key("P-256", {"kid": "first"})
        self.asked: list[str] = []
        self.issuer = ISSUER
        self.away = False
        self.wait: Callable[[], object] = lambda: None
        """What a question goes through before it is answered."""

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request.url.path)
        self.wait()
        if self.away:
            raise httpx.ConnectError("refused")
        if request.url.path.endswith("/openid-configuration"):
            return httpx.Response(200, json={"issuer": self.issuer, "jwks_uri": f"{ISSUER}/certs"})
        return httpx.Response(200, json=KeySet([self.key]).as_dict(private=False))

    def token(self, key: Any = None, alg: str = "ES256", **claims: Any) -> str:
        about = {
            "iss": ISSUER, "aud": "fabric", "exp": START + 300, "preferred_username": "ann", "name": "Ann Lee",
            "groups": ["alpha-people"], **claims,
        }  # fmt: skip
        signing = key or self.key
        return jwt.encode({"alg": alg, "kid": signing.kid}, {k: v for k, v in about.items() if v is not None}, signing)


@pytest.fixture
def provider() -> Provider:
    return Provider()


@pytest.fixture
def world(make_world: Callable[..., World], provider: Provider) -> World:
    return make_world(anonymous=False, tokens=OidcTokens(SETTINGS, httpx.MockTransport(provider)))


def me(world: World, token: str, **headers: str) -> Any:
    return world.client(token, **headers).get("/api/fabric/me")


def test_tokens_go_by_the_machines_own_time_where_controls_comes_to_it_slowly(world: World, provider: Provider) -> None:
    ports = replace(world.service._ports, wall=lambda: START + 7200)
    logins = Logins(ports, OidcTokens(SETTINGS, httpx.MockTransport(provider)))
    fresh = provider.token(iat=START + 7199, nbf=START + 7199, exp=START + 7500)
    assert logins.caller_of(fresh).user == "ann"
    with pytest.raises(Unauthenticated):
        logins.caller_of(provider.token())


def test_a_person_is_known_from_the_first_time_on_and_works_in_its_project(world: World, provider: Provider) -> None:
    token = provider.token()
    told = me(world, token).json()
    assert (told["user"], told["role"], told["project"]) == ("ann", "member", "alpha")
    assert world.records.user("ann").full_name == "Ann Lee"
    job = world.client(token).post("/api/jobs/", json={"entrypoint": "x"}).json()["submission_id"]
    assert (world.records.get(job).submitted_by, world.records.get(job).spec.project) == ("ann", "alpha")
    assert len(provider.asked) == 2, "its keys are asked for once"


def test_who_has_a_role_in_several_projects_says_in_which_to_act(world: World, provider: Provider) -> None:
    both = provider.token(groups=["alpha-people", "beta-people"])
    refused = me(world, both)
    assert (refused.status_code, "alpha, beta: say in which" in refused.json()["message"]) == (403, True)
    in_beta = me(world, both, **{"X-Fabric-Project": "beta"}).json()
    assert (in_beta["project"], in_beta["role"]) == ("beta", "viewer")
    assert me(world, both, **{"X-Fabric-Project": "gamma"}).status_code == 403
    staff = provider.token(groups=None, realm_access={"roles": ["staff"]}, preferred_username="dan")
    assert (me(world, staff).json()["project"], me(world, staff).json()["role"]) == (None, "operator")


def test_what_an_administrator_gave_counts_beside_what_the_token_claims(world: World, provider: Provider) -> None:
    world.records.add_user("ann")
    world.records.set_member("ann", "alpha", "admin")
    assert me(world, provider.token()).json()["role"] == "admin"
    assert me(world, provider.token(groups=[])).json()["role"] == "admin"
    nobody = me(world, provider.token(groups=[], preferred_username="bob"))
    assert (nobody.status_code, "ask an administrator" in nobody.json()["message"]) == (403, True)


def test_who_is_disabled_here_is_not_let_in_by_the_provider(world: World, provider: Provider) -> None:
    token = provider.token()
    assert me(world, token).status_code == 200
    world.records.disable_user("ann")
    refused = me(world, token)
    assert (refused.status_code, "user ann is disabled" in refused.json()["message"]) == (401, True)


FORGED: dict[str, Callable[[Provider], str]] = {
    "for another service": lambda p: p.token(aud="other"),
    "of another issuer": lambda p: p.token(iss="https://evil.example"),
    "expired": lambda p: p.token(exp=START - 31),
    "without an end": lambda p: p.token(exp=None),
    "not good yet": lambda p: p.token(nbf=START + 600),
    "signed by somebody else": lambda p: p.token(ECKey.generate_key("P-256", {"kid": "first"})),
    "signed with a secret": lambda p: p.token(OctKey.generate_key(256, {"kid": "first"}), alg="HS256"),
    "changed": lambda p: p.token()[:-6] + "AAAAAA",
    "without a signature": lambda p: p.token().rpartition(".")[0] + ".",
    "no token at all": lambda p: "ey.ey.ey",
    "of nobody": lambda p: p.token(preferred_username=None),
    "of somebody with an impossible name": lambda p: p.token(preferred_username="../root"),
}


def test_a_token_that_is_not_genuine_or_not_for_us_opens_nothing(world: World, provider: Provider) -> None:
    wrong = {what: me(world, make(provider)).status_code for what, make in FORGED.items()}
    assert wrong == dict.fromkeys(FORGED, 401)


def test_new_keys_of_the_provider_are_found_and_old_ones_forgotten(world: World, provider: Provider) -> None:
    old = provider.token(exp=START + 10 * KEYS_GOOD_S)
    assert me(world, old).status_code == 200
    provider.key = ECKey.generate_key("P-256", {"kid": "second"})
    new = provider.token()
    assert me(world, new).status_code == 401, "asked just now"
    world.clock.at = START + ASK_AGAIN_S + 1
    assert me(world, new).status_code == 200
    assert me(world, old).status_code == 401
    assert len(provider.asked) == 4


def test_a_provider_that_is_away_is_no_failed_login(world: World, provider: Provider) -> None:
    provider.away = True
    assert me(world, provider.token()).status_code == 503
    assert me(world, world.issue("key", "admin")).status_code == 200
    provider.away, provider.issuer = False, "https://other.example"
    with pytest.raises(Unavailable, match="write that into the site file"):
        OidcTokens(SETTINGS, httpx.MockTransport(provider)).claims_of(provider.token(), START)


def answer(tokens: OidcTokens, token: str, at: float) -> str:
    """What comes of a token so many seconds after the start."""
    try:
        return str(tokens.claims_of(token, START + at)["name"])
    except (Unauthenticated, Unavailable) as error:
        return error.code


def test_a_provider_that_goes_away_locks_out_nobody_while_its_keys_are_good(provider: Provider) -> None:
    tokens = OidcTokens(SETTINGS, httpx.MockTransport(provider))
    good = provider.token(exp=START + 10 * KEYS_GOOD_S)
    forged = provider.token(ECKey.generate_key("P-256", {"kid": "first"}))
    assert answer(tokens, good, 0.0) == "Ann Lee"
    provider.away = True
    provider.asked.clear()
    later = ASK_AGAIN_S + 1
    assert answer(tokens, forged, later) == "unavailable", "nobody can tell whether that key is new"
    assert [answer(tokens, token, later + 1) for token in (good, forged) * 5] == ["Ann Lee", "unavailable"] * 5
    assert answer(tokens, good, KEYS_GOOD_S) == "Ann Lee"
    assert len(provider.asked) == 2, "once for newer keys, and once in time before these are over"
    assert answer(tokens, good, KEYS_GOOD_S + 1) == "unavailable", "a key that was withdrawn opens nothing for long"
    provider.away = False
    assert answer(tokens, good, KEYS_GOOD_S + FAILED_S + 1) == "Ann Lee"


def test_keys_are_asked_for_anew_in_time(provider: Provider) -> None:
    tokens = OidcTokens(SETTINGS, httpx.MockTransport(provider))
    good = provider.token(exp=START + 10 * KEYS_GOOD_S)
    for at in (0.0, RENEWED_AFTER_S, RENEWED_AFTER_S + 1, KEYS_GOOD_S + 1, 2 * RENEWED_AFTER_S + 2):
        assert answer(tokens, good, at) == "Ann Lee"
    assert len(provider.asked) == 2 * 3


def test_a_provider_that_did_not_answer_is_left_alone_for_some_seconds(provider: Provider) -> None:
    seconds = [0.0]
    tokens = OidcTokens(SETTINGS, httpx.MockTransport(provider), watch=lambda: seconds[0])
    provider.wait, provider.issuer = lambda: seconds.append(seconds.pop() + 3.0), "https://other.example"

    def refused_at(at: float) -> bool:
        with pytest.raises(Unavailable, match="calls itself 'https://other.example'; write that into the site file"):
            tokens.claims_of(provider.token(), START + at)
        return True

    assert all(refused_at(at) for at in (0.0, 1.0, FAILED_S, 2.9 + FAILED_S))
    assert len(provider.asked) == 1, "it was known after 3 s that it does not answer as it should"
    assert refused_at(3.0 + FAILED_S)
    assert len(provider.asked) == 2
    provider.issuer = ISSUER
    assert tokens.claims_of(provider.token(), START + 6.0 + 2 * FAILED_S)["name"] == "Ann Lee"


@contextmanager
def being_asked(provider: Provider, question: Callable[[], Any]) -> Iterator[Future[Any]]:
    """Somebody else's question, which is answered once the block is over."""
    asked, answered = threading.Event(), threading.Event()

    def held() -> None:
        asked.set()
        assert answered.wait(10)

    provider.wait = held
    with ThreadPoolExecutor(1) as pool:
        try:
            future = pool.submit(question)
            assert asked.wait(10)
            yield future
        finally:
            answered.set()


def test_nobody_waits_for_the_answer_to_the_question_of_another(provider: Provider) -> None:
    tokens = OidcTokens(SETTINGS, httpx.MockTransport(provider))
    good = provider.token(exp=START + 10 * KEYS_GOOD_S)
    with being_asked(provider, lambda: tokens.claims_of(good, START)) as first:
        with pytest.raises(Unavailable, match="is just being asked for its keys"):
            tokens.claims_of(good, START)
        assert not first.done()
    assert first.result()["name"] == "Ann Lee"
    later = START + RENEWED_AFTER_S + 1
    with being_asked(provider, lambda: tokens.claims_of(good, later)) as renewing:
        assert tokens.claims_of(good, later)["name"] == "Ann Lee"
        assert not renewing.done()
    assert len(provider.asked) == 4


def test_what_another_was_told_meanwhile_is_not_asked_again(provider: Provider) -> None:
    tokens = OidcTokens(SETTINGS, httpx.MockTransport(provider))
    tokens.claims_of(provider.token(), START)
    before = tokens._keys
    provider.key = ECKey.generate_key("P-256", {"kid": "second"})
    later = START + ASK_AGAIN_S + 1
    assert tokens.claims_of(provider.token(), later)["name"] == "Ann Lee"
    assert before is not None
    assert tokens._newer(before, later) is tokens._keys
    assert len(provider.asked) == 4


def test_a_provider_whose_keys_are_nowhere_tells_none(provider: Provider) -> None:
    about = httpx.MockTransport(lambda _: httpx.Response(200, json={"issuer": ISSUER, "jwks_uri": "https://[x"}))
    with pytest.raises(Unavailable, match="tells no keys"):
        OidcTokens(SETTINGS, about).claims_of(provider.token(), START)


def test_rules_look_into_lists_and_objects() -> None:
    rules = (*SETTINGS.rules, ClaimRule(claim="https://x.y/z", value="1", project="p", role="viewer"))
    assert roles_of({"groups": "alpha-people"}, rules) == [("alpha", "member")]
    assert roles_of({"realm_access": {"roles": ["staff"]}, "https://x.y/z": "1"}, rules) == [
        ("", "operator"), ("p", "viewer"),
    ]  # fmt: skip
    assert roles_of({"realm_access": "staff", "groups": None}, rules) == []


def test_a_provider_elsewhere_must_be_reached_safely() -> None:
    with pytest.raises(ValueError, match="must begin with https://"):
        Oidc(issuer="http://login.example.org", audience="fabric")
