"""The figures that the README and the docs state, in one file and from one place.

Benchmarks write what they measure to build/bench/NAME.json. `python -m benchmarks.run` takes from
it the figures that are stated anywhere, adds the commit that was measured, writes them to
docs/figures.json and fills the tables between ``<!-- figures: NAME -->`` and ``<!-- end -->``.
What a table says is in benchmarks/figures.toml. `python -m benchmarks.figures` fills the tables
again; a test checks that they are filled so.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fg3d_builder.files.markdown import table

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PROJECT = Path(__file__).resolve().parents[1]
FIGURES_FILE = PROJECT / "docs" / "figures.json"
PAGES = ("README.md", "docs/benchmarks.md")
NOT_MEASURED = "not measured"

Figures = dict[str, float]
Measured = dict[str, dict[str, Any]]
"""By benchmark: ``commit`` and ``figures``."""


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
        for what, short in (("registered", ""), ("fused", "_fused"), ("3DMM fit", "_fit")):
            if f"sven, {model}" in result:
                medians = chosen(f"sven, {model}", what, "visible", "median_mm")
                found |= low_high(f"sven_{model}{short}", medians)
            if what != "fused" and f"facefuns, {model}" in result:
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
        names = ("auc", "auc_unseen_kinds", "auc_unseen_telling", "registrations", "bad")
        for name in (*names, "recall", "good_rejected", "error_correlation", "real", "heads"):
            if figures.get(name) is not None:
                found[f"{model}_{name}"] = float(figures[name])
        for kind in ("real", "heads"):
            found[f"{model}_{kind}_rejected"] = float(len(figures.get(f"{kind}_rejected", ())))
    return found


def heads_figures(result: Mapping[str, Any]) -> Figures:
    """Take the figures from what `benchmarks.heads` wrote."""
    total = result["total"]
    found: Figures = {"heads": float(total["heads"])}
    for name in ("failed", "rejected", "unconverged"):
        found[name] = float(len(total[name]))
    for name in ("lost_all", "surface_mm", "surface_worst_mm", "hidden_mm", "hidden_worst_mm"):
        found[name] = float(total[name])
    found |= {f"lost_{part}": float(worst) for part, worst in total["lost_worst"].items()}
    return found | low_high("lid_gap_mm", total["lid_gap_mm"].values())


def landmark_fits_figures(result: Mapping[str, Any]) -> Figures:
    """Take the figures from what `benchmarks.landmark_fits` wrote."""
    names = ("dace_percent", "nme_percent", "dace_mm", "misfit_mm", "common_mm")
    return {f"{kind}_{n}": float(row[n]) for kind, row in result.items() for n in names}


def demo_figures(result: Mapping[str, Any]) -> Figures:
    """Take the figures from what `benchmarks.demo` wrote."""
    return {name: float(value) for name, value in result["figures"].items()}


def poisson_figures(result: Mapping[str, Any]) -> Figures:
    """Take the figures from what `benchmarks.poisson` wrote."""
    sizes = result["unknown_pixels"]
    found: Figures = {"holes": len(sizes), "least": min(sizes), "most": max(sizes)}
    for solver, figures in result["solvers"].items():
        short = re.sub(r"\W+", "_", solver)
        found |= {f"{short}_{name}": float(value) for name, value in figures.items()}
    return found


def drill_figures(result: Mapping[str, Any]) -> Figures:
    """Take the figures from what `benchmarks.drill` wrote: counts by kind, findings together."""
    found: Figures = {"findings": float(len(result["findings"]))}
    for kind, counts in result["kinds"].items():
        short = kind.replace(" ", "_")
        for name in ("tried", "right", "silent", "traceback", "blocked", "seconds"):
            if name in counts:
                found[f"{short}_{name}"] = float(counts[name])
        if "parts" in counts:
            other = ("wrong exit status", "unclear words")
            found[f"{short}_other"] = float(sum(counts[name] for name in other))
            found[f"{short}_parts"] = float(len(counts["parts"]))
    return found


def timings_figures(result: Mapping[str, Any]) -> Figures:
    """Take the figures from what `benchmarks.timings` wrote."""
    names = {
        re.sub(r"\W+", "_", stage).strip("_") + "_ms": 1e3 * seconds
        for stage, seconds in result["median_seconds"].items()
    }
    return {**names, "peak_memory_mb": float(result["peak_memory_mb"])}


def _named(text: str) -> str:
    """Return a kind or a turn as part of a figure's name: ``+0 -45`` is ``pitch0_yawm45``."""
    turn = re.fullmatch(r"([+-]\d+) ([+-]\d+)", text)
    if turn:
        pitch, yaw = (str(int(angle)).replace("-", "m") for angle in turn.groups())
        return f"pitch{pitch}_yaw{yaw}"
    return text.replace(" ", "_")


def fullview_figures(result: Mapping[str, Any]) -> Figures:
    """Take the figures from what `benchmarks.fullview` wrote: means over captures."""
    found: Figures = {}
    for row in result["total"]:
        place = "_".join(_named(row[name]) for name in ("kind", "turn", "region", "method"))
        for name in ("psnr_db", "ssim", "overhang", "drawn_overhang", "ms"):
            if row[name] is not None:
                found[f"{place}_{name}"] = float(row[name])
        found[f"{_named(row['kind'])}_captures"] = float(row["captures"])
    names = {
        "whole augmented sample, 8 views": "ms_a_view",
        "view: render and inpaint": "ms_render",
    }
    found |= {short: float(result["median_ms"][stage]) for stage, short in names.items()}
    return found


def turned_detection_figures(result: Mapping[str, Any]) -> Figures:
    """Take the figures from what `benchmarks.turned_detection` wrote."""
    found: Figures = {}
    for row in result["total"]:
        place = "_".join(_named(row[name]) for name in ("kind", "turn", "method"))
        for name in ("views", "in_truth", "in_view", "view_px", "truth_px", "between_px"):
            if row[name] is not None:
                found[f"{place}_{name}"] = float(row[name])
    return found


TAKEN: dict[str, Callable[[Mapping[str, Any]], Figures]] = {
    "accuracy": accuracy_figures,
    "demo": demo_figures,
    "drill": drill_figures,
    "fullview": fullview_figures,
    "heads": heads_figures,
    "landmark_fits": landmark_fits_figures,
    "poisson": poisson_figures,
    "quality": quality_figures,
    "registration": registration_figures,
    "semantic": semantic_figures,
    "timings": timings_figures,
    "turned_detection": turned_detection_figures,
}
"""By benchmark; the others' figures are stated nowhere but in their own output."""


def read_tables() -> dict[str, Any]:
    """Read benchmarks/figures.toml: by table ``headings`` and ``rows``."""
    with Path(__file__).with_suffix(".toml").open("rb") as file:
        return tomllib.load(file)


def stated(benchmark: str) -> set[str]:
    """Return the names of a benchmark's figures that stand in any table."""
    cells = [
        cell
        for wanted in read_tables().values()
        for row in wanted["rows"]
        if row["benchmark"] == benchmark
        for cell in row["cells"]
    ]
    return {name for cell in cells for name in re.findall(r"{(\w+)", cell)}


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
    """Add the figures of one benchmark's result that tables state to docs/figures.json."""
    result = json.loads(result_file.read_text(encoding="utf-8"))
    taken, wanted = TAKEN[benchmark](result), stated(benchmark)
    figures = {name: round(taken[name], 4) for name in sorted(taken) if name in wanted}
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
    wanted = read_tables()[name]
    rows = []
    for row in wanted["rows"]:
        entry = measured.get(row["benchmark"], {"commit": "no commit", "figures": {}})
        cells = [filled(cell, entry["figures"]) for cell in row["cells"]]
        rows.append([*cells, f"`benchmarks.{row['benchmark']}`, {entry['commit']}"])
    return "\n".join(table([*wanted["headings"], "measured by, at commit"], rows))


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
