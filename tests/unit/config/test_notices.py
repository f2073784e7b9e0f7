"""Whom a site tells what happened."""

from typing import Any

import pytest
from pydantic import ValidationError

from fabric.config.notices import Notices, Warnings
from tests.builders import tiny_site


def test_a_site_tells_nobody_unless_it_says_whom() -> None:
    site = tiny_site()
    assert (site.notices, site.warnings) == (None, Warnings(idle_gpus_s=1800.0, stalled_s=7200.0))
    told = tiny_site(notices=Notices(url="https://hooks.example/x", events=("failed",)))
    assert told.notices is not None
    assert told.notices.events == ("failed",)
    assert Notices(url="https://h/x", signed_with="ops/hook").named == ("ops", "hook")
    assert Warnings(idle_gpus_s=None).idle_gpus_s is None


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({}, "url"),
        ({"url": "hooks.example/x"}, "http://"),
        ({"url": "ftp://hooks.example/x"}, "http://"),
        ({"url": "https:///x"}, "name a host"),
        ({"url": "https://h/x", "events": ()}, "at least one"),
        ({"url": "https://h/x", "events": ("failed", "failed")}, "each one once"),
        ({"url": "https://h/x", "events": ("succeeded",)}, "node_down"),
        ({"url": "https://h/x", "timeout_s": 0.0}, "greater than 0"),
        ({"url": "https://h/x", "key": "y"}, "key"),
        ({"url": "https://h/x", "signed_with": "hook"}, "PROJECT/NAME"),
        ({"url": "https://h/x", "signed_with": "ops/../hook"}, "PROJECT/NAME"),
    ],
)
def test_a_wrong_hook_is_refused(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Notices(**wrong)


@pytest.mark.parametrize("wrong", [{"idle_gpus_s": 0.0}, {"stalled_s": -1.0}, {"stalled_s": "1h"}, {"idle": 3.0}])
def test_a_wrong_threshold_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Warnings(**wrong)
