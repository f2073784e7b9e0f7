"""How long a site keeps what ended work left behind."""

import pytest

from fabric.config.load import decode
from fabric.config.retention import Retention
from fabric.core.errors import BadConfig


def test_logs_go_after_a_season_and_artifacts_never_unless_a_site_says_so() -> None:
    kept = Retention()
    assert (kept.log_age_s, kept.report_age_s) == (90 * 86_400, 365 * 86_400)
    assert (kept.max_log_bytes, kept.artifact_age_s, kept.every_s) == (None, None, 3600)


def test_ages_and_sizes_are_written_with_their_units() -> None:
    kept = decode(Retention, {"log_age": "30 d", "max_logs": "200 GiB", "artifact_age": "26 w", "every": "10 min"}, "f")
    assert (kept.log_age_s, kept.max_log_bytes, kept.artifact_age_s, kept.every_s) == (
        30 * 86_400, 200 * 2**30, 26 * 7 * 86_400, 600,
    )  # fmt: skip


def test_null_keeps_for_ever() -> None:
    assert decode(Retention, {"log_age": None, "report_age": None}, "f").log_age_s is None


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"log_age": "30"}, "log_age: '30' is no length of time"),
        ({"log_age": 30}, "log_age"),
        ({"log_age": "59 min"}, "at least 1 h, not 59 min"),
        ({"artifact_age": "0 d"}, "at least 1 h"),
        ({"max_logs": "many"}, "max_logs: 'many' is not a size"),
        ({"every": "0 s"}, "every: at least 1 s"),
        ({"ledger_age": "30 d"}, "unknown key"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(document: dict[str, object], said: str) -> None:
    with pytest.raises(BadConfig, match=said):
        decode(Retention, document, "site.yaml: retention")
