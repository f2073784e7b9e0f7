"""What a run leaves behind is found, however it hid, and ended; what is not of the run is let alone."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]

# A child that stays, one that has lost both its parent and the marker, one that ends by itself, and one of somebody's.
RUNNER = """
import json, os, subprocess
from scripts.leftovers import adopt_orphans, end, find, reap

adopt_orphans()
marked = {**os.environ, "FABRIC_TEST_RUN": "abc"}
stays = subprocess.Popen(["sleep", "3001"], env=marked)
subprocess.run(["sh", "-c", "setsid env -i /bin/sleep 3002 >/dev/null 2>&1 &"], env=marked)
subprocess.Popen(["true"], env=marked)
theirs = subprocess.Popen(["sleep", "3003"], env=marked)
spared = lambda: [theirs.pid]
found = find("FABRIC_TEST_RUN", "abc", 0.5, spared)
end(found)
left = find("FABRIC_TEST_RUN", "abc", 0.0, spared), find("FABRIC_TEST_RUN", "abc", 0.0)
theirs.kill()
print(json.dumps([sorted(p.command for p in each) for each in (found, *left)]))
"""


@pytest.mark.slow
def test_processes_left_behind_are_found_by_marker_or_descent_and_ended() -> None:
    python = [sys.executable, "-c", RUNNER]
    ran = subprocess.run(python, cwd=ROOT, capture_output=True, text=True, check=True, timeout=30)
    # Of all processes of this machine, these two and no others.
    assert json.loads(ran.stdout) == [["/bin/sleep 3002", "sleep 3001"], [], ["sleep 3003"]]
