"""Every failure of a call as the fabric's own error: foreign exceptions and answers of 400 and above end here.

Knows nothing of retries.
"""

from collections.abc import Mapping

import httpx
from pydantic import ValidationError

from fabric.api.admin import ErrorBody
from fabric.core.errors import (
    ERRORS,
    BadInput,
    Conflict,
    Denied,
    FabricError,
    NotFound,
    Unauthenticated,
    Unavailable,
)

BY_STATUS: Mapping[int, type[FabricError]] = {
    400: BadInput,
    401: Unauthenticated,
    403: Denied,
    404: NotFound,
    409: Conflict,
    413: BadInput,
    422: BadInput,
    429: Unavailable,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}
"""What an answer without our `ErrorBody` means: it came from a proxy, or from something that is no fabric."""

_MOST_TEXT = 200
"""Characters of a foreign answer that a message quotes."""


def error_of(response: httpx.Response) -> FabricError:
    """The error that the server raised, with its fields."""
    try:
        body = ErrorBody.model_validate_json(response.content)
    except ValidationError:
        return _foreign(response)
    error = ERRORS.get(body.code, FabricError)(body.message)
    error.fields = body.fields
    return error


def _foreign(response: httpx.Response) -> FabricError:
    text = " ".join(response.text.split())[:_MOST_TEXT]
    what = BY_STATUS.get(response.status_code, FabricError)
    where = f"{response.request.method} {response.request.url}"
    return what(f"{where}: answered {response.status_code} {text or response.reason_phrase}".rstrip())


def unreachable(error: Exception, address: str) -> FabricError:
    """What a foreign exception of a request means for the caller."""
    if isinstance(error, httpx.UnsupportedProtocol | httpx.InvalidURL | httpx.CookieConflict):
        return BadInput(f"{address!r} is no address of a fabric: {error}", address=address)
    if isinstance(error, httpx.ConnectError):
        return Unavailable(
            f"no fabric answers at {address}. Start one with `fabric up`, or set FABRIC_ADDRESS.", address=address
        )
    if isinstance(error, httpx.TimeoutException):
        return Unavailable(f"{address} did not answer in time ({type(error).__name__}). Try again.", address=address)
    return Unavailable(f"{address}: {type(error).__name__}: {error}".rstrip(": ") + ". Try again.", address=address)


def misunderstood(error: ValidationError, where: str) -> str:
    """What to say of an answer that is not what this version of the SDK expects."""
    first = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"]) or "the whole"
    return (
        f"{where}: the answer is not understood ({place}: {first['msg']}). "
        "Is it a fabric, and of the same version as this client?"
    )
