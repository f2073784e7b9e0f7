"""The few requests that the rig and its tests make to an API server.

Knows nothing of what the objects mean. Objects are the JSON that the server speaks.
"""

import base64
import json
import ssl
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import httpx

from scripts.rigging.errors import RigError

Object = dict[str, Any]
"""An object of the API, as JSON."""

CONFLICT, NOT_FOUND = 409, 404
JSON, YAML = "application/json", "application/yaml"
JSON_PATCH, MERGE_PATCH = "application/json-patch+json", "application/merge-patch+json"
APPLY = "application/apply-patch+yaml"
POLL_S = 0.2


class Refused(RigError):
    """The server said no.

    Args:
        status: Of HTTP.
        message: What it said.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"the API server answered {status}: {message}")
        self.status = status


class Api:
    """One user's access to one API server; give it back with `close` or use it in a `with`.

    Args:
        kubeconfig: The access file, in JSON as the rig writes it.
        timeout_s: How long one request may take.
    """

    def __init__(self, kubeconfig: Path, timeout_s: float = 60.0) -> None:
        config = json.loads(kubeconfig.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        context = ssl.create_default_context(cadata=base64.b64decode(cluster["certificate-authority-data"]).decode())
        self._client = httpx.Client(
            base_url=cluster["server"], headers={"Authorization": f"Bearer {user['token']}"}, verify=context,
            timeout=timeout_s, trust_env=False,
        )  # fmt: skip

    def __enter__(self) -> "Api":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def text(self, path: str, **parameters: str) -> str:
        """What lies at a path, as text.

        Raises:
            Refused: If the server says no.
        """
        return self._send("GET", path, params=parameters).text

    def get(self, path: str, **parameters: str) -> Object:
        """The object at a path.

        Raises:
            Refused: If the server says no.
        """
        found: Object = self._send("GET", path, params=parameters).json()
        return found

    def items(self, path: str, selector: str = "") -> list[Object]:
        """The objects of a collection that match a label selector.

        Raises:
            Refused: If the server says no.
        """
        listed: list[Object] = self.get(path, **({"labelSelector": selector} if selector else {}))["items"]
        return listed

    def watch(self, path: str, limit_s: int) -> Iterator[Object]:
        """Changes of a collection as they come, with their `type` and `object`: first whatever is there.

        Args:
            path: Of the collection.
            limit_s: After so many seconds the server ends it.

        Raises:
            Refused: If the server says no.
        """
        asked = {"watch": "true", "timeoutSeconds": str(limit_s)}
        with self._client.stream("GET", path, params=asked, timeout=httpx.Timeout(60.0, read=None)) as answer:
            if answer.is_error:
                raise Refused(answer.status_code, f"GET {path}: {answer.read().decode(errors='replace')[:500]}")
            for line in answer.iter_lines():
                told: Object = json.loads(line)
                yield told

    def create(self, path: str, what: Mapping[str, Any] | str) -> None:
        """Create an object in a collection, unless it is there: JSON values, or a text in YAML.

        Raises:
            Refused: If the server says no.
        """
        content = what if isinstance(what, str) else json.dumps(what)
        try:
            self._send("POST", path, content=content, kind=YAML if isinstance(what, str) else JSON)
        except Refused as refused:
            if refused.status != CONFLICT:
                raise

    def patch(self, path: str, change: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> None:
        """Change an object: by merging a mapping, or by the steps of a JSON patch.

        Raises:
            Refused: If the server says no.
        """
        kind = MERGE_PATCH if isinstance(change, Mapping) else JSON_PATCH
        self._send("PATCH", path, content=json.dumps(change), kind=kind)

    def dry_run(self, path: str, what: Mapping[str, Any]) -> Object:
        """What the server would make of an object if it were applied; nothing is kept, and no field may be unknown.

        Raises:
            Refused: If the server says no.
        """
        told = {"fieldManager": "rig", "dryRun": "All", "force": "true", "fieldValidation": "Strict"}
        answer = self._send("PATCH", path, content=json.dumps(what), kind=APPLY, params=told)
        made: Object = answer.json()
        return made

    def delete(self, path: str, grace_s: int | None = None) -> None:
        """Delete an object or a collection, unless it is gone.

        Raises:
            Refused: If the server says no.
        """
        parameters = {} if grace_s is None else {"gracePeriodSeconds": str(grace_s)}
        try:
            self._send("DELETE", path, params=parameters)
        except Refused as refused:
            if refused.status != NOT_FOUND:
                raise

    def _send(self, method: str, path: str, *, kind: str = JSON, **told: Any) -> httpx.Response:
        answer = self._client.request(method, path, headers={"Content-Type": kind}, **told)
        if answer.is_error:
            try:
                message = answer.json()["message"]
            except (ValueError, KeyError):
                message = answer.text[:500]
            raise Refused(answer.status_code, f"{method} {path}: {message}")
        return answer


def wait_until(what: str, holds: Callable[[], object], limit_s: float, *, hint: Callable[[], str] = str) -> None:
    """Wait until something holds; an answer that cannot be had counts as no.

    Args:
        what: Said of it if it does not come.
        holds: Whether it holds.
        limit_s: How long to wait.
        hint: What to add to the message, asked at the end.

    Raises:
        RigError: If it does not hold within `limit_s`.
    """
    deadline, trouble = time.monotonic() + limit_s, ""
    while True:
        try:
            if holds():
                return
            trouble = ""
        except (RigError, httpx.HTTPError, FileNotFoundError) as error:
            trouble = f" ({error})"
        if time.monotonic() > deadline:
            raise RigError(f"{what}: not after {limit_s:.0f} s{trouble}\n{hint()}".strip())
        time.sleep(POLL_S)
