"""A job that counts on the disk until it is told that it is enough, and takes its time to leave when asked to.

Knows nothing of what happens to it meanwhile.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from tests.ray.live import Live, until

SCRIPT = """
import os, pathlib, signal, sys, time
folder = pathlib.Path(os.environ["FABRIC_ARTIFACTS"].removeprefix("file://")) / "count"
folder.mkdir(parents=True, exist_ok=True)

def on_notice(*_):
    (folder / "asked").touch()
    while not (folder / "may-leave").exists():
        time.sleep(0.05)
    (folder / "saved").touch()
    sys.exit(0)

signal.signal(signal.SIGTERM, on_notice)
done = sorted(int(p.name) for p in folder.iterdir() if p.name.isdigit())
step = (done[-1] + 1) if done else 0
print(f"attempt {os.environ['FABRIC_ATTEMPT']} starts at {step}", flush=True)
while not (folder / "enough").exists():
    time.sleep(0.1)
    partial = folder / f"{step}.partial"
    partial.touch()
    partial.replace(folder / str(step))
    print(f"line {step}", flush=True)
    step += 1
print("all done", flush=True)
"""


@dataclass(frozen=True)
class Count:
    """The job, and what it leaves on the disk."""

    live: Live

    @property
    def folder(self) -> Path:
        """Where it counts, and is told."""
        return self.live.state / "artifacts" / "default" / "count"

    def steps(self) -> list[int]:
        """Steps on the disk."""
        return sorted(int(p.name) for p in self.folder.iterdir() if p.name.isdigit()) if self.folder.exists() else []

    def goes_on(self, steps: int = 5, within_s: float = 150.0) -> None:
        """Wait until it has taken so many more steps."""
        goal = len(self.steps()) + steps
        until(lambda: len(self.steps()) >= goal, within_s, lambda: self.live.explained("count"))

    def tell(self, what: str) -> None:
        """Tell it `enough` or `may-leave`."""
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / what).touch()

    def has(self, what: str) -> bool:
        """Whether it was `asked` to leave, or has `saved`."""
        return (self.folder / what).exists()

    def lines(self) -> tuple[list[str], list[int]]:
        """What the fabric keeps of its output: how often it started, and the steps that it told."""
        log = self.live.ray("logs", "count").stdout
        return re.findall(r"attempt \d+ starts at \d+", log), [int(n) for n in re.findall(r"^line (\d+)", log, re.M)]


def submit(live: Live, folder: Path) -> Count:
    """Submit it, on a slice of each tier; it may lose two attempts."""
    (folder / "count.py").write_text(SCRIPT)
    live.ray(
        "submit", "--no-wait", "--submission-id", "count", "--working-dir", str(folder),
        "--metadata-json", '{"fabric.max_failures": "2"}', "--entrypoint-num-gpus", "1",
        "--", "python", "count.py",
    )  # fmt: skip
    return Count(live)
