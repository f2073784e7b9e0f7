"""Send a request to one of a model's endpoints, and to another where one does not answer.

Knows nothing of the client, keys or what the bytes mean.
"""

import logging
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager

import httpx

from fabric.api.gateway import EndpointView
from fabric.core.errors import Unavailable
from fabric.gateway.settings import GatewaySettings
from fabric.relay import no_cookies
from fabric.serve.endpoints import KEEP_ALIVE_S, SECRET_HEADER
from fabric.serve.routing import order

_log = logging.getLogger(__name__)
_NOTHING_SENT_BACK = (
    httpx.ConnectError, httpx.ConnectTimeout, httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError,
)  # fmt: skip
"""What ends a request before its first byte in a way that another endpoint may cure; time-outs are not among them."""
_NO_CONNECTION = (httpx.ConnectError, httpx.ConnectTimeout)
_NO_REPLICA = 503


def make_client(settings: GatewaySettings, transport: httpx.AsyncBaseTransport | None = None) -> httpx.AsyncClient:
    """A client for services, with as many connections as requests need.

    Args:
        settings: How long to wait.
        transport: Instead of TCP.
    """
    return httpx.AsyncClient(
        transport=transport,
        trust_env=False,
        # Bytes are passed on as they come, so they must not come compressed.
        headers={"accept-encoding": "identity"},
        cookies=no_cookies(),
        timeout=httpx.Timeout(settings.silence_s, connect=settings.connect_s),
        # Let go of an idle connection well before the service does.
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=100, keepalive_expiry=KEEP_ALIVE_S / 3),
    )


class Upstream:
    """All services together: who is busy, and who did not answer lately."""

    def __init__(self, client: httpx.AsyncClient, settings: GatewaySettings) -> None:
        self._client = client
        self._settings = settings
        self._resting: dict[str, float] = {}
        self.in_flight: Counter[str] = Counter()
        """Requests under way by endpoint."""

    @asynccontextmanager
    async def open(
        self, endpoints: Sequence[EndpointView], path: str, body: bytes, headers: Mapping[str, str]
    ) -> AsyncIterator[httpx.Response]:
        """The beginning of an answer, from the first endpoint that gives one; closed, and so cancelled, on leaving.

        Raises:
            Unavailable: If none does.
            httpx.TimeoutException: If one took the request and stays silent.
        """
        secrets = {endpoint.url: endpoint.secret for endpoint in endpoints}
        wanted = order(list(secrets), self.in_flight, self._asleep())
        again = set(wanted)
        problem = "none of its replicas is ready"
        while wanted:
            url = wanted.pop(0)
            self.in_flight[url] += 1
            try:
                response = await self._begin(url + path, body, {**headers, SECRET_HEADER: secrets[url]})
            except _NOTHING_SENT_BACK as error:
                problem = f"{type(error).__name__} at its endpoint"
                _log.warning("%s did not answer: %s: %s", url, type(error).__name__, error)
                self._resting[url] = time.monotonic() + self._settings.rest_s
                # A connection that was idle may have been closed from the other side just now; a new one tells.
                if url in again and not isinstance(error, _NO_CONNECTION):
                    wanted.append(url)
                    again.remove(url)
            else:
                async with aclosing(response):
                    if response.status_code != _NO_REPLICA or not wanted:
                        yield response
                        return
            finally:
                self.in_flight[url] -= 1
        raise Unavailable(f"the model is not available: {problem}. Try again in a few seconds.", code="no_endpoint")

    async def _begin(self, url: str, body: bytes, headers: Mapping[str, str]) -> httpx.Response:
        request = self._client.build_request("POST", url, content=body, headers=headers)
        return await self._client.send(request, stream=True)

    def _asleep(self) -> set[str]:
        now = time.monotonic()
        self._resting = {url: until for url, until in self._resting.items() if until > now}
        return set(self._resting)
