"""One workload can neither look into another one's cluster nor join it."""

import textwrap
from pathlib import Path

import pytest

from tests.ray.live import Live

THIEF = """
import json, os, subprocess, sys, urllib.error, urllib.request

def status(token):
    headers = {{"Authorization": f"Bearer {{token}}"}} if token else {{}}
    try:
        return urllib.request.urlopen(urllib.request.Request("{jobs}", headers=headers), timeout=20).status
    except urllib.error.HTTPError as error:
        return error.code

def joins(token):
    program = "import ray; ray.init('{gcs}'); print('JOINED', sorted(n['Labels']['fabric/slice'] for n in ray.nodes()))"
    environment = {{k: v for k, v in os.environ.items() if k != "RAY_ADDRESS" and not k.startswith("RAY_JOB_CONFIG")}}
    try:
        done = subprocess.run([sys.executable, "-c", program], env=environment | {{"RAY_AUTH_TOKEN": token}},
                              capture_output=True, text=True, timeout={patience_s})
        return "JOINED ['workers-0']" in done.stdout
    except subprocess.TimeoutExpired:
        return False

tokens = {{"nobody's": None, "mine": os.environ["RAY_AUTH_TOKEN"], "the victim's": "{token}"}}
print("CALLS", json.dumps({{name: status(token) for name, token in tokens.items()}}), flush=True)
print("JOINS", json.dumps({{name: joins(token) for name, token in tokens.items() if token}}), flush=True)
"""


@pytest.mark.timeout(400)
def test_a_job_can_neither_call_anothers_dashboard_nor_join_its_cluster_unless_it_has_its_token(
    live: Live, tmp_path: Path
) -> None:
    live.ray("submit", "--no-wait", "--submission-id", "victim", "--", "sleep", "600")
    live.wait("victim", "running")
    victim = live.layout("victim-1")
    script = THIEF.format(
        jobs=f"{victim.dashboard_url}/api/jobs/",
        gcs=f"127.0.0.2:{victim.ports['gcs']}",
        token=victim.token,
        patience_s=90,
    )
    (tmp_path / "thief.py").write_text(script)
    submit = ("submit", "--submission-id", "thief", "--working-dir", str(tmp_path), "--", "python", "thief.py")
    said = live.ray(*submit, timeout_s=350).stdout
    assert """CALLS {"nobody's": 401, "mine": 403, "the victim's": 200}""" in said, said
    assert """JOINS {"mine": false, "the victim's": true}""" in said, said


def test_a_workloads_own_token_opens_nothing_of_others(live: Live, tmp_path: Path) -> None:
    live.ray("submit", "--no-wait", "--submission-id", "quiet", "--", "sleep", "600")
    (tmp_path / "ask.py").write_text(
        textwrap.dedent("""
        import os, urllib.error, urllib.request
        def status(path, method="GET"):
            request = urllib.request.Request(os.environ["FABRIC_ADDRESS"] + path, method=method,
                                             headers={"Authorization": "Bearer " + os.environ["FABRIC_TOKEN"]})
            try:
                return urllib.request.urlopen(request, timeout=10).status
            except urllib.error.HTTPError as error:
                return error.code
        print("OWN", status("/api/fabric/workloads/" + os.environ["FABRIC_WORKLOAD"]))
        print("OTHER", status("/api/fabric/workloads/quiet"), status("/api/fabric/workloads/quiet/stop", "POST"))
        """)
    )
    done = live.ray("submit", "--submission-id", "nosy", "--working-dir", str(tmp_path), "--", "python", "ask.py")
    said = done.stdout + done.stderr
    assert "OWN 200" in said, said
    assert "OTHER 403 403" in said or "OTHER 404 404" in said or "OTHER 404 403" in said, said
