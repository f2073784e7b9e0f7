"""What the overview shows of the past, of what is ahead and of what changed."""

import re

import pytest

from fabric.api.occupancy import (
    BookingView,
    NeedView,
    OccupancyView,
    Series,
    ServiceForecast,
    Steps,
    TierOccupancy,
)
from fabric.api.overview import Amounts
from fabric.api.site_events import SiteEventList, SiteEventView
from fabric.console.occupancy import HEIGHT, WIDTH, legend_of, occupancy_of
from fabric.console.pages.happened import KINDS, list_of, page_of
from fabric.console.pages.overview import MOST_AHEAD, ahead_of, forecasts_of, overview_of
from tests.unit.console.test_pages import ESCAPED, EVIL, NOW, overview

HOUR = 3600.0


def tier(name: str = "gpu", **more: object) -> TierOccupancy:
    """Four accelerators: two were held, then three run for an hour, one is set aside, then two are taken away."""
    fields = {
        "name": name, "total": Amounts(cpus=8, gpus=4, memory_bytes=2**34),
        "past": Series(cpus=(0, 0), gpus=(2, 2), memory_bytes=(0, 0)),
        "running": Series(cpus=(0, 0, 0), gpus=(3, 0, 0), memory_bytes=(0, 0, 0)),
        "kept": Series(cpus=(0, 0, 0), gpus=(0, 1, 0), memory_bytes=(0, 0, 0)),
        "away": Series(cpus=(0, 0, 0), gpus=(0, 0, 2), memory_bytes=(0, 0, 0)),
    }  # fmt: skip
    return TierOccupancy.model_validate({**fields, **more})


def over_time(*tiers: TierOccupancy, **more: object) -> OccupancyView:
    fields = {
        "at": NOW, "decided_at": NOW, "past": Steps(begins=NOW - 2 * HOUR, step_s=HOUR, num=2),
        "ahead": Steps(begins=NOW, step_s=HOUR, num=3), "tiers": tiers or (tier(),),
    }  # fmt: skip
    return OccupancyView.model_validate({**fields, **more})


def corners(drawn: str, name: str) -> list[tuple[float, float]]:
    """Corners of an area."""
    points = re.search(rf'<polygon points="([^"]*)" class="{name}"', drawn)
    assert points is not None, name
    return [(float(x), float(y)) for x, y in (each.split(",") for each in points[1].split())]


def drawn(shown: OccupancyView) -> str:
    picture = occupancy_of(shown.tiers[0], shown)
    assert picture is not None
    return picture


def test_the_past_lies_left_of_now_and_the_future_right_of_it() -> None:
    picture = drawn(over_time())
    now = WIDTH * 2 / 5
    assert f'x1="{now:.1f}"' in picture
    assert f"left:{100 * 2 / 5:.1f}%" in picture
    past, ahead = corners(picture, "past"), corners(picture, "running")
    assert {x for x, _ in past} == {0.0, now / 2, now}
    assert min(x for x, _ in ahead) == now
    assert max(x for x, _ in ahead) == WIDTH
    assert {y for _, y in past} == {HEIGHT / 2, HEIGHT}
    assert ahead[:2] == [(now, HEIGHT / 4), (now + WIDTH / 5, HEIGHT / 4)]


def test_what_is_set_aside_stands_on_what_runs_and_what_is_taken_away_on_both() -> None:
    picture = drawn(over_time())
    assert (WIDTH * 3 / 5, 3 * HEIGHT / 4) in corners(picture, "kept")
    assert (WIDTH * 4 / 5, HEIGHT / 2) in corners(picture, "away")
    nothing = tier(kept=Series(cpus=(0,) * 3, gpus=(0,) * 3, memory_bytes=(0,) * 3))
    assert 'class="kept"' not in drawn(over_time(nothing))


def test_the_picture_is_told_in_words() -> None:
    picture = drawn(over_time(tier(EVIL)))
    said = re.search(r'aria-label="([^"]*)"', picture)
    assert said is not None
    assert said[1] == (
        f"{ESCAPED}: 2 of 4 GPUs held now, 2 on average before; "
        "ahead, of those who run now 3 at first and 0 at last; at most 1 set aside; at most 2 taken away"
    )
    assert "GPUs over time: last 2 h, next 3 h" in picture
    assert legend_of().count("<li>") == 4


def test_a_tier_without_accelerators_is_drawn_by_its_cpus_and_one_of_which_nothing_is_known_not_at_all() -> None:
    cpus = tier(total=Amounts(cpus=8), past=Series(cpus=(8, 8), gpus=(0, 0), memory_bytes=(0, 0)))
    assert "8 of 8 CPUs held now" in drawn(over_time(cpus))
    unknown = over_time(
        tier(past=Series(), running=Series(), kept=Series(), away=Series()),
        past=Steps(begins=NOW, step_s=1.0, num=0),
        ahead=Steps(begins=NOW, step_s=1.0, num=0),
    )
    assert occupancy_of(unknown.tiers[0], unknown) is None


def test_a_tier_on_which_nothing_was_held_was_empty() -> None:
    assert "0 of 4 GPUs held now" in drawn(over_time(tier(past=Series())))


def test_more_than_a_tier_has_is_still_within_the_picture() -> None:
    crowded = tier(past=Series(cpus=(0, 0), gpus=(6, 1), memory_bytes=(0, 0)))
    assert all(0 <= y <= HEIGHT for _, y in corners(drawn(over_time(crowded)), "past"))


def booking(**more: object) -> BookingView:
    fields = {
        "kind": "window", "name": "upgrade", "starts_at": NOW + HOUR, "ends_at": NOW + 2 * HOUR, "nodes": 3,
        "amounts": {"gpu": Amounts(cpus=12, gpus=6, memory_bytes=2**30)},
    }  # fmt: skip
    return BookingView.model_validate({**fields, **more})


def test_what_is_ahead_says_why_when_how_much_and_for_whom() -> None:
    shown = ahead_of(
        over_time(
            bookings=(
                booking(),
                booking(kind="drain", name="gpu-1", nodes=1, ends_at=None),
                booking(kind="promise", name="train", nodes=0),
                booking(kind="promise", name="work of another project", nodes=0),
                booking(kind="forecast", name="chat", nodes=0, replicas=2),
                booking(name=EVIL),
            ),
            num_bookings=20,
        )
    )
    for words in (
        "maintenance</span>", "3 nodes", "gpu: 6 GPUs, 12 CPUs, 1 GiB", 'href="/node/gpu-1"', "promised start</span>",
        'href="/workload/train"', "work of another project", 'href="/workload/chat"', " (2 more)", ESCAPED,
        "and 14 more",
    ):  # fmt: skip
        assert words in shown
    assert "<img" not in shown
    assert "/workload/work" not in shown


def test_a_future_without_claims_and_one_that_nobody_knows_are_told_apart() -> None:
    assert "Nothing is set aside or taken away" in ahead_of(over_time())
    assert "Nothing was decided here yet" in ahead_of(over_time(decided_at=None))
    many = over_time(bookings=(booking(),) * 40, num_bookings=400)
    assert ahead_of(many).count("<tr>") == MOST_AHEAD + 1
    assert f"and {400 - MOST_AHEAD} more" in ahead_of(many)


def test_a_forecast_is_drawn_from_now_on() -> None:
    needs = (NeedView(at=NOW, replicas=1), NeedView(at=NOW + HOUR, replicas=3))
    service = ServiceForecast(name=EVIL, replicas=1, needs=needs, method="last value")
    shown = forecasts_of(over_time(services=(service,)))
    assert f"{ESCAPED}: replicas needed, has 1, at most 3: now 1, from 1 to 3" in shown
    assert 'points="0.0,' in shown
    assert forecasts_of(over_time(services=(service.model_copy(update={"needs": ()}),))) == ""


def event(kind: str = "failed", about: str = "train", **more: object) -> SiteEventView:
    fields = {"number": 7, "at": NOW, "kind": kind, "about": about, "said": "ended with code 1", **more}
    return SiteEventView.model_validate(fields)


@pytest.mark.parametrize(
    ("kind", "about", "link"),
    [
        ("failed", "train", 'href="/workload/train"'),
        ("node_down", "gpu-0", 'href="/node/gpu-0"'),
        ("alias", "tale@champion", 'href="/models"'),
        ("reloaded", "", None),
    ],
)
def test_what_happened_leads_to_what_it_is_about(kind: str, about: str, link: str | None) -> None:
    shown = list_of((event(kind, about, by="ada"),))
    assert "by ada" in shown
    assert (link in shown) if link else ("<a" not in shown)


def test_every_kind_of_event_has_words_and_none_of_its_texts_is_html() -> None:
    shown = list_of(tuple(event(kind, EVIL, said=EVIL, by=EVIL) for kind in KINDS))
    assert "<img" not in shown
    assert shown.count("<li>") == len(KINDS)
    assert "Nothing is told yet" in list_of(())


def test_older_events_are_a_page_away() -> None:
    first = page_of(SiteEventList(events=(event(),), before=7))
    assert 'href="/happened?before=7"' in first
    assert "Newest" not in first
    assert "Newest" in page_of(SiteEventList(events=()), first=False)
    assert "<nav" not in page_of(SiteEventList(events=(event(),)))


def test_the_overview_shows_all_of_it() -> None:
    shown = overview_of(overview(), over_time(bookings=(booking(),)), SiteEventList(events=(event(),)))
    for words in ("GPUs over time", "taken away</li>", "upgrade", "ended with code 1", 'href="/happened"'):
        assert words in shown
