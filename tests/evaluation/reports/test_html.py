"""Pages: what comes from outside is text, whatever it looks like, and nothing is loaded from elsewhere."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import pytest
from chromium import browser, needs_chromium

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


def test_raw_cells_are_as_they_are_and_heads_never() -> None:
    seen = Seen(html.table("c", ["<i>h</i>", "v"], [["<b>r</b>", "<b>v</b>"]], raw=True))
    assert seen.tags.count("b") == 2 and "i" not in seen.tags and "<i>h</i>" in seen.text


def test_a_section_without_content_is_no_section_and_is_not_linked() -> None:
    assert html.section("a", "A") == html.section("a", "A", "", "") == ""
    body = html.section("b", "B", "text")
    links = html.contents([("a", "A"), ("b", "B")], body)
    assert 'href="#b"' in links and 'href="#a"' not in links


def test_a_page_forbids_what_it_does_not_hold() -> None:
    page = html.page(NASTY, "<main id='main'></main>")
    seen = Seen(page)
    assert "script" not in seen.tags and "default-src 'none'" in page
    assert "http://" not in page.replace("http-equiv", "") and "https://" not in page


def test_a_cell_names_its_column_where_rows_become_lists() -> None:
    made = html.table("c", ["class", 'EB-F1 "%"'], [["Dog", "5"]])
    assert Seen(made).attributes["data-head"] == 'EB-F1 "%"' and 'class="scroll rows"' in made
    assert 'class="scroll turned"' in html.table("c", ["class", "x"], [["Dog", "5"]], turned=True)
    for rule in (".rows td::before { content: attr(data-head)", "@media print", ".scroll { overflow: visible"):
        assert rule in html.STYLE


LOOK = """(() => {
    const texts = list => list.map(e => `${e.tagName} ${e.textContent.slice(0, 40)}`);
    const cells = [...document.querySelectorAll("caption, th, td")].filter(e => e.getClientRects().length);
    const lines = node => { const range = document.createRange(); range.selectNode(node);
        return new Set([...range.getClientRects()].map(box => Math.round(box.top))).size; };
    return {
        width: document.documentElement.scrollWidth,
        beyond: texts(cells.filter(e => e.getBoundingClientRect().right > innerWidth + 0.5 && !e.closest(".turned"))),
        cut: texts(cells.filter(e => e.scrollWidth > e.clientWidth + 1)),
        broken: texts(cells.filter(e => e.tagName === "TD" && e.textContent.length < 9 && lines(e.firstChild) > 1)),
    };
})()"""


@needs_chromium
@pytest.mark.parametrize(("width", "media"), [(360, "screen"), (700, "print")])  # 700: A4 without its margins
def test_tables_are_cut_neither_on_a_phone_nor_on_paper(tmp_path: Path, width: int, media: str) -> None:
    names = [f"Electric shaver, toothbrush and whisk {k}" for k in range(10)]
    head = ["number", "samples with a_system_of_a_long_name_seed1 ahead", "95 % interval", "counted by", "F1 %"]
    rows = [
        [name, "32 %", "[-0.1234, +0.1234]", "sed_scores_eval, threshold-free, alpha_st 0", "42.42"] for name in names
    ]
    matrix = [[name, *map(str, range(110, 120))] for name in names]
    body = html.table("Differences.", head, rows) + html.table("Confusions.", ["", *names], matrix, turned=True)
    path = tmp_path / "report.html"
    path.write_text(html.page("report", body), encoding="utf-8")
    with browser(tmp_path) as chromium:
        chromium.open(path, width=width, height=740, touch=True)
        chromium.call("Emulation.setEmulatedMedia", media=media)
        chromium.frames()
        assert chromium.js(LOOK) == {"width": width, "beyond": [], "cut": [], "broken": []}
