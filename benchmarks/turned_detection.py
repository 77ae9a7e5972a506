"""Does a landmark detector find the face in turned views as it does in true ones, and as well?

`python -m benchmarks.turned_detection --data ../shared/data` shows MediaPipe turned views of
textured heads, scans and synthetic heads and the same heads truly turned, before the background of
the capture. Counts faces that are found, and measures for those that are found in both how far the
points are from the projected true ones, and from those that the detector sees in the truth. Writes
build/bench/turned_detection.json. docs/benchmarks.md says what the figures mean.
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.fullview import SIZE, camera_of, chosen_heads
from benchmarks.timings import machine
from benchmarks.turned_background import background_of, on_background
from benchmarks.turned_heads import SCANS, SYNTHETIC, Frontal, Frontals
from benchmarks.turned_regions import head_pixels
from benchmarks.turning import turnable, turned
from fg3d_builder.config import FaceModelConfig, LandmarkConfig
from fg3d_builder.errors import CaptureError
from fg3d_builder.facemodel import FaceModel
from fg3d_builder.files.atomic import write_json
from fg3d_builder.fullview.augment import FACE_PROFILING, FULL_VIEW
from fg3d_builder.fullview.views import ViewCamera
from fg3d_builder.geometry.camera import px_from_cam
from fg3d_builder.geometry.crop import crop_image
from fg3d_builder.heads.library import get_model
from fg3d_builder.landmarks import open_detector
from fg3d_builder.landmarks.detector import LandmarkDetector
from fg3d_builder.landmarks.edges import MEDIAPIPE
from fg3d_builder.records import Array, Capture

TURNS = ((0.0, 0.0), (0.0, 30.0), (0.0, -30.0), (0.0, 45.0), (0.0, -45.0), (-25.0, 0.0))
TRUTH, ALL = "truth", "all"
METHODS = (FULL_VIEW, FACE_PROFILING)

Row = dict[str, Any]


def points_in(rgb: Array, capture: Capture, detector: LandmarkDetector) -> Array | None:
    """Return the detector's points (k, 2) in a picture, pixels; None where it finds no face.

    Raises
    ------
    CaptureError
        For any other reason than ``"no_face"``.
    """
    try:
        return detector.detect(dataclasses.replace(capture, rgb=rgb, landmarks=None)).points_px
    except CaptureError as error:
        if error.code != "no_face":
            raise
        return None


def true_points(model: FaceModel, frontal: Frontal, camera: ViewCamera) -> tuple[Array, Array]:
    """Return the numbers (p,) of the points on the face's surface and where they are (p, 2).

    On the true surface where it is known in the model's topology, else on the registered one.
    """
    truth = frontal.capture.truth
    vertices = frontal.registration.vertices_cam_mm if truth is None else truth.vertices_cam_mm
    embedding = model.embeddings[MEDIAPIPE]
    points = embedding.points(np.asarray(vertices, np.float64), model.triangles)
    return embedding.point_index, px_from_cam(camera.view_from_cam(points), camera.intrinsics)


def mean_distance(points: Array, others: Array) -> float:
    """Return the mean distance of points (p, 2) to others (p, 2)."""
    return float(np.linalg.norm(points - others, axis=1).mean())


def figures_of(found: Mapping[str, Array | None], numbers: Array, true_px: Array) -> list[Row]:
    """Return one row per method.

    Parameters
    ----------
    found : mapping of str to (k, 2) float or None
        Detected points by method, `TRUTH` among them.
    numbers, true_px : (p,) int, (p, 2) float
        See `true_points`.
    """
    in_truth = found[TRUTH]
    rows = []
    for method in METHODS:
        points = found[method]
        row: Row = {
            "method": method,
            "in_truth": in_truth is not None,
            "in_view": points is not None,
        }
        if in_truth is not None and points is not None:
            row["view_px"] = mean_distance(points[numbers], true_px)
            row["truth_px"] = mean_distance(in_truth[numbers], true_px)
            row["between_px"] = mean_distance(points[numbers], in_truth[numbers])
        rows.append(row)
    return rows


def rows_of(
    model: FaceModel, frontals: Frontals, chosen: Iterable[Frontal], detector: LandmarkDetector
) -> Iterator[Row]:
    """Turn captures, look for faces, and compare."""
    for frontal in chosen:
        capture = frontal.capture
        straight = camera_of(model, frontal, 0.0, 0.0)
        photo = crop_image(capture.rgb, straight.px_crop_from_px, SIZE)
        head = head_pixels(frontals.picture(frontal, straight).rgb)
        background = background_of(photo, head)
        prepared = {m: turnable(model, capture, frontal.registration, m) for m in METHODS}
        for pitch, yaw in TURNS:
            camera = camera_of(model, frontal, pitch, yaw)
            pictures = {m: turned(ready, camera).rgb for m, ready in prepared.items()}
            pictures[TRUTH] = on_background(frontals.picture(frontal, camera), background)
            found = {m: points_in(rgb, capture, detector) for m, rgb in pictures.items()}
            for row in figures_of(found, *true_points(model, frontal, camera)):
                name = {"kind": frontal.kind, "capture": capture.capture_id}
                yield {**name, "turn": f"{pitch:+.0f} {yaw:+.0f}", **row}
        print(f"{frontal.kind}: {capture.capture_id}", flush=True)


def total(rows: Sequence[Row]) -> list[Row]:
    """Return counts and means by kind, turn (and all of them) and method."""
    groups: dict[tuple[str, str, str], list[Row]] = {}
    for kind in dict.fromkeys(row["kind"] for row in rows):
        for row in (row for row in rows if row["kind"] == kind):
            groups.setdefault((kind, row["turn"], row["method"]), []).append(row)
        for row in (row for row in rows if row["kind"] == kind):
            groups.setdefault((kind, ALL, row["method"]), []).append(row)
    found = []
    for (kind, turn, method), mine in groups.items():
        both = [row for row in mine if "view_px" in row]
        means: Row = {
            name: float(np.mean([row[name] for row in both])) if both else None
            for name in ("view_px", "truth_px", "between_px")
        }
        counts = {
            "views": len(mine),
            "in_truth": sum(row["in_truth"] for row in mine),
            "in_view": sum(row["in_view"] for row in mine),
        }
        found.append({"kind": kind, "turn": turn, "method": method, **counts, **means})
    return found


def line(row: Row) -> str:
    """Return one row of `total` as text."""
    text = f"{row['kind']:12s} {row['turn']:>8s}  {row['method']:15s}"
    text += f"{row['views']:6d} {row['in_truth']:9d} {row['in_view']:8d}"
    for name in ("view_px", "truth_px", "between_px"):
        text += f" {row[name]:9.2f}" if row[name] is not None else f" {'-':>9s}"
    return text


HEADINGS = (
    f"{'':38s} views  in truth  in view   view to  truth to  one to the other\n"
    f"{'':62s} true points, px of {SIZE}"
)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--subjects", type=int, default=6, help="synthetic heads")
    parser.add_argument("--seed", type=int, default=7_000, help="of the synthetic heads")
    sets = ("heads", SCANS, SYNTHETIC)
    parser.add_argument("--only", nargs="+", choices=sets, default=sets)
    parser.add_argument(
        "--heads", nargs="*", default=[], help="names, a number, 'reported' or 'others'"
    )
    parser.add_argument("--out", type=Path, default=Path("build/bench/turned_detection.json"))
    a = parser.parse_args()
    model = get_model(FaceModelConfig())
    frontals, detector = Frontals(model, a.data), open_detector(LandmarkConfig())
    rows: list[Row] = []
    if "heads" in a.only and a.data.is_dir():
        chosen = frontals.heads(chosen_heads(frontals.head_names(), a.heads))
        rows += rows_of(model, frontals, chosen, detector)
    if SCANS in a.only and a.data.is_dir():
        rows += rows_of(model, frontals, frontals.scans(), detector)
    if SYNTHETIC in a.only:
        rows += rows_of(model, frontals, frontals.synthetic(a.subjects, a.seed), detector)
    means = total(rows)
    print(HEADINGS)
    for row in means:
        print(line(row))
    result = {"machine": machine(), "failed": frontals.failed, "total": means, "rows": rows}
    write_json(a.out, result)


if __name__ == "__main__":
    main()
