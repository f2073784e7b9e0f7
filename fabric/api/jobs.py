"""What Ray's Jobs API takes and says, as JSON: the bodies of the stock `ray job` command and of `JobSubmissionClient`.

Knows nothing of Ray itself; a test in the ray tier compares these types with Ray's own.
"""

from typing import Any, Literal

from pydantic import Field

from fabric.config.settings import Settings

VERSION = "/api/version"
"""GET."""
JOBS = "/api/jobs"
"""GET lists, POST submits, both with a slash at the end; `/ID` GET, DELETE; `/ID/stop` POST; `/ID/logs` GET;
`/ID/logs/tail` web socket."""
PACKAGES = "/api/packages"
"""`/PROTOCOL/NAME` GET asks whether it is there, PUT uploads it."""
API_VERSION = "4"
"""Version of the Jobs API, from `ray/dashboard/modules/version.py` of Ray 2.60.0."""
RAY_VERSION = "2.60.0"
"""Ray that the clusters run; clients refuse servers that are too old."""

TIER_LABEL = "fabric/tier"
"""Label of every Ray node that says its tier, and the only key of --entrypoint-label-selector."""


class VersionInfo(Settings):
    """Answer to what clients ask first."""

    version: str = API_VERSION
    """Of the Jobs API."""
    ray_version: str = RAY_VERSION
    """Of Ray."""
    ray_commit: str = ""
    """Source revision of Ray; not ours to say."""
    session_name: str
    """Name of the site, where Ray names its session."""


class JobSubmission(Settings):
    """Body of a submission: `JobSubmitRequest` of Ray."""

    entrypoint: str
    """Shell command."""
    submission_id: str | None = None
    """Name; made up where it is left out."""
    job_id: str | None = None
    """Old name of `submission_id`."""
    runtime_env: dict[str, Any] | None = None
    """Ray runtime environment."""
    metadata: dict[str, str] | None = None
    """Free text by key; keys that begin with `fabric.` are requests to the scheduler."""
    entrypoint_num_cpus: float | None = Field(default=None, ge=0)
    """CPUs that the entrypoint holds."""
    entrypoint_num_gpus: float | None = Field(default=None, ge=0)
    """Accelerators that the entrypoint holds."""
    entrypoint_memory: int | None = Field(default=None, ge=0)
    """Bytes of memory that the entrypoint holds."""
    entrypoint_resources: dict[str, float] | None = None
    """Other resources that the entrypoint holds."""
    entrypoint_label_selector: dict[str, str] | None = None
    """Labels of the node on which the entrypoint runs."""


class JobSubmitted(Settings):
    """Answer to a submission."""

    job_id: str
    """The same as `submission_id`, for old clients."""
    submission_id: str
    """Name of the workload."""


class JobStopped(Settings):
    """Answer to a stop."""

    stopped: bool
    """Whether there was something to stop."""


class JobDeleted(Settings):
    """Answer to a deletion."""

    deleted: bool
    """Always true; a job that cannot be deleted is an error."""


class JobLogs(Settings):
    """Answer with a log: `JobLogsResponse` of Ray."""

    logs: str
    """All that was written so far, over all attempts."""


class JobDetails(Settings):
    """A job as Ray describes it."""

    type: Literal["SUBMISSION"] = "SUBMISSION"
    """Every workload was submitted."""
    job_id: str | None = None
    """Id of the driver in its Ray cluster; several attempts have several, so none is told."""
    submission_id: str
    """Name of the workload."""
    driver_info: None = None
    """Where the driver runs; see the explanation of the workload."""
    status: str
    """PENDING, RUNNING, STOPPED, SUCCEEDED or FAILED."""
    entrypoint: str
    """Shell command."""
    message: str
    """First line of the explanation."""
    error_type: str | None = None
    """Ray's word for a kind of failure; the message says it here."""
    start_time: int
    """When it ran, or was submitted where it has not run yet; milliseconds since the epoch."""
    end_time: int | None = None
    """When it ended; milliseconds since the epoch."""
    metadata: dict[str, str]
    """As given."""
    runtime_env: dict[str, Any]
    """As given."""
    driver_agent_http_address: str | None = None
    """Agent of the driver's node; logs come from the fabric instead."""
    driver_node_id: str | None = None
    """Ray's id of the driver's node."""
    driver_exit_code: int | None = None
    """Exit code of the entrypoint."""
