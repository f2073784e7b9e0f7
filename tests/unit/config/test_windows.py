"""Windows are about nodes, projects and instants that exist, or the site is refused."""

from typing import Any

import pytest

from fabric.config.load import decode
from fabric.config.site import Site
from fabric.config.windows import Window, instant
from fabric.core.errors import BadConfig

SITE = {
    "name": "lab",
    "tiers": [{"name": "gpu", "nodes": 2, "heads": True, "capacity": {"cpus": 4, "memory": "8 GiB"}}],
    "projects": [{"name": "climate"}],
}
WEDNESDAY = {
    "name": "weekly",
    "tiers": ["gpu"],
    "starts": "2026-12-02T08:00:00+01:00",
    "ends": "2026-12-02T12:00:00+01:00",
    "every_days": 7,
}


def read(*windows: dict[str, Any]) -> tuple[Window, ...]:
    return decode(Site, {**SITE, "windows": list(windows)}, "site.yaml").windows


def test_a_window_is_a_pair_of_instants_whatever_offset_they_are_written_in() -> None:
    (window,) = read(WEDNESDAY)
    assert window.end_s - window.start_s == 4 * 3600
    assert window.start_s == instant("2026-12-02T07:00:00Z")


def test_a_capability_week_names_the_project_that_has_the_nodes() -> None:
    (window,) = read({**WEDNESDAY, "kind": "capability", "project": "climate", "every_days": None})
    assert window.project == "climate"


def test_a_window_may_take_single_nodes() -> None:
    assert read({**WEDNESDAY, "tiers": [], "nodes": ["gpu-1"]})[0].nodes == ("gpu-1",)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ends": "2026-12-02T07:00:00+01:00"}, "windows.0: window weekly ends (2026-12-02T07:00:00+01:00) before or"),
        ({"ends": WEDNESDAY["starts"]}, "windows.0: window weekly ends"),
        ({"starts": "2026-12-02T08:00:00"}, "windows.0.starts: '2026-12-02T08:00:00' has no offset from UTC"),
        ({"starts": "Wednesday"}, "windows.0.starts: 'Wednesday' is no instant; write it like 2026-12-02T08:00"),
        ({"until": "soon"}, "windows.0.until: 'soon' is no instant"),
        ({"until": "2026-12-01T00:00:00Z"}, "no window of the row starts before 2026-12-01T00:00:00Z"),
        ({"until": "2027-01-01T00:00:00Z", "every_days": None}, "window weekly happens once, so `until` says nothing"),
        ({"ends": "2026-12-10T08:00:00+01:00"}, "window weekly lasts 8 days, but the next begins after 7"),
        ({"every_days": 0}, "windows.0.every_days: Input should be greater than or equal to 1"),
        ({"tiers": ["cpu"]}, "window weekly: 'cpu' is no tier; the site has gpu"),
        ({"nodes": ["gpu-2"]}, "window weekly: 'gpu-2' is no node; nodes are called TIER-NUMBER, from gpu-0"),
        ({"tiers": []}, "window weekly takes nothing; give tiers or nodes"),
        ({"kind": "capability"}, "a capability window names its project, and maintenance names none"),
        ({"project": "climate"}, "a capability window names its project, and maintenance names none"),
        ({"kind": "capability", "project": "nlp"}, "window weekly: 'nlp' is no project; the site has climate"),
        ({"kind": "holiday"}, "windows.0.kind: Input should be 'maintenance' or 'capability' (got 'holiday')"),
        ({"name": "a/b"}, "windows.0.name: 'a/b' is not a window name"),
        ({"length_s": 1}, "windows.0.length_s: unknown key"),
    ],
)
def test_a_wrong_window_is_refused_by_place(change: dict[str, Any], message: str) -> None:
    with pytest.raises(BadConfig) as caught:
        read({**WEDNESDAY, **change})
    assert message in str(caught.value)


def test_two_windows_need_two_names() -> None:
    with pytest.raises(BadConfig, match="windows need different names"):
        read(WEDNESDAY, WEDNESDAY)
