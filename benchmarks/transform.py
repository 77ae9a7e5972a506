"""Shape transformation against truth: pictures, landmarks, spread of the shapes, time.

`python -m benchmarks.transform` draws synthetic subjects whose albedo and light are known,
registers them, gives each new shapes, and compares every transformed picture with a rendering
of the same head with that shape under the same light. Writes build/bench/transform.json and,
with --pictures, a sheet per capture.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from benchmarks.occluders import add_occluder, with_occluder_of
from benchmarks.timings import machine
from fg3d_builder.captures.synthetic import (
    Scene,
    Subject,
    SyntheticSource,
    render_capture,
)
from fg3d_builder.config import (
    BuildConfig,
    FaceModelConfig,
    FullViewConfig,
    LandmarkConfig,
    RegistrationConfig,
    SensorConfig,
    SourceConfig,
    TextureConfig,
)
from fg3d_builder.errors import CaptureError
from fg3d_builder.facemodel import FaceModel
from fg3d_builder.files.atomic import write_bytes
from fg3d_builder.files.encoding import encode_png
from fg3d_builder.fullview.image_mesh import image_mesh
from fg3d_builder.fullview.texture_fit import fit_texture
from fg3d_builder.geometry.camera import px_from_cam
from fg3d_builder.heads.library import get_model
from fg3d_builder.landmarks import open_detector
from fg3d_builder.pipeline.register import register_capture
from fg3d_builder.records import Array, Capture, Registration
from fg3d_builder.rendering.rasterizer import interpolate, rasterize
from fg3d_builder.transform.before_face import before_face
from fg3d_builder.transform.donors import ATTEMPTS, DonorRing
from fg3d_builder.transform.target_shape import TargetShapes
from fg3d_builder.transform.transformed import Transformed, transform_capture

OUTER_EYES = (36, 45)

THINGS = ("fringe", "glasses", "hand")
"""What is put before the faces, see `benchmarks.occluders`."""

THING_SEED = 11

BESIDE_MM = 5.0
"""Surroundings of a thing that are looked at for themselves."""


class Sitter(NamedTuple):
    """One synthetic capture with everything that is known of it."""

    subject: Subject
    scene: Scene
    config: SourceConfig
    capture: Capture
    registration: Registration


def sit(config: SourceConfig, model: FaceModel) -> list[Sitter]:
    """Render and register every synthetic capture; those that fail are named and left out."""
    source = SyntheticSource(config)
    sitters = []
    for entry in source.entries():
        subject, scene = source.scene(entry)
        capture = render_capture(config, subject, scene, entry.capture_id, entry.subject_id)
        try:
            registration = register_capture(model, capture, BuildConfig()).registration
        except CaptureError as error:
            print(f"{entry.capture_id}: {error.code}")
            continue
        sitters.append(Sitter(subject, scene, config, capture, registration))
    return sitters


def exact(sitter: Sitter) -> Sitter:
    """The same sitter without image noise, registered perfectly."""
    quiet = dataclasses.replace(sitter.scene, image_noise=0.0)
    name, subject = sitter.capture.capture_id, sitter.capture.subject_id
    capture = render_capture(sitter.config, sitter.subject, quiet, name, subject)
    truth = capture.truth
    assert truth is not None
    registration = dataclasses.replace(
        sitter.registration,
        vertices_cam_mm=truth.vertices_cam_mm.astype(np.float64),
        shape_obj_mm=truth.shape_obj_mm.astype(np.float64),
        pose=truth.pose,
        visible=truth.visible,
    )
    return sitter._replace(capture=capture, registration=registration)


def true_picture(sitter: Sitter, target_cam_mm: Array) -> Capture:
    """Render the sitter's head with another face under the same light, without noise."""
    head, scene = sitter.subject.head, sitter.scene
    active = np.array([scene.weights.get(name, 0.0) for name in sitter.subject.action_names])
    moved_by_expression = head.shape(active) - head.neutral_obj_mm
    neutral = scene.pose.obj_from_cam(target_cam_mm) - moved_by_expression
    other = dataclasses.replace(
        sitter.subject, head=dataclasses.replace(head, neutral_obj_mm=neutral)
    )
    config = dataclasses.replace(sitter.config, sensor=SensorConfig())
    quiet = dataclasses.replace(scene, image_noise=0.0)
    return render_capture(config, other, quiet, "truth", "truth")


def psnr(image: Array, truth: Array, mask: Array) -> float:
    """Peak signal-to-noise ratio over a mask, dB."""
    difference = image[mask].astype(float) - truth[mask].astype(float)
    return float(10 * np.log10(255.0**2 / np.mean(difference**2)))


def face_mask(model: FaceModel, vertices_cam_mm: Array, capture: Capture) -> Array:
    """(H, W) bool: reliable face, away from its border."""
    height, width = capture.rgb.shape[:2]
    seen = rasterize(vertices_cam_mm, model.triangles, capture.intrinsics, height, width)
    inside = interpolate(seen, model.triangles, model.reliable[:, None].astype(float))[..., 0]
    return np.asarray(inside > 0.99)


def landmark_error(
    model: FaceModel, capture: Capture, vertices_cam_mm: Array, detector: Any
) -> float:
    """Mean distance of detected to projected landmarks over the outer interocular distance."""
    found = detector.detect(capture)
    embedding = model.embeddings[found.scheme]
    points = px_from_cam(embedding.points(vertices_cam_mm, model.triangles), capture.intrinsics)
    distance = np.linalg.norm(points - found.points_px[embedding.point_index], axis=1)
    eyes = model.embeddings["ibug68"].subset(np.array(OUTER_EYES))
    corners = px_from_cam(eyes.points(vertices_cam_mm, model.triangles), capture.intrinsics)
    return float(distance.mean() / np.linalg.norm(corners[0] - corners[1]))


def behind_things(
    model: FaceModel, sitters: list[Sitter], kind: str, shapes: int, folder: Path | None
) -> dict[str, float]:
    """Put a thing before every sitter's face, register and transform; the truth keeps the thing.

    ``thing_db`` is over the pixels that the thing covers, ``beside_db`` over the face within
    `BESIDE_MM` of it: what moved away beneath it has come into sight there.
    """
    solver = RegistrationConfig().solver
    targets = TargetShapes(model, solver)
    faces = {s.capture.subject_id: s.registration for s in sitters}
    thing, beside, took = [], [], []
    for sitter in sitters:
        capture = add_occluder(sitter.capture, kind, THING_SEED)
        try:
            registration = register_capture(model, capture, BuildConfig()).registration
        except CaptureError as error:
            print(f"{capture.capture_id} behind {kind}: {error.code}")
            continue
        mesh = image_mesh(model, capture, registration, FullViewConfig())
        texture = fit_texture(model, capture, registration, TextureConfig())
        before = before_face(model, capture, registration, FullViewConfig())
        for number in range(shapes):
            draw = f"{capture.capture_id}-{number}"
            donors = DonorRing(faces).draw(capture.subject_id, draw)
            target = targets.make(registration, {p: faces[s] for p, s in donors.items()})
            if target is None:
                continue
            start = time.process_time()
            made = transform_capture(
                model, capture, registration, mesh, texture, before, target, solver
            )
            took.append(1e3 * (time.process_time() - start))
            if made is None:
                continue
            bare = true_picture(sitter, made.registration.vertices_cam_mm)
            truth, whole = with_occluder_of(bare, sitter.capture, kind, THING_SEED)
            on_face = face_mask(model, made.registration.vertices_cam_mm, capture)
            reach = BESIDE_MM * capture.intrinsics[0, 0] / registration.vertices_cam_mm[:, 2].mean()
            away = cv2.distanceTransform((~whole).astype(np.uint8), cv2.DIST_L2, 5)
            thing.append(psnr(made.capture.rgb, truth.rgb, whole & on_face))
            beside.append(psnr(made.capture.rgb, truth.rgb, on_face & (away > 0) & (away < reach)))
            if folder is not None:
                _save(folder / f"{kind}-{draw}.png", capture, made, truth.rgb)
    return {
        "thing_db": float(np.mean(thing)),
        "beside_db": float(np.mean(beside)),
        "ms": float(np.median(took)),
    }


def pairwise_mm(shapes: list[Array], region: Array) -> float:
    """Mean over pairs of the mean vertex distance over a region, mm."""
    total = [
        np.linalg.norm(a[region] - b[region], axis=1).mean()
        for i, a in enumerate(shapes)
        for b in shapes[:i]
    ]
    return float(np.mean(total))


def run(
    model: FaceModel, sitters: list[Sitter], shapes: int, folder: Path | None
) -> dict[str, Any]:
    """Transform every sitter and measure."""
    solver = RegistrationConfig().solver
    targets, detector = TargetShapes(model, solver), open_detector(LandmarkConfig())
    faces = {s.capture.subject_id: s.registration for s in sitters}
    rows: list[dict[str, Any]] = []
    made_shapes: list[Array] = []
    for sitter in sitters:
        capture, registration = sitter.capture, sitter.registration
        start = time.process_time()
        mesh = image_mesh(model, capture, registration, FullViewConfig())
        texture = fit_texture(model, capture, registration, TextureConfig())
        before = before_face(model, capture, registration, FullViewConfig())
        once = time.process_time() - start
        base = landmark_error(model, capture, registration.vertices_cam_mm, detector)
        for number in range(shapes):
            start = time.process_time()
            target, made, attempts = None, None, 0
            while made is None and attempts < ATTEMPTS:
                draw = f"{capture.capture_id}-{number}"
                donors = DonorRing(faces).draw(capture.subject_id, draw, attempts)
                attempts += 1
                target = targets.make(registration, {p: faces[s] for p, s in donors.items()})
                if target is not None:
                    made = transform_capture(
                        model, capture, registration, mesh, texture, before, target, solver
                    )
            took = time.process_time() - start
            if made is None or target is None:
                rows.append({"capture": capture.capture_id, "failed": True})
                continue
            truth = true_picture(sitter, made.registration.vertices_cam_mm).rgb
            mask = face_mask(model, made.registration.vertices_cam_mm, capture)
            made_shapes.append(target.shape_obj_mm - model.exp_basis @ target.alpha_exp)
            rows.append(
                {
                    "capture": capture.capture_id,
                    "failed": False,
                    "psnr_shaded_db": psnr(made.capture.rgb, truth, mask),
                    "psnr_moved_db": psnr(made.warped_rgb, truth, mask),
                    "landmarks": landmark_error(
                        model, made.capture, made.registration.vertices_cam_mm, detector
                    ),
                    "landmarks_source": base,
                    "deviation_sd": target.deviation_sd,
                    "share": target.share,
                    "attempts": attempts,
                    "ms": 1e3 * took,
                    "ms_once": 1e3 * once,
                }
            )
            if folder is not None:
                _save(folder / f"{capture.capture_id}-{number}.png", capture, made, truth)
    real = [f.shape_obj_mm - model.exp_basis @ f.alpha_exp for f in faces.values()]
    return summary(
        rows, pairwise_mm(made_shapes, model.reliable), pairwise_mm(real, model.reliable)
    )


def summary(rows: list[dict[str, Any]], spread_mm: float, real_spread_mm: float) -> dict[str, Any]:
    """Means over all transformed pictures."""
    good = [row for row in rows if not row["failed"]]

    def mean(key: str) -> float:
        return float(np.mean([row[key] for row in good]))

    return {
        "pictures": len(good),
        "failed": len(rows) - len(good),
        "psnr_shaded_db": mean("psnr_shaded_db"),
        "psnr_moved_db": mean("psnr_moved_db"),
        "gain_db": mean("psnr_shaded_db") - mean("psnr_moved_db"),
        "landmarks_percent": 100 * mean("landmarks"),
        "landmarks_source_percent": 100 * mean("landmarks_source"),
        "largest_deviation_sd": max(row["deviation_sd"] for row in good),
        "mean_share": mean("share"),
        "spread_mm": spread_mm,
        "real_spread_mm": real_spread_mm,
        "spread_ratio": spread_mm / real_spread_mm,
        "ms_per_sample": float(np.median([row["ms"] for row in good])),
        "ms_once_per_capture": float(np.median([row["ms_once"] for row in good])),
        "rows": rows,
    }


def _save(path: Path, capture: Capture, made: Transformed, truth: Array) -> None:
    error = np.abs(made.capture.rgb.astype(int) - truth).clip(0, 63).astype(np.uint8) * 4
    tiles = [capture.rgb, made.warped_rgb, made.capture.rgb, truth, error]
    write_bytes(path, encode_png(np.hstack(tiles)))


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subjects", type=int, default=8)
    parser.add_argument("--seed", type=int, default=7_000)
    parser.add_argument("--shapes", type=int, default=4)
    parser.add_argument("--out", type=Path, default=Path("build/bench/transform.json"))
    parser.add_argument(
        "--exact",
        action="store_true",
        help="with the true shapes in place of registrations, and without image noise",
    )
    parser.add_argument("--pictures", type=Path, default=None)
    arguments = parser.parse_args()
    model = get_model(FaceModelConfig())
    config = SourceConfig(
        subjects=arguments.subjects,
        captures_per_subject=1,
        seed=arguments.seed,
        sensor=SensorConfig(kind="structured_light", seed=7),
    )
    sitters = sit(config, model)
    if arguments.exact:
        sitters = [exact(sitter) for sitter in sitters]
    result = run(model, sitters, arguments.shapes, arguments.pictures)
    things = {
        kind: behind_things(model, sitters, kind, arguments.shapes, arguments.pictures)
        for kind in (() if arguments.exact else THINGS)
    }
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(
        json.dumps({"machine": machine(), **result, "things": things}, indent=1)
    )
    for key, value in result.items():
        if key != "rows":
            print(
                f"{key:26s} {value:10.3f}" if isinstance(value, float) else f"{key:26s} {value:6d}"
            )
    for kind, row in things.items():
        figures = ", ".join(f"{name} {value:.2f}" for name, value in row.items())
        print(f"behind {kind:19s} {figures}")


if __name__ == "__main__":
    main()
