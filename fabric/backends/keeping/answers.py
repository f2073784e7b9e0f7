"""What a Ray head's answers about its entrypoint or its services come to.

Knows nothing of clusters: values in, values out.
"""

from collections.abc import Collection, Mapping
from typing import Any

from fabric.scheduler.ports import Outcome


def still_serves(applications: Collection[Mapping[str, Any]]) -> bool:
    """Whether every application that Serve changes just now has replicas that answer."""
    return bool(applications) and all(
        app["status"] == "RUNNING"
        or (
            app["status"] == "DEPLOYING"
            and all(
                any(replica.get("state") == "RUNNING" for replica in deployment.get("replicas", ()))
                for deployment in app.get("deployments", {}).values()
            )
        )
        for app in applications
    )


def message_of(outcome: Outcome, job: Mapping[str, Any]) -> str:
    """What is said of an entrypoint: one word while all is well, Ray's own message otherwise."""
    words = {Outcome.RUNNING: "running", Outcome.SUCCEEDED: "succeeded", Outcome.STOPPED: "stopped"}
    if outcome in words:
        return words[outcome]
    return str(job.get("message") or outcome).strip()[:4000]
