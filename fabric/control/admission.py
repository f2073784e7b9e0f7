"""What is checked before a workload is taken in: name, project, dependencies, size, packages, model.

Knows nothing of HTTP, and keeps nothing.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from fabric.config import env
from fabric.config.site import Site
from fabric.control.callers import Caller
from fabric.control.named_secrets import check_secrets
from fabric.control.ports import Models, Packages, Ports, Workloads
from fabric.control.projects import require_open
from fabric.control.spec_from_serve import check_config
from fabric.core.errors import BadInput, Denied, NotFound
from fabric.core.ids import check_name, generated_name
from fabric.core.resources import Resources
from fabric.registry.reference import parse_reference
from fabric.scheduler.placement import require_possible
from fabric.scheduler.snapshot import Node
from fabric.workloads.record import Record
from fabric.workloads.spec import Group, WorkloadSpec
from fabric.workloads.states import State

PACKAGE_SCHEME = "gcs://"
"""How a runtime environment names a package that was uploaded here, as in Ray."""

MOST_REMEMBERED = 1000
"""Gangs of which it is remembered that they are possible."""

_TAKEN = frozenset({"RAY_ADDRESS", "SPT_NOENV"})
_TAKEN_PREFIXES = ("FABRIC_", "RAY_AUTH_")


class Possible:
    """Knows which gangs the empty site could hold, as much of what is asked for is alike; safe to call from any thread.

    Looking costs what the site has nodes, so a gang that was found possible is not looked at again on the same nodes.
    """

    def __init__(self, head: Resources) -> None:
        """Know nothing yet; `head` is what a Ray head of its own is charged."""
        self._head = head
        self._known: tuple[Sequence[Node], set[tuple[Group, ...]]] = ((), set())

    def require(self, name: str, groups: tuple[Group, ...], nodes: Sequence[Node]) -> None:
        """Check that the empty site could hold a gang.

        Raises:
            DoesNotFit: Naming the group, what it asks and the largest possible.
        """
        before, known = self._known
        if before is not nodes or len(known) >= MOST_REMEMBERED:
            known = set()
            self._known = (nodes, known)
        if groups not in known:
            require_possible(name, groups, nodes, self._head)
            known.add(groups)


def admitted(spec: WorkloadSpec, caller: Caller, ports: Ports, site: Site, *, possible: Possible) -> WorkloadSpec:
    """`spec` with its name and project filled in, if it may and can ever run.

    Args:
        spec: What is asked for.
        caller: Who asks.
        ports: What is there.
        site: The installation.
        possible: What the empty site could hold.

    Raises:
        BadInput: If it can never run as asked; DoesNotFit with the largest possible.
        Denied: If the caller may not use the project.
        NotFound: If it comes after a job, serves a model or names a secret that does not exist.
    """
    name = spec.name or generated_name(spec.kind, ports.entropy(3))
    spec = spec.model_copy(update={"name": check_name(name), "project": _project(spec, caller)})
    require_open(spec.project, site, ports.people.projects(), says="Name one in the workload's `project`")
    if spec.serve is not None:
        check_config(spec.serve.config)
    _check_text(spec)
    _check_entrypoint(spec)
    _check_walltime(spec, site)
    check_secrets(spec, ports.named_secrets)
    if spec.after:
        spec = spec.model_copy(update={"after": _order(spec, caller, ports.workloads)})
    possible.require(name, spec.groups, ports.nodes())
    for place, environment in spec.environments:
        check_packages(environment, ports.packages, place, spec.project)
    # The echo engine answers without any model, for load tests.
    if spec.service is not None and spec.service.engine != "echo":
        check_model(spec.service.exact, ports.models, spec.project)
    return spec


def _project(spec: WorkloadSpec, caller: Caller) -> str:
    """The project that pays: the caller's own where the spec does not say.

    Raises:
        Denied: If it says another one.
    """
    if caller.project is None:
        return check_name(spec.project, "project")
    if "project" in spec.model_fields_set and spec.project != caller.project:
        raise Denied(
            f"key {caller.name} is for project {caller.project} and may not submit to {spec.project}",
            project=spec.project,
        )
    return caller.project


def _check_text(spec: WorkloadSpec) -> None:
    """Refuse what no process could be started with.

    Raises:
        BadInput: Naming the place.
    """
    texts = [spec.entrypoint]
    for place, variables in (("env", spec.env), ("secrets", spec.secrets), *_variables(spec)):
        wrong = [name for name in variables if not name or "=" in name]
        if wrong:
            raise BadInput(f"{place}: {wrong[0]!r} is no name of an environment variable", place=place)
        _check_free(place, variables)
        texts += [*variables, *variables.values()]
    if any("\0" in text for text in texts):
        raise BadInput("entrypoint and environment cannot hold the character with code 0", place="entrypoint")


def _variables(spec: WorkloadSpec) -> Iterator[tuple[str, dict[str, str]]]:
    """Place and variables of every runtime environment.

    Raises:
        BadInput: If they are no text.
    """
    for above, environment in spec.environments:
        place, found = f"{above}.env_vars", environment.get("env_vars") or {}
        if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
            raise BadInput(f"{place}: must be a mapping of names to text", place=place)
        yield place, found


def _check_free(place: str, names: Collection[str]) -> None:
    """Refuse variables by which the fabric finds a cluster's processes, or by which they find and enter the cluster.

    Raises:
        BadInput: Naming the variable.
    """
    for name in sorted(names):
        taken = name in _TAKEN or (name.startswith(_TAKEN_PREFIXES) and name != env.REVISION)
        if taken:
            raise BadInput(
                f"{place}: {name} is set by the fabric and may not be replaced. Leave it out, or choose another name.",
                place=place,
                variable=name,
            )


def _check_entrypoint(spec: WorkloadSpec) -> None:
    """Check that the entrypoint fits into a worker of the first group, where it runs.

    Raises:
        BadInput: If it needs more.
    """
    first = spec.groups[0]
    needs = Resources.of(spec.entrypoint_cpus, spec.entrypoint_gpus, spec.entrypoint_memory)
    if not needs.fits(first.request):
        raise BadInput(
            f"the entrypoint needs {needs} (--entrypoint-num-cpus, -gpus, -memory), but a worker of its group "
            f"{first.name} has only {first.request}. Ask for larger workers or a smaller entrypoint.",
            group=first.name,
        )


def _check_walltime(spec: WorkloadSpec, site: Site) -> None:
    """Check that work has time before it is asked to leave, a grace before its walltime is over.

    Raises:
        BadInput: If it would be asked as soon as it runs.
    """
    if spec.walltime_s is not None and spec.walltime_s <= site.grace_s:
        raise BadInput(
            f"walltime_s: {spec.walltime_s:g} s leave no time to work: this site asks work to leave {site.grace_s:g} s "
            "before its walltime is over. Ask for more.",
            place="walltime_s",
        )


def _order(spec: WorkloadSpec, caller: Caller, workloads: Workloads) -> tuple[str, ...]:
    """The jobs that it comes after, those of arrays singly, once it is known that they may still succeed.

    Raises:
        BadInput: If one cannot.
        NotFound: If one does not exist.
    """
    if spec.name in spec.after:
        raise BadInput(f"after: {spec.name} cannot come after itself", after=spec.name)
    found = [record for name in spec.after for record in _named(name, workloads)]
    for before in found:
        caller.require_workload(before)
        if before.spec.kind != "job":
            raise BadInput(f"after: {before.name} is a service and never ends", after=before.name)
        if before.state.final and before.state is not State.SUCCEEDED:
            raise BadInput(f"after: {before.name} has {before.state}, so this would wait for ever", after=before.name)
    return tuple(dict.fromkeys(before.name for before in found))


def _named(name: str, workloads: Workloads) -> Sequence[Record]:
    """A workload, or the elements of an array.

    Raises:
        NotFound: If there is neither.
    """
    try:
        return [workloads.get(name)]
    except NotFound:
        elements = workloads.elements(name)
    if not elements:
        raise NotFound(f"after: there is no workload {name}. Submit it first.", after=name)
    return elements


def packages_of(spec: WorkloadSpec) -> set[str]:
    """Names of the uploaded packages that a spec's runtime environments name."""
    found = (uri for place, environment in spec.environments for _, uri in _uris(environment, place))
    return {uri.removeprefix(PACKAGE_SCHEME) for uri in found if uri.startswith(PACKAGE_SCHEME)}


def named_packages(records: Iterable[Record]) -> set[tuple[str, str]]:
    """Project and name of every package that work names which has not ended."""
    return {(r.spec.project, name) for r in records if not r.state.final for name in packages_of(r.spec)}


def check_packages(runtime_env: Mapping[str, Any], packages: Packages, where: str, project: str) -> None:
    """Check that everything a runtime environment names is where its Ray nodes can fetch it.

    Raises:
        BadInput: If a package was not uploaded, or a local path is given.
    """
    for place, uri in _uris(runtime_env, where):
        if uri.startswith(PACKAGE_SCHEME):
            package = uri.removeprefix(PACKAGE_SCHEME)
            if not packages.has(package, project):
                raise BadInput(
                    f"{place}: package {uri} is not here. Upload it first with PUT /api/packages/gcs/{package}.",
                    package=package,
                )
        elif "://" not in uri:
            raise BadInput(
                f"{place}: {uri!r} is a local path, which no node can read. Give a URI, or let the client upload it.",
                place=place,
            )


def _uris(runtime_env: Mapping[str, Any], where: str) -> Iterator[tuple[str, str]]:
    """Place and value of everything that Ray would download.

    Raises:
        BadInput: If a value is of another type than Ray takes.
    """
    working_dir = runtime_env.get("working_dir")
    if working_dir is not None:
        yield f"{where}.working_dir", _text(working_dir, f"{where}.working_dir")
    modules = runtime_env.get("py_modules") or []
    if not isinstance(modules, list):
        raise BadInput(f"{where}.py_modules: must be a list of URIs", place=f"{where}.py_modules")
    for number, module in enumerate(modules):
        yield f"{where}.py_modules[{number}]", _text(module, f"{where}.py_modules")


def _text(value: object, place: str) -> str:
    """Return `value` if it is text.

    Raises:
        BadInput: If it is not.
    """
    if not isinstance(value, str):
        raise BadInput(f"{place}: must be text, got {value!r}", place=place)
    return value


def check_model(reference: str, models: Models, project: str) -> None:
    """Check that `reference` (a model, MODEL@ALIAS or MODEL:VERSION) is registered in its project.

    Raises:
        BadInput: If it is no such reference.
        NotFound: Naming the models, versions or aliases there are.
    """
    wanted = parse_reference(reference)
    known = models.models(project)
    versions = [version for version in known if version.name == wanted.name]
    if not versions:
        names = ", ".join(sorted({version.name for version in known})) or "none"
        raise NotFound(f"there is no model {wanted.name!r}; registered: {names}", model=wanted.name)
    aliases = sorted({alias for version in versions for alias in version.aliases})
    numbers = sorted(version.version for version in versions)
    if wanted.version not in numbers and wanted.alias not in aliases:
        raise NotFound(
            f"there is no {wanted}: {wanted.name} has the versions {', '.join(map(str, numbers))} "
            f"and the aliases {', '.join(aliases) or '(none)'}",
            model=wanted.name,
        )
