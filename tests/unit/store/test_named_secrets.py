"""Secrets of projects are kept until they are forgotten, and show their value to who asks for it alone."""

from fabric.store.named_secrets import NamedSecret
from fabric.store.records import SqlRecords

HF = NamedSecret("alpha", "hf", "hf-1 ü", "ann", 5.0)


def test_what_is_set_last_is_what_it_holds(records: SqlRecords) -> None:
    records.put_named_secret(HF)
    records.put_named_secret(newer := NamedSecret("alpha", "hf", "hf-2", "bob", 6.0))
    records.put_named_secret(other := NamedSecret("alpha", "a", "x", "bob", 6.0))
    assert records.named_secrets("alpha") == (other, newer)
    assert records.named_secret("alpha", "hf") == "hf-2"


def test_projects_have_secrets_of_their_own(records: SqlRecords) -> None:
    records.put_named_secret(HF)
    assert (records.named_secrets("beta"), records.named_secret("beta", "hf")) == ((), None)
    assert not records.drop_named_secret("beta", "hf")
    assert records.drop_named_secret("alpha", "hf")
    assert records.named_secret("alpha", "hf") is None


def test_the_value_is_in_no_text_about_it() -> None:
    assert "hf-1" not in repr(HF)
