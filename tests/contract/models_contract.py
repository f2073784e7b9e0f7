"""What every model registry does; each implementation inherits the suite and says how to build it."""

from dataclasses import replace

import pytest

from fabric.core.errors import NotFound
from fabric.registry.evaluation import Evaluation
from fabric.registry.ports import ModelStore
from fabric.registry.reference import ModelReference, parse_reference
from fabric.registry.versions import Candidate, Lineage, Parent

LINEAGE = Lineage(
    revision="0123abc",
    config='{"lr": 0.003, "title": "ü, \\"quoted\\""}',
    parents=(Parent("demo/data", "0123456789ab", "dataset"), Parent("base", "", "model")),
)


class ModelsContract:
    """The suite; `models` is a fixture of the subclass, and other tests may have used the same registry before."""

    def candidate(self, name: str, digest: str = "d1") -> Candidate:
        """A judged model with everything known about it."""
        judged = Evaluation("suite", {"exact_match": 0.5, "bits_per_byte": 2.25}, (True, False) * 100)
        metrics = {"loss": 1.5, "exact_match": 0.5}
        return Candidate(name, digest, f"file:///runs/models/{name}/{digest}", LINEAGE, metrics, judged)

    def test_a_registered_version_has_everything_that_was_told(self, models: ModelStore) -> None:
        asked = self.candidate("whole")
        made = models.register(asked)
        assert (made.version, made.aliases, made.created_at > 0) == (1, (), True)
        assert models.resolve(ModelReference("whole", None, 1)) == made
        assert [getattr(made, field) for field in Candidate.__dataclass_fields__] == [
            getattr(asked, field) for field in Candidate.__dataclass_fields__
        ]

    def test_equal_contents_are_one_version_however_often_they_are_registered(self, models: ModelStore) -> None:
        first = models.register(self.candidate("same", "d1"))
        models.register(self.candidate("same", "d2"))
        assert models.register(self.candidate("same", "d1")) == first
        assert [version.version for version in models.versions("same")] == [2, 1]

    def test_a_later_judgement_of_the_same_contents_replaces_the_earlier(self, models: ModelStore) -> None:
        asked = self.candidate("judged")
        models.register(replace(asked, evaluation=None))
        assert models.register(asked).evaluation == asked.evaluation
        better = replace(asked, evaluation=Evaluation("larger suite", {"exact_match": 0.75}))
        assert models.register(better).evaluation == better.evaluation
        assert models.register(replace(asked, evaluation=None)).evaluation == better.evaluation

    def test_an_alias_points_to_one_version_and_can_move_back(self, models: ModelStore) -> None:
        for digest in ("d1", "d2"):
            models.register(self.candidate("moving", digest))
        for version in (1, 2, 1):
            models.move_alias("moving", "champion", version)
            assert models.resolve(parse_reference("moving")).version == version
            assert models.resolve(parse_reference("moving@champion")).digest == f"d{version}"
        models.move_alias("moving", "candidate", 1)
        assert models.resolve(parse_reference("moving:1")).aliases == ("candidate", "champion")
        assert models.resolve(parse_reference("moving:2")).aliases == ()

    @pytest.mark.parametrize("reference", ["nobody", "known@nobody", "known:7"])
    def test_what_is_not_there_is_said(self, models: ModelStore, reference: str) -> None:
        models.register(self.candidate("known"))
        with pytest.raises(NotFound, match="there is no model"):
            models.resolve(parse_reference(reference))

    def test_an_alias_never_points_to_nothing(self, models: ModelStore) -> None:
        models.register(self.candidate("lonely"))
        for name, version in (("lonely", 2), ("nobody", 1)):
            with pytest.raises(NotFound):
                models.move_alias(name, "champion", version)

    def test_models_are_listed_by_name_and_newest_first(self, models: ModelStore) -> None:
        for name, digest in (("list-b", "d1"), ("list-a", "d1"), ("list-b", "d2")):
            models.register(self.candidate(name, digest))
        listed = [(v.name, v.version) for v in models.versions() if v.name.startswith("list-")]
        assert listed == [("list-a", 1), ("list-b", 2), ("list-b", 1)]
        assert models.versions("list-nobody") == ()
