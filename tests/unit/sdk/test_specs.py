"""Names that are made up."""

import pytest

from fabric.core.ids import check_name
from fabric.sdk.specs import checked_spec, made_up_name


@pytest.mark.parametrize(
    ("entrypoint", "stem"),
    [
        ("python apps/pretrain.py --config x.yaml", "pretrain"),
        ("bash -c 'echo 1'", "bash"),
        ("./run.sh", "run"),
        ("OMP_NUM_THREADS=1 python -m train", "OMP-NUM-THREADS-1"),
    ],
)
def test_a_job_without_a_name_is_called_after_its_program(entrypoint: str, stem: str) -> None:
    name = checked_spec({"entrypoint": entrypoint}).name or ""
    assert name.rpartition("-")[0] == stem
    assert check_name(name)


def test_a_given_name_stays() -> None:
    assert checked_spec({"name": "mine", "entrypoint": "true"}).name == "mine"


@pytest.mark.parametrize("stem", ["", "---", "ü" * 10, "x" * 500, "a b/c"])
def test_a_made_up_name_is_a_name_whatever_it_comes_from(stem: str) -> None:
    name = made_up_name(stem)
    assert check_name(name) == name
    assert len(name) <= 40


def test_two_made_up_names_differ() -> None:
    assert made_up_name("a") != made_up_name("a")
