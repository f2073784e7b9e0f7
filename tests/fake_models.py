"""A model registry in memory."""

from dataclasses import asdict, replace

from fabric.core.errors import NotFound
from fabric.registry.reference import ModelReference
from fabric.registry.versions import Candidate, ModelVersion


class FakeModelStore:
    """Versions in a list; implements `fabric.registry.ports.ModelStore`."""

    def __init__(self) -> None:
        self.kept: list[ModelVersion] = []
        self.aliases: dict[tuple[str, str], int] = {}

    def register(self, candidate: Candidate) -> ModelVersion:
        """Make a version, or return the one with the same contents."""
        mine = [v for v in self.kept if v.name == candidate.name]
        same = next((v for v in mine if v.digest == candidate.digest), None)
        fields = {name: getattr(candidate, name) for name in asdict(Candidate("", "", ""))}
        if same is None:
            self.kept.append(ModelVersion(**fields, version=len(mine) + 1, created_at=float(len(self.kept) + 1)))
        else:
            judged = candidate.evaluation or same.evaluation
            self.kept[self.kept.index(same)] = replace(same, **{**fields, "evaluation": judged})
        return self.resolve(ModelReference(candidate.name, None, same.version if same else len(mine) + 1))

    def versions(self, name: str | None = None) -> tuple[ModelVersion, ...]:
        """By name, newest first."""
        found = [replace(v, aliases=self._aliases(v)) for v in self.kept if name in {None, v.name}]
        return tuple(sorted(found, key=lambda v: (v.name, -v.version)))

    def resolve(self, reference: ModelReference) -> ModelVersion:
        """The version that is meant."""
        for version in self.versions(reference.name):
            if version.version == reference.version or reference.alias in version.aliases:
                return version
        raise NotFound(f"there is no model {reference}")

    def move_alias(self, name: str, alias: str, version: int) -> None:
        """Point it."""
        self.resolve(ModelReference(name, None, version))
        self.aliases[name, alias] = version

    def _aliases(self, version: ModelVersion) -> tuple[str, ...]:
        here = (
            alias for (name, alias), number in self.aliases.items() if (name, number) == (version.name, version.version)
        )
        return tuple(sorted(here))
