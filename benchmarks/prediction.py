"""Faces from photographs of real heads: the trained network against the 3DMM fit it starts from.

`python -m benchmarks.prediction --data ../shared/data --checkpoint RUN/checkpoint.pt` predicts
from the colour images of the sven captures and from pictures of the facefuns scans at each yaw,
and compares with the registration of the depth that the network did not see: NME (Eq. 18) and
DACE (Eq. 20, to the surface of the measured depth) in per cent of the interocular distance.
Meshes and pictures stay in --out; writes prediction.json there.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from fg3d_builder.captures import load_capture
from fg3d_builder.commands.prediction_files import write_prediction
from fg3d_builder.config import BuildConfig, SourceConfig
from fg3d_builder.evaluation import Correspondence, dace, interocular_mm, nme, outer_eye_corners
from fg3d_builder.facemodel import FaceModel
from fg3d_builder.fgnet.trained import Trained, load_trained
from fg3d_builder.geometry.closest_points import ScanSurface
from fg3d_builder.landmarks import open_detector, open_view_detector
from fg3d_builder.landmarks.detector import LandmarkDetector
from fg3d_builder.pipeline.photo import Photo, predict_photo
from fg3d_builder.pipeline.register import register_capture
from fg3d_builder.records import Array, Capture, Landmarks
from fg3d_builder.rendering.depth_surface import DepthSurface

MIN_CONFIDENCE = 0.5
"""The set C holds reliable vertices that the registration is at least so sure of."""


class Row(NamedTuple):
    """Errors on one photograph in per cent of the interocular distance."""

    capture: str
    nme_fit: float
    nme_network: float
    dace_fit: float
    dace_network: float
    quality: float


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument(
        "--checkpoint", type=Path, default=Path("build/demo/training/checkpoint.pt")
    )
    parser.add_argument("--facemodel", type=Path)
    parser.add_argument("--yaw", type=float, nargs="+", default=[0.0, 30.0], help="of the scans")
    parser.add_argument("--out", type=Path, default=Path("build/bench/prediction"))
    options = parser.parse_args()
    trained = load_trained(options.checkpoint, torch.device("cpu"), options.facemodel)
    detector = open_view_detector(trained.landmarks, trained.looks)
    all_looks = open_detector(BuildConfig().landmarks)
    rows = []
    print("| photograph | NME: fit | network | DACE: fit | network | quality of the truth |")
    print("|---|---|---|---|---|---|")
    for name, capture in photographs(options.data, options.yaw):
        row = measured(trained, name, capture, (detector, all_looks), options.out)
        rows.append(row)
        print(f"| {name} | " + " | ".join(f"{value:.2f}" for value in row[1:]) + " |", flush=True)
    for group in ("sven", "facefuns"):
        print(summary(group, [row for row in rows if row.capture.startswith(group)]))
    text = json.dumps([row._asdict() for row in rows], indent=1)
    (options.out / "prediction.json").write_text(text + "\n", encoding="utf-8")


def photographs(data: Path, yaws: list[float]) -> list[tuple[str, Capture]]:
    """Every sven capture, and every facefuns scan from each yaw."""
    whole = SourceConfig(kind="scan", unit_mm=1.0)
    folders = sorted(p for p in (data / "captures").glob("sven-*") if p.is_dir())
    found = [(folder.name, load_capture(folder, whole)) for folder in folders]
    for scan in sorted((data / "scans").glob("facefuns-*")):
        for yaw in yaws:
            view = SourceConfig(kind="scan", unit_mm=1.0, views=((0.0, yaw),))
            found.append((f"{scan.name}{yaw:+03.0f}", load_capture(scan, view)))
    return found


def measured(
    trained: Trained,
    name: str,
    capture: Capture,
    detectors: tuple[LandmarkDetector, LandmarkDetector],
    out: Path,
) -> Row:
    """Predict from the colours alone, register colours and depth, compare.

    The first of the detectors is the network's, the second that of the registration.
    """
    focal = float(capture.intrinsics[0, 0])
    found = predict_photo(trained, name, Photo(capture.rgb, None), detectors[0], focal_px=focal)
    write_prediction(out / name, name, trained.model, found)
    truth = truth_of(trained.model, capture, detectors[1].detect(capture))
    shape, pairs = truth.shape_mm, Correspondence.same_topology(truth.members)
    between_eyes = interocular_mm(shape, outer_eye_corners(trained.model))
    shapes = (found.coarse.shape_obj_mm, found.prediction.shape_obj_mm)
    along = [100 * nme(s, shape, pairs, between_eyes).value for s in shapes]
    across = [100 * dace(s, shape, pairs, truth.scan, between_eyes).value for s in shapes]
    return Row(name, along[0], along[1], across[0], across[1], truth.quality)


class Truth(NamedTuple):
    """What the depth of a picture says of the face.

    Attributes
    ----------
    shape_mm : (n, 3) float64
        Registered.
    members : (n,) bool
        The set C.
    scan : ScanSurface
        The measured surface, in the shape's frame.
    quality : float
    """

    shape_mm: Array
    members: Array
    scan: ScanSurface
    quality: float


def truth_of(model: FaceModel, capture: Capture, landmarks: Landmarks) -> Truth:
    """Register colours and depth of a picture."""
    surface = DepthSurface.from_depth(capture.depth_mm, capture.intrinsics)
    found = register_capture(
        model, capture, BuildConfig(), landmarks=landmarks, surface=surface
    ).registration
    members = model.reliable & (found.confidence >= MIN_CONFIDENCE)
    scan = ScanSurface(found.pose.obj_from_cam(surface.vertices_cam_mm), surface.triangles)
    return Truth(found.shape_obj_mm.astype(np.float64), members, scan, found.quality)


def summary(group: str, rows: list[Row]) -> str:
    """One sentence on a group of photographs."""
    values = np.array([row[1:5] for row in rows])
    better = int((values[:, 3] < values[:, 2]).sum())
    means = values.mean(axis=0)
    return (
        f"{group}: mean NME {means[0]:.2f} (fit), {means[1]:.2f} (network); "
        f"mean DACE {means[2]:.2f}, {means[3]:.2f}; DACE lower on {better} of {len(rows)}"
    )


if __name__ == "__main__":
    main()
