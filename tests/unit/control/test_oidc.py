"""People log in with tokens of the site's provider, and with nothing that is not one."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, OctKey

from fabric.config.identity import ClaimRule, Oidc, roles_of
from fabric.control.logins import Logins
from fabric.control.oidc import ASK_AGAIN_S, KEYS_GOOD_S, OidcTokens
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

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request.url.path)
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
