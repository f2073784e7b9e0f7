"""HTML from values."""

from fabric.console.markup import Markup, join, tag
from fabric.console.words import bar, duration, link_to, pager, table, when

EVIL = "<script>alert('x')</script>\" onmouseover=\"y"


def test_texts_and_attributes_are_escaped_and_html_is_not_twice() -> None:
    escaped = "&lt;script&gt;alert(&#x27;x&#x27;)&lt;/script&gt;&quot; onmouseover=&quot;y"
    inner = tag("b", EVIL)
    assert inner == f"<b>{escaped}</b>"
    assert tag("p", inner, None, ["a", 1]) == f"<p>{inner}a1</p>"
    assert tag("a", title=EVIL) == f'<a title="{escaped}"></a>'
    assert isinstance(join("<", Markup("<br>")), Markup)
    assert join("<", Markup("<br>")) == "&lt;<br>"


def test_attributes_may_be_switches_and_have_pythons_words() -> None:
    assert tag("input", class_="x", for_="y", data_at=1, required=True, disabled=False, title=None) == (
        '<input class="x" for="y" data-at="1" required>'
    )


def test_a_name_in_a_link_leads_to_its_own_page_only() -> None:
    link = link_to("a/../b?<")
    assert 'href="/workload/a%2F..%2Fb%3F%3C"' in link
    assert link.endswith(">a/../b?&lt;</a>")


def test_a_table_without_rows_says_so_and_cells_name_their_column() -> None:
    assert table(("A",), [], "Nothing.", "Things") == '<p class="empty">Nothing.</p>'
    assert '<td data-label="A"><div>1</div></td>' in table(("A",), [(1,)], "", "Things")


def test_a_pager_leads_before_and_after_but_not_beyond() -> None:
    def hrefs(offset: int, shown: int) -> list[str]:
        text = pager("/q", "a=1&", offset=offset, shown=shown, total=120, rows=50)
        return [piece.partition('"')[0] for piece in text.split('href="')[1:]]

    assert hrefs(0, 50) == ["/q?a=1&amp;offset=50"]
    assert hrefs(50, 50) == ["/q?a=1&amp;offset=0", "/q?a=1&amp;offset=100"]
    assert hrefs(100, 20) == ["/q?a=1&amp;offset=50"]
    assert pager("/q", "", offset=0, shown=3, total=3, rows=50) == ""


def test_times_and_spans_are_for_people() -> None:
    assert 'data-at="1750000000"' in str(when(1_750_000_000.0))
    assert "2025-06-15 15:06:40 UTC" in str(when(1_750_000_000.0))
    assert (when(None), when(1e300)) == ("–", "never")
    assert [duration(s) for s in (0, 61, 3600, 90_000)] == ["0 s", "1 min 1 s", "1 h", "1 d 1 h"]
    assert 'style="width:50.0%"' in bar(1, 2, "CPUs")
    assert 'style="width:0.0%"' in bar(1, 0, "CPUs")
