"""The console in a browser: pages load without complaint, stay live, and do what the key allows."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, expect

from fabric.api.admin import EvaluationView, ModelVersionView, ServedByView
from fabric.scheduler.cycle import decide
from fabric.scheduler.policy import Policy
from fabric.scheduler.replay import Decision
from fabric.scheduler.snapshot import Claim, Snapshot
from fabric.workloads.states import State
from tests.ray.console_rig import CHROMIUM, KEY, Reader, browser, console_of, control_of
from tests.unit.control.world import NODES, SITE, World

pytestmark = pytest.mark.skipif(not CHROMIUM.exists(), reason="no /usr/bin/chromium: `apt-get install chromium`")
EVIL = "<img src=x onerror=alert(1)>"
PAGES = {
    "/": "Overview", "/queue": "Queue", "/workloads": "Workloads", "/nodes": "Nodes", "/projects": "Projects",
    "/models": "Models", "/simulate": "What if", "/happened": "What happened",
    "/submit": "Submit a job",
}  # fmt: skip
SINGLE = {"/workload/train-a": "train-a", "/node/gpu-0": "gpu-0", "/project/default": "default"}
"""Pages about one thing."""


MODELS = (
    ModelVersionView(
        name="tale", project="default", version=2, aliases=("champion",), uri="file:///m", created_at=1.75e9,
        lineage={"data": "corpus@d1", "parent": "base@b1"}, digest="t2",
        evaluation=EvaluationView(suite="suite", num_items=320, num_right=224),
        served_by=(ServedByView(workload="train-a", deployment="chat", asked="tale@champion", state="running"),),
    ),
    ModelVersionView(
        name="base", project="default", version=1, uri="file:///m", created_at=1.74e9, digest="b1",
        lineage={"data": f"books@d0 {EVIL}"},
    ),
)  # fmt: skip


def decide_on(world: World) -> None:
    """Let the loop have seen a window of maintenance in two hours."""
    window = Claim("upgrade of switches", world.clock.at + 7200.0, world.clock.at + 10_800.0, ("gpu-0", "gpu-1"))
    seen = Snapshot.of(NODES, head=SITE.head.resources, claims=(window,))
    world.decision = Decision(seen, Policy(), world.clock.at, decide(seen, Policy(), world.clock.at))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, str]]:
    """Control's world and the console's URL; anybody's key opens it, nobody is trusted."""
    folder = tmp_path_factory.mktemp("console")
    with control_of(folder) as (world, control), console_of(control, folder) as url:
        world.clock.at = time.time()
        world.job("train-a")
        world.run("train-a")
        world.write("train-a", "hello from the driver\n")
        world.job("waits")
        world.change("waits", State.QUEUED, waits_for=f"2 GPUs missing on tier gpu {EVIL}", message=EVIL)
        world.job("broke")
        world.change("broke", State.FAILED, message=f"ended with code 1 {EVIL}")
        world.models.known += MODELS
        decide_on(world)
        yield world, url


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as opened:
        yield opened


@pytest.fixture
def reader(chromium: Browser, site: tuple[World, str]) -> Iterator[Reader]:
    """An administrator; the browser complains of nothing, and asks nobody but the console."""
    person = Reader(chromium, site[1])
    person.log_in()
    expect(person.page.get_by_role("heading", level=1)).to_have_text("Overview")
    yield person
    assert person.complaints == []
    assert {url for url in person.asked if not url.startswith(site[1])} == set()
    person.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_page_loads(chromium: Browser, site: tuple[World, str], theme: str) -> None:
    person = Reader(chromium, site[1], color_scheme=theme)
    person.log_in()
    expect(person.page.get_by_role("heading", level=1)).to_have_text("Overview")
    for path, title in {**PAGES, **SINGLE}.items():
        expect(person.go(path).get_by_role("heading", level=1)).to_have_text(title)
        expect(person.page.locator("[role=alert]")).to_have_count(0)
        assert person.page.evaluate("document.documentElement.dataset.theme") == theme
    assert person.complaints == []
    person.close()


def test_a_job_that_is_submitted_appears_is_explained_and_its_page_follows_it(
    reader: Reader, site: tuple[World, str]
) -> None:
    world, _ = site
    page = reader.go("/queue")
    world.job("mine")
    world.change("mine", State.QUEUED, waits_for="1 GPUs missing on tier gpu; behind waits")
    page.get_by_role("link", name="mine", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("mine")
    expect(page.locator(".facts").first).to_contain_text("1 GPUs missing on tier gpu; behind waits")
    world.run("mine")
    world.write("mine", "first line\n")
    expect(page.locator(".now .state").first).to_have_text("running")
    expect(page.get_by_role("log")).to_contain_text("first line")
    expect(page.get_by_role("table")).to_contain_text("commodity-0")
    page.get_by_role("button", name="Stop…").click()
    page.get_by_role("button", name="Stop it").click()
    expect(page.locator(".q-notification")).to_contain_text("mine is asked to leave")
    assert world.records.get("mine").stop_requested
    world.end("mine", State.CANCELLED)
    expect(page.locator(".now .state").first).to_have_text("cancelled")
    expect(page.get_by_role("button", name="Stop…")).to_be_hidden()


def test_a_job_is_submitted_in_the_form_and_a_mistake_in_it_is_said(reader: Reader, site: tuple[World, str]) -> None:
    world, _ = site
    page = reader.go("/submit")
    page.get_by_role("button", name="Submit").click()
    expect(page.get_by_role("alert")).to_contain_text("Command: is empty")
    page.get_by_label("Command").fill("python typed.py")
    page.get_by_label("Name (made up if left out)").fill("typed")
    page.get_by_label("GPUs of each").fill("99")
    page.get_by_role("button", name="Submit").click()
    expect(page.get_by_role("alert")).to_contain_text("99 GPUs")
    page.get_by_label("GPUs of each").fill("1")
    page.get_by_label("Hours at most").fill("2")
    page.get_by_role("button", name="Submit").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("typed")
    spec = world.records.get("typed").spec
    assert (spec.entrypoint, spec.groups[0].gpus, spec.walltime_s) == ("python typed.py", 1.0, 7200.0)


def test_a_node_is_drained_after_a_look_at_who_would_move_and_put_back(reader: Reader, site: tuple[World, str]) -> None:
    world, _ = site
    page = reader.go("/nodes")
    page.get_by_role("table").get_by_role("link", name="commodity-0", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("commodity-0")
    page.get_by_label("Why").fill("bad DIMM")
    page.get_by_role("button", name="Drain…").click()
    expect(page.locator(".preview")).to_contain_text("runs to its end here")
    expect(page.locator(".preview")).to_contain_text("train-a")
    page.get_by_role("button", name="Drain commodity-0").click()
    expect(page.locator(".now")).to_contain_text("bad DIMM")
    assert world.drains.all()["commodity-0"].reason == "bad DIMM"
    reader.go("/workload/train-a")
    expect(page.locator(".facts").first).to_contain_text("node commodity-0 is being drained by")
    reader.go("/node/commodity-0")
    page.get_by_role("button", name="Put into service").click()
    expect(page.locator(".now .state")).to_have_text("ready")
    assert world.drains.all() == {}


def test_the_overview_shows_what_was_what_is_ahead_and_what_changed(reader: Reader) -> None:
    page = reader.go("/")
    expect(page.get_by_role("img", name="commodity:")).to_be_visible()
    expect(page.get_by_role("img", name="gpu:")).to_have_accessible_name(re.compile("at most 4 taken away"))
    ahead = page.get_by_role("table").filter(has_text="upgrade of switches")
    expect(ahead).to_contain_text("maintenance")
    expect(ahead).to_contain_text("2 nodes")
    expect(page.locator(".history")).to_contain_text(f"ended with code 1 {EVIL}")
    page.get_by_role("link", name="broke", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("broke")
    reader.go("/").get_by_role("link", name="All that happened").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("What happened")
    expect(page.locator(".history")).to_contain_text("broke")


def test_lineage_is_walked_by_keys_where_there_is_room_and_on_a_phone(
    chromium: Browser, site: tuple[World, str]
) -> None:
    for width, shown, hidden in ((1280, ".wide", ".tall"), (390, ".tall", ".wide")):
        person = Reader(chromium, site[1], viewport={"width": width, "height": 800})
        person.log_in()
        expect(person.page.get_by_role("heading", level=1)).to_have_text("Overview")
        page = person.go("/models")
        picture = page.locator(f".lineage {shown}").last
        expect(picture).to_be_visible()
        expect(page.locator(f".lineage {hidden}").last).to_be_hidden()
        served = picture.get_by_role("link", name="chat serves tale:2")
        served.focus()
        expect(served).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", level=1)).to_have_text("train-a")
        page = person.go("/models")
        page.get_by_text("In words").last.click()
        expect(page.locator(".lineage + details li").last).to_contain_text("tale:2 was judged: 224 of 320 right")
        assert page.locator("img").count() == 0
        person.close()


def test_the_past_is_decided_again_with_more_nodes(reader: Reader) -> None:
    page = reader.go("/simulate")
    page.get_by_label("Nodes more of gpu").fill("3")
    page.get_by_role("button", name="Decide it again").click()
    expect(page.get_by_role("table")).to_contain_text("Mean wait")
    expect(page.get_by_role("table")).to_contain_text("commodity: CPUs in use")
    page.get_by_label("Nodes more of gpu").fill("-5")
    page.get_by_role("button", name="Decide it again").click()
    expect(page.get_by_role("alert")).to_contain_text("tier gpu would have -3 nodes")


def test_who_may_only_look_is_offered_neither_a_drain_nor_a_form(chromium: Browser, site: tuple[World, str]) -> None:
    world, url = site
    person = Reader(chromium, url)
    person.log_in(world.issue("viewer-of-default", "viewer", "default"))
    expect(person.page.get_by_role("heading", level=1)).to_have_text("Overview")
    page = person.go("/node/gpu-0")
    expect(page.locator(".now .state")).to_have_text("ready")
    assert page.get_by_role("button", name="Drain…").count() == 0
    expect(person.go("/submit").locator(".empty")).to_contain_text("may look, but not submit")
    person.close()


def test_a_reason_that_is_html_is_shown_as_it_is(reader: Reader) -> None:
    page = reader.go("/queue")
    expect(page.get_by_role("table")).to_contain_text(EVIL)
    reader.go("/workload/waits")
    expect(page.locator(".facts").first).to_contain_text(EVIL)
    assert page.locator("img").count() == 0


def test_pages_are_reached_by_keys_and_the_focus_stays(reader: Reader, site: tuple[World, str]) -> None:
    world, _ = site
    page = reader.go("/")
    page.keyboard.press("g")
    page.keyboard.press("q")
    expect(page.get_by_role("heading", level=1)).to_have_text("Queue")
    link = page.get_by_role("link", name="waits", exact=True)
    link.focus()
    world.job("later")
    expect(page.get_by_role("link", name="later", exact=True)).to_be_visible()
    expect(link).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("waits")


def test_on_a_phone_nothing_is_wider_than_the_screen(chromium: Browser, site: tuple[World, str]) -> None:
    person = Reader(chromium, site[1], viewport={"width": 390, "height": 800})
    person.log_in()
    expect(person.page.get_by_role("heading", level=1)).to_have_text("Overview")
    for path in (*PAGES, *SINGLE):
        person.go(path)
        assert person.page.evaluate("document.documentElement.scrollWidth") <= 390, path
    person.close()


def test_a_wrong_key_is_refused_and_a_session_ends(chromium: Browser, site: tuple[World, str]) -> None:
    person = Reader(chromium, site[1])
    person.page.goto(f"{site[1]}/queue")
    expect(person.page.get_by_label("Your key")).to_be_visible()
    person.log_in("nobody's")
    expect(person.page.get_by_role("alert")).to_contain_text("opens nothing here")
    person.log_in(KEY)
    expect(person.page.get_by_role("heading", level=1)).to_have_text("Overview")
    person.page.get_by_role("button", name="Log out").click()
    expect(person.page.get_by_label("Your key")).to_be_visible()
    person.page.goto(f"{site[1]}/")
    expect(person.page.get_by_label("Your key")).to_be_visible()
    person.close()


def test_who_may_see_one_project_sees_nothing_of_another(chromium: Browser, site: tuple[World, str]) -> None:
    world, url = site
    world.job("theirs", project="other")
    person = Reader(chromium, url)
    person.log_in(world.issue("viewer-of-other", "viewer", "other"))
    expect(person.page.get_by_role("heading", level=1)).to_have_text("Overview")
    person.go("/queue")
    expect(person.page.get_by_role("table")).to_contain_text("theirs")
    expect(person.page.get_by_role("table")).not_to_contain_text("waits")
    person.go("/workload/train-a")
    expect(person.page.get_by_role("alert")).to_contain_text("is not in it")
    person.close()


def test_this_machine_is_trusted_only_where_the_site_says_so(site: tuple[World, str], tmp_path: Path) -> None:
    _, url = site
    form = {"local": "1"}
    assert httpx.post(f"{url}/login", data=form, trust_env=False).status_code == 400
    with control_of(tmp_path) as (_, control), console_of(control, tmp_path, "--anonymous") as trusting:
        (tmp_path / "admin.key").write_text(KEY)
        assert "local administrator" in httpx.get(f"{trusting}/login", trust_env=False).text
        entered = httpx.post(f"{trusting}/login", data=form, trust_env=False)
        assert (entered.status_code, entered.headers["location"]) == (303, "/")
        cookie = entered.headers["set-cookie"].lower()
        assert "httponly" in cookie
        assert "samesite=strict" in cookie
        assert KEY not in cookie
        elsewhere = {"Host": "evil.example"}
        assert httpx.post(f"{trusting}/login", data=form, headers=elsewhere, trust_env=False).status_code == 403
