"""What the network's input loses by fewer looks of the detector at each view, and what they cost.

`python -m benchmarks.view_looks` registers synthetic captures, turns them and gives them new
shapes as a build does, and has MediaPipe look at every view 1, 2, 4 and 8 times
(`FullViewConfig.looks`). Measures landmarks against the projected true face, and the 3DMM fit to
them against the true face over the reliable region. The truth of a turned capture is the synthetic
face, that of a new shape the shape itself. With `--frames FOLDER` real frames are turned instead,
and what counts as the truth is their registered face. Writes build/bench/view_looks.json.
docs/benchmarks.md says what the figures mean.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.spatial.transform import Rotation

from benchmarks.timings import machine
from fg3d_builder.captures import open_source
from fg3d_builder.config import (
    ALL_LOOKS,
    BuildConfig,
    FaceModelConfig,
    FitConfig,
    LandmarkConfig,
    SensorConfig,
    ShardConfig,
    SourceConfig,
)
from fg3d_builder.errors import CaptureError
from fg3d_builder.evaluation import Correspondence, interocular_mm, nme
from fg3d_builder.evaluation.places import outer_eye_corners
from fg3d_builder.facemodel import FaceModel
from fg3d_builder.files.atomic import write_json
from fg3d_builder.files.encoding import decode_image
from fg3d_builder.fitting.landmark_fit import fit_landmarks, solved_landmarks
from fg3d_builder.geometry.alignment import align_similarity
from fg3d_builder.geometry.camera import px_from_cam
from fg3d_builder.heads.library import get_model
from fg3d_builder.landmarks import open_detector, open_view_detector
from fg3d_builder.landmarks.detector import LandmarkDetector
from fg3d_builder.landmarks.edges import MEDIAPIPE, MEDIAPIPE_CURVES, MEDIAPIPE_NOSE
from fg3d_builder.pipeline.augmentation import ChunkInput, make_transforms, make_views
from fg3d_builder.pipeline.register import register_capture
from fg3d_builder.pipeline.stages import CaptureFits
from fg3d_builder.records import Array, Capture, Landmarks, Pose
from fg3d_builder.shards.schema import SampleImage
from fg3d_builder.transform.donors import ATTEMPTS, DonorFace, DonorRing

LOOKS = (1, 2, 4, ALL_LOOKS)
_CURVES = {
    region: [p for name, curve in MEDIAPIPE_CURVES.items() if word in name for p in curve.points]
    for region, word in (("eyes", "eye"), ("brows", "brow"), ("lips", "lips"))
}
REGIONS: dict[str, Sequence[int]] = {**_CURVES, "nose": MEDIAPIPE_NOSE}

Row = dict[str, Any]


class TrueView(NamedTuple):
    """A view as a build stores it, of a capture or a new shape, and the true face in it.

    Attributes
    ----------
    kind : str
    picture : Capture
        Without depth.
    truth_cam_mm : (n, 3) float64
    """

    kind: str
    picture: Capture
    truth_cam_mm: Array


def registered(model: FaceModel, source: SourceConfig) -> ChunkInput:
    """Register all captures of a source."""
    opened, config = open_source(source), BuildConfig()
    detector = open_detector(config.landmarks)
    captures, landmarks, fits, registrations = {}, {}, {}, {}
    for entry in opened.entries():
        name, capture = entry.capture_id, opened.load(entry)
        done = register_capture(model, capture, config, detector=detector)
        initial = fit_landmarks(model, done.landmarks, capture.intrinsics, config.fit)
        captures[name], landmarks[name] = capture, done.landmarks
        fits[name] = CaptureFits(initial, done.coarse)
        registrations[name] = done.registration
    return ChunkInput(captures, landmarks, fits, registrations)


def true_views(model: FaceModel, chunk: ChunkInput, shapes: int) -> Iterator[TrueView]:
    """Make the views of captures, and of some new shapes under each, as a build does."""
    config = BuildConfig(shards=ShardConfig(image_format="png"))
    for name, made in make_views(model, chunk, config).records.items():
        truth, registered_face = chunk.captures[name].truth, chunk.registrations[name]
        face = np.asarray(registered_face.shape_obj_mm, np.float64)
        if truth is not None:
            face = registered_face.pose.obj_from_cam(truth.vertices_cam_mm.astype(np.float64))
        yield from (_true_view("capture", image, face) for image in made.views)
    if not shapes:
        return
    donors, draws = donors_of(chunk, shapes)
    for shape in make_transforms(model, chunk, draws, donors, config).records.values():
        face = np.asarray(shape.shape.shape_obj_mm, np.float64)
        yield from (_true_view("new shape", image, face) for image in shape.views)


def donors_of(
    chunk: ChunkInput, shapes: int
) -> tuple[dict[str, DonorFace], dict[str, list[list[dict[str, str]]]]]:
    """Let all subjects give parts of their faces to some new shapes under each capture."""
    donors = {
        chunk.captures[name].subject_id: DonorFace(
            name, found.shape_obj_mm, found.alpha_exp, found.confidence
        )
        for name, found in chunk.registrations.items()
    }
    ring = DonorRing(donors)
    draws = {
        name: [
            [ring.draw(capture.subject_id, f"{name}-{k}", again) for again in range(ATTEMPTS)]
            for k in range(shapes)
        ]
        for name, capture in chunk.captures.items()
    }
    return donors, draws


def _true_view(kind: str, image: SampleImage, face_obj_mm: Array) -> TrueView:
    rgb = decode_image(np.frombuffer(image.image, np.uint8))
    nothing = np.full(rgb.shape[:2], np.nan, np.float32)
    picture = Capture(image.name, "", "view", rgb, nothing, image.intrinsics)
    pose = Pose(image.scale, image.rotation, image.translation_mm)
    return TrueView(kind, picture, pose.cam_from_obj(face_obj_mm))


def measure(model: FaceModel, view: TrueView, detector: LandmarkDetector) -> Row:
    """Return the errors of the points that a detector finds in a view, and of the fit to them."""
    start = time.process_time()
    try:
        found = detector.detect(view.picture)
    except CaptureError:
        return {"found": False}
    looked = time.process_time()
    try:
        solved_landmarks(model, found, view.picture.intrinsics, FitConfig())
    except CaptureError:
        return {"found": False}
    fitted = time.process_time()
    return {
        "found": True,
        "looks_ms": 1e3 * (looked - start),
        "fit_ms": 1e3 * (fitted - looked),
        **landmark_errors(model, view, found),
        **fit_errors(model, view, found),
    }


def landmark_errors(model: FaceModel, view: TrueView, found: Landmarks) -> Row:
    """Return mean distances to the projected true points, in % of the face's extent."""
    embedding = model.embeddings[MEDIAPIPE]
    points = embedding.points(view.truth_cam_mm, model.triangles)
    true_px = px_from_cam(points, view.picture.intrinsics)
    away = np.linalg.norm(found.points_px[embedding.point_index] - true_px, axis=1)
    away *= 100.0 / float(np.ptp(true_px, axis=0).max())
    regions = {
        name: float(away[np.isin(embedding.point_index, numbers)].mean())
        for name, numbers in REGIONS.items()
    }
    return {"points": float(away.mean()), **regions}


def fit_errors(model: FaceModel, view: TrueView, found: Landmarks) -> Row:
    """Return what is wrong with the fit over the reliable face.

    Its shape (NME, %), its rotation (degrees), and the vertices' places in the picture (% of the
    face's extent there).
    """
    fit = fit_landmarks(model, found, view.picture.intrinsics, FitConfig())
    truth, face = view.truth_cam_mm, fit.pose.cam_from_obj(fit.shape_obj_mm)
    between_eyes = interocular_mm(truth, outer_eye_corners(model))
    pairs = Correspondence.same_topology(model.reliable)
    turn = align_similarity(face[model.reliable], truth[model.reliable]).rotation
    px, true_px = (px_from_cam(v[model.reliable], view.picture.intrinsics) for v in (face, truth))
    away = np.linalg.norm(px - true_px, axis=1).mean() / np.ptp(true_px, axis=0).max()
    return {
        "nme": 100.0 * nme(fit.shape_obj_mm, truth, pairs, between_eyes).value,
        "rotation_deg": float(np.degrees(Rotation.from_matrix(turn).magnitude())),
        "places": 100.0 * float(away),
    }


def means(rows: Sequence[Row]) -> Row:
    """Return the share of views with a face, and means over these."""
    found = [row for row in rows if row["found"]]
    names = [name for name in found[0] if name not in ("found", "kind", "view")]
    return {
        "found": len(found) / len(rows),
        **{name: float(np.mean([row[name] for row in found])) for name in names},
        "nme_error": float(np.std([row["nme"] for row in found]) / np.sqrt(len(found))),
    }


def main() -> None:
    """Measure, print a table and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subjects", type=int, default=6)
    parser.add_argument("--seed", type=int, default=9_300)
    parser.add_argument("--shapes", type=int, default=1, help="new shapes under each capture")
    parser.add_argument("--max-yaw", type=float, default=20.0, help="of the captures, degrees")
    parser.add_argument("--out", type=Path, default=Path("build/bench/view_looks.json"))
    parser.add_argument("--frames", type=Path, help="folder of captures, for the synthetic ones")
    options = parser.parse_args()
    model = get_model(FaceModelConfig())
    synthetic = SourceConfig(
        subjects=options.subjects,
        captures_per_subject=1,
        seed=options.seed,
        max_yaw_deg=options.max_yaw,
        sensor=SensorConfig(kind="structured_light", seed=7),
    )
    frames = SourceConfig(kind="folder", path=str(options.frames))
    chunk = registered(model, synthetic if options.frames is None else frames)
    views = list(true_views(model, chunk, options.shapes if options.frames is None else 0))
    rows: dict[int, list[Row]] = {}
    for looks in LOOKS:
        # One after the other, as a build has it: networks that take turns cost more.
        detector = open_view_detector(LandmarkConfig(), looks)
        measure(model, views[0], detector)  # opens its networks, which is no view's cost
        rows[looks] = [
            {"kind": view.kind, "view": view.picture.capture_id, **measure(model, view, detector)}
            for view in views
        ]
    total = {looks: means(mine) for looks, mine in rows.items()}
    print(HEADINGS)
    for looks, row in total.items():
        values = [f"{row[name]:8.2f}" for name in COLUMNS]
        print(f"{looks:5d} {100 * row['found']:6.1f} " + "".join(values), flush=True)
    print(f"{len(rows[1])} views; NME good to {total[1]['nme_error']:.2f} from view to view")
    write_json(options.out, {"machine": machine(), "total": total, "rows": rows})


COLUMNS = (
    *("points", *REGIONS),
    *("nme", "rotation_deg", "places", "looks_ms", "fit_ms"),
)
HEADINGS = "looks  found " + "".join(f"{name[:8]:>8s}" for name in COLUMNS)


if __name__ == "__main__":
    main()
