"""Tables and figures of an evaluation: Table 5 and Fig. 17 with ours, comparisons, failures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fg3d_builder.evaluation import YAW_INTERVALS_DEG, compare_paired, yaw_table
from fg3d_builder.files import markdown
from fg3d_builder.files.atomic import write_bytes
from fg3d_builder.files.csv_text import csv_text
from fg3d_builder.files.encoding import encode_png
from fg3d_builder.testsets.paper import TABLE5, TITLES
from fg3d_builder.testsets.results import FIT, RESULTS_NAME, ImageResult, ProtocolResults

if TYPE_CHECKING:
    from fg3d_builder.testsets.now_challenge import ChallengeResults
    from fg3d_builder.testsets.realy_evaluation import RealyResults

REPORT_NAME = "report.md"
TABLE_NAME = "results.csv"
FIGURE_NAME = "ced.png"

_MANY = 10


def write_report(results: ProtocolResults, out: Path) -> Path:
    """Write ``report.md``, ``results.csv`` and ``ced.png`` into a folder; return the first."""
    from fg3d_builder.evaluation.pictures import ced_picture

    write_bytes(out / TABLE_NAME, results_csv(results).encode())
    lines = [f"# {TITLES[results.protocol]}", ""]
    if results.rows:
        errors = {method: results.errors(method) for method in results.methods}
        picture = ced_picture(errors, error_name="DACE")
        write_bytes(out / FIGURE_NAME, encode_png(picture))
        lines += [
            _counts(results),
            "",
            "DACE in per cent of the outer interocular distance, by absolute yaw in degrees.",
            "",
            *error_table(results),
            "",
            "Means are over the images that a method has an error for; failed ones are counted "
            "beside them and count as infinite in the cumulative curve. An image of unknown yaw "
            "counts in the mean alone. The paper's rows are on its own ground truth and images.",
            "",
            f"![cumulative errors]({FIGURE_NAME})",
            "",
            *comparison_lines(results),
        ]
    else:
        lines += ["Nothing could be measured.", ""]
    lines += failure_lines(results)
    write_bytes(out / REPORT_NAME, ("\n".join(lines).rstrip() + "\n").encode())
    return out / REPORT_NAME


def results_csv(results: ProtocolResults) -> str:
    """Return all rows as a table; errors in per cent, empty for failures."""
    lines: list[Sequence[object]] = []
    lines.append([*ImageResult._fields[:6], "dace_percent", *ImageResult._fields[7:]])
    for row in results.rows:
        pitch, yaw = ("" if angle is None else f"{angle:.3f}" for angle in row[3:5])
        percent = "" if row.dace is None else f"{100 * row.dace:.6f}"
        coverage = "" if row.coverage is None else f"{row.coverage:.4f}"
        lines.append([*row[:3], pitch, yaw, row.yaw_source, percent, coverage, *row[8:]])
    return csv_text(lines)


def error_table(results: ProtocolResults) -> list[str]:
    """Return Table 5: DACE by yaw, ours and the paper's rows, in Markdown."""
    intervals = [f"[{low:.0f}, {high:.0f}]" for low, high in YAW_INTERVALS_DEG]
    beyond = any(_beyond(results.of(method)) for method in results.methods)
    head = ["method", *intervals, *(["turned further"] if beyond else []), "mean"]
    head += ["median", "measured", "failed", "coverage"]
    rows = [[method, *_method_cells(results.of(method), beyond)] for method in results.methods]
    for row in TABLE5.get(results.protocol, ()):
        cells = [""] * 3 if row.intervals is None else [f"{v:.2f}" for v in row.intervals]
        blank = [""] if beyond else []
        rows.append([f"paper: {row.method}", *cells, *blank, f"{row.mean:.2f}", *[""] * 4])
    return markdown.table(head, rows)


def comparison_lines(results: ProtocolResults) -> list[str]:
    """Return paired comparisons by subject, each method with each of the others before it."""
    head = ["methods", "images", "subjects", "difference", "95 %", "better on", "sign p"]
    rows = []
    for place, method in enumerate(results.methods):
        for other in results.methods[:place]:
            common = results.measured_by_all([method, other])
            subjects = [s for s, used in zip(results.subjects, common, strict=True) if used]
            if len(set(subjects)) < 2:
                continue
            a, b = (100 * results.errors(name)[common] for name in (method, other))
            found = compare_paired(a, b, subjects)
            interval = f"{found.low:+.3f} to {found.high:+.3f}"
            better = f"{found.a_better} of {found.subjects}"
            row = [f"{method} less {other}", str(len(subjects)), str(found.subjects)]
            row += [f"{found.difference:+.3f}", interval, better, f"{found.sign_p:.3g}"]
            rows.append(row)
    if not rows:
        return []
    return [
        "Paired differences of the subjects' mean errors, in per cent, on the images that both "
        "methods have an error for; negative is better for the first.",
        "",
        *markdown.table(head, rows),
        "",
    ]


def failure_lines(
    results: ProtocolResults | ChallengeResults | RealyResults,
    unusable_are: str = "images or subjects",
) -> list[str]:
    """Return what failed, counted by reason, with examples."""
    lines: list[str] = []
    for method in results.methods:
        failed = [(row.image_id, row.code, row.reason) for row in results.of(method) if row.code]
        files = f"{TABLE_NAME} and {RESULTS_NAME}"
        lines += _reason_lines(f"{method} failed on {len(failed)} images", failed, files)
    unusable = [(image.name, image.code, image.reason) for image in results.unusable]
    lines += _reason_lines(
        f"{len(unusable)} {unusable_are} are in no table", unusable, RESULTS_NAME
    )
    return lines


def _reason_lines(title: str, failed: Sequence[tuple[str, str, str]], files: str) -> list[str]:
    """Return what failed (name, code, reason), counted by code under a title, with examples.

    `files` are those that name all of them.
    """
    if not failed:
        return []
    counts = Counter(code for _, code, _ in failed)
    summary = ", ".join(f"{code} {n}" for code, n in sorted(counts.items()))
    lines = [f"{title}: {summary}.", ""]
    lines += [f"* {name}: {reason}" for name, _, reason in failed[:_MANY]]
    if len(failed) > _MANY:
        lines.append(f"* and {len(failed) - _MANY} more, see {files}")
    return [*lines, ""]


def _counts(results: ProtocolResults) -> str:
    fit = results.of(FIT)
    subjects = len({row.subject for row in fit})
    estimated = sum(row.yaw_source == "estimated" for row in fit)
    text = f"{len(fit)} images of {subjects} subjects"
    text += f", yaw of {estimated} estimated by the 3DMM fit" if estimated else ""
    return f"{text}; {len(results.unusable)} images or subjects could not be used."


def _beyond(rows: Sequence[ImageResult]) -> int:
    limit = YAW_INTERVALS_DEG[-1][1] + 1e-3
    return sum(row.yaw_deg is not None and abs(row.yaw_deg) > limit for row in rows)


def _method_cells(rows: Sequence[ImageResult], beyond: bool) -> list[str]:
    measured = [row for row in rows if row.dace is not None]
    failed = str(len(rows) - len(measured))
    by_yaw = [""] * (len(YAW_INTERVALS_DEG) + beyond)
    if not measured:
        return [*by_yaw, "", "", "0", failed, ""]
    columns = [(row.dace, row.yaw_deg, row.coverage) for row in measured]
    dace, yaw_deg, coverage = np.array(columns, dtype=np.float64).T
    errors = 100.0 * dace
    known = np.isfinite(yaw_deg)
    if known.any():
        table = yaw_table(errors[known], yaw_deg[known])
        shown = [*table.intervals, *([table.beyond] if beyond else [])]
        by_yaw = [f"{row.mean:.2f}" if row.samples else "" for row in shown]
    average = [f"{errors.mean():.2f}", f"{np.median(errors):.2f}"]
    return [*by_yaw, *average, str(len(measured)), failed, f"{coverage.mean():.0%}"]
