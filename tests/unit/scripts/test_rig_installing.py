"""A namespace of a name that is leaving is waited for, and then it is made with control's rights."""

from typing import Any

import pytest

from scripts.rigging import installing
from scripts.rigging.api import NOT_FOUND, Refused
from scripts.rigging.errors import RigError
from scripts.rigging.installing import USER, install


class FakeApi:
    """Has a namespace that leaves after so many looks."""

    def __init__(self, leaves_after: int | None) -> None:
        self.leaves_after, self.made = leaves_after, list[tuple[str, Any]]()

    def get(self, path: str) -> dict[str, Any]:
        assert path == "/api/v1/namespaces/here"
        if self.leaves_after is None or self.leaves_after <= 0:
            raise Refused(NOT_FOUND, "no such namespace")
        self.leaves_after -= 1
        return {"metadata": {"name": "here", "deletionTimestamp": "now"}}

    def create(self, path: str, what: Any) -> None:
        self.made.append((path, what))


@pytest.mark.parametrize("leaves_after", [None, 2])
def test_a_namespace_is_made_once_an_earlier_one_is_gone(
    monkeypatch: pytest.MonkeyPatch, leaves_after: int | None
) -> None:
    monkeypatch.setattr("scripts.rigging.api.POLL_S", 0.0)
    api = FakeApi(leaves_after)
    install(api, "here")  # type: ignore[arg-type]
    path, namespace = api.made[0]
    assert (path, namespace["metadata"]["name"]) == ("/api/v1/namespaces", "here")
    bound = [what for path, what in api.made if path.endswith("bindings")]
    assert {subject["name"] for what in bound for subject in what["subjects"]} == {USER}


def test_one_that_stays_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scripts.rigging.api.POLL_S", 0.0)
    monkeypatch.setattr(installing, "GONE_S", 0.0)
    api = FakeApi(1_000_000)
    with pytest.raises(RigError, match="an earlier namespace here is gone: not after 0 s"):
        install(api, "here")  # type: ignore[arg-type]
    assert api.made == []
