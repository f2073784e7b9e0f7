"""What the gateway knows: which model is where, and whose keys are good.

Knows nothing of where it was learnt, of HTTP or of clocks.
"""

import hashlib
import hmac
from collections.abc import Mapping
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
        aliases = {alias: model for model in snapshot.models for alias in model.aliases}
        # A model's own name goes before another's alias.
        self._models: Mapping[str, ServedModel] = aliases | {model.id: model for model in snapshot.models}
        self._deployments = {(found.project, found.name): found for found in snapshot.deployments}

    def model(self, name: str) -> ServedModel:
        """The model that `name` means.

        Raises:
            NotFound: Naming the models there are.
        """
        if (model := self._models.get(name)) is None:
            known = ", ".join(sorted(self._models)) or "none yet"
            raise NotFound(f"the model {name!r} does not exist. Served: {known}.", param="model")
        return model

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

    def cards(self) -> ModelCards:
        """Every name that requests may use, by name."""
        return ModelCards(data=tuple(self.card(name) for name in sorted(self._models)))

    def card(self, name: str) -> ModelCard:
        """One of them.

        Raises:
            NotFound: Naming the models there are.
        """
        model = self.model(name)
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
