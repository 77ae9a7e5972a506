"""Textured heads of many kinds: what is lost, what hair does, and whether closed lids meet.

`python -m benchmarks.heads --data ../shared/data` registers the neutral heads, the heads with an
expression, and the scan with closed eyes; prints a line for each and one for all, and writes
build/bench/heads.json. `--only MENA eyes-closed` takes those with one of these words in their
name, `--pictures FOLDER` keeps a sheet of each. docs/benchmarks.md says what the figures mean.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.accuracy import seconds_of
from benchmarks.head_truth import HeadTruth, head_source, lid_gaps_mm, skin_figures
from benchmarks.regions import feature_regions, narrow_face
from benchmarks.semantic import mean_shape, spread
from benchmarks.surfaces import Spots
from benchmarks.timings import machine
from fg3d_builder.captures import open_source
from fg3d_builder.config import BuildConfig, FaceModelConfig, ReviewConfig, SourceConfig
from fg3d_builder.errors import CaptureError
from fg3d_builder.facemodel import FaceModel
from fg3d_builder.facemodel.model import PARTS
from fg3d_builder.files.atomic import write_bytes, write_json
from fg3d_builder.files.encoding import encode_png
from fg3d_builder.heads.library import get_model
from fg3d_builder.landmarks import open_detector
from fg3d_builder.landmarks.detector import LandmarkDetector
from fg3d_builder.pipeline.register import RegisteredCapture, register_capture
from fg3d_builder.records import Array, Capture
from fg3d_builder.report.sheets import capture_sheet

NEUTRAL, EXPRESSIONS = "heads", "heads-expressions"
CLOSED_EYES_SCAN = "lee-perry-smith"
CLOSED_EYES = ("eyes-closed", CLOSED_EYES_SCAN)
MUCH_HIDDEN = 0.1
"""Share of the reliable face from which on the error under hair counts in the mean over heads."""

Row = dict[str, Any]


class Heads:
    """Registers heads and keeps what the spread over heads needs.

    Parameters
    ----------
    model : FaceModel
    pictures : Path or None
        Folder for a sheet of each head.
    """

    def __init__(self, model: FaceModel, pictures: Path | None) -> None:
        self._model = model
        self._pictures = pictures
        self._config = BuildConfig()
        self._detector: LandmarkDetector = open_detector(self._config.landmarks)
        self._places: list[tuple[Spots, Spots, Array, Array]] = []
        self._triangles: Array = np.zeros((0, 3), int)

    def rows(self, data: Path, only: tuple[str, ...]) -> Iterator[Row]:
        """Yield one row per head of the folder `data`."""
        for folder in (NEUTRAL, EXPRESSIONS):
            config, entries, source = head_source(data / folder, only)
            for entry in entries:
                truth = HeadTruth.of(config, Path(entry.location))
                yield self._row(folder, source.load(entry), truth)
        if not only or any(word in CLOSED_EYES_SCAN for word in only):
            closed = SourceConfig(
                kind="scan", path=str(data / "scans"), include=(CLOSED_EYES_SCAN,), unit_mm=0.0
            )
            source = open_source(closed)
            for entry in source.entries():
                yield self._row("scans", source.load(entry), None)

    def _row(self, folder: str, capture: Capture, truth: HeadTruth | None) -> Row:
        model = self._model
        row: Row = {"set": folder, "head": capture.subject_id}
        try:
            found = register_capture(model, capture, self._config, detector=self._detector)
        except CaptureError as error:
            return row | {"failure": f"{error.code}: {error.message}"}
        if self._pictures is not None:
            self._draw(capture, found)
        registration = found.registration
        row |= {"quality": registration.quality, "converged": bool(registration.converged)}
        if truth is not None:
            placed = truth.place(model, registration.vertices_cam_mm)
            row |= skin_figures(model, registration, placed)
            if folder == NEUTRAL:
                coarse_cam = found.coarse.pose.cam_from_obj(found.coarse.shape_obj_mm)
                before = truth.skin.nearest(coarse_cam)
                self._places.append((placed.spots, before, placed.seen, truth.skin_cam_mm))
                self._triangles = truth.triangles
        if capture.subject_id.endswith(CLOSED_EYES):
            row["lid_gap_mm"] = lid_gaps_mm(model, registration.shape_obj_mm)
        return row | {"seconds": seconds_of(found)}

    def _draw(self, capture: Capture, found: RegisteredCapture) -> None:
        assert self._pictures is not None
        sheet = capture_sheet(
            self._model, capture, found.landmarks, found.coarse, found.registration
        )
        write_bytes(self._pictures / f"{capture.subject_id}.png", encode_png(sheet))

    def spread_mm(self) -> dict[str, dict[str, float]]:
        """Return the semantic spread over the neutral heads, see `benchmarks.semantic`.

        Medians by region and the narrow face's 95th percentile, of the 3DMM fit and of the
        registration; empty where less than two heads were registered.
        """
        if len(self._places) < 2:
            return {}
        model = self._model
        spots, before, seen, skins = zip(*self._places, strict=True)
        mean_mm = mean_shape(np.stack(skins))
        regions = {"narrow": narrow_face(model)} | feature_regions(model)
        table = {}
        for name, places in (("registered", spots), ("3DMM fit", before)):
            value = spread(list(places), np.stack(seen), mean_mm, self._triangles)
            row = {region: float(np.nanmedian(value[mask])) for region, mask in regions.items()}
            row["narrow_p95"] = float(np.nanquantile(value[regions["narrow"]], 0.95))
            table[name] = row
        return table


def total(rows: Sequence[Row]) -> Row:
    """Summarise the rows of heads: what the printed last line says.

    ``rejected`` names the heads below ``review.min_quality``; the mean under hair is over heads
    with `MUCH_HIDDEN`.
    """
    known = [row for row in rows if "quality" in row]
    heads = [row for row in known if "lost" in row]
    threshold = ReviewConfig().min_quality
    lids = {
        r["head"]: max(g["median"] for g in r["lid_gap_mm"].values()) for r in _with_lids(known)
    }
    found: Row = {
        "heads": len(rows),
        "failed": [row["head"] for row in rows if "failure" in row],
        "rejected": [row["head"] for row in known if row["quality"] < threshold],
        "unconverged": [row["head"] for row in known if not row["converged"]],
        "lid_gap_mm": lids,
    }
    if heads:
        hair = [row["hidden_mm"] for row in heads if row["hidden_share"] >= MUCH_HIDDEN]
        found |= {
            "lost_worst": {part: max(row["lost"][part] for row in heads) for part in PARTS},
            "lost_all": float(np.mean([row["lost_all"] for row in heads])),
            "lost_all_worst": max(row["lost_all"] for row in heads),
            "surface_mm": float(np.mean([row["surface_mm"] for row in heads])),
            "surface_worst_mm": max(row["surface_mm"] for row in heads),
            "much_hidden": len(hair),
        }
        if hair:
            found |= {"hidden_mm": float(np.mean(hair)), "hidden_worst_mm": max(hair)}
    return found


def _with_lids(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if "lid_gap_mm" in row]


HEADINGS = (
    f"{'head':24s} quality  lost, % " + " ".join(f"{part:>6s}" for part in PARTS) + "    all"
    "   surface  95 %  hidden  there mm   lid gaps"
)


def line(row: Row) -> str:
    """Return one head's row as a line under `HEADINGS`."""
    if "failure" in row:
        return f"{row['head']:24s} {row['failure']}"
    text = f"{row['head']:24s} {row['quality']:7.3f}{' ' if row['converged'] else '*'}        "
    if "lost" in row:
        text += " ".join(f"{100 * row['lost'][part]:6.1f}" for part in PARTS)
        under = f"{row['hidden_mm']:6.2f}" if row["hidden_mm"] is not None else "     -"
        text += (
            f" {100 * row['lost_all']:6.1f}   {row['surface_mm']:7.2f} {row['surface95_mm']:5.2f}"
            f" {100 * row['hidden_share']:6.0f} % {under}"
        )
    for eye, gap in row.get("lid_gap_mm", {}).items():
        text += f"   {eye} {gap['median']:.1f} (max {gap['max']:.1f})"
    return text


def total_lines(found: Row) -> list[str]:
    """Return the summary of `total` as text."""
    rejected = " ".join(found["rejected"]) or "-"
    lines = [
        f"{found['heads']} heads, {len(found['failed'])} failed, {len(found['rejected'])} rejected "
        f"({rejected}), {len(found['unconverged'])} not converged"
    ]
    if "lost_all" in found:
        worst = ", ".join(f"{part} {100 * v:.1f}" for part, v in found["lost_worst"].items())
        lines.append(
            f"lost: all parts {100 * found['lost_all']:.1f} % (worst head "
            f"{100 * found['lost_all_worst']:.1f}); worst head by part: {worst}"
        )
        surface, worst_surface = found["surface_mm"], found["surface_worst_mm"]
        lines.append(f"surface where seen {surface:.3f} mm (worst {worst_surface:.3f})")
    if "hidden_mm" in found:
        lines.append(
            f"under hair {found['hidden_mm']:.2f} mm (worst {found['hidden_worst_mm']:.2f}) on "
            f"{found['much_hidden']} heads with {100 * MUCH_HIDDEN:.0f} % hidden or more"
        )
    if found["lid_gap_mm"]:
        gaps = ", ".join(f"{head} {gap:.1f}" for head, gap in found["lid_gap_mm"].items())
        lines.append(f"lids of closed eyes apart, worse eye, mm: {gaps}")
    return lines


def main() -> None:
    """Register the heads that the arguments name; print and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("build/bench/heads.json"))
    parser.add_argument("--only", nargs="+", default=[], metavar="WORD")
    parser.add_argument("--model", choices=("default", "ict"), default="default")
    parser.add_argument("--pictures", type=Path, help="folder for a sheet of each head")
    a = parser.parse_args()
    path = str(a.data / "ict_facekit") if a.model == "ict" else ""
    heads = Heads(get_model(FaceModelConfig(a.model, path)), a.pictures)
    print(HEADINGS, flush=True)
    rows = []
    for row in heads.rows(a.data, tuple(a.only)):
        rows.append(row)
        print(line(row), flush=True)
    found = total(rows)
    print("\n".join(total_lines(found)))
    spreads = heads.spread_mm()
    for name, medians in spreads.items():
        print(f"spread, {name}: " + ", ".join(f"{k} {v:.2f}" for k, v in medians.items()))
    result = {"model": a.model, "machine": machine(), "total": found, "spread_mm": spreads}
    write_json(a.out, result | {"heads": rows})


if __name__ == "__main__":
    main()
