"""Registrations with known truth for `benchmarks.quality`: as they are, and spoilt."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.failures import FAILURES, Scene
from benchmarks.head_truth import HeadTruth, head_source
from benchmarks.surfaces import Surface
from fg3d_builder.captures import open_source
from fg3d_builder.captures.sensor import capture_generator
from fg3d_builder.config import (
    BuildConfig,
    FaceModelConfig,
    LandmarkConfig,
    SensorConfig,
    SourceConfig,
    load_preset,
)
from fg3d_builder.errors import CaptureError
from fg3d_builder.facemodel import FaceModel
from fg3d_builder.fitting.robust_alignment import align_robust
from fg3d_builder.geometry.camera import px_from_cam
from fg3d_builder.heads.library import get_model
from fg3d_builder.landmarks import open_detector
from fg3d_builder.landmarks.detector import LandmarkDetector
from fg3d_builder.landmarks.edges import MEDIAPIPE
from fg3d_builder.pipeline.register import register_capture
from fg3d_builder.records import Array, Capture, Landmarks, Registration

SENSORS = ("none", "structured_light", "time_of_flight")
OWN_FRAME = ("depth unit wrong", "depth warped", "focal length wrong")
"""Failures after which the camera frame is another one: only the shape can be compared."""

NARROWED_SHARE = 0.7
"""Of the captures that `narrowed` models are used for."""

CALIBRATION_HEADS = (
    *("AIAN_F_1", "Asian_F_1", "Black_F_1", "Hispanic_F_1", "Hispanic_F_3"),
    *("MENA_F_1", "MENA_M_1", "NHPI_M_2", "White_F_2", "X_AIAN_M_1"),
)
"""Half of the textured heads; the score knows nothing of the others."""

HEAD_FOLDERS = ("heads", "heads-expressions")
HEAD_CASES = 2
HEAD_SENSOR = "structured_light"


class Job(NamedTuple):
    """What one process registers without a pause.

    Attributes
    ----------
    kind : str
        ``"synthetic"``, ``"heads"`` or ``"real"``.
    model : str
        Face model, ``"default"`` or ``"ict"``.
    data : Path
        Folder of the real data.
    seed, cases : int
        Of the draws, and failures of each capture.
    names : tuple of str
        Sensor and number of the subject; folder and head; or index of the preset's source.
    narrow : bool
        Most synthetic captures meet a `narrowed` model.
    """

    kind: str
    model: str
    data: Path
    seed: int
    cases: int
    names: tuple[str, ...]
    narrow: bool = False


class Target(NamedTuple):
    """What a registration of one capture should be.

    Attributes
    ----------
    vertices_cam_mm : (n, 3) float64
        In the model's own topology.
    face : (n,) bool
        Visible reliable face: where errors count, beside what a registration takes for seen.
    surface : Surface
        The true one.
    """

    vertices_cam_mm: Array
    face: Array
    surface: Surface


def synthetic_jobs(
    model: str, data: Path, seed: int, subjects: int, cases: int, narrow: bool
) -> list[Job]:
    """List the jobs of synthetic subjects, by turns of every sensor."""
    return [
        Job("synthetic", model, data, seed, cases, (sensor, str(subject)), narrow)
        for subject in range(subjects)
        for sensor in SENSORS
    ]


def head_jobs(model: str, data: Path, seed: int, calibration: bool) -> list[Job]:
    """List the jobs of the heads that the score is calibrated with, or of the others."""
    jobs = []
    for folder in HEAD_FOLDERS if data.is_dir() else ():
        for entry in head_source(data / folder)[1]:
            mine = entry.subject_id.split("-")[0] in CALIBRATION_HEADS
            if mine == calibration:
                names = (folder, entry.subject_id)
                jobs.append(Job("heads", model, data, seed, HEAD_CASES, names))
    return jobs


def real_jobs(model: str, data: Path) -> list[Job]:
    """List the jobs of the real captures and scans, which are all good."""
    if not data.is_dir():
        return []
    count = len(load_preset("tasks/shared-data.toml").sources)
    return [Job("real", model, data, 0, 0, (str(number),)) for number in range(count)]


def rows_of(jobs: Sequence[Job], workers: int) -> Iterator[dict[str, Any]]:
    """Do jobs in processes; yield their rows in the order of the jobs."""
    if workers == 1:
        for job in jobs:
            yield from do(job)
        return
    with ProcessPoolExecutor(workers) as pool:
        for rows in pool.map(do, jobs):
            yield from rows


def do(job: Job) -> list[dict[str, Any]]:
    """Register all of a job's cases; one row each."""
    make = {"synthetic": _synthetic_rows, "heads": _head_rows, "real": _real_rows}[job.kind]
    common = {"set": job.kind, "model": job.model}
    return [common | row for row in make(job)]


@lru_cache(maxsize=2)
def model_of(name: str, data: Path) -> FaceModel:
    """Return a face model by its name, once per process."""
    return get_model(FaceModelConfig(name, str(data / "ict_facekit") if name == "ict" else ""))


@lru_cache(maxsize=1)
def _detector() -> LandmarkDetector:
    return open_detector(LandmarkConfig())


def _synthetic_rows(job: Job) -> Iterator[dict[str, Any]]:
    """Yield figures and true errors of every case of a subject's two captures.

    A case that fails before it is registered yields the failure's code instead: a build records
    that, no score is needed.
    """
    sensor, number = job.names
    model, embedded = model_of(job.model, job.data), model_of("default", job.data)
    config = SourceConfig(
        subjects=int(number) + 1,
        captures_per_subject=2,
        seed=job.seed + SENSORS.index(sensor),
        max_yaw_deg=30.0,
        max_pitch_deg=15.0,
        sensor=SensorConfig(kind=sensor, seed=job.seed),
    )
    source = open_source(config)
    clean = open_source(dataclasses.replace(config, sensor=SensorConfig()))
    found = []
    for entry in source.entries()[-2:]:
        capture = source.load(entry)
        try:
            landmarks = _detector().detect(capture)
            found.append((capture, landmarks, target_of(model, embedded, clean.load(entry))))
        except CaptureError:
            continue
    for place, (capture, landmarks, target) in enumerate(found):
        rng = capture_generator(job.seed, capture.capture_id, "model")
        used = narrowed(model, rng) if job.narrow and rng.uniform() < NARROWED_SHARE else model
        scene = Scene(capture, landmarks, found[place - 1][1])
        cases = cases_of(capture.capture_id, job.seed, job.cases)
        yield from _case_rows(used, scene, cases, job.seed, target)


def _head_rows(job: Job) -> Iterator[dict[str, Any]]:
    """Yield the same of a textured head, with noise and without.

    Vertices should be where they are without noise and failures, which is what is known of them;
    the distance to the skin is the truth.
    """
    folder, name = job.names
    model = model_of(job.model, job.data)
    config, entries, source = head_source(job.data / folder, (name,))
    noisy = SensorConfig(kind=HEAD_SENSOR, seed=job.seed)
    _, _, noisy_source = head_source(job.data / folder, (name,), noisy)
    for entry in entries:
        if entry.subject_id != name:
            continue
        truth = HeadTruth.of(config, Path(entry.location))
        clean = source.load(entry)
        try:
            landmarks = _detector().detect(clean)
            best = registered(model, clean, landmarks)
        except CaptureError as error:
            yield {"capture": name, "failure": "as it is", "strength": 0.0, "code": error.code}
            continue
        seen = truth.place(model, best.vertices_cam_mm).seen
        target = Target(best.vertices_cam_mm, seen, truth.skin)
        # There is nothing to compare the vertices with.
        yield _row(model, name, "as it is", 0.0, best, target) | {"vertex_mm": None}
        if folder != HEAD_FOLDERS[0]:
            continue
        scene = Scene(noisy_source.load(entry), landmarks, landmarks)
        # Occluders need a synthetic truth, and a head's camera is not to be aligned away.
        skipped = (*(n for n in FAILURES if n.startswith("occluder")), *OWN_FRAME)
        drawn = [c for c in cases_of(name, job.seed, len(FAILURES)) if c[0] not in skipped]
        yield from _case_rows(model, scene, drawn[: 1 + job.cases], job.seed, target)


def _real_rows(job: Job) -> Iterator[dict[str, Any]]:
    """Yield the figures of real captures; their errors are not known, they are small."""
    model = model_of(job.model, job.data)
    config = load_preset("tasks/shared-data.toml").sources[int(job.names[0])]
    config = dataclasses.replace(config, path=str(job.data / Path(config.path).name))
    source = open_source(config)
    for entry in source.entries():
        capture = source.load(entry)
        result = registered(model, capture, _detector().detect(capture))
        yield _row(model, entry.capture_id, "as it is", 0.0, result, None)


def _case_rows(
    model: FaceModel,
    whole: Scene,
    cases: Sequence[tuple[str, float]],
    seed: int,
    target: Target,
) -> Iterator[dict[str, Any]]:
    for failure, strength in cases:
        name = whole.capture.capture_id
        rng = capture_generator(seed, name, failure)
        scene = whole if failure == "as it is" else FAILURES[failure](whole, rng, strength)
        try:
            points = scene.landmarks or _detector().detect(scene.capture)
            result = registered(model, scene.capture, points)
        except CaptureError as error:
            yield {"capture": name, "failure": failure, "strength": strength, "code": error.code}
            continue
        yield _row(model, name, failure, strength, result, target)


def _row(
    model: FaceModel,
    capture_id: str,
    failure: str,
    strength: float,
    result: Registration,
    target: Target | None,
) -> dict[str, Any]:
    """Make a row; without a target the errors are not known."""
    assert result.quality_figures is not None
    row: dict[str, Any] = {"capture": capture_id, "failure": failure, "strength": strength}
    if target is not None:
        # Errors count as well where a registration takes a mask or hair for the face.
        claimed = model.reliable & (result.confidence > 0)
        wider = target._replace(face=target.face | claimed)
        row |= errors_of(result.vertices_cam_mm, wider, failure in OWN_FRAME)
    figures = dataclasses.asdict(result.quality_figures)
    return row | {"quality": result.quality, "coverage": result.coverage, "figures": figures}


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
        surround=None,  # belongs to the identity as it was, and no registration needs it
    )
