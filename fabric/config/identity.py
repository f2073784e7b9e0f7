"""Who may log in beside the holders of keys: people whom an OpenID Connect provider vouches for.

Knows nothing of tokens; what a provider says of somebody becomes roles by the rules here.
"""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, field_validator

from fabric.config.settings import Settings

RoleName = Literal["admin", "operator", "member", "viewer"]
"""What a person may be."""


class ClaimRule(Settings):
    """A role for everybody of whom a token claims something."""

    claim: str
    """Name of the claim, such as `groups`; `realm_access.roles` goes into an object."""

    value: str
    """What it must be, or hold where it is a list."""

    project: str = ""
    """Project of the role; empty for the whole site."""

    role: RoleName
    """The role."""


class Oidc(Settings):
    """An OpenID Connect provider whose access tokens are taken as keys."""

    issuer: str
    """What tokens name as `iss`; its keys are found below `/.well-known/openid-configuration`."""

    audience: str
    """What tokens must name in `aud`, so that those for other services open nothing here."""

    user_claim: str = "preferred_username"
    """Claim that names the person."""

    name_claim: str = "name"
    """Claim with the full name."""

    rules: tuple[ClaimRule, ...] = ()
    """Roles that follow from claims, beside the memberships that administrators gave."""

    algorithms: tuple[Literal["RS256", "PS256", "ES256", "ES384", "EdDSA"], ...] = ("RS256", "ES256")
    """Signatures that are taken."""

    leeway_s: float = Field(default=30.0, ge=0, le=300)
    """How far the provider's clock may be from ours, in seconds."""

    @field_validator("issuer")
    @classmethod
    def _secure(cls, issuer: str) -> str:
        local = issuer.startswith(("http://127.0.0.1", "http://localhost"))
        if not issuer.startswith("https://") and not local:
            raise ValueError(f"must begin with https:// (http:// on this machine only), got {issuer!r}")
        return issuer


def looks_like_token(text: str) -> bool:
    """Whether `text` has the form of a signed token (RFC 7515, section 7.1), which no key of ours has."""
    return text.count(".") == 2 and text.startswith("ey")  # noqa: PLR2004


def roles_of(claims: Mapping[str, Any], rules: tuple[ClaimRule, ...]) -> list[tuple[str, str]]:
    """Project and role of every rule that claims meet."""
    return [(rule.project, rule.role) for rule in rules if _holds(claims, rule)]


def _holds(claims: Mapping[str, Any], rule: ClaimRule) -> bool:
    found: Any = claims
    for part in [rule.claim] if rule.claim in claims else rule.claim.split("."):
        found = found.get(part) if isinstance(found, Mapping) else None
    return rule.value in found if isinstance(found, list) else found == rule.value
