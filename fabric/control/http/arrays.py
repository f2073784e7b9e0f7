"""Arrays of jobs over HTTP.

Knows nothing of how anything is done; bodies are those of `fabric.api.arrays`.
"""

from fastapi import APIRouter, Header, Response

from fabric.api.admin import SubmitRequest
from fabric.api.arrays import ARRAYS, ArrayView
from fabric.api.description import fails
from fabric.control.callers import Caller, Permission
from fabric.control.http.auth import Guard
from fabric.control.http.bodies import Sent, json_of, takes
from fabric.control.service import Service


def arrays_router(service: Service, guard: Guard) -> APIRouter:
    """Routes about arrays as a whole; each element is a workload with that one's routes."""
    router = APIRouter(prefix=ARRAYS, tags=["workloads"])
    look, change = (guard.needs(p) for p in (Permission.LOOK, Permission.CHANGE))

    @router.post("", response_model=ArrayView, responses=fails(404, 409))
    def submit(
        caller: Caller = change,
        asked: Sent[SubmitRequest] = takes(SubmitRequest),
        idempotency_key: str | None = Header(default=None, max_length=200),
    ) -> Response:
        return json_of(service.arrays.submit(asked.read().spec, caller, idempotency_key))

    @router.get("/{array}", response_model=ArrayView)
    def get(array: str, elements: bool = True, caller: Caller = look) -> Response:
        return json_of(service.arrays.get(array, caller, elements=elements))

    @router.post("/{array}/stop", response_model=ArrayView, responses=fails(409))
    def stop(array: str, caller: Caller = change) -> Response:
        return json_of(service.arrays.stop(array, caller))

    @router.delete("/{array}", status_code=204, responses=fails(409))
    def delete(array: str, caller: Caller = change) -> Response:
        service.arrays.delete(array, caller)
        return Response(status_code=204)

    return router
