"""A group may name the image and the weights that its workers need, with their sizes."""

from typing import Any

import pytest
from pydantic import ValidationError

from fabric.core.quantity import Bytes
from fabric.workloads.spec import ArtifactSpec, Group


def test_a_group_says_what_must_be_there_before_it_starts() -> None:
    group = Group.model_validate({"image": {"name": "vllm", "size": "12 GiB"}, "gpus": 1.0})
    assert group.image == ArtifactSpec(name="vllm", size="12 GiB")
    assert group.image.num_bytes == Bytes.of("12 GiB")
    assert group.weights is None
    assert Group.model_validate(group.model_dump(mode="json")) == group


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"image": {"name": "", "size": "1 GiB"}}, "image.name"),
        ({"image": {"name": "a", "size": "0"}}, "a has no size; leave it out, or say how large it is"),
        ({"weights": {"name": "a", "size": "1 Gb"}}, "not a size. Write a number with one of B, KiB"),
        ({"weights": {"name": "a"}}, "weights.size"),
        ({"weights": {"name": "a", "size": 3}}, "valid string"),
        ({"weights": "a"}, "weights"),
        ({"image": {"name": "a", "size": "1 GiB", "tag": "b"}}, "image.tag"),
    ],
)
def test_one_without_name_or_size_is_refused(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        Group.model_validate(fields)
