"""A console as a process, with a control behind it that has real records and no cluster; and a browser to look at it.

Knows nothing of what is tested.
"""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from playwright.sync_api import Browser, Page, expect, sync_playwright

from fabric.config import env
from fabric.store.database import open_store
from tests.ray.serve_rig import free_port, wait
from tests.unit.control.world import World

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = Path("/usr/bin/chromium")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run",
)  # fmt: skip
KEY = "key-of-the-administrator"


@contextmanager
def control_of(folder: Path) -> Iterator[tuple[World, str]]:
    """A world whose app answers on a socket; and its URL."""
    engine = open_store(folder)
    # With a transport of its own the world has an app of its own, too, beside those of other worlds.
    world = World(folder, engine, anonymous=False, carrier=httpx.AsyncHTTPTransport())
    world.issue(KEY, "admin")
    config = uvicorn.Config(world.app, host="127.0.0.1", port=free_port(), log_level="warning")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait("control", lambda: server.started, longest_s=30)
    try:
        yield world, f"http://127.0.0.1:{config.port}"
    finally:
        server.should_exit = True
        thread.join(timeout=20)
        engine.dispose()


@contextmanager
def console_of(control: str, folder: Path, *more: str, gateway: str = "http://127.0.0.1:1") -> Iterator[str]:
    """A console for that control; its URL."""
    port, log = free_port(), folder / "console.log"
    command = [
        sys.executable, "-m", "fabric.console", "--port", str(port), "--control", control, "--gateway", gateway,
        "--state", str(folder), "--refresh", "0.5", *more,
    ]  # fmt: skip
    with log.open("ab") as out:
        process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=_environment()
        )
    url = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        if process.poll() is not None:
            raise RuntimeError(log.read_text()[-3000:])
        try:
            return httpx.get(f"{url}/health", timeout=5, trust_env=False).is_success
        except httpx.HTTPError:
            return False

    try:
        wait("the console", answers, longest_s=90)
        yield url
    finally:
        process.terminate()
        process.wait(20)


def _environment() -> dict[str, str]:
    """Ours, without what makes the pages' framework believe that it is inside a test."""
    return {name: value for name, value in env.inherited().items() if not name.startswith("PYTEST_")}


@contextmanager
def browser() -> Iterator[Browser]:
    """Chromium as the system has it."""
    expect.set_options(timeout=30_000)
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=str(CHROMIUM), args=list(FLAGS))
        yield opened
        opened.close()


class Reader:
    """A person at a browser, and what the browser complained of."""

    def __init__(self, opened: Browser, url: str, **context: Any) -> None:
        self.url = url
        self._context = opened.new_context(**context)
        self._context.set_default_timeout(30_000)
        self.page: Page = self._context.new_page()
        self.complaints: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda said: self.complaints.append(said.text) if said.type == "error" else None)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))

    def log_in(self, key: str = KEY) -> None:
        """Show a key."""
        self.page.goto(f"{self.url}/login")
        self.page.get_by_label("Your key").fill(key)
        self.page.get_by_role("button", name="Log in").click()

    def go(self, path: str) -> Page:
        """Open a page, and wait until it is live."""
        self.page.goto(f"{self.url}{path}")
        self.page.get_by_role("heading", level=1).wait_for()
        return self.page

    def close(self) -> None:
        """Leave."""
        self._context.close()
