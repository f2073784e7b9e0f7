"""Tokens of an OpenID Connect provider: whether they are genuine, meant for us and still good, and what they claim.

Knows nothing of what follows from a claim. One question for keys is asked at a time, and only who asks waits for the
answer: keys that are known are used while they are good, and where there are none, whoever comes is told so at once.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

import httpx
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from fabric.config.identity import Oidc
from fabric.core.errors import Unauthenticated, Unavailable

KEYS_GOOD_S = 3600.0
"""Seconds for which keys of the provider are used, so that one that it withdrew opens nothing for long."""

RENEWED_AFTER_S = KEYS_GOOD_S / 2
"""Seconds after which they are asked for anew, so that a provider that is away for as long again locks nobody out."""

ASK_AGAIN_S = 30.0
"""Shortest pause between two questions for keys, in seconds, so that made-up tokens do not make us ask all the time."""

FAILED_S = 10.0
"""Seconds for which a provider that did not answer is not asked again; from when that was known."""

TIMEOUT_S = 5.0
"""Longest wait for the provider, in seconds."""

DISCOVERY = "/.well-known/openid-configuration"
"""Where a provider says where its keys are, below its name (OpenID Connect Discovery 1.0, section 4)."""

_log = logging.getLogger(__name__)


class OidcTokens:
    """Checks tokens of one provider; safe to call from several threads at once."""

    def __init__(
        self,
        settings: Oidc,
        transport: httpx.BaseTransport | None = None,
        *,
        watch: Callable[[], float] = time.monotonic,
    ) -> None:
        """Remember the provider; nothing is asked before the first token.

        Args:
            settings: Who the provider is.
            transport: What carries the questions instead of the network; for tests.
            watch: Seconds since any instant, to tell how long a question took.
        """
        self._settings = settings
        self._http = httpx.Client(timeout=TIMEOUT_S, transport=transport, follow_redirects=False)
        self._keys: KeySet | None = None
        self._told_at = float("-inf")
        self._asking = False
        self._failure, self._failed_at = "", float("-inf")
        self._watch = watch
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
            Unavailable: If that cannot be told without the provider, which does not answer or is just being asked.
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
        """The claims of a token with a good signature; where it is of no known key, newer keys are asked for once.

        Raises:
            Unauthenticated: If there is no such key, or the signature is another's.
            Unavailable: If there are no good keys, or none that are new enough to tell.
        """
        keys: KeySet | None = self._present(now)
        while keys is not None:
            try:
                claims: dict[str, Any] = jwt.decode(token, keys, list(self._settings.algorithms)).claims
                return claims
            except (JoseError, ValueError, TypeError):
                keys = self._newer(keys, now)
        raise Unauthenticated("this token's signature is not one of the provider's. Log in again.")

    def _present(self, now: float) -> KeySet:
        """Keys that are good; in the second half of that time the provider is asked for newer ones.

        Raises:
            Unavailable: If there are none.
        """
        with self._lock:
            keys, age_s = self._keys, now - self._told_at
        if keys is not None and age_s <= RENEWED_AFTER_S:
            return keys
        try:
            return self._told(now, known=keys)
        except Unavailable:
            if keys is None or age_s > KEYS_GOOD_S:
                raise
            return keys

    def _newer(self, keys: KeySet, now: float) -> KeySet | None:
        """Keys that are newer than some; None if those were told just now.

        Raises:
            Unavailable: If the provider does not tell.
        """
        with self._lock:
            if self._keys is keys and now <= self._told_at + ASK_AGAIN_S:
                return None
        return self._told(now, known=keys)

    def _told(self, now: float, known: KeySet | None) -> KeySet:
        """Other keys than those known to the caller: what somebody else was told meanwhile, or the provider's answer.

        Raises:
            Unavailable: At once if it did not answer a moment ago or is being asked, otherwise if it does not answer.
        """
        with self._lock:
            if self._keys is not None and self._keys is not known:
                return self._keys
            if abs(now - self._failed_at) < FAILED_S:
                raise Unavailable(self._failure)
            if self._asking:
                raise Unavailable(f"the provider {self._settings.issuer} is just being asked for its keys; try again")
            self._asking = True
        try:
            return self._learn(now)
        finally:
            with self._lock:
                self._asking = False

    def _learn(self, now: float) -> KeySet:
        """Ask, and remember the answer, or that there was none.

        Raises:
            Unavailable: If the provider does not answer, or says something else.
        """
        began = self._watch()
        try:
            keys = self._ask()
        except Unavailable as error:
            _log.warning("log-ins: %s", error.message)
            with self._lock:
                self._failure, self._failed_at = error.message, now + self._watch() - began
            raise
        with self._lock:
            self._keys, self._told_at = keys, now
        return keys

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
        except (httpx.HTTPError, httpx.InvalidURL, JoseError, ValueError, KeyError, TypeError) as error:
            raise Unavailable(f"the provider {issuer} tells no keys ({type(error).__name__}); try again") from None
