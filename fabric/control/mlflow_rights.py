"""What a request to MLflow needs, by its method and path.

Knows nothing of HTTP or of MLflow's answers, or of which project's workspace a request is for. Paths are those of
MLflow 3's REST API, below `/api/2.0/mlflow` and `/ajax-api/...` alike: the last word says what is done, the one before
it to what.
"""

from fabric.control.callers import Caller, Permission
from fabric.core.errors import Denied

READS = frozenset({"GET", "HEAD"})
"""Methods that change nothing."""

_ASKING = frozenset({"search", "graphql", "get-history-bulk"})
"""Last words of paths that only ask, whatever their method."""
_MARKS = frozenset({"alias", "delete-tag"})
"""Last words of paths whose DELETE takes a mark off and removes nothing."""
_ENDS = frozenset({"delete", "restore", "permanently-delete"})
"""Last words of paths by which things go and come back."""
_TAKEN_BACK = ["model-versions", "delete"]
"""What a job does with the version that it made where another job made the same one a moment earlier."""
_REGISTRY = frozenset({"registered-models", "model-versions"})
"""Parts of the registry, whose models are served."""
_API = frozenset({"api", "ajax-api"})
"""First words of paths of the REST API."""
OPEN = frozenset(
    {"experiments", "runs", "metrics", "artifacts", "registered-models", "model-versions", "logged-models", "traces",
     "datasets", "assessments", "get-trace-artifact", "upload-artifact", "server-info"}
)  # fmt: skip
"""What the REST API does for projects; everything else is not known to keep to one workspace."""
CLOSED = frozenset({"assistant", "gateway", "gateway-proxy", "jobs", "mcp-servers", "webhooks"})
"""What MLflow would do on behalf of this machine: it runs programs, calls other servers, and takes whoever comes
through control for somebody who sits at it."""
_PAGES = frozenset({"static-files", "get-artifact", "graphql", "health", "version", "v1"})
"""First words of paths that are none of the REST API: the pages with what they load, and traces by OTLP."""


def family(path: str) -> str:
    """What a path of the REST API is about; empty for any other path.

    Args:
        path: Without our prefix, escapes resolved.
    """
    words = [word for word in path.split("/") if word]
    if not words or words[0] not in _API:
        return words[0] if words and words[0] in CLOSED else ""
    return next((word for word in words[2:] if word != "mlflow"), "")


def within_a_space(path: str) -> bool:
    """Whether a request for a path is answered from one workspace alone."""
    words = [word for word in path.split("/") if word]
    if ".." in words:
        return False
    if words and words[0] in _API:
        return family(path) in OPEN
    return not words or words[0] in _PAGES or words == ["model-versions", "get-artifact"]


def needed(method: str, path: str) -> tuple[Permission, ...]:
    """Permissions of which one is enough.

    Args:
        method: Of the request.
        path: Without our prefix, escapes resolved.
    """
    words = [word for word in path.split("/") if word]
    last = words[-1] if words else ""
    if method in READS or last in _ASKING:
        return (Permission.LOOK,)
    if words[-2:] == _TAKEN_BACK:
        return (Permission.OPERATE, Permission.REPORT)
    if last in _ENDS or (method == "DELETE" and last not in _MARKS):
        return (Permission.OPERATE,)
    if _REGISTRY & set(words):
        return (Permission.OPERATE, Permission.REPORT)
    return (Permission.CHANGE, Permission.REPORT)


def require(caller: Caller, method: str, path: str) -> None:
    """Check that `caller` may ask MLflow for this.

    Raises:
        Denied: If it may not, naming what would do.
    """
    if family(path) in CLOSED or (caller.project is not None and not within_a_space(path)):
        raise Denied(f"this site does not pass {method} {path} on to MLflow: it is not kept to one project")
    enough = needed(method, path)
    if not any(caller.may(permission) for permission in enough):
        words = " or ".join(str(permission) for permission in enough)
        raise Denied(
            f"key {caller.name} ({caller.role}) may not ask MLflow for {method} {path}: it needs the permission "
            f"{words}. Models are registered and moved by jobs that check the rules, or by operators of the site.",
            permission=str(enough[0]),
        )
