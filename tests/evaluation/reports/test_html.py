"""HTML pages: external text is escaped, and nothing is loaded from the network."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from sed.evaluation.reports import html

NASTY = '<script>alert("1")</script>&amp;'


class Seen(HTMLParser):
    """Tags, attributes and text of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: dict[str, str | None] = {}
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= dict(attrs)

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize(
    "made",
    [
        html.escape(NASTY),
        html.section("a", NASTY, "x"),
        html.table(NASTY, [NASTY, NASTY], [[NASTY, NASTY]]),
        html.figure("", NASTY, [("red", NASTY)]),
        html.contents([("a", NASTY)], '<section id="a">'),
    ],
)
def test_text_stays_text(made: str) -> None:
    seen = Seen(made)
    assert NASTY in seen.text and "script" not in seen.tags


def test_text_in_an_attribute_stays_in_it() -> None:
    seen = Seen(html.table('x" onload="y', ["h"], []))
    assert seen.attributes["aria-label"] == 'x" onload="y' and "onload" not in seen.attributes


def test_raw_cells_are_html_but_names_of_columns_are_text() -> None:
    seen = Seen(html.table("c", ["<i>h</i>", "v"], [["<b>r</b>", "<b>v</b>"]], raw=True))
    assert seen.tags.count("b") == 2 and "i" not in seen.tags and "<i>h</i>" in seen.text


def test_a_section_without_content_is_no_section_and_is_not_linked() -> None:
    assert html.section("a", "A") == html.section("a", "A", "", "") == ""
    body = html.section("b", "B", "text")
    links = html.contents([("a", "A"), ("b", "B")], body)
    assert 'href="#b"' in links and 'href="#a"' not in links


def test_a_page_forbids_what_is_elsewhere_and_refers_to_nothing_there() -> None:
    page = html.page(NASTY, "<main id='main'></main>")
    seen = Seen(page)
    assert "script" not in seen.tags and "default-src 'none'" in page
    assert "http://" not in page and "https://" not in page


def test_a_cell_names_its_column_where_rows_become_lists() -> None:
    made = html.table("c", ["class", 'EB-F1 "%"'], [["Dog", "5"]])
    assert Seen(made).attributes["data-head"] == 'EB-F1 "%"' and 'class="scroll rows"' in made
    assert ".rows td::before { content: attr(data-head)" in html.STYLE


def test_a_table_with_turned_names_does_not_become_lists() -> None:
    made = html.table("c", ["class", "x"], [["Dog", "5"]], turned=True)
    assert 'class="scroll turned"' in made


def test_wide_tables_are_not_cut_off_in_print() -> None:
    assert ".scroll { overflow: visible" in html.STYLE.partition("@media print")[2]
