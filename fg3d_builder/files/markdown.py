"""Tables, code and pages in Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a Markdown table.

    Parameters
    ----------
    headings : sequence of str
        One per column.
    rows : iterable of sequence of str
        One cell per column. Cells may hold Markdown; a ``|`` in them is escaped.

    Raises
    ------
    ValueError
        A row with another number of cells than there are headings, or a cell of several lines.
    """
    lines = [_line(headings), f"|{'---|' * len(headings)}"]
    for row in rows:
        if len(row) != len(headings):
            raise ValueError(f"Markdown table: {len(row)} cells under {len(headings)} headings")
        lines.append(_line(row))
    return lines


def page(title: str, sections: Mapping[str, Sequence[str]]) -> str:
    """Return a page of Markdown, given the paragraphs below each heading."""
    parts = [f"# {title}"]
    for heading, paragraphs in sections.items():
        parts += [f"## {heading}", *paragraphs] if heading else paragraphs
    return "\n\n".join(parts) + "\n"


def code(lines: Iterable[str]) -> str:
    """Return lines as a block of code in Markdown."""
    return "\n".join(["```", *lines, "```"])


def _line(cells: Sequence[str]) -> str:
    broken = [cell for cell in cells if "\n" in cell]
    if broken:
        raise ValueError(f"Markdown table: cell {broken[0]!r} has several lines")
    escaped = [cell.replace("|", r"\|") for cell in cells]
    return f"| {' | '.join(escaped)} |"
