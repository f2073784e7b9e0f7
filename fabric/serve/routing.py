"""Choose the place that answers a request.

Knows nothing of HTTP, clocks or connections.
"""

from collections.abc import Collection, Mapping, Sequence


def choose(endpoints: Sequence[str], in_flight: Mapping[str, int], failed: Collection[str] = ()) -> str | None:
    """The endpoint with the fewest requests under way; ties go to the first by name.

    Args:
        endpoints: Base URLs of what is ready for the model.
        in_flight: Requests under way by URL; what is not in it has none.
        failed: URLs that this request has tried in vain.

    Returns:
        None if all have been tried or there is none.
    """
    left = [url for url in endpoints if url not in failed]
    return min(left, key=lambda url: (in_flight.get(url, 0), url), default=None)


def order(endpoints: Sequence[str], in_flight: Mapping[str, int], resting: Collection[str] = ()) -> list[str]:
    """Every endpoint once, in the order in which a request should try them.

    Args:
        endpoints: Base URLs of what is ready for the model.
        in_flight: Requests under way by URL.
        resting: URLs that lately did not answer: they are tried last, since all else may fail too.
    """
    found: list[str] = []
    for group in ([u for u in endpoints if u not in resting], [u for u in endpoints if u in resting]):
        while (url := choose(group, in_flight, found)) is not None:
            found.append(url)
    return found
