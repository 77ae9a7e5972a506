"""Closed eyes and winks: how far apart registered lids are, with and without the image's decision.

`python -m benchmarks.eyelids --data ../shared/data` prints tables and writes
build/bench/eyelids.json; with `--calibrate` it fits the weights of `landmarks.eyelids` instead.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import cv2
import numpy as np
from scipy.optimize import minimize

from fg3d_builder.captures import open_source
from fg3d_builder.captures.synthetic import EXPRESSIONS, Subject, SyntheticSource, render_capture
from fg3d_builder.config import (
    BuildConfig,
    FaceModelConfig,
    LandmarkConfig,
    SensorConfig,
    SourceConfig,
)
from fg3d_builder.facemodel import FaceModel
from fg3d_builder.heads.library import get_model, head_population
from fg3d_builder.landmarks import open_detector
from fg3d_builder.landmarks.eye_strip import eye_strip, lid_pairs
from fg3d_builder.landmarks.eyelids import eye_evidence
from fg3d_builder.landmarks.mediapipe_detector import MediaPipeDetector
from fg3d_builder.pipeline.register import register_capture
from fg3d_builder.records import Array, Capture, Landmarks, Registration
from fg3d_builder.rendering.rasterizer import rasterize
from fg3d_builder.rendering.shading import linear_from_srgb, srgb_from_linear

SCHEME = "mediapipe478"
CLOSED_MM, OPEN_MM = 0.5, 1.2
"""Mean height of the eye in sight below which an eye counts as closed, above which as open."""

LIDS: dict[str, tuple[float, float]] = {
    "open": (0.0, 0.0),
    "half": (0.5, 0.5),
    "closed": (1.0, 1.0),
    "wink right": (1.0, 0.0),
    "wink left": (0.0, 1.0),
}
"""Shares of a full blink of the right and the left eye."""

BESIDE = {"open": "smile", "half": "", "closed": "", "wink right": "one_sided_smile"}


class Scene(NamedTuple):
    """A synthetic capture, and its share of a blink by kind."""

    kind: str
    subject: Subject
    capture: Capture


def scenes(model: FaceModel, subjects: int, seed: int, sensor: str) -> Iterator[Scene]:
    """Render every subject with every state of its lids, some with an expression beside."""
    config = SourceConfig(
        kind="synthetic",
        subjects=subjects,
        captures_per_subject=1,
        seed=seed,
        max_yaw_deg=20.0,
        sensor=SensorConfig(kind=sensor, seed=7),
    )
    source = SyntheticSource(config)
    for entry in source.entries():
        subject, scene = source.scene(entry)
        full = full_blink(model, subject)
        for kind, (right, left) in LIDS.items():
            weights = {n: 0.6 * w for n, w in EXPRESSIONS.get(BESIDE.get(kind, ""), {}).items()}
            weights |= {"eyeBlinkRight": right * full[0], "eyeBlinkLeft": left * full[1]}
            name = f"{entry.capture_id}-{kind.replace(' ', '-')}"
            shown = dataclasses.replace(scene, weights=weights)
            yield Scene(kind, subject, render_capture(config, subject, shown, name, name))


def full_blink(model: FaceModel, subject: Subject) -> Array:
    """Return the activations at which the lids of the right and the left eye of a person meet."""
    full = []
    for eye, side in enumerate(("Right", "Left")):
        action = subject.action_names.index(f"eyeBlink{side}")
        wide = openings_mm(model, subject.head.neutral_obj_mm)[eye].mean()
        weights = np.zeros(len(subject.action_names))
        weights[action] = 0.1
        less = openings_mm(model, subject.head.shape(weights))[eye].mean()
        full.append(0.1 * wide / (wide - less))
    return np.array(full)


def openings_mm(model: FaceModel, shape_obj_mm: Array) -> Array:
    """Return the (2, 7) heights between paired lid points, right eye first; negative if crossed."""
    return np.array(
        [
            (
                model.embedded(SCHEME, lids.upper).points(shape_obj_mm, model.triangles)
                - model.embedded(SCHEME, lids.lower).points(shape_obj_mm, model.triangles)
            )[:, 1]
            for lids in lid_pairs(SCHEME)
        ]
    )


def gaps_mm(model: FaceModel, shape_obj_mm: Array) -> Array:
    """Return the (2, 7) distances between paired lid points, right eye first."""
    return np.array(
        [
            np.linalg.norm(
                model.embedded(SCHEME, lids.upper).points(shape_obj_mm, model.triangles)
                - model.embedded(SCHEME, lids.lower).points(shape_obj_mm, model.triangles),
                axis=1,
            )
            for lids in lid_pairs(SCHEME)
        ]
    )


def registered(
    model: FaceModel, capture: Capture, landmarks: Landmarks
) -> Iterator[tuple[str, Registration]]:
    """Yield the registrations with the detector's lids alone and with the image's decision."""
    with mock.patch("fg3d_builder.pipeline.register.look_at_eyelids", return_value=()):
        found = register_capture(model, capture, BuildConfig(), landmarks=landmarks)
        yield "without", found.registration
    found = register_capture(model, capture, BuildConfig(), landmarks=landmarks)
    yield "with", found.registration


def synthetic(model: FaceModel, subjects: int, sensor: str) -> list[dict[str, Any]]:
    """Errors of the lids' opening, and of the vertices around the eyes, by kind and method."""
    detector, rows = MediaPipeDetector(), []
    around = model.parts == 1
    for scene in scenes(model, subjects, 8_100, sensor):
        landmarks, truth = detector.detect(scene.capture), scene.capture.truth
        assert truth is not None
        wanted = openings_mm(model, truth.shape_obj_mm.astype(np.float64))
        for method, result in registered(model, scene.capture, landmarks):
            error = np.abs(openings_mm(model, result.shape_obj_mm) - wanted)
            vertex = np.linalg.norm(result.vertices_cam_mm - truth.vertices_cam_mm, axis=1)
            for eye, share in enumerate(LIDS[scene.kind]):
                rows.append(
                    {
                        "capture": scene.capture.capture_id,
                        "eye": ["right", "left"][eye],
                        "state": {0.0: "open", 0.5: "half", 1.0: "closed"}[share],
                        "wink": "wink" in scene.kind,
                        "method": method,
                        "opening_error_mm": float(error[eye].mean()),
                        "around_mm": float(vertex[around & truth.visible].mean()),
                    }
                )
    return rows


def heads(model: FaceModel, data: Path) -> list[dict[str, Any]]:
    """Lid gaps of the heads with closed eyes and of the scan with closed eyes; truth 0."""
    rows = []
    for folder, include, unit in (
        ("heads-expressions", "*-eyes-closed", 1.0),
        ("scans", "lee-perry-smith", 0.0),
    ):
        config = SourceConfig(
            kind="scan", path=str(data / folder), include=(include,), unit_mm=unit
        )
        source = open_source(config)
        for entry in source.entries():
            capture = source.load(entry)
            landmarks = open_detector(LandmarkConfig()).detect(capture)
            for method, result in registered(model, capture, landmarks):
                for eye, gap in zip(
                    ("right", "left"), gaps_mm(model, result.shape_obj_mm), strict=True
                ):
                    rows.append(
                        {
                            "capture": capture.capture_id,
                            "eye": eye,
                            "method": method,
                            "median_mm": float(np.median(gap)),
                            "largest_mm": float(gap.max()),
                            "quality": result.quality,
                        }
                    )
    return rows


def calibrate(model: FaceModel, subjects: int) -> None:
    """Fit the logistic regression of `landmarks.eyelids` and print weights and errors."""
    evidence, closed = [], []
    rng = np.random.default_rng(0)
    detector, head = MediaPipeDetector(), head_population().head
    for scene in scenes(model, subjects, 123, "none"):
        landmarks = detector.detect(scene.capture)
        heights = eye_in_sight_mm(scene, landmarks, head.eye, head.eye_blend)
        for capture, marks in pictures(scene.capture, landmarks, rng):
            for lids, height in zip(lid_pairs(SCHEME), heights, strict=True):
                strip = eye_strip(capture.rgb, capture.depth_mm, marks, lids)
                if strip is not None and not CLOSED_MM < height < OPEN_MM:
                    evidence.append(eye_evidence(strip))
                    closed.append(height <= CLOSED_MM)
    rows = np.column_stack([np.array(evidence), np.ones(len(evidence))])
    sign = np.where(closed, 1.0, -1.0)
    share = np.where(closed, 0.5 / np.mean(closed), 0.5 / (1 - np.mean(closed)))

    def loss(weights: Array) -> float:
        misfit = share @ np.logaddexp(0.0, -sign * (rows @ weights))
        return float(misfit + 0.5 * weights[:-1] ** 2 @ [0.25, 0.1, 0.1])

    weights = minimize(loss, np.zeros(4)).x
    wrong = (rows @ weights > 0) != np.array(closed)
    print(f"weights {np.round(weights[:-1], 2)}, offset {weights[-1]:.2f}")
    print(f"{wrong.sum()} of {len(wrong)} wrong, {np.sum(closed)} closed")


def eye_in_sight_mm(scene: Scene, landmarks: Landmarks, eye: Array, blend: Array) -> list[float]:
    """Return how high the eyes stand open in the image, on average over their width."""
    truth, camera = scene.capture.truth, scene.capture.intrinsics
    assert truth is not None
    vertices, triangles = truth.vertices_cam_mm.astype(np.float64), scene.subject.triangles
    seen = rasterize(vertices, triangles, camera, *scene.capture.depth_mm.shape).triangle
    found = []
    for label, lids in zip((2, 1), lid_pairs(SCHEME), strict=True):
        ball = (eye[triangles].max(axis=1) == label) & (blend[triangles].mean(axis=1) > 0.35)
        ends = landmarks.points_px[list(lids.corners)]
        height_px = float(np.sum((seen >= 0) & ball[seen]) / np.linalg.norm(ends[1] - ends[0]))
        found.append(height_px * float(np.median(vertices[eye == label, 2])) / camera[0, 0])
    return found


def pictures(
    capture: Capture, landmarks: Landmarks, rng: np.random.Generator
) -> Iterator[tuple[Capture, Landmarks]]:
    """Yield a capture as it is, at half its size, dark and noisy, hazy, and with shifted points."""
    yield capture, landmarks
    half = cv2.resize(capture.rgb, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    points = 0.5 * (landmarks.points_px + 0.5) - 0.5
    yield (
        dataclasses.replace(capture, rgb=half, depth_mm=capture.depth_mm[::2, ::2]),
        dataclasses.replace(landmarks, points_px=points),
    )
    linear = linear_from_srgb(capture.rgb)
    dark = linear * rng.uniform(0.12, 0.4) + rng.normal(0.0, 0.004, linear.shape)
    yield dataclasses.replace(capture, rgb=srgb_from_linear(dark)), landmarks
    haze = rng.uniform(0.1, 0.3)
    pale = cv2.GaussianBlur((1 - haze) * linear + haze * linear.mean(axis=(0, 1)), (0, 0), 1.0)
    yield dataclasses.replace(capture, rgb=srgb_from_linear(pale)), landmarks
    moved = landmarks.points_px + rng.normal(0.0, 1.0, 2)
    yield capture, dataclasses.replace(landmarks, points_px=moved)


def print_table(rows: list[dict[str, Any]]) -> None:
    for state in ("open", "half", "closed"):
        for wink in (False, True):
            here = [r for r in rows if r["state"] == state and r["wink"] == wink]
            if here:
                parts = []
                for method in ("without", "with"):
                    error = [r["opening_error_mm"] for r in here if r["method"] == method]
                    around = [r["around_mm"] for r in here if r["method"] == method]
                    parts.append(
                        f"{method}: opening {np.mean(error):.2f} mm (95 % "
                        f"{np.quantile(error, 0.95):.2f}), around {np.mean(around):.2f} mm"
                    )
                print(f"{state:7} {'wink' if wink else 'both':5} {len(here) // 2:3}  ", *parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--subjects", type=int, default=10)
    parser.add_argument("--sensor", default="structured_light")
    parser.add_argument("--out", type=Path, default=Path("build/bench/eyelids.json"))
    parser.add_argument("--calibrate", action="store_true")
    options = parser.parse_args()
    model = get_model(FaceModelConfig())
    if options.calibrate:
        calibrate(model, options.subjects)
        return
    faces = synthetic(model, options.subjects, options.sensor)
    print_table(faces)
    closed = heads(model, options.data) if (options.data / "heads-expressions").is_dir() else []
    for row in closed:
        print(
            f"{row['capture']:38} {row['eye']:5} {row['method']:7} "
            f"median {row['median_mm']:.2f} largest {row['largest_mm']:.2f} mm"
        )
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps({"synthetic": faces, "heads": closed}, indent=1))


if __name__ == "__main__":
    main()
