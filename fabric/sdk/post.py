"""Send one report to control; the answer is whether it is done with.

Knows nothing of queues or threads.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from fabric.config import env
from fabric.core.errors import BadConfig
from fabric.sdk.later import Later

if TYPE_CHECKING:
    import httpx

    from fabric.api import admin
    from fabric.config import trust
else:
    admin, httpx, trust = Later("fabric.api.admin"), Later("httpx"), Later("fabric.config.trust")

TIMEOUT_S = 5.0
"""Longest wait for control to take a report, in seconds."""

_OPENING = threading.Lock()

_logger = logging.getLogger(__name__)


class Post:
    """Where the reports of one workload go; keeps a connection, which is left behind when it is pickled."""

    def __init__(
        self,
        address: str,
        token: str | None,
        workload: str,
        *,
        attempt: str | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        """Remember where to send reports; nothing is opened before the first.

        Args:
            address: URL of control.
            token: The workload's own.
            workload: Name.
            attempt: Its number, so that what an earlier attempt says late is not taken for this one's.
            transport: What carries the requests instead of the network; for tests.
        """
        self._to = (address.rstrip("/"), token, workload, attempt)
        self._carrier = transport
        self._http: httpx.Client | None = None
        self._refused: set[int] = set()

    def __getstate__(self) -> tuple[str, str | None, str, str | None]:
        return self._to

    def __setstate__(self, to: tuple[str, str | None, str, str | None]) -> None:
        self._to, self._carrier, self._http, self._refused = to, None, None, set()

    def send(self, fields: dict[str, Any]) -> bool:
        """Send a report.

        Returns:
            True if control took it, or refused it so that sending it again cannot help; False if it is away.
        """
        address, _, workload, attempt = self._to
        path = f"{address}{admin.WORKLOADS}/{quote(workload, safe='')}/report"
        try:
            answer = self._client().post(path, json=fields, params={"attempt": attempt} if attempt else {})
        except (httpx.HTTPError, httpx.InvalidURL, BadConfig):
            return False
        status = answer.status_code
        if status >= 500 or status in {408, 429}:  # noqa: PLR2004 - HTTP: the server's side, or later
            return False
        if answer.is_error and status not in self._refused:
            self._refused.add(status)
            _logger.warning("%s: control refused a report (%d): %s", workload, status, answer.text[:200])
        return True

    def size(self) -> admin.SizeView | None:
        """Ask at what size the workload should work now.

        Returns:
            The answer; one without a group if control knows of no sizes; None if it is away.
        """
        address, _, workload, _ = self._to
        try:
            answer = self._client().get(f"{address}{admin.WORKLOADS}/{quote(workload, safe='')}/size")
            if answer.is_success:
                return admin.SizeView.model_validate_json(answer.content)
        except (httpx.HTTPError, httpx.InvalidURL, BadConfig, ValueError):
            return None
        return admin.SizeView() if answer.is_client_error else None

    def _client(self) -> httpx.Client:
        """The connection, opened where it is not; one thread sends reports and another asks for the size."""
        with _OPENING:
            if self._http is None:
                address, token, _, _ = self._to
                self._http = httpx.Client(
                    headers={"Authorization": f"Bearer {token}"} if token else {},
                    timeout=TIMEOUT_S,
                    transport=self._carrier,
                    trust_env=False,
                    verify=trust.trust(address, env.get(env.CA)),
                )
            return self._http

    def close(self) -> None:
        """Close the connection; the next report opens it again."""
        if self._http is not None:
            self._http.close()
            self._http = None
