"""Tables of an evaluation on REALY: the rigid region-wise error in mm."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fg3d_builder.evaluation.regional_error import REGIONS
from fg3d_builder.files import markdown
from fg3d_builder.files.atomic import write_bytes
from fg3d_builder.files.csv_text import csv_text
from fg3d_builder.files.sealed_object import write_sealed_object
from fg3d_builder.testsets.realy_evaluation import RealyResults
from fg3d_builder.testsets.report import REPORT_NAME, TABLE_NAME, failure_lines
from fg3d_builder.testsets.results import RESULTS_NAME

SCHEMA = "fg3d-realy-1"


def write_realy_report(results: RealyResults, out: Path) -> Path:
    """Write ``report.md``, ``results.csv`` and ``results.json`` into a folder; return the first."""
    write_bytes(out / TABLE_NAME, realy_csv(results).encode())
    value = {
        "schema": SCHEMA,
        "settings": results.settings,
        "rows": [row._asdict() for row in results.rows],
        "unusable": [image._asdict() for image in results.unusable],
    }
    write_sealed_object(out / RESULTS_NAME, value)
    lines = ["# REALY, rigid region-wise error", ""]
    if results.rows:
        lines += [
            "Mean distance in mm from the vertices of a scan's region to the reconstruction that "
            "was aligned rigidly with the region; mean and standard deviation over images. The "
            "benchmark's own figures are after a nonrigid step and are higher: these are not to "
            "be compared with them.",
            "",
            *region_table(results),
            "",
        ]
    else:
        lines += ["Nothing could be measured.", ""]
    lines += failure_lines(results, "images")
    write_bytes(out / REPORT_NAME, ("\n".join(lines).rstrip() + "\n").encode())
    return out / REPORT_NAME


def region_table(results: RealyResults) -> list[str]:
    """Return the error of every method by region, in Markdown; ``all`` is the regions' mean."""
    names = [region.name for region in REGIONS]
    rows = []
    for method in results.methods:
        all_rows = results.of(method)
        errors = np.array(
            [[r.error_mm[n] for n in names] for r in all_rows if r.error_mm is not None]
        )
        cells = [""] * (len(names) + 1)
        if len(errors):
            cells = [_mean_and_spread(errors[:, i]) for i in range(len(names))]
            cells.append(f"{errors.mean(axis=0).mean():.3f}")
        rows.append([method, *cells, str(len(errors)), str(len(all_rows) - len(errors))])
    return markdown.table(["method", *names, "all", "measured", "failed"], rows)


def realy_csv(results: RealyResults) -> str:
    """Return one row per image and method; errors in mm, empty for failures."""
    names = [region.name for region in REGIONS]
    lines: list[Sequence[object]] = [
        ["image_id", "subject", "method", *(f"{name}_mm" for name in names), "code", "reason"]
    ]
    for row in results.rows:
        found = [""] * len(names)
        if row.error_mm is not None:
            found = [f"{row.error_mm[name]:.6f}" for name in names]
        lines.append([*row[:3], *found, row.code, row.reason])
    return csv_text(lines)


def _mean_and_spread(values: np.ndarray) -> str:
    if len(values) < 2:
        return f"{values.mean():.3f}"
    return f"{values.mean():.3f} ± {values.std(ddof=1):.3f}"
