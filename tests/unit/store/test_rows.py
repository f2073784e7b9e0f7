"""Records survive being written, whatever is in them."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fabric.core.quantity import Bytes, MilliCpus, MilliGpus
from fabric.core.resources import Resources
from fabric.store.database import open_store
from fabric.store.records import SqlRecords
from fabric.workloads.record import Grant, Instants, Record, Slice
from fabric.workloads.spec import Group, Priority, ServiceSpec, WorkloadSpec
from fabric.workloads.states import State

names = st.sampled_from(["a", "B-1", "c_2.d", "0"])
texts = st.sampled_from(
    ["", "a", "'; DROP TABLE workloads; --", "ü\n\t\u2028", "\0", "\ufffe", "🙂", '{"a": 1}', "%s ?"]
)
lines = texts.filter(lambda text: "\0" not in text)
"""Texts of columns; a zero byte is written out there."""
amounts = st.integers(0, 2**50)
seconds = st.floats(0, 1e10, allow_nan=False)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts, lambda v: st.lists(v, max_size=2)
)

slices = st.builds(
    Slice,
    name=lines,
    group=names,
    node=names,
    tier=names,
    workers=st.integers(0, 1000),
    resources=st.builds(
        Resources, st.builds(MilliCpus, amounts), st.builds(MilliGpus, amounts), st.builds(Bytes, amounts)
    ),
    head=st.booleans(),
)
grants = st.builds(Grant, st.lists(slices, max_size=3).map(tuple), texts)
groups = st.builds(
    Group,
    name=names.filter(lambda name: name != "head"),
    count=st.integers(1, 100_000),
    tier=st.none() | names,
    cpus=st.integers(1, 10**6).map(lambda milli: milli / 1000),
    gpus=st.integers(0, 8).map(float),
    memory=st.integers(0, 512).map(lambda size: f"{size} GiB"),
)
common = {
    "name": st.none() | names,
    "project": names,
    "priority": st.sampled_from(Priority),
    "walltime_s": st.none() | st.floats(1, 1e6),
    "max_failures": st.integers(0, 1000),
    "after": st.lists(names, max_size=2).map(tuple),
    "env": st.dictionaries(texts, texts, max_size=2),
    "runtime_env": st.dictionaries(texts, values, max_size=2),
    "metadata": st.dictionaries(texts, texts, max_size=2),
    "groups": st.lists(groups, min_size=1, max_size=2, unique_by=lambda group: group.name).map(tuple),
}
jobs = st.builds(WorkloadSpec, entrypoint=texts.filter(str.strip), **common)
services = groups.flatmap(
    lambda group: st.builds(
        WorkloadSpec,
        kind=st.just("service"),
        service=st.just(ServiceSpec(model="m@champion", group=group.name)),
        **{**common, "groups": st.just((group,))},
    )
)
instants = st.builds(Instants, seconds, *[st.none() | seconds] * 5)
records = st.builds(
    Record,
    name=names,
    spec=jobs | services,
    state=st.sampled_from(State),
    at=instants,
    attempt=st.integers(1, 10**6),
    generation=st.integers(1, 10**6),
    failures=st.integers(0, 10**6),
    preemptions=st.integers(0, 10**6),
    ran_s=st.floats(0, 1e9),
    grant=st.none() | grants,
    target=st.none() | grants,
    leave_by=st.none() | seconds,
    message=lines,
    waits_for=lines,
    expected_start=st.none() | seconds,
    condition=lines,
    exit_code=st.none() | st.integers(-255, 255),
    stop_reason=lines,
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> SqlRecords:
    return SqlRecords(open_store(tmp_path_factory.mktemp("rows")))


@settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(new=records, later=records)
@pytest.mark.slow
def test_any_record_is_read_back_as_it_was_submitted_and_then_saved(
    store: SqlRecords, new: Record, later: Record
) -> None:
    store.submit(new)
    assert store.get(new.name) == new
    changed = replace(later, name=new.name, spec=new.spec, at=replace(later.at, submitted=new.at.submitted))
    store.save([changed], [])
    assert store.get(new.name) == changed
    store.save([replace(changed, state=State.FAILED)], [])
    store.delete(new.name)


def test_a_record_survives_closing_and_opening_the_store(tmp_path: Path) -> None:
    spec = WorkloadSpec(entrypoint="echo 'ü\n'")
    first = open_store(tmp_path)
    new = SqlRecords(first).submit(Record("a", spec, State.QUEUED, Instants(0.1)))
    first.dispose()
    assert SqlRecords(open_store(tmp_path)).get("a") == new
