"""The figures that the README and the docs state, in one file and from one place.

Benchmarks write what they measure to build/bench/NAME.json. `python -m benchmarks.run` takes from
it the figures that are stated anywhere, adds the commit that was measured, writes them to
docs/figures.json and fills the tables between ``<!-- figures: NAME -->`` and ``<!-- end -->``.
`python -m benchmarks.figures` fills the tables again; a test checks that they are filled so.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fg3d_builder.files.markdown import table

PROJECT = Path(__file__).resolve().parents[1]
FIGURES_FILE = PROJECT / "docs" / "figures.json"
PAGES = ("README.md", "docs/benchmarks.md")
NOT_MEASURED = "not measured"

Figures = dict[str, float]
Measured = dict[str, dict[str, Any]]
"""By benchmark: ``commit`` and ``figures``."""


class Row(NamedTuple):
    """A line of a table.

    Attributes
    ----------
    cells : tuple of str
        Text in which ``{name:.2f}`` is a figure of `benchmark`.
    benchmark : str
    """

    cells: tuple[str, ...]
    benchmark: str


def low_high(name: str, values: Iterable[float]) -> Figures:
    """Return the least, the largest and the mean of some values under three names."""
    kept = np.array(list(values), dtype=float)
    return {
        f"{name}_low": float(kept.min()),
        f"{name}_high": float(kept.max()),
        f"{name}_mean": float(kept.mean()),
    }


def accuracy_figures(result: Mapping[str, Any]) -> Figures:
    """Take the figures from what `benchmarks.accuracy` wrote."""
    found: Figures = {}

    def chosen(title: str, what: str, region: str, key: str) -> list[float]:
        rows = (r for r in result[title] if (r["what"], r["region"]) == (what, region))
        return [row[key] for row in rows]

    for model in ("default", "ict"):
        for what, short in (("registered", ""), ("3DMM fit", "_fit")):
            if f"sven, {model}" in result:
                medians = chosen(f"sven, {model}", what, "visible", "median_mm")
                found |= low_high(f"sven_{model}{short}", medians)
            if f"facefuns, {model}" in result:
                means = chosen(f"facefuns, {model}", what, "visible reliable", "mean_mm")
                found |= low_high(f"facefuns_{model}{short}", means)
        if f"sven, {model}" in result:
            pairs = chosen(f"sven, {model}", "S*", "seen by both", "mean_mm")
            found |= low_high(f"sven_pairs_{model}", pairs)
    for yaw in (20, 45):
        title = f"synthetic, default, yaw up to {yaw} degrees"
        for region in ("visible", "visible reliable", "unseen"):
            for key in ("mean_mm", "p95_mm") if title in result else ():
                name = f"synthetic_{yaw}_{region.replace(' ', '_')}_{key.removesuffix('_mm')}"
                found |= low_high(name, chosen(title, "registered", region, key))
    return found


def semantic_figures(result: Mapping[str, Any]) -> Figures:
    """Take the figures from what `benchmarks.semantic` wrote."""
    return {
        f"{model}_{name}": float(value)
        for model, methods in result["tables"].items()
        for name, value in methods["ours"].items()
    }


def registration_figures(result: Mapping[str, Any]) -> Figures:
    """Take the figures from what `benchmarks.registration` wrote: the embedded model's rows."""
    found: Figures = {}
    for title, rows in result["tables"].items():
        if "default" not in title:
            continue
        kind = title.split(",")[0]
        for short, method in (("", "ours"), ("_amberg", "trimesh amberg")):
            mine = [row for row in rows if row["method"] == method]
            found |= low_high(f"{kind}_seconds{short}", (row["seconds"] for row in mine))
            found |= low_high(f"{kind}_peak_mb{short}", (row["peak_mb"] for row in mine))
            surface = (row["surface_face"]["mean_mm"] for row in mine)
            found |= low_high(f"{kind}_surface{short}", surface)
            vertices = [row["vertex_face"]["mean_mm"] for row in mine if "vertex_face" in row]
            found |= low_high(f"{kind}_vertex{short}", vertices) if vertices else {}
        ours = [row for row in rows if row["method"] == "ours"]
        found[f"{kind}_flipped"] = float(sum(row["flipped"] for row in ours))
        found[f"{kind}_edges_p1"] = min(row["edge_ratio_p1"] for row in ours)
        found[f"{kind}_edges_p99"] = max(row["edge_ratio_p99"] for row in ours)
        found[f"{kind}_times_faster"] = (
            found[f"{kind}_seconds_amberg_mean"] / found[f"{kind}_seconds_mean"]
        )
    return found


def quality_figures(result: Mapping[str, Any]) -> Figures:
    """Take the figures from what `benchmarks.quality` wrote."""
    found: Figures = {}
    for model, figures in result["models"].items():
        for name in ("auc", "registrations", "bad", "recall", "good_rejected", "real"):
            if figures.get(name) is not None:
                found[f"{model}_{name}"] = float(figures[name])
        found[f"{model}_real_rejected"] = float(len(figures.get("real_rejected", ())))
    return found


def demo_figures(result: Mapping[str, Any]) -> Figures:
    """Take the figures from what `benchmarks.demo` wrote."""
    return {name: float(value) for name, value in result["figures"].items()}


def timings_figures(result: Mapping[str, Any]) -> Figures:
    """Take the figures from what `benchmarks.timings` wrote."""
    names = {
        re.sub(r"\W+", "_", stage).strip("_") + "_ms": 1e3 * seconds
        for stage, seconds in result["median_seconds"].items()
    }
    return {**names, "peak_memory_mb": float(result["peak_memory_mb"])}


TAKEN: dict[str, Callable[[Mapping[str, Any]], Figures]] = {
    "accuracy": accuracy_figures,
    "demo": demo_figures,
    "quality": quality_figures,
    "registration": registration_figures,
    "semantic": semantic_figures,
    "timings": timings_figures,
}
"""By benchmark; the others' figures are stated nowhere but in their own output."""


def _spread(name: str, digits: int = 2) -> str:
    return f"{{{name}_low:.{digits}f}} to {{{name}_high:.{digits}f}}"


TABLES: dict[str, tuple[tuple[str, ...], tuple[Row, ...]]] = {
    "readme-accuracy": (
        ("truth", "figure", "registered", "3DMM fit to landmarks and depth", "to landmarks alone"),
        (
            Row(
                (
                    "sven: five frames of a phone's depth camera",
                    "median distance to the fused reference, visible face, mm",
                    _spread("sven_default"),
                    _spread("sven_default_fit"),
                    "",
                ),
                "accuracy",
            ),
            Row(
                (
                    "",
                    "the same with ICT-FaceKit as template",
                    _spread("sven_ict"),
                    _spread("sven_ict_fit"),
                    "",
                ),
                "accuracy",
            ),
            Row(
                (
                    "eight facefuns scans",
                    "mean distance to the scan, visible reliable face, mm",
                    _spread("facefuns_default"),
                    _spread("facefuns_default_fit"),
                    "",
                ),
                "accuracy",
            ),
            Row(
                (
                    "",
                    "the same with ICT-FaceKit as template",
                    _spread("facefuns_ict"),
                    _spread("facefuns_ict_fit"),
                    "",
                ),
                "accuracy",
            ),
            Row(
                (
                    "{captures:.0f} synthetic captures of the demo, sensor noise",
                    "mean distance across the true surface, mm",
                    "{surface_registration:.2f}",
                    "{surface_coarse_fit:.2f}",
                    "{surface_landmark_fit:.2f}",
                ),
                "demo",
            ),
            Row(
                (
                    "",
                    "mean vertex error, which also sees sliding along the surface, mm",
                    "{vertex_registration:.2f}",
                    "{vertex_coarse_fit:.2f}",
                    "{vertex_landmark_fit:.2f}",
                ),
                "demo",
            ),
            Row(
                (
                    "one core, landmarks given",
                    "processor time of a capture, s (trimesh's nonrigid ICP: "
                    "{scans_seconds_amberg_mean:.0f} to {synthetic_seconds_amberg_mean:.0f})",
                    "{synthetic_seconds_mean:.2f} to {scans_seconds_mean:.2f}",
                    "",
                    "",
                ),
                "registration",
            ),
        ),
    ),
    "registration": (
        ("what", "figure", "wanted"),
        (
            Row(
                (
                    "synthetic, whole visible face, mean and 95 % (averages over faces), "
                    "yaw up to 20 degrees",
                    "{synthetic_20_visible_mean_mean:.2f} and {synthetic_20_visible_p95_mean:.2f} "
                    "mm (worst face {synthetic_20_visible_mean_high:.2f} and "
                    "{synthetic_20_visible_p95_high:.2f})",
                    "1.0 and 2.5",
                ),
                "accuracy",
            ),
            Row(
                (
                    "the same, its reliable part",
                    "{synthetic_20_visible_reliable_mean_mean:.2f} and "
                    "{synthetic_20_visible_reliable_p95_mean:.2f} mm",
                    "1.0 and 2.5",
                ),
                "accuracy",
            ),
            Row(
                (
                    "the same, yaw up to 45 degrees",
                    "{synthetic_45_visible_mean_mean:.2f} and {synthetic_45_visible_p95_mean:.2f} "
                    "mm; reliable {synthetic_45_visible_reliable_mean_mean:.2f} and "
                    "{synthetic_45_visible_reliable_p95_mean:.2f}",
                    "1.0 and 2.5",
                ),
                "accuracy",
            ),
            Row(
                (
                    "unseen cheeks, forehead, chin",
                    "{synthetic_20_unseen_mean_mean:.2f} mm (yaw up to 20), "
                    "{synthetic_45_unseen_mean_mean:.2f} (45), worst face "
                    "{synthetic_20_unseen_mean_high:.2f}",
                    "2.5",
                ),
                "accuracy",
            ),
            Row(
                (
                    "sven, median to the fused surface, five frames",
                    _spread("sven_default") + " mm (3DMM fit " + _spread("sven_default_fit") + ")",
                    "0.5",
                ),
                "accuracy",
            ),
            Row(
                (
                    "sven, `S*` of any two frames",
                    "mean {sven_pairs_default_mean:.2f} mm over ten pairs, "
                    + _spread("sven_pairs_default"),
                    "each 1.0",
                ),
                "accuracy",
            ),
            Row(
                (
                    "clean scans, surface mean, embedded model",
                    "{facefuns_default_mean:.2f} mm (" + _spread("facefuns_default") + ")",
                    "each 0.15",
                ),
                "accuracy",
            ),
            Row(
                (
                    "clean scans, surface mean, ICT-FaceKit",
                    _spread("facefuns_ict") + " mm",
                    "each 0.15",
                ),
                "accuracy",
            ),
            Row(
                (
                    "semantic spread, ICT-FaceKit: median, 95 %",
                    "{ict_median:.2f} and {ict_p95:.2f} mm",
                    "0.7 and 2.0",
                ),
                "semantic",
            ),
            Row(
                (
                    "eyes, brows, lips, nose",
                    "{ict_eyes:.2f}, {ict_brows:.2f}, {ict_lips:.2f}, {ict_nose:.2f} mm",
                    "0.6, 1.0, 0.5, 0.7",
                ),
                "semantic",
            ),
            Row(
                (
                    "semantic spread, embedded model: median, 95 %",
                    "{default_median:.2f} and {default_p95:.2f} mm",
                    "0.7 and 2.0",
                ),
                "semantic",
            ),
            Row(
                (
                    "eyes, brows, lips, nose",
                    "{default_eyes:.2f}, {default_brows:.2f}, {default_lips:.2f}, "
                    "{default_nose:.2f} mm",
                    "0.6, 1.0, 0.5, 0.7",
                ),
                "semantic",
            ),
            Row(
                (
                    "flipped triangles, edge ratios, scan f18",
                    "{scans_flipped:.0f}; {scans_edges_p1:.2f} to {scans_edges_p99:.2f}",
                    "0; 0.6 to 1.6",
                ),
                "registration",
            ),
            Row(
                (
                    "processor time per capture, landmarks given, embedded model",
                    "{synthetic_seconds_mean:.2f} s synthetic, {scans_seconds_mean:.2f} s scan",
                    "1.0",
                ),
                "registration",
            ),
            Row(
                (
                    "`nricp_amberg` on the same input",
                    "{synthetic_seconds_amberg_mean:.0f} and {scans_seconds_amberg_mean:.0f} s: "
                    "{synthetic_times_faster:.0f} and {scans_times_faster:.0f} times slower",
                    "20 times",
                ),
                "registration",
            ),
            Row(
                (
                    "peak memory",
                    _spread("scans_peak_mb", 0)
                    + " MB (`nricp_amberg` "
                    + _spread("scans_peak_mb_amberg", 0)
                    + ")",
                    "600",
                ),
                "registration",
            ),
            Row(
                (
                    "vertex error of synthetic faces, next to `nricp_amberg`",
                    "{synthetic_vertex_mean:.2f} mm against {synthetic_vertex_amberg_mean:.2f}",
                    "lower",
                ),
                "registration",
            ),
            Row(
                (
                    "surface mean of scan f18, next to `nricp_amberg`",
                    "{scans_surface_mean:.2f} mm against {scans_surface_amberg_mean:.2f}",
                    "lower",
                ),
                "registration",
            ),
            Row(
                (
                    "AUC of the quality, embedded model",
                    "{default_auc:.2f} ({default_registrations:.0f} registrations, "
                    "{default_bad:.0f} bad; {default_recall:.0%} of the bad below the threshold, "
                    "{default_good_rejected:.0%} of the good, {default_real_rejected:.0f} of "
                    "{default_real:.0f} real captures)",
                    "as high as it gets",
                ),
                "quality",
            ),
            Row(
                (
                    "AUC of the quality, ICT-FaceKit",
                    "{ict_auc:.2f} ({ict_registrations:.0f}, {ict_bad:.0f} bad; "
                    "{ict_recall:.0%}, {ict_good_rejected:.0%}, {ict_real_rejected:.0f} of "
                    "{ict_real:.0f})",
                    "as high as it gets",
                ),
                "quality",
            ),
        ),
    ),
    "timings": (
        ("stage of one synthetic capture, 640 x 480", "processor time, ms"),
        tuple(
            Row((stage, f"{{{name}_ms:.0f}}"), "timings")
            for stage, name in (
                ("capture: render and add sensor noise", "capture_render_noise"),
                ("landmarks (MediaPipe)", "landmarks"),
                ("3DMM fit to landmarks", "3DMM_fit_landmarks"),
                ("depth surface", "depth_surface"),
                ("3DMM fit with depth", "3DMM_fit_depth"),
                ("registration", "registration"),
            )
        ),
    ),
}


def commit() -> str:
    """Return the short name of the commit that is checked out, with a mark if its code differs."""

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", *words], cwd=PROJECT, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    changed = git("status", "--porcelain", "--", "fg3d_builder", "benchmarks", "tasks", "templates")
    return git("rev-parse", "--short=7", "HEAD") + ("+changes" if changed else "")


def read_figures() -> Measured:
    """Read docs/figures.json; empty where nothing has been measured."""
    if not FIGURES_FILE.is_file():
        return {}
    measured: Measured = json.loads(FIGURES_FILE.read_text(encoding="utf-8"))
    return measured


def take_figures(benchmark: str, result_file: Path) -> None:
    """Add the figures of one benchmark's result to docs/figures.json."""
    result = json.loads(result_file.read_text(encoding="utf-8"))
    figures = {name: round(value, 4) for name, value in sorted(TAKEN[benchmark](result).items())}
    measured = read_figures() | {benchmark: {"commit": commit(), "figures": figures}}
    text = json.dumps(dict(sorted(measured.items())), indent=1)
    FIGURES_FILE.write_text(f"{text}\n", encoding="utf-8")


def filled(cell: str, figures: Mapping[str, float]) -> str:
    """Return a cell's text with its figures."""
    try:
        return cell.format(**figures)
    except KeyError:
        return NOT_MEASURED


def table_text(name: str, measured: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a table as Markdown, its last column the command and the commit of each row."""
    headings, rows = TABLES[name]
    lines = []
    for row in rows:
        entry = measured.get(row.benchmark, {"commit": "no commit", "figures": {}})
        cells = [filled(cell, entry["figures"]) for cell in row.cells]
        lines.append([*cells, f"`benchmarks.{row.benchmark}`, {entry['commit']}"])
    return "\n".join(table([*headings, "measured by, at commit"], lines))


def page_text(text: str, measured: Mapping[str, Mapping[str, Any]]) -> str:
    """Return a page with all of its tables filled."""

    def block(match: re.Match[str]) -> str:
        return f"{match[1]}\n{table_text(match[2], measured)}\n{match[3]}"

    pattern = r"(<!-- figures: ([\w-]+) -->)\n.*?(<!-- end -->)"
    return re.sub(pattern, block, text, flags=re.DOTALL)


def main() -> None:
    """Fill the tables of all pages."""
    measured = read_figures()
    for page in PAGES:
        path = PROJECT / page
        path.write_text(page_text(path.read_text(encoding="utf-8"), measured), encoding="utf-8")


if __name__ == "__main__":
    main()
