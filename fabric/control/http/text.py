"""Bytes that arrive in pieces as text, without ever cutting a character.

Knows nothing of where the bytes come from.
"""

import codecs


class TextOf:
    """Decodes UTF-8 piece by piece; what is no UTF-8 becomes the replacement character."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")

    def more(self, piece: bytes, last: bool) -> str:
        """The text that is complete with `piece`; all that is left if it is the last one."""
        return self._decoder.decode(piece, final=last)
