"""What the rig says when it cannot go on."""


class RigError(Exception):
    """The rig cannot do what it was asked; the message says what is wrong and what to do."""
