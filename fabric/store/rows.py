"""Records to rows and back, without loss.

Knows nothing of connections.
"""

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from pydantic import ValidationError
from sqlalchemy import RowMapping

from fabric.core.errors import BadInput, Corrupt
from fabric.core.quantity import Bytes, MilliCpus, MilliGpus
from fabric.core.resources import Resources
from fabric.workloads.record import Event, Grant, Instants, Record, SetAside, Slice
from fabric.workloads.spec import WorkloadSpec
from fabric.workloads.states import State


def loop_columns(record: Record) -> dict[str, Any]:
    """The columns that the loop owns."""
    return {
        "state": record.state.value,
        "granted": record.at.granted,
        "cluster_ready": record.at.cluster_ready,
        "running": record.at.running,
        "ended": record.at.ended,
        "attempt": record.attempt,
        "generation": record.generation,
        "failures": record.failures,
        "preemptions": record.preemptions,
        "ran_s": record.ran_s,
        "grant": None if record.grant is None else grant_json(record.grant),
        "target": None if record.target is None else grant_json(record.target),
        "leave_by": record.leave_by,
        "resized": record.at.resized,
        "message": storable(record.message),
        "waits_for": storable(record.waits_for),
        "expected_start": record.expected_start,
        "promised_start": record.promised_start,
        "passed": record.passed,
        "promised": record.promised,
        "set_aside": None if record.set_aside is None else set_aside_json(record.set_aside),
        "condition": storable(record.condition),
        "exit_code": record.exit_code,
        "stop_reason": storable(record.stop_reason),
    }


def new_row(record: Record, idempotency_key: str | None) -> dict[str, Any]:
    """Every column of a workload that is taken in.

    Raises:
        BadInput: If its texts hold what no database can, such as half of a surrogate pair.
    """
    return {
        "name": record.name,
        "project": record.spec.project,
        "kind": record.spec.kind,
        "idempotency_key": idempotency_key,
        "spec": _spec_json(record),
        "submitted": record.at.submitted,
        "submitted_by": storable(record.submitted_by),
        "stop_requested": record.stop_requested,
        "stop_request_reason": storable(record.stop_reason) if record.stop_requested else "",
        "wants": record.wants,
        **loop_columns(record),
    }


def storable(text: str) -> str:
    """`text` with what no database holds written out: zero bytes, and halves of surrogate pairs, as in file names."""
    return text.replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode("utf-8")


def _spec_json(record: Record) -> str:
    try:
        return record.spec.model_dump_json()
    except ValueError as error:
        raise BadInput(f"the spec of {record.name} cannot be written as JSON: {error}", name=record.name) from None


def record_of(row: RowMapping) -> Record:
    """The record of a row.

    Raises:
        Corrupt: If the row is not one that this code, or an older one, wrote.
    """
    try:
        return Record(
            name=row["name"],
            spec=_spec_of(row["spec"]),
            state=State(row["state"]),
            at=_instants(row),
            attempt=row["attempt"],
            generation=row["generation"],
            failures=row["failures"],
            preemptions=row["preemptions"],
            ran_s=row["ran_s"],
            grant=None if row["grant"] is None else grant_of(row["grant"]),
            target=None if row["target"] is None else grant_of(row["target"]),
            leave_by=row["leave_by"],
            wants=row["wants"],
            message=row["message"],
            waits_for=row["waits_for"],
            expected_start=row["expected_start"],
            promised_start=row["promised_start"],
            passed=row["passed"],
            promised=row["promised"],
            set_aside=None if row["set_aside"] is None else set_aside_of(row["set_aside"]),
            condition=row["condition"],
            exit_code=row["exit_code"],
            stop_reason=row["stop_reason"] or row["stop_request_reason"],
            stop_requested=row["stop_requested"],
            submitted_by=row["submitted_by"],
        )
    except (ValidationError, ValueError, KeyError, TypeError) as error:
        said = str(error).splitlines()[0]
        raise Corrupt(f"the row of workload {row['name']} cannot be read: {said}", name=row["name"]) from error


@lru_cache(maxsize=8192)
def _spec_of(text: str) -> WorkloadSpec:
    """The spec of a row; specs never change, and checking one takes four fifths of the time that reading its row does.

    Raises:
        ValidationError: If it is none.
    """
    return WorkloadSpec.model_validate_json(text)


def _instants(row: RowMapping) -> Instants:
    return Instants(
        row["submitted"], row["granted"], row["cluster_ready"], row["running"], row["ended"], row["resized"]
    )


def event_row(event: Event, workload_id: int) -> dict[str, Any]:
    """The columns of an event."""
    return {
        "workload_id": workload_id,
        "at": event.at,
        "state": event.state.value,
        "reason": storable(event.reason),
        "attempt": event.attempt,
    }


def event_of(row: RowMapping, workload: str) -> Event:
    """The event of a row."""
    return Event(workload, row["at"], State(row["state"]), row["reason"], row["attempt"])


def grant_json(grant: Grant) -> str:
    """A grant as text; amounts in thousandths and bytes, exact."""
    return json.dumps({"reason": grant.reason, "slices": [_slice_to(part) for part in grant.slices]})


def grant_of(text: str) -> Grant:
    """The grant that `grant_json` wrote."""
    value = json.loads(text)
    return Grant(tuple(_slice_from(part) for part in value["slices"]), value["reason"])


def set_aside_json(kept: SetAside) -> str:
    """What is set aside as text; amounts in thousandths and bytes, exact."""
    parts = [[node, held.cpus.count, held.gpus.count, held.memory.count] for node, held in kept.parts]
    return json.dumps({"start": kept.start, "parts": parts})


def set_aside_of(text: str) -> SetAside:
    """What `set_aside_json` wrote."""
    value = json.loads(text)
    return SetAside(value["start"], tuple((node, _resources(*amount)) for node, *amount in value["parts"]))


def _resources(cpus: int, gpus: int, memory: int) -> Resources:
    return Resources(MilliCpus(cpus), MilliGpus(gpus), Bytes(memory))


def _slice_to(part: Slice) -> dict[str, Any]:
    return {
        "name": part.name,
        "group": part.group,
        "node": part.node,
        "tier": part.tier,
        "workers": part.workers,
        "milli_cpus": part.resources.cpus.count,
        "milli_gpus": part.resources.gpus.count,
        "memory_bytes": part.resources.memory.count,
        "head": part.head,
    }


def _slice_from(value: Mapping[str, Any]) -> Slice:
    return Slice(
        name=value["name"],
        group=value["group"],
        node=value["node"],
        tier=value["tier"],
        workers=value["workers"],
        resources=_resources(value["milli_cpus"], value["milli_gpus"], value["memory_bytes"]),
        head=value["head"],
    )
