"""Ray's Jobs API, answered from the records, so that the stock `ray job` works against the fabric.

Knows nothing of Ray; paths, bodies and statuses are those of `ray/dashboard/modules/job/job_head.py` of Ray 2.60.0.
"""

import json
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.responses import JSONResponse, PlainTextResponse

from fabric.api.description import fails
from fabric.api.jobs import (
    JOBS,
    VERSION,
    JobDeleted,
    JobDetails,
    JobStopped,
    JobSubmission,
    JobSubmitted,
    VersionInfo,
)
from fabric.control.callers import Caller, Permission
from fabric.control.discretion import Reads
from fabric.control.http.auth import Guard
from fabric.control.http.bodies import Sent, body_of, json_of, takes
from fabric.control.http.errors import for_ray
from fabric.control.service import Service
from fabric.control.views import job_details
from fabric.core.errors import BadInput, Conflict, NotFound
from fabric.workloads.record import Record
from fabric.workloads.states import RAY_STATUS

MOST_LISTED = 10_000
"""Jobs in one list; older ones are left out."""

_NOT_ENDED: dict[int | str, dict[str, Any]] = {
    500: {
        "description": "The job has not ended, in Ray's words; 409 for who asks for JSON",
        "content": {"text/plain": {"schema": {"type": "string"}}},
    }
}


def jobs_router(service: Service, guard: Guard) -> APIRouter:
    """Routes of Ray's Jobs API, other than logs."""
    router = APIRouter(tags=["ray jobs"])
    known, look, change = (guard.needs(p) for p in (Permission.KNOWN, Permission.LOOK, Permission.CHANGE))

    @router.get(VERSION, response_model=VersionInfo)
    def version(caller: Caller = known) -> Response:
        return json_of(VersionInfo(session_name=service.site.name))

    @router.post(JOBS, include_in_schema=False)
    @router.post(f"{JOBS}/", response_model=JobSubmitted, responses=fails(404, 409))
    def submit(caller: Caller = change, asked: Sent[JobSubmission] = takes(JobSubmission)) -> Response:
        name = _submitted(service, _submission(asked.raw), caller)
        return json_of(JobSubmitted(job_id=name, submission_id=name))

    @router.get(JOBS, include_in_schema=False)
    @router.get(f"{JOBS}/", response_model=list[JobDetails])
    def list_jobs(caller: Caller = look) -> Response:
        jobs = service.list(caller, limit=MOST_LISTED, kind="job")
        read = service.discretion.towards(caller)
        return JSONResponse([_details(record, caller, read) for record in jobs])

    @router.get(f"{JOBS}/{{job}}", response_model=JobDetails)
    def get_job(job: str, caller: Caller = look) -> Response:
        return JSONResponse(_details(find_job(service, job, caller), caller, service.discretion.towards(caller)))

    @router.post(f"{JOBS}/{{job}}/stop", response_model=JobStopped)
    def stop(job: str, caller: Caller = change) -> Response:
        return json_of(JobStopped(stopped=_stopped(service, job, caller)))

    @router.delete(f"{JOBS}/{{job}}", response_model=JobDeleted, responses=fails(409) | _NOT_ENDED)
    def delete(request: Request, job: str, caller: Caller = change) -> Response:
        record = find_job(service, job, caller)
        try:
            service.delete(job, caller)
        except Conflict as error:
            if record.state.final or not for_ray(request):
                raise
            # Ray answers 500 here, and its clients tell people the text.
            status = RAY_STATUS[record.state]
            text = f"Attempted to delete job '{job}', but it is in a non-terminal state {status}. {error.message}."
            return PlainTextResponse(text, 500)
        return json_of(JobDeleted(deleted=True))

    return router


def find_job(service: Service, name: str, caller: Caller) -> Record:
    """The job called `name`.

    Raises:
        NotFound: In Ray's words, if there is none or it is a service.
    """
    try:
        record = service.get(name, caller)
    except NotFound:
        raise NotFound(f"Job {name} does not exist", workload=name) from None
    if record.spec.kind != "job":
        raise NotFound(f"Job {name} does not exist: {name} is a service", workload=name)
    return record


def _submission(raw: bytes) -> JobSubmission:
    """Read a submission; fields that are null count as left out, as in Ray.

    Raises:
        BadInput: If it is none.
    """
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"body: is no JSON: {error}") from None
    if isinstance(document, dict):
        raw = json.dumps({key: value for key, value in document.items() if value is not None}).encode()
    return body_of(raw, JobSubmission)


def _submitted(service: Service, submission: JobSubmission, caller: Caller) -> str:
    """Take in a job and return its name.

    Raises:
        BadInput: In Ray's words, if the name is taken.
    """
    try:
        return service.submit_job(submission, caller).name
    except Conflict:
        raise BadInput(
            f"Job with submission_id {submission.submission_id or submission.job_id} already exists. "
            "Please use a different submission_id."
        ) from None


def _stopped(service: Service, name: str, caller: Caller) -> bool:
    """Ask a job to leave; whether there was something to stop."""
    find_job(service, name, caller)
    try:
        service.stop(name, caller)
    except Conflict:
        return False
    return True


def _details(record: Record, caller: Caller, read: Reads) -> dict[str, Any]:
    told: dict[str, Any] = job_details(record, caller.may(Permission.CHANGE), read).model_dump(mode="json")
    return told
