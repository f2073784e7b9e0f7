"""One workload can neither look into another one's cluster nor join it."""

import textwrap
from pathlib import Path

from tests.ray.live import Live


def test_a_job_can_neither_call_anothers_dashboard_nor_join_its_cluster(live: Live, tmp_path: Path) -> None:
    live.ray("submit", "--no-wait", "--submission-id", "victim", "--", "sleep", "600")
    live.wait("victim", "running")
    victim = live.layout("victim-1")
    (tmp_path / "thief.py").write_text(
        textwrap.dedent(f"""
        import os, subprocess, sys, urllib.error, urllib.request
        def status(url, token=None):
            headers = {{"Authorization": f"Bearer {{token}}"}} if token else {{}}
            try:
                return urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=10).status
            except urllib.error.HTTPError as error:
                return error.code
        jobs = "{victim.dashboard_url}/api/jobs/"
        print("ANON", status(jobs), "MINE", status(jobs, os.environ["RAY_AUTH_TOKEN"]), flush=True)
        join = [sys.executable, "-c", "import ray; ray.init('127.0.0.2:{victim.ports["gcs"]}'); print('JOINED')"]
        environment = {{k: v for k, v in os.environ.items() if k != "RAY_ADDRESS"}}
        try:
            done = subprocess.run(join, env=environment, capture_output=True, text=True, timeout=45)
            print("JOIN", "JOINED" in done.stdout, flush=True)
        except subprocess.TimeoutExpired:
            print("JOIN False", flush=True)
        """)
    )
    done = live.ray("submit", "--submission-id", "thief", "--working-dir", str(tmp_path), "--", "python", "thief.py")
    said = done.stdout + done.stderr
    assert "ANON 401 MINE 403" in said or "ANON 401 MINE 401" in said, said
    assert "JOIN False" in said, said
    live.ray("stop", "victim")
    live.wait("victim", "cancelled")


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
    live.ray("stop", "quiet")
