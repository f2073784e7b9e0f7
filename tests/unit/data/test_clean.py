import pytest

from fabric.core.errors import BadInput
from fabric.data.clean import clean_text


@pytest.mark.parametrize(
    ("rule", "raw", "clean"),
    [
        ("line ends become a line feed", b"one\r\ntwo\rthree\n", "one\ntwo\nthree\n"),
        ("a byte order mark goes", b"\xef\xbb\xbfPOEMATA", "POEMATA\n"),
        ("control characters go", b"end\x1a\n\x00", "end\n"),
        ("composed letters", b"e\xcc\x81t\xc3\xa9", "\u00e9t\u00e9\n"),
        ("tabs become a space, spaces at line ends go", b"a\tb  \nc \t", "a b\nc\n"),
        ("at most one empty line in a row", b"\n\na\n\n\n\nb\n \n \nc\n\n", "a\n\nb\n\nc\n"),
        (
            "numbers of verse lines go",
            b"Against his foe         10\nin 1609\nof  12",
            "Against his foe\nin 1609\nof  12\n",
        ),
        ("a scanner's marks go", b"### START: a.tif ###\nShakespeare\np.772:0\n#### Source: x", "Shakespeare\n"),
        (
            "pictures read as letters go",
            b"A \xe2\x80\x98\xe2\x80\x98*-_ \xc2\xbb;:.,\nWords, words.",
            "Words, words.\n",
        ),
        ("short lines of marks stay", b"* * *\n--\n", "* * *\n--\n"),
        ("indented speech stays", b"   Ber. Who's there?", "   Ber. Who's there?\n"),
        ("nothing stays nothing", b" \r\n \x1a", ""),
    ],
)
def test_cleaning(rule: str, raw: bytes, clean: str) -> None:
    assert clean_text(raw, "text") == clean, rule


def test_cleaning_clean_text_changes_nothing() -> None:
    once = clean_text(b"A\r\n\r\n\r\n   b   10\n", "text")
    assert clean_text(once.encode(), "text") == once


def test_bytes_that_are_no_text_are_named() -> None:
    with pytest.raises(BadInput, match=r"plays/x\.txt: byte 3 is not UTF-8"):
        clean_text(b"abc\xff", "plays/x.txt")
