from __future__ import annotations

from sed.evaluation.reports.markdown import code, one_line, prose, text


def test_names_make_no_markup() -> None:
    assert text("a_b <script>|\n# x") == "a&#95;b &#60;script&#62;&#124; # x"
    assert prose("[mine](x_y), *all* of <b>\n## it") == "[mine](x_y), *all* of &#60;b&#62; ## it"
    assert text(r"C:\*_x") == "C:&#92;&#42;&#95;x"  # after a backslash, an entity would be shown as it is written


def test_code_shows_what_it_holds_in_one_line() -> None:
    assert code("score --x") == "`score --x`"
    assert code("a\n# `b``") == "``` a # `b`` ```"
    assert one_line("a\tb\r\nc\x00\u2028d") == "a b c d"
