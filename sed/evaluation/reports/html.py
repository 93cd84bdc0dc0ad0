"""Self-contained HTML pages: skeleton, tables, and escaping of all external text."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

# Content-Security-Policy: scripts and anything from another address are forbidden.
POLICY = "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'"

# --a to --f: colours of series, the same as `svg.colour` gives, and of marks in other pictures.
STYLE = """
:root { color-scheme: light dark; --bg: #fcfcfb; --fg: #1d1f21; --dim: #5c6166; --line: #d9dbdd; --card: #f2f3f4;
  --a: #1f6fb4; --b: #c2571a; --c: #2b8a57; --d: #8a4fb0; --e: #a38400; --f: #b3365b; --bad: #b3261e; --good: #207544; }
@media (prefers-color-scheme: dark) { :root { --bg: #15171a; --fg: #e6e7e8; --dim: #a3a8ad; --line: #383c41;
  --card: #1f2226; --a: #6cb4f2; --b: #f2955a; --c: #65cf98; --d: #c697ea; --e: #dcc04a; --f: #f08aa8;
  --bad: #ff8a80; --good: #7fd8a5; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem clamp(.8rem, 3vw, 2rem) 4rem; max-width: 72rem; background: var(--bg);
  color: var(--fg); font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: .6rem 0 .2rem; } h2 { font-size: 1.2rem; margin: 2.2rem 0 .4rem;
  border-top: 1px solid var(--line); padding-top: 1.2rem; } h3 { font-size: 1rem; margin: 1.2rem 0 .3rem; }
p { margin: .4rem 0; } .dim, figcaption, caption { color: var(--dim); font-size: .88rem; }
caption { text-align: left; padding-bottom: .3rem; }
a { color: var(--a); } code { font-size: .85em; background: var(--card); padding: .1em .3em; border-radius: 4px; }
nav a { display: inline-block; margin: .2rem .9rem .2rem 0; padding: .25rem 0; }
.skip { position: absolute; left: -99rem; }
.skip:focus { left: 1rem; top: .5rem; background: var(--bg); padding: .5rem; }
:focus-visible { outline: 3px solid var(--a); outline-offset: 2px; border-radius: 3px; }
.scroll { overflow-x: auto; margin: .6rem 0; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .7rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th:first-child, td:first-child { text-align: left; position: sticky; left: 0; background: var(--bg); }
details th:first-child { background: var(--card); } thead th { color: var(--dim); font-weight: 600; font-size: .85rem;
  vertical-align: bottom; } th, td { overflow-wrap: normal; } tbody th { font-weight: 500; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); gap: 1rem 2rem; }
figure { margin: .6rem 0; min-width: 0; max-width: 46rem; } details figure { max-width: none; }
svg { width: 100%; height: auto; display: block; }
svg text { fill: var(--fg); font: 12px system-ui, sans-serif; } svg .axis { stroke: var(--line); stroke-width: 1; }
svg .tick { fill: var(--dim); font-size: 11px; }
.warn { border-left: 4px solid var(--b); background: var(--card); padding: .4rem .8rem; margin: .6rem 0; }
details { margin: .5rem 0; background: var(--card); border-radius: 6px; padding: .5rem .8rem; }
summary { cursor: pointer; padding: .2rem 0; } audio { width: 100%; max-width: 34rem; margin-top: .4rem; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(15rem, 1fr)); gap: .6rem; margin: .8rem 0; }
.card { background: var(--card); border-radius: 6px; padding: .6rem .8rem; }
.card b { font-size: 1.35rem; display: block;
  font-variant-numeric: tabular-nums; } .key span { margin-right: 1rem; white-space: nowrap; }
.key i { display: inline-block; width: .9rem; height: .5rem; border-radius: 2px; margin-right: .35rem; }
.turned thead th:not(:first-child) { writing-mode: vertical-rl; transform: rotate(180deg); text-align: left;
  padding: .5rem .3rem; } .turned td { text-align: center; min-width: 2.2rem; }
.scroll { background: linear-gradient(90deg, var(--bg) 40%, transparent) 0 0 / 3rem 100% no-repeat local,
  linear-gradient(270deg, var(--bg) 40%, transparent) 100% 0 / 3rem 100% no-repeat local,
  linear-gradient(90deg, var(--line), transparent) 0 0 / .8rem 100% no-repeat scroll,
  linear-gradient(270deg, var(--line), transparent) 100% 0 / .8rem 100% no-repeat scroll; }
details .scroll { background: none; }
@media screen and (max-width: 34rem) { th, td { padding: .28rem .45rem; font-size: .88rem; } svg { min-width: 29rem; }
  svg text { font-size: 12.5px; } svg .tick { font-size: 12px; } details svg { min-width: 44rem; }
  .rows table, .rows caption, .rows tbody, .rows tr, .rows th, .rows td { display: block; white-space: normal; }
  .rows thead { display: none; } .rows tbody th { padding: .6rem 0 .1rem; border: 0; position: static; }
  .rows td { display: flex; gap: 1rem; justify-content: space-between; padding: .1rem 0 .1rem .8rem; border: 0; }
  .rows td::before { content: attr(data-head); color: var(--dim); text-align: left; }
  .rows tr { border-bottom: 1px solid var(--line); padding-bottom: .4rem; } }
@media print { @page { margin: 12mm; } body { max-width: none; padding: 0; font-size: 11pt; }
  nav, .skip, audio { display: none; }
  .scroll { overflow: visible; background: none; } table { width: 100%; } thead { display: table-header-group; }
  th, td { white-space: normal; padding: .2rem .3rem; font-size: 8.5pt; }
  th:first-child, td:first-child { position: static; }
  .turned td, .turned th { padding: .15rem .05rem; font-size: 7.5pt; min-width: 0; }
  .turned tbody th { overflow-wrap: anywhere; }
  tr, figure, .card, .warn { break-inside: avoid; } h2, h3, caption, summary { break-after: avoid; }
  svg { min-width: 0; } .figures { display: block; } * { print-color-adjust: exact; } }
"""


def escape(value: object) -> str:
    """Escape text for elements and double-quoted attributes."""
    return html.escape(str(value), quote=True)


def page(title: str, body: str) -> str:
    """Return a whole document; its Content-Security-Policy forbids loading anything from elsewhere.

    body: HTML with an element of the id `main`, to which the page's first link leads.
    """
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}"><link rel="icon" href="data:,">'
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>"
        f'<a class="skip" href="#main">Skip to the results</a>{body}</body></html>\n'
    )


def section(anchor: str, title: str, *parts: str) -> str:
    """Return a section with a heading; empty when it has no content."""
    content = "".join(parts)
    return f'<section id="{anchor}"><h2>{escape(title)}</h2>{content}</section>' if content else ""


def contents(entries: Iterable[tuple[str, str]], body: str) -> str:
    """Return links to those sections, (anchor, title), that `body` has."""
    links = [f'<a href="#{anchor}">{escape(title)}</a>' for anchor, title in entries if f'id="{anchor}"' in body]
    return f'<nav aria-label="Sections">{"".join(links)}</nav>'


def table(
    caption: str, head: Sequence[str], rows: Iterable[Sequence[str]], *, raw: bool = False, turned: bool = False
) -> str:
    """Return a table. On a narrow screen its rows become lists; with turned column names it scrolls, also by keyboard.

    Args:
        caption: text above the table.
        head: names of the columns.
        rows: cells; the first of each row is its head.
        raw: whether cells are HTML instead of text.
        turned: whether column names are written vertically.

    Returns:
        HTML.
    """
    cell = str if raw else escape
    heads = [escape(name) for name in head]
    top = "".join(f'<th scope="col">{name}</th>' for name in heads)
    lines = []
    for first, *rest in rows:
        cells = "".join(f'<td data-head="{key}">{cell(value)}</td>' for key, value in zip(heads[1:], rest, strict=True))
        lines.append(f'<tr><th scope="row">{cell(first)}</th>{cells}</tr>')
    name = escape(caption)
    return (
        f'<div class="scroll {"turned" if turned else "rows"}" tabindex="0" role="region" aria-label="{name}"><table>'
        f"<caption>{name}</caption><thead><tr>{top}</tr></thead><tbody>{''.join(lines)}</tbody></table></div>"
    )


def figure(svg: str, caption: str, key: Sequence[tuple[str, str]] = ()) -> str:
    """Return a picture with its caption.

    Args:
        svg: the picture.
        caption: text below it.
        key: (CSS colour, meaning) of each series.

    Returns:
        HTML.
    """
    marks = "".join(f'<span><i style="background:{colour}"></i>{escape(text)}</span>' for colour, text in key)
    legend = f'<div class="key dim">{marks}</div>' if marks else ""
    box = f'<div class="scroll" tabindex="0" role="group" aria-label="{escape(caption)}">{svg}</div>'
    return f"<figure>{box}{legend}<figcaption>{escape(caption)}</figcaption></figure>"
