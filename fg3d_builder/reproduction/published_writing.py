"""Table 5 as Markdown and CSV, with all of the paper's rows, and Fig. 17."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fg3d_builder.evaluation.pictures import ced_picture
from fg3d_builder.files.atomic import write_bytes
from fg3d_builder.files.encoding import encode_png
from fg3d_builder.reproduction import paper
from fg3d_builder.reproduction.published_sets import (
    COLUMNS,
    SetResult,
    mean_errors,
    method_rows,
    verdicts,
)
from fg3d_builder.reproduction.writing import (
    NONE,
    csv_text,
    figure_text,
    percentages,
    verdict_table,
)
from fg3d_builder.testsets.paper import TABLE5

TITLES = {"florence": "Florence", "now": "NoW, neutral, validation", "stirling": "Stirling/ESRC"}
CED_LIMIT = 0.08
"""End of the error axis, a fraction of the interocular distance."""


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
        panels = [ced_picture(errors, CED_LIMIT, "DACE") for errors in curves]
        write_bytes(out / "fig17.png", encode_png(np.concatenate(panels, axis=1)))
        paths.append(out / "fig17.png")
    return paths


def markdown(sets: Sequence[SetResult], facts: Sequence[str], commands: Sequence[str]) -> str:
    """Return the page."""
    lines = [
        "# Table 5 and Fig. 17: published test sets",
        "",
        "DACE in per cent of the outer interocular distance: mean over the images that a method "
        "has an error for, ± standard deviation over our trainings. Ground truth is this "
        "project's own registration of the scans; the paper's rows are on the paper's. Its own "
        f"{paper.FLORENCE_TRAININGS} trainings vary on Florence by {paper.FLORENCE_VARIANCE} "
        '("variance").',
        "",
    ]
    for found in sets:
        lines += [f"## {TITLES[found.protocol]}", "", *_set_lines(found), ""]
    if any(found.results for found in sets):
        names = ", ".join(TITLES[found.protocol] for found in sets if found.results)
        lines += [f"![cumulative errors: {names}](fig17.png)", "", f"*From the left: {names}.*", ""]
    lines += ["## What this is", "", *facts, "", "## Commands", "", "```", *commands, "```"]
    return "\n".join(lines) + "\n"


def summary_csv(sets: Sequence[SetResult]) -> str:
    """One line per set, method and column, the paper's among them."""
    heads = ["set", "source", "method", "images", "failed", "column", "mean_percent", "sd_percent"]
    lines: list[list[object]] = [[*heads, "least_percent", "largest_percent"]]
    for found in sets:
        for row in method_rows(found):
            for column in COLUMNS:
                spread = row.spread[column.title]
                if spread is not None:
                    known = [found.protocol, "here", row.method, row.images, row.failed]
                    lines.append([*known, column.title, *percentages(spread)])
        for stated in TABLE5[found.protocol]:
            values = [*(stated.intervals or ()), stated.mean]
            titles = [c.title for c in (*COLUMNS[:3], COLUMNS[-1])][-len(values) :]
            for title, value in zip(titles, values, strict=True):
                known = [found.protocol, "paper", stated.method, "", "", title]
                lines.append([*known, value, "", "", ""])
    return csv_text(lines)


def _set_lines(found: SetResult) -> list[str]:
    rows = method_rows(found)
    shown = [c for c in COLUMNS if any(row.spread[c.title] for row in rows)] or [COLUMNS[-1]]
    heads = ["", "images", "failed", *(column.title for column in shown)]
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    for row in rows:
        cells = [row.method, str(row.images), str(row.failed)]
        cells += [figure_text(row.spread[column.title]) for column in shown]
        lines.append(f"| {' | '.join(cells)} |")
    for stated in TABLE5[found.protocol]:
        known = dict(zip([c.title for c in COLUMNS[:3]], stated.intervals or (), strict=False))
        known["mean"] = stated.mean
        cells = [f"*paper: {stated.method}*", NONE, NONE]
        cells += [f"{known[c.title]:.2f}" if c.title in known else NONE for c in shown]
        lines.append(f"| {' | '.join(cells)} |")
    if found.error:
        return [f"Not evaluated: {found.error}", "", *lines]
    judged = tuple(verdicts(found))
    return [*lines, "", *verdict_table(judged)] if judged else lines
