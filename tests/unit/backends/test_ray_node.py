"""A Ray node takes along whatever descends from it, however that hid."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]

# Numbers of seconds that no other process of this machine sleeps, so that these can be told.
HIDDEN = tuple(str(10_000_000 + 10 * os.getpid() + number) for number in range(3))

# A Ray node of one part, which starts what a driver might: a child without marks, one that is nobody's child any more,
# one that does not listen, and one that ends by itself.
DRIVER = f"""
env -i /bin/sleep {HIDDEN[0]} &
setsid sh -c 'env -i /bin/sleep {HIDDEN[1]} >/dev/null 2>&1 &'
setsid sh -c 'trap "" TERM; env -i /bin/sleep {HIDDEN[2]} &'
setsid true &
sleep 0.2
echo started
exec /bin/sleep SECONDS
"""
NODE = """
import json, os, subprocess, sys
from pathlib import Path
from types import SimpleNamespace
from fabric.backends.local import ray_node

class Node:
    def __init__(self, driver):
        self.part = subprocess.Popen(["sh", "-c", driver], stdout=subprocess.PIPE)
        self.part.stdout.readline()
        self.all_processes = {"driver": [SimpleNamespace(process=self.part)]}
        print("up", flush=True)

    def dead_processes(self):
        return [("driver", self.part)] if self.part.poll() is not None else []

    def kill_all_processes(self, **how):
        self.part.kill()

ray_node._start = lambda settings: Node(settings["driver"])
sys.exit(ray_node.main(Path(sys.argv[1])))
"""


def hidden() -> dict[str, int]:
    """Processes that hid from the marks: how long they sleep, and their numbers."""
    listed = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True).stdout.splitlines()
    words = (line.split() for line in listed)
    return {line[2]: int(line[0]) for line in words if line[1:2] == ["/bin/sleep"] and line[2] in HIDDEN}


@pytest.mark.ray  # the settling that it waits for takes seconds
@pytest.mark.parametrize(("seconds", "code"), [("3010", 0), ("0.5", 1)], ids=["asked to end", "a part is lost"])
def test_what_hid_from_the_marks_ends_with_its_ray_node(tmp_path: Path, seconds: str, code: int) -> None:
    config = tmp_path / "node.json"
    config.write_text(json.dumps({"head": True, "driver": DRIVER.replace("SECONDS", seconds)}))
    command = [sys.executable, "-c", NODE, str(config)]
    node = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert node.stdout is not None
        assert node.stdout.readline() == "up\n"
        assert sorted(hidden()) == sorted(HIDDEN)
        if code == 0:
            node.terminate()
        assert node.wait(timeout=20) == code
        assert hidden() == {}
    finally:
        node.kill()
        for pid in hidden().values():
            os.kill(pid, signal.SIGKILL)
        node.communicate()


@pytest.mark.slow
def test_adopted_children_do_not_stay_zombies() -> None:
    program = """
import os, subprocess, time
from fabric.backends.local import processes

def children():
    subprocess.run(["ps", "--ppid", str(os.getpid()), "-o", "stat=,comm="])

processes.adopt_orphans()
own = subprocess.Popen(["false"])
subprocess.run(["sh", "-c", "sleep 0.1 & true"])
time.sleep(0.5)
children()
processes.reap_orphans({own.pid})
own.poll()
processes.reap_orphans(set())
print("then", flush=True)
children()
print(own.returncode)
"""
    command = [sys.executable, "-c", program]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=20)
    before, _, after = ran.stdout.partition("then\n")
    assert ("Z", "sleep") in {(line[0], line.split()[1]) for line in before.splitlines()}
    assert not any(line.startswith("Z") for line in after.splitlines())
    assert after.splitlines()[-1] == "1", "the status of an own child is left to its owner"
