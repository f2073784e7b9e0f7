"""A control of its own over sleeping Ray nodes, for load: filled, measured and killed from outside.

Knows nothing of what is asked of it.
"""

import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
from sqlalchemy import insert

from fabric.config import env
from fabric.store.database import open_store
from fabric.store.rows import new_row
from fabric.store.schema import WORKLOADS
from fabric.workloads.record import Instants, Record
from fabric.workloads.spec import Group, WorkloadSpec
from fabric.workloads.states import State
from scripts.benches._load_client import Request
from tests.controls import SITE, Control, end_sleepers, sleepers, until

ROOT = Path(__file__).resolve().parents[2]
WORKLOADS_PATH = "/api/fabric/workloads"
STEP = "fabric_loop_step_seconds"
"""Histogram of control's own metrics with the seconds of each step of its loop."""
_BUCKET = re.compile(rf'^{STEP}_bucket{{[^}}]*le="([^"]+)"[^}}]*}} (\S+)$', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Loaded:
    """One control under load."""

    control: Control

    @property
    def key(self) -> str:
        """Its administrator's."""
        return (self.control.state / env.ADMIN_KEY_FILE).read_text().strip()

    def ask(self, path: str, **query: Any) -> httpx.Response:
        """One question, however long it takes."""
        shown = {"Authorization": f"Bearer {self.key}"}
        found = httpx.get(self.control.address + path, params=query, headers=shown, timeout=120.0, trust_env=False)
        return found.raise_for_status()

    def rss_mib(self) -> float:
        """Memory of the process, in MiB."""
        pid = self.control.process.pid if self.control.process else None
        return round(psutil.Process(pid).memory_info().rss / 2**20, 1)

    def steps(self) -> dict[float, float] | None:
        """How many steps of the loop took at most so many seconds; None where control does not say."""
        try:
            return buckets(self.ask("/metrics").text)
        except httpx.HTTPStatusError:
            return None


@contextmanager
def loaded(
    tiers: Sequence[Mapping[str, Any]] | None = None, before: Callable[[Path], None] | None = None
) -> Iterator[Loaded]:
    """A control that answers; nothing of it is left afterwards.

    Args:
        tiers: Of its site; left out, some that are full after 20 jobs.
        before: Called with its state folder before it starts.
    """
    folder = Path(tempfile.mkdtemp(prefix="fab-load-"))
    site = {**SITE, **({} if tiers is None else {"tiers": list(tiers)})}
    control = Control(folder / "state", site=site)
    try:
        if before is not None:
            before(control.state)
        control.up()
        yield Loaded(control)
    finally:
        if control.process is not None:
            control.kill()
        end_sleepers(control.state)
        until(lambda: not _left(control.state), 30.0, lambda: "processes of clusters stay")
        shutil.rmtree(folder, ignore_errors=True)


def _left(state: Path) -> bool:
    end_sleepers(state)
    return bool(sleepers(state))


def submission(word: str, entrypoint: str = "sleep 100000", **group: Any) -> Request:
    """A job of a made-up name that is told apart by a word, taken in once however often it is asked."""
    spec = {
        "entrypoint": entrypoint, "metadata": {"word": word},
        "groups": [{"cpus": 1.0, "memory": "256 MiB", **group}],
    }  # fmt: skip
    return Request(WORKLOADS_PATH, {"spec": spec}, {"Idempotency-Key": word})


def filled(state: Path, count: int) -> None:
    """Put so many waiting jobs into the records of a control that does not run yet."""
    engine, now = open_store(state), time.time()
    rows = []
    for i in range(count):
        group = Group(count=1 + i % 3, cpus=1.0 + i % 4, memory="1 GiB")
        spec = WorkloadSpec(
            name=f"waits-{i:05d}", entrypoint="sleep 100000", groups=(group,), walltime_s=3600.0 * (1 + i % 5)
        )
        rows.append(new_row(Record(spec.name or "", spec, State.QUEUED, Instants(now - count + i)), None))
    with engine.begin() as connection:
        connection.execute(insert(WORKLOADS), rows)
    engine.dispose()


def buckets(text: str) -> dict[float, float] | None:
    """The cumulative counts of the loop's steps by their upper bound in seconds; None where they are not told."""
    found = {float(bound): float(count) for bound, count in _BUCKET.findall(text)}
    return found or None


def within(before: Mapping[float, float], after: Mapping[float, float], share: float) -> float | None:
    """The bound in seconds below which so large a share of the steps between two looks was; None without any step."""
    new = {bound: count - before.get(bound, 0.0) for bound, count in sorted(after.items())}
    total = max(new.values(), default=0.0)
    return next((bound for bound, count in new.items() if total and count >= share * total), None)


def circumstances() -> dict[str, Any]:
    """Where and on which code this is measured."""
    told = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return {
        "commit": told.stdout.strip(),
        "at": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "cpus": os.cpu_count(),
        "nice": os.nice(0),
        "machine_load": round(os.getloadavg()[0], 2),
    }
