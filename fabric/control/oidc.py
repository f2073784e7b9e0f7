"""Tokens of an OpenID Connect provider: whether they are genuine, meant for us and still good, and what they claim.

Knows nothing of what follows from a claim.
"""

import threading
from collections.abc import Mapping
from typing import Any

import httpx
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from fabric.config.identity import Oidc
from fabric.core.errors import Unauthenticated, Unavailable

KEYS_GOOD_S = 3600.0
"""Seconds after which the provider's keys are asked for anew, so that one that it withdrew opens nothing for long."""

ASK_AGAIN_S = 30.0
"""Shortest pause between two questions for keys, in seconds, so that made-up tokens do not make us ask all the time."""

TIMEOUT_S = 5.0
"""Longest wait for the provider, in seconds."""

DISCOVERY = "/.well-known/openid-configuration"
"""Where a provider says where its keys are, below its name (OpenID Connect Discovery 1.0, section 4)."""


class OidcTokens:
    """Checks tokens of one provider; safe to call from several threads at once."""

    def __init__(self, settings: Oidc, transport: httpx.BaseTransport | None = None) -> None:
        """Remember the provider; nothing is asked before the first token.

        Args:
            settings: Who the provider is.
            transport: What carries the questions instead of the network; for tests.
        """
        self._settings = settings
        self._http = httpx.Client(timeout=TIMEOUT_S, transport=transport, follow_redirects=False)
        self._keys: KeySet | None = None
        self._asked_at = float("-inf")
        self._lock = threading.Lock()

    @property
    def settings(self) -> Oidc:
        """Who the provider is."""
        return self._settings

    def num_keys(self) -> int:
        """How many keys the provider tells at present.

        Raises:
            Unavailable: If it does not answer.
        """
        return len(self._ask().keys)

    def claims_of(self, token: str, now: float) -> Mapping[str, Any]:
        """What a good token claims.

        Args:
            token: As presented.
            now: Seconds since the epoch.

        Raises:
            Unauthenticated: If it is forged, for somebody else, not good yet or not any more.
            Unavailable: If the provider does not answer.
        """
        claims = self._read(token, now)
        wanted = jwt.JWTClaimsRegistry(
            now=int(now), leeway=int(self._settings.leeway_s),
            iss={"essential": True, "value": self._settings.issuer},
            aud={"essential": True, "value": self._settings.audience},
            exp={"essential": True},
        )  # fmt: skip
        try:
            wanted.validate(claims)
        except (JoseError, ValueError, TypeError) as error:
            raise Unauthenticated(f"this token is not good here: {error}. Log in again.") from None
        return claims

    def _read(self, token: str, now: float) -> dict[str, Any]:
        """The claims of a token with a good signature; keys that are not known are asked for once.

        Raises:
            Unauthenticated: If there is no such key, or the signature is another's.
        """
        try:
            return self._decoded(token, now)
        except (JoseError, ValueError, TypeError):
            pass
        if not self._forget(now):
            raise Unauthenticated("this token's signature is not one of the provider's. Log in again.")
        try:
            return self._decoded(token, now)
        except (JoseError, ValueError, TypeError):
            raise Unauthenticated("this token's signature is not one of the provider's. Log in again.") from None

    def _decoded(self, token: str, now: float) -> dict[str, Any]:
        claims: dict[str, Any] = jwt.decode(token, self._present(now), list(self._settings.algorithms)).claims
        return claims

    def _present(self, now: float) -> KeySet:
        with self._lock:
            if self._keys is None or now > self._asked_at + KEYS_GOOD_S:
                self._keys, self._asked_at = self._ask(), now
            return self._keys

    def _forget(self, now: float) -> bool:
        """Let keys be asked for anew, unless that was done just now."""
        with self._lock:
            due = now > self._asked_at + ASK_AGAIN_S
            if due:
                self._keys = None
            return due

    def _ask(self) -> KeySet:
        """The provider's present keys.

        Raises:
            Unavailable: If it does not answer, or says something else.
        """
        issuer = self._settings.issuer
        try:
            about = self._http.get(issuer.rstrip("/") + DISCOVERY).raise_for_status().json()
            if about["issuer"] != issuer:
                raise Unavailable(f"{issuer} calls itself {about['issuer']!r}; write that into the site file")
            return KeySet.import_key_set(self._http.get(about["jwks_uri"]).raise_for_status().json())
        except (httpx.HTTPError, JoseError, ValueError, KeyError, TypeError) as error:
            raise Unavailable(f"the provider {issuer} tells no keys ({type(error).__name__}); try again") from None
