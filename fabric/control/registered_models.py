"""Registered models as people see them, and their aliases as people move them by hand: recorded with who and why.

Knows nothing of HTTP or of MLflow. Jobs that register a model go on moving aliases by their rule; who moves one by hand
answers for it instead.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from fabric.api.admin import ModelVersionView
from fabric.api.models import AliasMoveList, AliasMoveView, AliasRequest
from fabric.control.callers import Caller, Permission
from fabric.control.models import with_services
from fabric.core.clock import Clock
from fabric.core.errors import FabricError, NotFound, Unavailable
from fabric.core.ids import check_name
from fabric.registry.reference import check_alias
from fabric.store.alias_moves import AliasMove
from fabric.workloads.record import Record


class Registry(Protocol):
    """Registered models."""

    def models(self, project: str | None = None) -> Sequence[ModelVersionView]:
        """Versions of a project's models, newest first."""
        ...

    def pinned(self, workload: str) -> str:
        """MODEL:VERSION that a service began to serve; empty if it has not begun."""
        ...

    def move_alias(self, project: str, model: str, alias: str, version: int) -> None:
        """Point an alias to a version, whether it pointed elsewhere or is new."""
        ...


class KeptMoves(Protocol):
    """Where moves outlive the process."""

    def add_alias_move(self, move: AliasMove) -> int:
        """Append one; its number."""
        ...

    def drop_alias_move(self, number: int) -> None:
        """Forget one that came to nothing."""
        ...

    def alias_moves(self, project: str, model: str, limit: int = 100) -> Sequence[AliasMove]:
        """The newest of a model, newest first."""
        ...


class Moved(Protocol):
    """Who is told of aliases that point elsewhere."""

    def __call__(self, caller: Caller, project: str, model: str, alias: str, *, version: str | None) -> None:
        """Take in that an alias points to a version now, or to none."""
        ...


class RegisteredModels:
    """What may be asked of models; safe to call from several threads at once."""

    def __init__(
        self,
        registry: Registry,
        kept: KeptMoves,
        clock: Clock,
        *,
        services: Callable[[], Iterable[Record]],
        moved: Moved,
    ) -> None:
        self._registry, self._kept, self._clock, self._services, self._moved = registry, kept, clock, services, moved

    def list(self, caller: Caller) -> tuple[ModelVersionView, ...]:
        """Every registered version within the caller's reach, with what serves it."""
        mine = [record for record in self._services() if caller.project in (None, record.spec.project)]
        return with_services(self._registry.models(caller.project), mine, self._registry.pinned)

    def move_alias(self, project: str, model: str, alias: str, *, asked: AliasRequest, caller: Caller) -> AliasMoveView:
        """Point an alias to a version; where it points there already nothing is moved or recorded.

        Args:
            project: Whose model it is.
            model: The model.
            alias: The alias, new or not.
            asked: The version, and why.
            caller: Who asks.

        Raises:
            BadInput: If the alias cannot be called so.
            Denied: If the caller may not move aliases of the project.
            NotFound: If there is no such version.
            FabricError: If the registry does not take it; then nothing has moved.
            Unavailable: If it does not answer; then it may have moved, and what was recorded stays.
        """
        caller.require(Permission.ALIASES)
        caller.require_project(check_name(project, "project"))
        before = self._version_of(project, check_name(model, "model"), check_alias(alias), asked.version)
        move = AliasMove(
            project, model, alias, asked.version, before, caller.submits_as, asked.reason, self._clock.now()
        )  # fmt: skip
        if before != asked.version:
            # Before it is done, as nothing is to be moved that nobody has said.
            number = self._kept.add_alias_move(move)
            try:
                self._registry.move_alias(project, model, alias, asked.version)
            except Unavailable:
                raise
            except FabricError:
                self._kept.drop_alias_move(number)
                raise
            self._moved(caller, project, model, alias, version=str(asked.version))
        return _view(move)

    def moves(self, project: str, model: str, caller: Caller) -> AliasMoveList:
        """The newest moves by hand of a model.

        Raises:
            Denied: If it is another project's.
        """
        caller.require_project(check_name(project, "project"))
        moves = self._kept.alias_moves(project, check_name(model, "model"))
        return AliasMoveList(moves=tuple(map(_view, moves)))

    def _version_of(self, project: str, model: str, alias: str, wanted: int) -> int | None:
        """The version to which an alias points now.

        Raises:
            NotFound: If the wanted one does not exist; naming those that do.
        """
        known = [each for each in self._registry.models(project) if each.name == model]
        if wanted not in {each.version for each in known}:
            there = ", ".join(str(each.version) for each in reversed(known))
            has = f"it has the versions {there}" if there else "the project has no such model"
            raise NotFound(f"there is no {model}:{wanted} in project {project}; {has}", model=f"{model}:{wanted}")
        return next((each.version for each in known if alias in each.aliases), None)


def _view(move: AliasMove) -> AliasMoveView:
    return AliasMoveView(
        project=move.project, model=move.model, alias=move.alias, version=move.version, before=move.before, by=move.by,
        reason=move.reason, at=move.at,
    )  # fmt: skip
