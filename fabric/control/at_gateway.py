"""What the gateway asks and tells of people: whose a token of the site's provider is, and which keys were used there.

Knows nothing of HTTP. The gateway knows keys by their digests; tokens, which change all the time, it brings here.
"""

from collections.abc import Mapping

from fabric.api.gateway import Judged
from fabric.control.callers import Permission
from fabric.control.logins import Logins
from fabric.control.ports import Ports
from fabric.core.errors import Denied, Unauthenticated
from fabric.workloads.spec import DEFAULT_PROJECT


class AtGateway:
    """Answers for people whom only the gateway sees; safe to call from several threads at once."""

    def __init__(self, ports: Ports, logins: Logins) -> None:
        self._ports = ports
        self._logins = logins

    def judge(self, token: str, project: str | None) -> Judged:
        """Whose a token is, and whether he may ask models; a refusal is an answer too.

        Args:
            token: As presented at the gateway.
            project: In which he wants to act.

        Raises:
            Unavailable: If the provider does not answer.
        """
        try:
            caller = self._logins.caller_of(token, project)
            caller.require(Permission.ASK)
        except Unauthenticated as error:
            return Judged(refusal=error.message)
        except Denied as error:
            return Judged(refusal=error.message, denied=True)
        return Judged(
            name=caller.submits_as, project=caller.project or DEFAULT_PROJECT, everywhere=caller.project is None
        )

    def used(self, at: Mapping[str, float]) -> None:
        """Remember when keys last opened something at the gateway.

        Args:
            at: Seconds since the epoch by name; names that are gone, and what is older than what is known, are no
                mistake.
        """
        now = self._ports.clock.now()
        known = {key.name: key.used or 0.0 for key in self._ports.keys.keys_by_hash().values()}
        for name, instant in at.items():
            # The gateway's clock may be ahead of ours.
            used = min(instant, now)
            if used > known.get(name, used):
                self._ports.keys.touch(name, used)
