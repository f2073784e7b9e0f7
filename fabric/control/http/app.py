"""Control's HTTP interface as one ASGI application.

Knows nothing of sockets, processes or stores: it is given a service.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from fastapi import FastAPI

from fabric.api.artifacts import ARTIFACTS
from fabric.api.jobs import PACKAGES
from fabric.api.notebook import NOTEBOOK
from fabric.control.callers import Caller
from fabric.control.deployments import Deployments
from fabric.control.http import errors
from fabric.control.http.admin import details_router, site_router, telling_router, workloads_router
from fabric.control.http.arrays import arrays_router
from fabric.control.http.artifacts import artifacts_router
from fabric.control.http.auth import Guard, require_declared
from fabric.control.http.bodies import BodyLimit
from fabric.control.http.dashboard import DashboardProxy
from fabric.control.http.deployments import deployments_router
from fabric.control.http.description import description_router
from fabric.control.http.gateway import gateway_router
from fabric.control.http.jobs import jobs_router
from fabric.control.http.lanes import Lanes, lanes_of
from fabric.control.http.lists import lists_router
from fabric.control.http.logs import logs_router
from fabric.control.http.metrics import metrics_router
from fabric.control.http.mlflow import PREFIX, MlflowProxy
from fabric.control.http.models import models_router
from fabric.control.http.nodes import nodes_router
from fabric.control.http.notebook import NotebookProxy
from fabric.control.http.over_time import over_time_router
from fabric.control.http.packages import packages_router
from fabric.control.http.past import past_router
from fabric.control.http.people import keys_router, people_router
from fabric.control.http.secrets import secrets_router
from fabric.control.http.secure import Secure
from fabric.control.http.serve import serve_router
from fabric.control.http.settings import HttpSettings
from fabric.control.http.site import site_file_router
from fabric.control.http.terminal import terminal_router
from fabric.control.revisions import Revisions
from fabric.control.service import Service
from fabric.telemetry.http import Timed


def create_app(service: Service, settings: HttpSettings, carrier: httpx.AsyncBaseTransport | None = None) -> FastAPI:
    """Every route of control.

    Args:
        service: The use cases.
        settings: Limits and neighbours.
        carrier: What carries requests to MLflow and to Ray heads instead of the network; for tests.

    Raises:
        ValueError: If a route declares no permission.
    """

    def moved(caller: Caller, project: str, model: str, alias: str, *, version: str | None) -> None:
        service.site_events.alias_moved(caller, project, model, alias, version=version)

    mlflow = MlflowProxy(settings.mlflow_port, carrier, moved=moved)
    dashboards, notebooks = DashboardProxy(service, carrier), NotebookProxy(service, settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        await mlflow.close()
        await dashboards.close()
        await notebooks.close()

    app = FastAPI(lifespan=lifespan, openapi_url=None, docs_url=None, redoc_url=None, redirect_slashes=False)
    guard = Guard(service, settings)
    deployments = Deployments(service)
    revisions = Revisions(service, deployments.one_at_a_time)
    app.include_router(jobs_router(service, guard))
    app.include_router(packages_router(service, guard, settings))
    app.include_router(artifacts_router(service, guard, settings))
    app.include_router(serve_router(service, guard, deployments))
    app.include_router(logs_router(service, guard, settings))
    app.include_router(workloads_router(service, guard, revisions))
    app.include_router(details_router(service, guard))
    app.include_router(deployments_router(service, guard, revisions))
    app.include_router(arrays_router(service, guard))
    app.include_router(lists_router(service, guard))
    app.include_router(telling_router(service, guard))
    app.include_router(terminal_router(service, guard, settings))
    app.include_router(site_router(service, guard))
    app.include_router(nodes_router(service, guard))
    app.include_router(site_file_router(service, guard))
    app.include_router(past_router(service, guard))
    app.include_router(over_time_router(service, guard))
    app.include_router(people_router(service, guard))
    app.include_router(keys_router(service, guard))
    app.include_router(secrets_router(service, guard))
    app.include_router(models_router(service, guard))
    app.include_router(gateway_router(service, guard, settings))
    app.include_router(metrics_router(service, guard))
    app.include_router(mlflow.router(guard))
    app.include_router(dashboards.router(guard))
    app.include_router(notebooks.router(guard))
    app.include_router(description_router(app, guard))
    require_declared(app.routes)
    errors.install(app)
    unlimited = (f"{PACKAGES}/", f"{ARTIFACTS}/", f"{NOTEBOOK}/", f"{PREFIX}/")
    app.add_middleware(BodyLimit, max_bytes=settings.max_body_bytes, longest_s=settings.max_body_s, exempt=unlimited)
    app.add_middleware(Lanes, lanes=lanes_of(settings))
    app.add_middleware(Secure)
    app.add_middleware(Timed, took=lambda: service.figures.requests)
    return app
