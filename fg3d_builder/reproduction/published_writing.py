"""Table 5 as Markdown and CSV, with all of the paper's rows, and Fig. 17."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fg3d_builder.evaluation.pictures import ced_picture
from fg3d_builder.files.atomic import write_bytes
from fg3d_builder.files.csv_text import csv_text
from fg3d_builder.files.encoding import encode_png
from fg3d_builder.files.markdown import code, page, table
from fg3d_builder.reproduction import paper
from fg3d_builder.reproduction.published_sets import (
    COLUMNS,
    SetResult,
    mean_errors,
    method_rows,
    verdicts,
)
from fg3d_builder.reproduction.tables import PUBLISHED
from fg3d_builder.reproduction.writing import (
    NONE,
    figure_text,
    percentages,
    verdict_paragraphs,
)
from fg3d_builder.testsets.paper import TABLE5, TITLES, PaperRow


def write_published(
    sets: Sequence[SetResult], facts: Sequence[str], commands: Sequence[str], out: Path
) -> list[Path]:
    """Write ``table5.md``, ``table5.csv`` and ``fig17.png``; return their paths.

    Parameters
    ----------
    sets : sequence of SetResult
    facts : sequence of str
        Lines of Markdown: what was trained.
    commands : sequence of str
    out : Path
    """
    paths = [out / "table5.md", out / "table5.csv"]
    write_bytes(paths[0], markdown(sets, facts, commands).encode())
    write_bytes(paths[1], summary_csv(sets).encode())
    curves = [mean_errors(found) for found in sets if found.results and found.results.rows]
    if curves:
        panels = [ced_picture(errors, error_name="DACE") for errors in curves]
        write_bytes(out / "fig17.png", encode_png(np.concatenate(panels, axis=1)))
        paths.append(out / "fig17.png")
    return paths


def markdown(sets: Sequence[SetResult], facts: Sequence[str], commands: Sequence[str]) -> str:
    """Return the page."""
    about = (
        "DACE in per cent of the outer interocular distance: mean over the images that a method "
        "has an error for, ± standard deviation over our training runs. Ground truth is this "
        "project's own registration of the scans; the paper's rows are on the paper's. Its own "
        f"{paper.FLORENCE_RUNS} runs vary on Florence by {paper.FLORENCE_VARIANCE} "
        '("variance").'
    )
    sections = {"": [about]} | {TITLES[s.evaluation.protocol]: _paragraphs(s) for s in sets}
    if any(found.results for found in sets):
        names = ", ".join(TITLES[found.evaluation.protocol] for found in sets if found.results)
        sections["Cumulative errors"] = [f"![{names}](fig17.png)", f"*From the left: {names}.*"]
    sections |= {"What this is": ["\n".join(facts)], "Commands": [code(commands)]}
    return page(PUBLISHED.title, sections)


def summary_csv(sets: Sequence[SetResult]) -> str:
    """One line per set, method and column, the paper's among them."""
    heads = ["set", "source", "method", "images", "failed", "column", "mean_percent", "sd_percent"]
    lines: list[list[object]] = [[*heads, "least_percent", "largest_percent"]]
    for found in sets:
        protocol = found.evaluation.protocol
        for row in method_rows(found):
            for column in COLUMNS:
                spread = row.spread[column.title]
                if spread is not None:
                    known = [protocol, "here", row.method, row.images, row.failed]
                    lines.append([*known, column.title, *percentages(spread)])
        for stated in TABLE5[protocol]:
            for title, value in _stated_by_column(stated).items():
                known = [protocol, "paper", stated.method, "", "", title]
                lines.append([*known, value, "", "", ""])
    return csv_text(lines)


def _paragraphs(found: SetResult) -> list[str]:
    rows = method_rows(found)
    shown = [c for c in COLUMNS if any(row.spread[c.title] for row in rows)] or [COLUMNS[-1]]
    cells = [
        [row.method, str(row.images), str(row.failed)]
        + [figure_text(row.spread[column.title]) for column in shown]
        for row in rows
    ]
    for stated in TABLE5[found.evaluation.protocol]:
        known = _stated_by_column(stated)
        figures = [f"{known[c.title]:.2f}" if c.title in known else NONE for c in shown]
        cells.append([f"*paper: {stated.method}*", NONE, NONE, *figures])
    heads = ["", "images", "failed", *(column.title for column in shown)]
    paragraphs = ["\n".join(table(heads, cells))]
    if found.error:
        return [f"Not evaluated: {found.error}", *paragraphs]
    judged = verdicts(found)
    return [*paragraphs, *verdict_paragraphs(judged)] if judged else paragraphs


def _stated_by_column(row: PaperRow) -> dict[str, float]:
    titles = [column.title for column in COLUMNS[:3]]
    return {**dict(zip(titles, row.intervals or (), strict=False)), "mean": row.mean}
