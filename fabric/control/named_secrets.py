"""Secrets of projects by name, each step checked against who asks: what one holds is taken, used, and told to nobody.

Knows nothing of HTTP or SQL, nor of how processes are told.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from fabric.api.secrets import LONGEST_SECRET, SecretList, SecretView
from fabric.config.site import Site
from fabric.control.callers import Caller, Permission
from fabric.control.people_ports import ProjectRecord
from fabric.control.projects import require_open
from fabric.core.clock import Clock
from fabric.core.errors import BadInput, Conflict, NotFound
from fabric.core.ids import check_name
from fabric.store.named_secrets import NamedSecret
from fabric.workloads.record import Record
from fabric.workloads.spec import WorkloadSpec

MOST_SECRETS = 200
"""Secrets of one project."""
_MOST_NAMED = 5


class KeptSecrets(Protocol):
    """Where secrets outlive the process."""

    def put_named_secret(self, secret: NamedSecret, value: str) -> None:
        """Remember what it holds, in place of what was held under its name before."""
        ...

    def drop_named_secret(self, project: str, name: str) -> bool:
        """Forget it; whether there was one."""
        ...

    def named_secrets(self, project: str) -> Sequence[NamedSecret]:
        """All of a project, by name."""
        ...


class NamedSecrets:
    """What may be asked of secrets; safe to call from several threads at once."""

    def __init__(
        self,
        kept: KeptSecrets,
        clock: Clock,
        *,
        site: Site,
        projects: Callable[[], Sequence[ProjectRecord]],
        active: Callable[[], Mapping[str, Record]],
    ) -> None:
        """Remember what to ask.

        Args:
            kept: Where they are.
            clock: What time it is.
            site: The installation.
            projects: Projects that people made beside those of the site.
            active: Every workload that is not final.
        """
        self._kept, self._clock, self._site, self._projects, self._active = kept, clock, site, projects, active

    def list(self, project: str, caller: Caller) -> SecretList:
        """The secrets of a project, without what they hold.

        Raises:
            Denied: If the caller may not submit to the project.
        """
        _require(project, caller)
        return SecretList(secrets=tuple(map(_view, self._kept.named_secrets(project))))

    def put(self, project: str, name: str, value: str, caller: Caller) -> SecretView:
        """Let a secret hold something from now on; what has started goes on with what it was told.

        Raises:
            BadInput: If no process could be told the value, or the project has too many.
            Denied: If the caller may not submit to the project.
        """
        _require(project, caller)
        require_open(project, self._site, self._projects(), says="Secrets are of a project")
        _check_value(value, name)
        known = {each.name for each in self._kept.named_secrets(project)}
        if check_name(name, "secret") not in known and len(known) >= MOST_SECRETS:
            raise BadInput(f"project {project} has {len(known)} secrets, the most there may be; delete one first")
        secret = NamedSecret(project, name, caller.submits_as, self._clock.now())
        self._kept.put_named_secret(secret, value)
        return _view(secret)

    def delete(self, project: str, name: str, caller: Caller) -> None:
        """Forget a secret that no work needs any more.

        Raises:
            Conflict: If work that has not ended would not find it when it starts again.
            Denied: If the caller may not submit to the project.
            NotFound: If there is none of that name.
        """
        _require(project, caller)
        named = (r.name for r in self._active().values() if not r.state.final and r.spec.project == project
                 and name in r.spec.named_secrets.values())  # fmt: skip
        if users := sorted(named):
            more = f" and {len(users) - _MOST_NAMED} more" if len(users) > _MOST_NAMED else ""
            raise Conflict(
                f"secret {name} is named by {', '.join(users[:_MOST_NAMED])}{more}. Stop that work first; or set the "
                "secret to another value, which holds from the next start on.",
                secret=name,
            )
        if not self._kept.drop_named_secret(project, name):
            raise NotFound(f"project {project} has no secret {name}", secret=name)


def check_secrets(spec: WorkloadSpec, kept: KeptSecrets) -> None:
    """Check that the secrets that a workload names are there.

    Raises:
        NotFound: Naming one that is not, and how to set it.
    """
    wanted = spec.named_secrets
    if not wanted:
        return
    known = {each.name for each in kept.named_secrets(spec.project)}
    for variable, name in wanted.items():
        if name not in known:
            there = ", ".join(sorted(known)) or "none"
            raise NotFound(
                f"secrets.{variable}: project {spec.project} has no secret {name!r} (it has {there}). Set it first: "
                f"`fabric secrets set {name}`.",
                secret=name,
            )


def _require(project: str, caller: Caller) -> None:
    """Check who asks: whoever may submit can use a secret in a job, and so has it anyway.

    Raises:
        Denied: If he may not.
    """
    caller.require(Permission.CHANGE)
    caller.require_project(check_name(project, "project"))


def _check_value(value: str, name: str) -> None:
    """Refuse what no variable can hold, without saying what it is.

    Raises:
        BadInput: If it is such.
    """
    try:
        num_bytes = len(value.encode())
    except UnicodeEncodeError:
        raise BadInput(f"secret {name}: the value is no text", secret=name) from None
    if not 0 < num_bytes <= LONGEST_SECRET or "\0" in value:
        raise BadInput(
            f"secret {name}: the value must have 1 to {LONGEST_SECRET} bytes, and none with code 0", secret=name
        )


def _view(secret: NamedSecret) -> SecretView:
    return SecretView(name=secret.name, project=secret.project, set_by=secret.by, set_at=secret.at)
