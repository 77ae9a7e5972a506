"""Registrations with known truth for `benchmarks.quality`: as they are, and spoilt."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.failures import FAILURES, Scene
from benchmarks.surfaces import Surface
from fg3d_builder.captures import open_source
from fg3d_builder.captures.sensor import capture_generator
from fg3d_builder.config import (
    BuildConfig,
    LandmarkConfig,
    SensorConfig,
    SourceConfig,
    load_preset,
)
from fg3d_builder.errors import CaptureError
from fg3d_builder.facemodel import FaceModel
from fg3d_builder.fitting.robust_alignment import align_robust
from fg3d_builder.geometry.camera import px_from_cam
from fg3d_builder.landmarks import open_detector
from fg3d_builder.landmarks.edges import MEDIAPIPE
from fg3d_builder.pipeline.register import register_capture
from fg3d_builder.records import Array, Capture, Landmarks, Registration

SENSORS = ("none", "structured_light", "time_of_flight")
OWN_FRAME = ("depth unit wrong", "depth warped", "focal length wrong")
"""Failures after which the camera frame is another one: only the shape can be compared."""


NARROWED_SHARE = 0.7
"""Of the captures that `narrowed` models are used for."""


class Target(NamedTuple):
    """What a registration of one capture should be.

    Attributes
    ----------
    vertices_cam_mm : (n, 3) float64
        In the model's own topology.
    face : (n,) bool
        Visible reliable face: where errors count.
    surface : Surface
        The true one.
    """

    vertices_cam_mm: Array
    face: Array
    surface: Surface


def captures_of(seed: int, subjects: int) -> Iterator[tuple[Capture, Capture]]:
    """Yield synthetic captures, by turns of every sensor, each also without noise."""
    for number, sensor in enumerate(SENSORS):
        config = SourceConfig(
            subjects=subjects,
            captures_per_subject=2,
            seed=seed + number,
            max_yaw_deg=30.0,
            max_pitch_deg=15.0,
            sensor=SensorConfig(kind=sensor, seed=seed),
        )
        clean = open_source(dataclasses.replace(config, sensor=SensorConfig()))
        source = open_source(config)
        for entry in source.entries():
            yield source.load(entry), clean.load(entry)


def registered(model: FaceModel, capture: Capture, landmarks: Landmarks) -> Registration:
    """Check, fit and register with the default configuration, as a build does."""
    return register_capture(model, capture, BuildConfig(), landmarks=landmarks).registration


def true_landmarks(capture: Capture, model: FaceModel) -> Landmarks:
    """Return MediaPipe's points where the true face has them; `model` has its topology."""
    embedding = model.embeddings[MEDIAPIPE]
    truth = capture.truth
    assert truth is not None
    points, confidence = np.zeros((478, 2)), np.zeros(478)
    places = embedding.points(truth.vertices_cam_mm.astype(np.float64), model.triangles)
    points[embedding.point_index] = px_from_cam(places, capture.intrinsics)
    confidence[embedding.point_index] = 1.0
    return Landmarks(MEDIAPIPE, points, confidence, "truth")


def target_of(model: FaceModel, embedded: FaceModel, clean: Capture) -> Target:
    """Return the truth, or for a model of another topology what comes nearest to it.

    That is its registration to noise-free depth with the true landmarks.
    """
    truth = clean.truth
    assert truth is not None
    surface = Surface(truth.vertices_cam_mm, embedded.triangles)
    if model.topology_hash == truth.topology_hash:
        vertices = truth.vertices_cam_mm.astype(np.float64)
        return Target(vertices, truth.visible & model.reliable, surface)
    best = registered(model, clean, true_landmarks(clean, embedded))
    return Target(best.vertices_cam_mm, best.visible & model.reliable, surface)


def errors_of(vertices_cam_mm: Array, target: Target, align: bool) -> dict[str, float]:
    """Return mean distances to the true places and to the true surface over the face."""
    found, wanted = vertices_cam_mm[target.face], target.vertices_cam_mm[target.face]
    if align:
        ones = np.ones(len(found))
        found = align_robust(found, wanted, ones, True, 1.0).cam_from_obj(found)
    vertex = np.linalg.norm(found - wanted, axis=1)
    surface = target.surface.distance_mm(found)
    return {
        "vertex_mm": float(vertex.mean()),
        "surface_mm": float(surface.mean()),
        "surface_p95_mm": float(np.quantile(surface, 0.95)),
    }


def cases_of(capture_id: str, seed: int, count: int) -> list[tuple[str, float]]:
    """Draw which failures a capture suffers, and how strong; it is itself the first case."""
    rng = capture_generator(seed, capture_id, "failures")
    names = rng.permutation(sorted(FAILURES))[:count]
    return [("as it is", 0.0), *((str(n), float(rng.uniform(0.15, 1.5))) for n in names)]


def narrowed(model: FaceModel, rng: np.random.Generator) -> FaceModel:
    """Return the model as if it had been made of fewer people, of less variety.

    Real people are no draw from any face model, so good registrations of them have larger
    coefficients and larger ``delta_S`` than those of a population that the model was made of.
    """
    # Log-uniform: each halving of the number costs about as much of what is explained.
    kept = round(len(model.id_sd) ** rng.uniform(0.2, 1.0))
    return dataclasses.replace(
        model,
        id_basis=np.ascontiguousarray(model.id_basis[:, :, :kept]),
        id_sd=model.id_sd[:kept] * rng.uniform(0.4, 1.0),
        exp_sd=model.exp_sd * rng.uniform(0.5, 1.0),
    )


def synthetic_rows(
    model: FaceModel, embedded: FaceModel, seed: int, subjects: int, count: int, narrow: bool
) -> Iterator[dict[str, Any]]:
    """Register every case of every capture; yield figures and true errors.

    A case that fails before it is registered yields the failure's code instead: a build
    records that, no score is needed. With `narrow`, most captures meet a `narrowed` model.
    """
    detector = open_detector(LandmarkConfig())
    other: Landmarks | None = None
    for capture, clean in captures_of(seed, subjects):
        try:
            landmarks = detector.detect(capture)
            target = target_of(model, embedded, clean)
        except CaptureError:
            continue
        rng = capture_generator(seed, capture.capture_id, "model")
        used = narrowed(model, rng) if narrow and rng.uniform() < NARROWED_SHARE else model
        whole = Scene(capture, landmarks, other or landmarks)
        for name, strength in cases_of(capture.capture_id, seed, count):
            rng = capture_generator(seed, capture.capture_id, name)
            scene = whole if name == "as it is" else FAILURES[name](whole, rng, strength)
            row = {"capture": capture.capture_id, "failure": name, "strength": strength}
            try:
                points = scene.landmarks or detector.detect(scene.capture)
                result = registered(used, scene.capture, points)
            except CaptureError as error:
                yield row | {"code": error.code}
                continue
            figures = result.quality_figures
            assert figures is not None
            errors = errors_of(result.vertices_cam_mm, target, name in OWN_FRAME)
            yield row | errors | {"quality": result.quality, "figures": dataclasses.asdict(figures)}
        other = landmarks


def real_rows(model: FaceModel, data: Path) -> Iterator[dict[str, Any]]:
    """Register the real captures and scans, which are all good."""
    detector = open_detector(LandmarkConfig())
    for config in load_preset("tasks/shared-data.toml").sources:
        source = open_source(dataclasses.replace(config, path=str(data / Path(config.path).name)))
        for entry in source.entries():
            capture = source.load(entry)
            result = registered(model, capture, detector.detect(capture))
            assert result.quality_figures is not None
            figures = dataclasses.asdict(result.quality_figures)
            yield {"capture": entry.capture_id, "quality": result.quality, "figures": figures}
