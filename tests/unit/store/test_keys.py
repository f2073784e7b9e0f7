"""Secrets are made once and are durable before anybody sees them; keys are found by their hash."""

import itertools
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from fabric.core.errors import Conflict, NotFound
from fabric.store.database import open_store
from fabric.store.keys import Key
from fabric.store.records import SqlRecords
from fabric.workloads.states import State
from tests.builders import job, record


def test_a_secret_is_made_once_and_survives_a_new_start(tmp_path: Path) -> None:
    records = SqlRecords(open_store(tmp_path))
    records.submit(record(job("a")))
    numbers = itertools.count()
    make = lambda: f"secret {next(numbers)}"  # noqa: E731
    assert records.secret("a", "token", make) == "secret 0"
    assert records.secret("a", "cluster", make) == "secret 1"
    assert SqlRecords(open_store(tmp_path)).secret("a", "token", make) == "secret 0"


def test_threads_that_ask_at_once_get_the_same_secret(records: SqlRecords) -> None:
    records.submit(record(job("a")))
    numbers = itertools.count()
    seen: list[str] = []
    threads = [
        threading.Thread(target=lambda: seen.append(records.secret("a", "token", lambda: str(next(numbers)))))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 8
    assert set(seen) == {records.secret("a", "token", lambda: "never made")}


def test_nobody_waits_while_a_secret_is_made(records: SqlRecords) -> None:
    records.submit(record(job("a")))

    def slowly() -> str:
        records.submit(record(job("b")))
        return records.secret("a", "token", lambda: "made meanwhile")

    assert records.secret("a", "token", slowly) == "made meanwhile"


def test_nobody_has_a_secret_of_a_workload_that_does_not_exist(records: SqlRecords) -> None:
    with pytest.raises(NotFound):
        records.secret("a", "token", lambda: "secret")


def test_secrets_and_keys_of_a_workload_go_with_it(records: SqlRecords) -> None:
    records.submit(record(job("a")))
    records.secret("a", "token", lambda: "old")
    records.add_key("f00", Key("workload/a", "default", "workload", "a"))
    records.add_key("ba2", Key("ann", "default", "user"))
    assert list(records.keys_by_hash()) == ["ba2"], "there may be thousands of workloads"
    records.save([replace(records.get("a"), state=State.FAILED)], [])
    records.delete("a")
    assert records.find_key("f00") is None
    records.submit(record(job("a"), at=2.0))
    assert records.secret("a", "token", lambda: "new") == "new"


def test_a_key_is_found_by_its_hash_and_added_only_once(records: SqlRecords) -> None:
    key = Key("ann", "default", "user", created=5.0, expires=9.0)
    records.add_key("f00", key)
    records.add_key("f00", key)
    assert records.find_key("f00") == key
    assert records.find_key("ba2") is None
    assert records.keys("default") == (key,)
    assert records.keys("other") == ()


@pytest.mark.parametrize(
    ("sha256", "name"), [("f00", "bob"), ("ba2", "ann")], ids=["hash of another", "name of another"]
)
def test_a_key_never_replaces_another(records: SqlRecords, sha256: str, name: str) -> None:
    records.add_key("f00", Key("ann", "default", "user"))
    with pytest.raises(Conflict, match=f"key {name} already"):
        records.add_key(sha256, Key(name, "default", "user"))


def test_a_key_opens_nothing_after_its_end(records: SqlRecords) -> None:
    records.add_key("f00", Key("ann", "default", "user", expires=1500.0))
    key = records.find_key("f00")
    assert key is not None
    assert key.created == 1000.0, "the store's own clock"
    assert [key.valid(now) for now in (1499.0, 1500.0)] == [True, False]


def test_a_revoked_key_stays_known_and_opens_nothing(records: SqlRecords) -> None:
    records.add_key("f00", Key("ann", "default", "user"))
    records.revoke("ann")
    key = records.find_key("f00")
    assert key is not None
    assert (key.revoked, key.valid(0.0)) == (1000.0, False)
    with pytest.raises(NotFound, match="no key bob"):
        records.revoke("bob")


def test_a_rotated_key_is_shown_anew_and_the_old_text_is_taken_for_a_while(records: SqlRecords) -> None:
    records.add_key("f00", Key("ann", "default", "member", user="ann", scopes=("look", "site")))
    records.rotate("ann", "ba2", until=1060.0)
    new, old = records.find_key("ba2"), records.find_key("f00")
    assert new is not None
    assert old is not None
    assert (new.scopes, new.user, new.expires, old.expires) == (("look", "site"), "ann", None, 1060.0)
    assert records.keys_by_hash() == {"ba2": new, "f00": old}
    records.rotate("ann", "cab", until=1000.0)
    assert records.keys_by_hash().keys() == {"cab", "ba2"}
    assert records.find_key("f00") is None


def test_a_rotation_never_prolongs_a_key(records: SqlRecords) -> None:
    records.add_key("f00", Key("ann", "default", "member", expires=1030.0))
    records.rotate("ann", "ba2", until=1060.0)
    assert [key.expires for key in records.keys_by_hash().values()] == [1030.0, 1030.0]


def test_a_revoked_key_cannot_be_rotated_and_is_gone_in_both_forms(records: SqlRecords) -> None:
    records.add_key("f00", Key("ann", "default", "member"))
    records.rotate("ann", "ba2", until=5000.0)
    records.revoke("ann")
    assert [key.valid(0.0) for key in records.keys_by_hash().values()] == [False, False]
    with pytest.raises(Conflict, match="Make a new one"):
        records.rotate("ann", "cab", until=0.0)
    with pytest.raises(NotFound, match="no key bob"):
        records.rotate("bob", "cab", until=0.0)


def test_a_key_remembers_when_it_was_used_and_whose_it_is(records: SqlRecords) -> None:
    records.add_key("f00", Key("ann-1", "alpha", "member", user="ann"))
    records.add_key("ba2", Key("bob-1", "alpha", "member", user="bob"))
    records.touch("ann-1", 1234.0)
    records.touch("nobody", 1234.0)
    assert [key.used for key in records.keys("alpha")] == [1234.0, None]
    assert [key.name for key in records.keys(user="bob")] == ["bob-1"]
    assert records.key("ann-1").used == 1234.0
