"""Every project there is: those of the site file, those that people made, and those that only work or people name.

Knows nothing of who may see them.
"""

from collections.abc import Iterable, Sequence

from fabric.api.overview import Amounts
from fabric.api.people import ProjectView
from fabric.config.projects import Project, guarantees
from fabric.config.site import Site
from fabric.control.people_ports import ProjectRecord
from fabric.core.errors import BadInput
from fabric.core.resources import Resources
from fabric.workloads.record import Record


def listed_projects(site: Site, made: Iterable[ProjectRecord]) -> tuple[Project, ...]:
    """The projects that share a site; none where the site file lists none, as then everybody may hold anything.

    Those that people made stand at the top with weight 1 and are guaranteed nothing.
    """
    if not site.projects:
        return ()
    theirs = {project.name for project in site.projects}
    return (*site.projects, *(Project(name=project.name) for project in made if project.name not in theirs))


def require_open(project: str, site: Site, made: Sequence[ProjectRecord], *, says: str) -> None:
    """Refuse a project that takes nothing any more, or that a site which lists its projects does not know.

    Args:
        project: Its name.
        site: The installation.
        made: Projects that people made.
        says: How to name another one.

    Raises:
        BadInput: Saying why, or with the list.
    """
    if any(each.name == project and each.closed is not None for each in made):
        raise BadInput(f"project {project} is closed and takes no more work. Ask the site's administrator.")
    known = sorted(entry.name for entry in listed_projects(site, made))
    if known and project not in known:
        raise BadInput(
            f"there is no project {project!r} on {site.name}; its projects are {', '.join(known)}. {says}, or ask the "
            "site's administrator for a key of yours.",
            project=project,
        )


def all_projects(
    site: Site, made: Iterable[ProjectRecord], active: Iterable[Record], named: Iterable[str] = ()
) -> tuple[ProjectView, ...]:
    """Every project, by name.

    Args:
        site: Lists some.
        made: Those that people made.
        active: Work that is not final; what it names is a project too where the site lists none.
        named: Further projects, such as those that people belong to.
    """
    granted = guarantees(site.projects)
    views = {project.name: _of_site(project, granted[project.name]) for project in site.projects}
    for project in made:
        views.setdefault(project.name, _of_people(project))
    for name in named:
        views.setdefault(name, ProjectView(name=name))
    work: dict[str, list[Record]] = {}
    for record in active:
        work.setdefault(record.spec.project, []).append(record)
    for name, records in work.items():
        view = views.get(name) or ProjectView(name=name)
        views[name] = view.model_copy(update=_work(records))
    return tuple(views[name] for name in sorted(views))


def _of_site(project: Project, granted: dict[str, Resources]) -> ProjectView:
    return ProjectView(
        name=project.name, parent=project.parent, weight=project.weight,
        guaranteed={tier: _amounts(amount) for tier, amount in sorted(granted.items())},
        limit={tier: str(share.ceiling) for tier, share in sorted(project.limit.items())},
    )  # fmt: skip


def _of_people(project: ProjectRecord) -> ProjectView:
    return ProjectView(
        name=project.name, made=True, created_at=project.created, created_by=project.created_by,
        closed_at=project.closed,
    )  # fmt: skip


def _work(records: Iterable[Record]) -> dict[str, object]:
    """What the work of one project holds, and how much of it there is."""
    held: dict[str, Resources] = {}
    waiting = running = 0
    for record in records:
        if record.grant is None or not record.state.holds_grant:
            waiting += 1
            continue
        running += 1
        for part in record.grant.slices:
            held[part.tier] = held.get(part.tier, Resources()) + part.resources
    return {
        "held": {tier: _amounts(amount) for tier, amount in sorted(held.items())},
        "num_waiting": waiting,
        "num_running": running,
    }


def _amounts(amount: Resources) -> Amounts:
    return Amounts(cpus=amount.cpus.whole(), gpus=amount.gpus.whole(), memory_bytes=amount.memory.count)
