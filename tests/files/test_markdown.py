"""Tables in Markdown."""

from __future__ import annotations

import pytest

from fg3d_builder.files.markdown import code, page, table


def test_a_table_has_headings_a_rule_and_rows() -> None:
    assert table(["name", "mean"], [["fit", "**2.1**"], ["network", ""]]) == [
        "| name | mean |",
        "|---|---|",
        "| fit | **2.1** |",
        "| network |  |",
    ]
    assert table(["name"], []) == ["| name |", "|---|"]


def test_a_bar_in_a_cell_starts_no_column() -> None:
    assert table(["a|b"], [["c||d"]]) == [r"| a\|b |", "|---|", r"| c\|\|d |"]


@pytest.mark.parametrize("row", [[], ["a"], ["a", "b", "c"]])
def test_a_row_of_another_length_is_refused(row: list[str]) -> None:
    with pytest.raises(ValueError, match=f"{len(row)} cells under 2 headings"):
        table(["a", "b"], [row])


def test_a_cell_of_several_lines_is_refused() -> None:
    with pytest.raises(ValueError, match="several lines"):
        table(["a"], [["one\ntwo"]])


def test_a_page_parts_its_paragraphs() -> None:
    text = page("One", {"": ["first", "second"], "Two": [code(["a", "b"])]})
    assert text == "# One\n\nfirst\n\nsecond\n\n## Two\n\n```\na\nb\n```\n"
