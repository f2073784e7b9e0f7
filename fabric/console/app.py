"""The console as one web application.

Knows nothing of sockets or of how the pages look.
"""

from pathlib import Path

from nicegui import app
from starlette.middleware import Middleware
from starlette.routing import Route

from fabric.console.frame import Console
from fabric.console.guard import LOGIN, Guard
from fabric.console.login import Doors
from fabric.console.pages import (
    happened,
    models,
    node,
    nodes,
    overview,
    projects,
    queue,
    simulate,
    submit,
    workload,
    workloads,
)
from fabric.console.sessions import Sessions
from fabric.console.settings import ConsoleSettings
from fabric.sdk import AsyncClient

STATIC = Path(__file__).with_name("static")
"""Style and scripts of the pages; nothing is fetched from elsewhere."""


def build(settings: ConsoleSettings, state: Path) -> None:
    """Give the process's one application its pages.

    Args:
        settings: What the console is told.
        state: Folder with the local administrator's key, where this machine is trusted.
    """
    sessions = Sessions(settings.idle_s)

    def client(key: str) -> AsyncClient:
        return AsyncClient(settings.control, key, state=state, patience_s=0.0)

    doors = Doors(settings, sessions, state, client)
    app.add_static_files("/static", STATIC)
    app.router.routes.extend((
        Route("/health", doors.health),
        Route(LOGIN, doors.show, methods=["GET"]),
        Route(LOGIN, doors.enter, methods=["POST"]),
        Route("/logout", doors.leave, methods=["POST"]),
    ))  # fmt: skip
    console = Console(settings, sessions)
    for page in (overview, queue, workloads, workload, nodes, node, models, projects, simulate, submit, happened):
        page.add(console)
    hosts = settings.hosts if settings.anonymous else None
    app.user_middleware.append(Middleware(Guard, sessions=sessions, hosts=hosts))
