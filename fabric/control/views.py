"""Records and nodes as people, and as Ray's own clients, see them.

Knows nothing of stores or HTTP: values in, values out.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from fabric.api.admin import ElementView, EventView, NodeView, NumaView, ProgressView, SliceView, WorkloadView
from fabric.api.gateway import SERVED
from fabric.api.jobs import JobDetails
from fabric.api.nodes import DrainView
from fabric.api.overview import Amounts
from fabric.api.use import UseView
from fabric.config.site import Site
from fabric.control.discretion import Reads
from fabric.control.spec_from_ray import WORKLOAD
from fabric.core.numa import Note, Numa
from fabric.core.resources import Resources
from fabric.scheduler.snapshot import Node
from fabric.workloads.record import Event, Record, Slice
from fabric.workloads.spec import ArraySpec
from fabric.workloads.states import RAY_STATUS, State

ANSWERS = frozenset({State.RUNNING, State.RESIZING})
"""States in which a service may answer; one that is resized goes on."""

NOTHING_TOLD = ProgressView()
"""Of a workload that is gone by now, or tells nothing of itself."""

_HIDDEN = "<hidden>"


def message_of(record: Record) -> str:
    """First line of the explanation: of a queued workload what is missing, who is ahead and when it should start."""
    if record.state is not State.QUEUED:
        return _first_line(record.message)
    if record.stop_requested:
        return "is being cancelled"
    parts = [f"waits: {_first_line(record.waits_for) or 'the scheduler has not looked at it yet'}"]
    if record.attempt > 1 and record.message:
        parts.insert(0, _first_line(record.message))
    if record.expected_start is not None:
        word = "promised to start by" if record.promised else "expected start"
        parts.append(f"{word} {clock_time(record.expected_start)}")
    elif record.waits_for:
        parts.append("its start cannot be foreseen yet")
    return "; ".join(parts)


def shown_metadata(metadata: Mapping[str, str]) -> dict[str, str]:
    """Metadata without a whole spec, which may hold values of environment variables."""
    return {key: _HIDDEN if key == WORKLOAD else value for key, value in metadata.items()}


def amounts_of(resources: Resources) -> Amounts:
    """Resources as people see them."""
    return Amounts(cpus=resources.cpus.whole(), gpus=resources.gpus.whole(), memory_bytes=resources.memory.count)


def clock_time(instant: float) -> str:
    """An instant (seconds since the epoch) for people, such as `2026-07-05 14:03:20 UTC`."""
    try:
        return f"{datetime.fromtimestamp(instant, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (OverflowError, ValueError, OSError):
        return "never"


def workload_view(
    record: Record, progress: ProgressView, endpoint: str | None, read: Reads = str, *, use: UseView | None = None
) -> WorkloadView:
    """A record as the admin API shows it.

    Args:
        record: The workload.
        progress: What it told of itself.
        endpoint: Where it answers.
        read: What the reader is shown of a text.
        use: What it uses of its grant.
    """
    at, spec = record.at, record.spec
    return WorkloadView(
        name=record.name, project=spec.project, kind=spec.kind, state=str(record.state), priority=str(spec.priority),
        entrypoint=spec.entrypoint, attempt=record.attempt, failures=record.failures, preemptions=record.preemptions,
        message=read(message_of(record)), leave_by=record.leave_by, **_sizes(record),
        after=spec.after, array=_element_view(spec.array),
        condition=record.condition, submitted_by=record.submitted_by, submitted_at=at.submitted, granted_at=at.granted,
        cluster_ready_at=at.cluster_ready, running_at=at.running, ended_at=at.ended,
        expected_start=record.expected_start if record.state is State.QUEUED else None,
        promised=record.promised and record.state is State.QUEUED, promised_start=record.promised_start,
        exit_code=record.exit_code,
        slices=tuple(slice_view(part) for part in record.grant.slices) if record.grant else (),
        metadata=shown_metadata(spec.metadata), progress=progress, endpoint=endpoint,
        use=None if use is None else use.brief(),
    )  # fmt: skip


def endpoint_of(record: Record, site: Site) -> str | None:
    """Where a ready service answers: at the gateway, under its model's name or its deployment's."""
    if record.spec.kind != "service" or record.state not in ANSWERS or record.condition != "ready":
        return None
    serve = record.spec.serve
    path = f"{SERVED}/{record.spec.project}/{serve.deployment}" if serve else "/v1"
    return site.url(site.ports.gateway) + path


def _element_view(array: ArraySpec | None) -> ElementView | None:
    return None if array is None else ElementView(name=array.name, index=array.index or 0, size=array.size)


def _sizes(record: Record) -> dict[str, int | None]:
    """How many workers it has, becomes, wants and may have."""
    group, grant = record.spec.elastic, record.grant if record.state.holds_grant else None
    if group is None:
        workers = sum(part.workers for part in grant.slices if not part.only_head) if grant else None
        return {"workers": workers}
    return {
        "workers": grant.size(group.name) if grant else None,
        "becomes": record.target.size(group.name) if record.target else None,
        "wants": record.wants,
        "least": group.least,
        "most": group.most,
    }


def slice_view(part: Slice) -> SliceView:
    """One slice of a grant."""
    held = part.resources
    return SliceView(
        name=part.name, group=part.group, node=part.node, tier=part.tier, workers=part.workers,
        cpus=held.cpus.whole(), gpus=held.gpus.whole(), memory_bytes=held.memory.count, head=part.head,
    )  # fmt: skip


def event_view(event: Event, read: Reads = str) -> EventView:
    """One line of history; `read` is what the reader is shown of a text."""
    return EventView(at=event.at, state=str(event.state), reason=read(event.reason), attempt=event.attempt)


def node_views(
    nodes: Iterable[Node],
    records: Sequence[Record],
    drains: Mapping[str, DrainView],
    project: str | None = None,
    *,
    notes: Mapping[str, Note],
) -> tuple[NodeView, ...]:
    """Every node with what is granted on it.

    Args:
        nodes: Of the site.
        records: Those that may hold a grant.
        drains: Who drains it, by node.
        project: Whose work is named; None for everybody's.
        notes: What the backend says of nodes, by name.
    """
    on_node: dict[str, list[tuple[Record, Slice]]] = {}
    for record in records:
        if record.grant is not None and record.state.holds_grant:
            for part in record.grant.slices:
                on_node.setdefault(part.node, []).append((record, part))
    ordered = sorted(nodes, key=lambda n: n.name)
    return tuple(
        _node_view(node, on_node.get(node.name, []), drains.get(node.name), project, note=notes.get(node.name, Note()))
        for node in ordered
    )


def _node_view(
    node: Node, held: Sequence[tuple[Record, Slice]], drain: DrainView | None, project: str | None, *, note: Note
) -> NodeView:
    used = sum((part.resources for _, part in held), Resources())
    here = {record.name: project in (None, record.spec.project) for record, _ in held}
    return NodeView(
        name=node.name, tier=node.tier, state=str(node.state), heads=node.heads, capacity=_amounts(node.capacity),
        used=_amounts(used), drain=drain, workloads=tuple(sorted(name for name, named in here.items() if named)),
        others=len(here) - sum(here.values()), said=note.said, numa=_numa_view(note.numa),
    )  # fmt: skip


def _numa_view(numa: Numa | None) -> NumaView | None:
    if numa is None:
        return None
    return NumaView(
        nodes=len(numa.nodes), with_cores=numa.with_cores, of_accelerators=numa.of_accelerators, mode=numa.mode
    )  # fmt: skip


def _amounts(resources: Resources) -> dict[str, float]:
    return {
        "cpus": resources.cpus.whole(),
        "gpus": resources.gpus.whole(),
        "memory_bytes": float(resources.memory.count),
    }


def job_details(record: Record, secrets: bool, read: Reads = str) -> JobDetails:
    """A job as Ray's clients expect it.

    Args:
        record: A job, not a service.
        secrets: Whether the caller may see the values of environment variables.
        read: What the caller is shown of a text.
    """
    at = record.at
    runtime_env = dict(record.spec.runtime_env)
    if not secrets and isinstance(runtime_env.get("env_vars"), dict):
        runtime_env["env_vars"] = dict.fromkeys(runtime_env["env_vars"], _HIDDEN)
    return JobDetails(
        submission_id=record.name,
        status=RAY_STATUS[record.state],
        entrypoint=record.spec.entrypoint,
        message=read(message_of(record)),
        start_time=_milliseconds(at.submitted if at.running is None else at.running),
        end_time=None if at.ended is None else _milliseconds(at.ended),
        metadata=record.spec.metadata if secrets else shown_metadata(record.spec.metadata),
        runtime_env=runtime_env,
        driver_exit_code=record.exit_code,
    )


def _milliseconds(instant: float) -> int:
    return int(instant * 1000)


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0]
