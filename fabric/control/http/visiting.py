"""Links that let browsers in to what one workload shows: a ticket for who asks, and a cookie for who follows it.

Knows nothing of what is shown there.
"""

from collections.abc import Callable

from fastapi import Request, Response
from starlette.responses import RedirectResponse

from fabric.api.dashboard import DashboardLink
from fabric.api.people import PROJECT_HEADER
from fabric.control.http.auth import VISIT_COOKIE, key_of
from fabric.control.http.bodies import json_of
from fabric.control.visits import TICKET_S, Visit, Visits


def link_to(name: str, request: Request, visits: Visits, *, page: str, tickets: str) -> Response:
    """A link to what a workload shows, for who may see it.

    Args:
        name: Of the workload.
        request: Of who asks.
        visits: Who was let in.
        page: Path of what is shown.
        tickets: How paths of links begin.
    """
    key = key_of(request)
    if key is None:
        return json_of(DashboardLink(path=page))
    ticket = visits.ticket(Visit(name, key, request.headers.get(PROJECT_HEADER)))
    return json_of(DashboardLink(path=f"{tickets}/{ticket}", opens_s=TICKET_S))


def entered(ticket: str, request: Request, visits: Visits, page_of: Callable[[str], str]) -> Response:
    """The way on for a browser that followed a link, with what lets it in from now on.

    Args:
        ticket: Of the link.
        request: Of the browser.
        visits: Who was let in.
        page_of: Path of what a workload shows, by its name.

    Raises:
        NotFound: If the ticket opens nothing, or no more.
    """
    word, visit = visits.enter(ticket)
    page = page_of(visit.workload)
    answer = RedirectResponse(page, 303)
    answer.set_cookie(
        VISIT_COOKIE, word, path=page, secure=request.url.scheme == "https", httponly=True, samesite="lax"
    )
    answer.headers["Referrer-Policy"] = "no-referrer"
    return answer
