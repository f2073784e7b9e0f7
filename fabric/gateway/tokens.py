"""Whose a token of the site's provider is: control knows, and what it said is remembered for a while.

Knows nothing of signatures, claims or roles.
"""

import base64
import hashlib
import json
from collections import OrderedDict
from dataclasses import dataclass

import httpx
from pydantic import ValidationError

from fabric.api.gateway import JUDGE, Judged, Shown
from fabric.core.errors import Denied, Unauthenticated, Unavailable
from fabric.gateway.table import Caller

FRESH_S = 30.0
"""How long an answer of control's is good, in seconds: whoever is disabled is out that much later."""

MOST_REMEMBERED = 10_000
"""Tokens whose owners are remembered; the oldest are forgotten first."""

TIMEOUT_S = 10.0
"""Longest wait for control, which may ask the provider, in seconds."""


@dataclass(frozen=True, slots=True)
class _Known:
    said: Judged
    asked_at: float


class Tokens:
    """Recognises tokens."""

    def __init__(self, control: httpx.AsyncClient) -> None:
        """Ask nothing yet.

        Args:
            control: Talks to control; its base URL and key are set.
        """
        self._control = control
        self._known: OrderedDict[tuple[str, str | None], _Known] = OrderedDict()

    async def caller(self, token: str, project: str | None, now: float) -> Caller:
        """Who presents `token`.

        While control is away its last answer counts, until the token ends.

        Args:
            token: As presented.
            project: In which its owner wants to act; None where he may in one only, or on the whole site.
            now: Seconds since the epoch.

        Raises:
            Denied: If he may not ask models there, or must say in which project.
            Unauthenticated: If the token is nobody's.
            Unavailable: If nobody can say whose it is.
        """
        kept = self._known.get(place := (hashlib.sha256(token.encode()).hexdigest(), project))
        said = kept.said if kept and now < kept.asked_at + FRESH_S else None
        if said is None:
            try:
                said = await self._ask(token, project)
            except Unavailable:
                if kept is None or kept.said.refusal or now >= ends_at(token):
                    raise
                said = kept.said
            else:
                self._remember(place, _Known(said, now))
        return _caller(said)

    def _remember(self, place: tuple[str, str | None], known: _Known) -> None:
        self._known[place] = known
        self._known.move_to_end(place)
        if len(self._known) > MOST_REMEMBERED:
            self._known.popitem(last=False)

    async def _ask(self, token: str, project: str | None) -> Judged:
        try:
            shown = Shown(token=token, project=project).model_dump_json()
            answer = await self._control.post(JUDGE, content=shown, timeout=TIMEOUT_S)
            answer.raise_for_status()
            return Judged.model_validate_json(answer.content)
        except ValidationError:
            raise Unauthenticated("this token is too long to be one.") from None
        except httpx.HTTPError as error:
            raise Unavailable(
                f"control cannot say now whose this token is ({type(error).__name__}). Try again in a few seconds."
            ) from None


def ends_at(token: str) -> float:
    """When a token ends by itself, in seconds since the epoch, as it says; only of one that was found good before."""
    try:
        payload = token.split(".")[1]
        return float(json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["exp"])
    except (ValueError, KeyError, TypeError, IndexError):
        return 0.0


def _caller(said: Judged) -> Caller:
    if said.refusal:
        raise Denied(said.refusal) if said.denied else Unauthenticated(said.refusal)
    return Caller(said.project, said.name, said.everywhere)
