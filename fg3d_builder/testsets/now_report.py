"""Tables of an evaluation on NoW's challenges: median, mean and standard deviation in mm."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from fg3d_builder.evaluation.scan_to_mesh import pooled
from fg3d_builder.files import markdown
from fg3d_builder.files.atomic import write_bytes
from fg3d_builder.files.csv_text import csv_text
from fg3d_builder.files.sealed_object import write_sealed_object
from fg3d_builder.testsets.now import CHALLENGES
from fg3d_builder.testsets.now_challenge import ChallengeResults, ChallengeRow
from fg3d_builder.testsets.report import REPORT_NAME, TABLE_NAME, failure_lines
from fg3d_builder.testsets.results import RESULTS_NAME

ALL = "all"
SCHEMA = "fg3d-now-challenge-2"

_COLUMNS = (
    *("image_id", "subject", "challenge", "method"),
    *("vertices", "median_mm", "mean_mm", "std_mm"),
    *("code", "reason"),
)


def write_challenge_report(results: ChallengeResults, out: Path) -> Path:
    """Write ``report.md``, ``results.csv`` and ``results.json`` into a folder; return the first."""
    write_bytes(out / TABLE_NAME, challenge_csv(results).encode())
    value = {
        "schema": SCHEMA,
        "settings": results.settings,
        "table": _statistics(results),
        "rows": [dict(zip(_COLUMNS, _cells(row), strict=True)) for row in results.rows],
        "unusable": [image._asdict() for image in results.unusable],
    }
    write_sealed_object(out / RESULTS_NAME, value)
    lines = ["# NoW challenge, scan to mesh", ""]
    if results.rows:
        size = "of their own size" if results.settings["metric"] == "metrical" else "scaled"
        lines += [
            f"Distances in mm from the scans' vertices to the reconstructions ({size}), pooled "
            "over all vertices of all images.",
            "",
            *challenge_table(results),
            "",
            "Images that a method failed on are left out of its figures and counted beside them: "
            "compare methods on the same images alone.",
            "",
        ]
    else:
        lines += ["Nothing could be measured.", ""]
    lines += failure_lines(results)
    write_bytes(out / REPORT_NAME, ("\n".join(lines).rstrip() + "\n").encode())
    return out / REPORT_NAME


def challenge_table(results: ChallengeResults) -> list[str]:
    """Return the statistics of every method and challenge, in Markdown."""
    head = ["method", "challenge", "median", "mean", "std", "images", "failed", "vertices"]
    rows = []
    for row in _statistics(results):
        found = [row["median_mm"], row["mean_mm"], row["std_mm"]]
        cells = ["" if value is None else f"{value:.3f}" for value in found]
        counts = [str(row[name]) for name in ("images", "failed", "vertices")]
        rows.append([row["method"], row["challenge"], *cells, *counts])
    return markdown.table(head, rows)


def challenge_csv(results: ChallengeResults) -> str:
    """Return one row per image and method; distances in mm, empty for failures."""
    lines: list[Sequence[object]] = [_COLUMNS]
    for row in results.rows:
        found = [f"{cell:.6f}" if isinstance(cell, float) else cell for cell in _cells(row)]
        lines.append(["" if cell is None else cell for cell in found])
    return csv_text(lines)


def _cells(row: ChallengeRow) -> list[str | int | float | None]:
    """Return what is written of an image and method, by `_COLUMNS`."""
    figures: list[str | int | float | None] = [None] * 4
    if row.distance_mm is not None:
        one = pooled([row.distance_mm])
        figures = [one.vertices, one.median_mm, one.mean_mm, one.std_mm]
    return [*row[:4], *figures, row.code, row.reason]


def _statistics(results: ChallengeResults) -> list[dict]:
    """Return the pooled statistics of each method, on all challenges and on each of them."""
    table = []
    for method in results.methods:
        rows = results.of(method)
        there = {row.challenge for row in rows}
        for challenge in (ALL, *(name for name in CHALLENGES if name in there)):
            some = [row for row in rows if challenge in (ALL, row.challenge)]
            distances = [row.distance_mm for row in some if row.distance_mm is not None]
            found = pooled(distances)
            statistics = {name: getattr(found, name) for name in ("median_mm", "mean_mm", "std_mm")}
            table.append(
                {
                    "method": method,
                    "challenge": challenge,
                    **{n: value if distances else None for n, value in statistics.items()},
                    "images": found.images,
                    "failed": len(some) - found.images,
                    "vertices": found.vertices,
                }
            )
    return table
