"""Lines that say how far it is.

Knows nothing of what is done.
"""


def say(text: str) -> None:
    """A line of progress."""
    print(f"rig: {text}", flush=True)
