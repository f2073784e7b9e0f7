"""Ray's own dashboard of a running workload, through control."""

import re

import httpx

from tests.ray.live import Live


def test_the_dashboard_of_a_running_job_is_shown_and_its_token_is_not(live: Live) -> None:
    live.ray("submit", "--submission-id", "shown", "--no-wait", "--", "sleep", "120")
    live.wait("shown", "running")
    token = live.layout("shown-1").token
    with httpx.Client(base_url=live.address, trust_env=False, follow_redirects=True, timeout=30.0) as browser:
        address = live.fabric("dashboard", "shown").stdout.strip()
        page = browser.get(address)
        assert page.url.path == "/dashboard/shown/"
        assert "<title>Ray Dashboard</title>" in page.text
        script = re.search(r'src="\./(static/[^"]+\.js)"', page.text)
        assert script is not None
        assert (
            browser.get(page.url.join(script[1]))
            .headers["content-type"]
            .startswith(("text/javascript", "application/javascript"))
        )
        jobs = browser.get(page.url.join("api/jobs/"))
        assert [job["submission_id"] for job in jobs.json()] == ["shown-1"]
        nodes = browser.get(page.url.join("nodes?view=summary"))
        assert nodes.json()["data"]["summary"]
        assert all(token not in answer.text + str(answer.headers) for answer in (page, jobs, nodes))
        assert browser.post(page.url.join("api/jobs/shown-1/stop")).status_code == 405
    stranger = httpx.get(page.url, headers={"Authorization": "Bearer nobody's"}, trust_env=False)
    assert stranger.status_code == 401
