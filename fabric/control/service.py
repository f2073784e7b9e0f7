"""The use cases of control: what people and workloads may ask, each checked against who asks.

Knows nothing of HTTP, SQL or Ray; what it needs of the world comes through `fabric.control.ports`.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace

import fabric
from fabric.api.admin import ExplanationView, Health, NodeView, WorkloadView
from fabric.api.arrays import ARRAYS
from fabric.api.gateway import GatewaySnapshot
from fabric.api.jobs import JobSubmission
from fabric.api.overview import Overview
from fabric.config.site import Site
from fabric.control.accounts import Accounts
from fabric.control.admission import Possible, admitted
from fabric.control.arrays import Arrays
from fabric.control.artifacts import Artifacts
from fabric.control.at_gateway import AtGateway
from fabric.control.callers import Caller, Permission
from fabric.control.dashboards import Dashboards
from fabric.control.discretion import Discretion
from fabric.control.drains import NodeDrains
from fabric.control.driver_logs import DriverLogs
from fabric.control.lists import Lists
from fabric.control.logins import Logins
from fabric.control.metrics import Metrics
from fabric.control.naming import kept, repeated
from fabric.control.occupancy import Occupancy
from fabric.control.oidc import OidcTokens
from fabric.control.overview import MOST_STARTS, overview_of, tier_views
from fabric.control.past import Past
from fabric.control.ports import Ports
from fabric.control.registered_models import RegisteredModels
from fabric.control.reloading import Reloading
from fabric.control.reporting import Reporting
from fabric.control.signs import Signs
from fabric.control.site_events import SiteEvents
from fabric.control.sizes import check_scale
from fabric.control.snapshots import Feed
from fabric.control.spec_from_ray import NAME_ENTROPY, raysubmit_name, spec_from_ray
from fabric.control.uploaded import UploadedPackages
from fabric.control.uses import Uses
from fabric.control.views import NOTHING_TOLD, endpoint_of, event_view, message_of, node_views, workload_view
from fabric.core.errors import BadInput, Conflict, FabricError, Unavailable
from fabric.core.ids import generated_name
from fabric.scheduler.ports import ClusterView
from fabric.scheduler.replay import write_decision
from fabric.workloads.record import Instants, Record
from fabric.workloads.spec import WorkloadSpec
from fabric.workloads.states import State

LONGEST_STEM = 30
"""Letters of a made-up name before its digits, so that names of its clusters stay short enough for every backend."""

STUCK_AFTER_S = 60.0
"""Age of the loop's last step, in seconds, from which health is no longer `ok`."""


class Service:
    """Everything that the HTTP layer may ask for; safe to call from several threads at once."""

    def __init__(self, ports: Ports, site: Site, tokens: OidcTokens | None = None) -> None:
        self._ports = ports
        self._feed = Feed(ports, site.anonymous)
        self._logins = Logins(ports, tokens)
        self._possible = Possible(site.head.resources)
        self.at_gateway = AtGateway(ports, self._logins)
        """Who asks at the gateway."""
        self.discretion = Discretion(ports.workloads)
        """What of a text each may read."""
        self.logs = DriverLogs(ports.logs, ports.clock, self.get)
        """What drivers of workloads wrote."""
        self.reporting = Reporting(ports, self.get)
        """What workloads tell of themselves, and hear of their size."""
        self.arrays = Arrays(ports, self.discretion, self._admitted)
        """Equal jobs that are handed in together."""
        self.packages = UploadedPackages(ports.packages, self._active)
        """Uploaded working directories."""
        self.artifacts = Artifacts(ports.artifacts, ports.people.projects, lambda: self.site)
        """Files of projects."""
        self.lists = Lists(ports.workloads, self.discretion)
        """Long lists of workloads in pages."""
        self.occupancy = Occupancy(ports)
        """How full tiers were and will be."""
        self.site_events = SiteEvents(ports.site_events, ports.clock, self.discretion)
        """What happened at the site."""
        self.uses = Uses(ports.reports, ports.clock)
        """What workloads use of their grants."""
        self.signs = Signs(ports.reports, ports.logs, site.warnings, self.uses.of)
        """What of running work is suspicious."""
        self.metrics = Metrics(ports)
        """The whole site in figures."""
        self.models = RegisteredModels(
            ports.models, ports.alias_moves, ports.clock, services=ports.workloads.services,
            moved=self.site_events.alias_moved,
        )  # fmt: skip
        """Registered models and their aliases."""
        self.pinned = ports.models.pinned
        """Which version a service has begun to serve."""
        self.figures = ports.figures
        """What is counted while it is asked."""
        self.dashboards = Dashboards(self.get, self.cluster, ports.door)
        """Ray's own pages of single workloads."""
        self.reloading = Reloading(ports.source, lambda: self.site, ports.reloads, ports.clock)
        """Reads the site file again."""
        self.pruning = ports.pruning
        """Removes what ended work left long ago."""
        self.use_site(site)

    def use_site(self, site: Site) -> None:
        """Go by a site, or by another reading of it, from the next request on."""
        self._site = site
        self.accounts = Accounts(self._ports, site)
        """People, projects and keys."""
        self.drains = NodeDrains(self._ports, site)
        """Nodes out of service."""
        self.past = Past(self._ports, site)
        """What was asked for of late."""

    @property
    def site(self) -> Site:
        """The installation."""
        return self._site

    def caller_of(self, key: str, project: str | None = None) -> Caller:
        """Who presents `key`, in the project that he names where he may act in several.

        Raises:
            Denied: If he may not act there.
            Unauthenticated: If nobody issued it, or it has expired.
        """
        return self._logins.caller_of(key, project)

    def made_up_name(self, stem: str) -> str:
        """A name that nobody has, beginning with `stem`."""
        return generated_name(stem[:LONGEST_STEM], self._ports.entropy(3))

    def submit(self, spec: WorkloadSpec, caller: Caller, idempotency_key: str | None = None) -> Record:
        """Take in a job or a service and wake the loop.

        Args:
            spec: What is asked for; a name is made up where there is none.
            caller: Who asks.
            idempotency_key: Equal in repetitions of one request, so that it happens once.

        Raises:
            BadInput: If it can never run; DoesNotFit if no node could ever hold it.
            Denied: If the caller may not submit to the project.
            Conflict: If the name is taken.
            FabricError: NotFound if it comes after a job, or serves a model, that does not exist.
        """
        caller.require(Permission.CHANGE)
        if spec.adopted is not None:
            raise BadInput(
                f"adopted: make the {spec.adopted.kind} in Kubernetes; its label fabric/project hands it to the fabric"
            )
        if spec.array is not None:
            raise BadInput(f"array: is handed in at {ARRAYS}, as `fabric submit` does")
        try:
            final, at = self._admitted(spec, caller), Instants(self._ports.clock.now())
            record = Record(final.name or "", final, State.QUEUED, at, submitted_by=caller.submits_as)
            entropy = None if spec.name else self._ports.entropy
            taken_in = kept(self._ports.workloads, record, idempotency_key, made_up_of=entropy)
        except FabricError:
            if (earlier := repeated(self._ports.workloads, spec, caller, idempotency_key)) is not None:
                return earlier
            raise
        self._ports.process.wake()
        return taken_in

    def _admitted(self, spec: WorkloadSpec, caller: Caller) -> WorkloadSpec:
        return admitted(spec, caller, self._ports, self._site, possible=self._possible)

    def submit_job(self, submission: JobSubmission, caller: Caller) -> Record:
        """Take in what the stock `ray job submit` sends.

        Raises:
            BadInput: If it can never run; DoesNotFit if no node could ever hold it.
            Conflict: If the submission id is taken.
        """
        name = submission.submission_id or submission.job_id or raysubmit_name(self._ports.entropy(NAME_ENTROPY))
        return self.submit(spec_from_ray(submission, self._site, name), caller)

    def get(self, name: str, caller: Caller) -> Record:
        """One workload.

        Raises:
            NotFound: If there is none of that name.
            Denied: If it is out of the caller's reach.
        """
        record = self._ports.workloads.get(name)
        caller.require_workload(record)
        return record

    def list(
        self, caller: Caller, states: Collection[State] | None = None, limit: int = 1000, kind: str | None = None
    ) -> Sequence[Record]:
        """The workloads within the caller's reach, newest first."""
        found = self._ports.workloads.list(project=caller.project, states=states, limit=limit, kind=kind)
        return [record for record in found if caller.workload in (None, record.name)]

    def stop(self, name: str, caller: Caller, reason: str | None = None) -> Record:
        """Ask a workload to leave; the loop does the rest.

        Args:
            name: The workload.
            caller: Who asks.
            reason: Why; left out, that the caller stopped it.

        Raises:
            NotFound: If there is none of that name.
            Conflict: If it has ended already.
        """
        caller.require(Permission.CHANGE)
        record = self.get(name, caller)
        if record.state.final:
            raise Conflict(f"{name} has already {record.state}", workload=name, state=str(record.state))
        self._ports.workloads.request_stop(name, reason or f"stopped by {caller.submits_as}")
        self._ports.process.wake()
        return replace(record, stop_requested=True)

    def delete(self, name: str, caller: Caller) -> None:
        """Forget a workload that has ended, with its log.

        Raises:
            NotFound: If there is none of that name.
            Conflict: If it has not ended, or another one comes after it.
        """
        caller.require(Permission.CHANGE)
        record = self.get(name, caller)
        if not record.state.final:
            raise Conflict(f"{name} is {record.state}; stop it first", workload=name, state=str(record.state))
        self._ports.workloads.delete(name)
        self._ports.logs.delete(name)

    def cluster(self, record: Record) -> ClusterView | None:
        """The cluster of a workload's present attempt; None if there is none."""
        view = self._ports.views().get(record.cluster)
        return view if view is not None and view.born == record.at.submitted else None

    def view(self, record: Record, caller: Caller) -> WorkloadView:
        """A workload as the admin API shows it."""
        return self.views([record], caller)[0]

    def views(self, records: Iterable[Record], caller: Caller) -> tuple[WorkloadView, ...]:
        """Workloads as the admin API shows them."""
        shown, read = tuple(records), self.discretion.towards(caller)
        told, uses = self._ports.reports.progresses([r.name for r in shown]), self.uses.of(shown)
        return tuple(
            workload_view(r, told.get(r.name, NOTHING_TOLD), endpoint_of(r, self._site), read, use=uses.get(r.name))
            for r in shown
        )

    def explain(self, name: str, caller: Caller) -> ExplanationView:
        """Why a workload is where it is.

        Raises:
            NotFound: If there is none of that name.
        """
        record = self.get(name, caller)
        queued, read = record.state is State.QUEUED, self.discretion.towards(caller)
        return ExplanationView(
            workload=self.view(record, caller),
            missing=read(record.waits_for or message_of(record)) if queued else "",
            expected_start=record.expected_start if queued else None,
            notices=(*self.drains.notices(record), *self.signs.warnings([record], self._ports.clock.now()).values()),
            events=tuple(event_view(event, read) for event in self._ports.reports.events(name)),
        )

    def scale(self, name: str, workers: int, caller: Caller) -> Record:
        """Ask for another number of replicas; the loop does the rest.

        Raises:
            NotFound: If there is none of that name.
            BadInput: If it cannot have so many.
            Conflict: If it has ended.
        """
        caller.require(Permission.CHANGE)
        check_scale(self.get(name, caller), workers)
        record = self._ports.workloads.scale(name, workers)
        self._ports.process.wake()
        return record

    def nodes(self, caller: Caller) -> tuple[NodeView, ...]:
        """Every node of the site and what is granted on it; of others' work only how much it holds."""
        ports, drains = self._ports, self.drains.views()
        return node_views(ports.nodes(), self._active(), drains, caller.project, notes=ports.notes())

    def overview(self, caller: Caller) -> Overview:
        """The site at one glance; of workloads those within the caller's reach."""
        active = self._active()
        mine = [r for r in active if caller.project in (None, r.spec.project) and caller.workload in (None, r.name)]
        starts = self._ports.workloads.starts(caller.project, MOST_STARTS)
        return overview_of(
            self._site.name, self._ports.clock.now(), mine, tiers=tier_views(self._ports.nodes(), active),
            starts=starts, endpoint=lambda record: endpoint_of(record, self._site),
            read=self.discretion.towards(caller), uses=self.uses.of(mine),
        )  # fmt: skip

    def decision(self, caller: Caller) -> str:
        """What the loop decided last, as `fabric replay` reads it.

        Raises:
            Denied: If the caller is no administrator or operator of the site.
            Unavailable: If nothing has been decided yet.
        """
        caller.require(Permission.OPERATE)
        made = self._ports.decision()
        if made is None:
            raise Unavailable("nothing has been decided since control started; ask again in some seconds")
        return write_decision(made)

    def health(self) -> Health:
        """Whether control works."""
        age_s = self._ports.process.loop_age_s()
        status = "ok" if age_s < STUCK_AFTER_S else f"the loop has not finished a step for {age_s:.0f} s"
        return Health(
            status=status, site=self._site.name, version=fabric.__version__,
            active=self._ports.workloads.num_active(), loop_age_s=age_s, leads=self._ports.leads(),
        )  # fmt: skip

    def _active(self) -> Sequence[Record]:
        return [record for record in self._ports.workloads.active().values() if not record.state.final]

    def gateway(self) -> GatewaySnapshot:
        """What the gateway needs to serve; its version grows with every change."""
        return self._feed.current()

    def shutdown(self, kill: bool, caller: Caller) -> None:
        """Begin to end all workloads and the fabric.

        Raises:
            Denied: If the caller is no administrator of the site.
        """
        caller.require(Permission.ADMIN)
        self._ports.process.shutdown(kill)
