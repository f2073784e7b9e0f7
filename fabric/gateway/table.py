"""What the gateway knows: which model is where, and whose keys are good.

Knows nothing of where it was learnt, of HTTP or of clocks.
"""

import hashlib
import hmac
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from fabric.api.gateway import GatewaySnapshot, KeyView, ServedDeployment, ServedModel
from fabric.api.openai import ModelCard, ModelCards
from fabric.core.errors import Denied, NotFound, Unauthenticated


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks."""

    project: str
    """Who pays; `anonymous` where no key was needed."""
    key: str = ""
    """Name of the key, never the key."""
    everywhere: bool = False
    """Whether what belongs to any project is within its reach."""


class Table:
    """One snapshot, looked up by model and by key."""

    def __init__(self, snapshot: GatewaySnapshot) -> None:
        self.snapshot = snapshot
        self._models = _by_name(snapshot.models)
        self._deployments = {(found.project, found.name): found for found in snapshot.deployments}

    def model(self, name: str, project: str = "") -> ServedModel:
        """The model that `name` means to a project: its own, as another's may have the same name, or that of another.

        Raises:
            NotFound: Naming the models there are.
        """
        if (found := self._models.get(name)) is None:
            known = ", ".join(sorted(self._models)) or "none yet"
            raise NotFound(f"the model {name!r} does not exist. Served: {known}.", param="model")
        return next((model for model in found if model.project == project), found[0])

    def deployment(self, project: str, name: str, caller: Caller) -> ServedDeployment:
        """A project's deployment of Serve applications.

        Raises:
            Denied: If it belongs to somebody else.
            NotFound: If there is none of that name.
        """
        if not caller.everywhere and caller.project != project:
            raise Denied(f"key {caller.key} is for project {caller.project}, and this deployment is of {project}.")
        if (found := self._deployments.get((project, name))) is None:
            known = ", ".join(sorted(other for owner, other in self._deployments if owner == project)) or "none yet"
            said = f"project {project} has no deployment {name!r}. Deployed: {known}."
            raise NotFound(said, code="deployment_not_found")
        return found

    def cards(self, project: str = "") -> ModelCards:
        """Every name that requests may use, by name, with what it means to a project."""
        return ModelCards(data=tuple(self.card(name, project) for name in sorted(self._models)))

    def card(self, name: str, project: str = "") -> ModelCard:
        """One of them.

        Raises:
            NotFound: Naming the models there are.
        """
        model = self.model(name, project)
        root = None if name == model.id else model.id
        return ModelCard(id=name, created=model.created, owned_by=model.project, root=root)

    def caller(self, authorization: str | None, now: float) -> Caller:
        """Who presents this `Authorization` header.

        Args:
            authorization: The header; None if there is none.
            now: Seconds since the epoch.

        Raises:
            Unauthenticated: Without saying anything of the key.
        """
        scheme, _, presented = (authorization or "Bearer").partition(" ")
        if scheme.lower() != "bearer":
            raise Unauthenticated("the Authorization header must read 'Bearer KEY'.")
        if not presented.strip():
            if self.snapshot.anonymous:
                return Caller("anonymous", everywhere=True)
            raise Unauthenticated("no API key was given. Send it as 'Authorization: Bearer KEY'.")
        key = self._key(presented.strip())
        if key is None:
            raise Unauthenticated("this API key is not valid. Ask the site's administrator for one.")
        if key.expires_at is not None and key.expires_at <= now:
            raise Unauthenticated("this API key has expired. Ask the site's administrator for a new one.")
        return Caller(key.project, key.name, key.everywhere)

    def _key(self, presented: str) -> KeyView | None:
        """The key with this text; takes as long for a near miss as for anything else."""
        digest = hashlib.sha256(presented.encode()).hexdigest()
        found = None
        for key in self.snapshot.keys:
            if hmac.compare_digest(key.sha256, digest):
                found = key
        return found


def _by_name(models: Iterable[ServedModel]) -> Mapping[str, Sequence[ServedModel]]:
    """The models of each name, and first the one that it means to those who have none of their own.

    One that is called so goes before one whose alias it is, then what is ready, then what was there first.
    """
    found: dict[str, list[ServedModel]] = {}
    for model in models:
        for name in (model.id, *model.aliases):
            found.setdefault(name, []).append(model)
    for name, same in found.items():
        same.sort(key=lambda model: (model.id != name, not model.endpoints, model.created, model.workload))
    return found
