"""Stages 6 and 7 over a chunk of captures: turned views, and new shapes with their views."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import NamedTuple

from fg3d_builder.config import BuildConfig
from fg3d_builder.errors import CaptureError
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.fitting.landmark_fit import coarse_fit
from fg3d_builder.fullview.augment import full_view, view_mesh
from fg3d_builder.fullview.head_layers import HeadLayers
from fg3d_builder.fullview.image_mesh import ImageMesh, image_mesh
from fg3d_builder.fullview.source import FULL_VIEW
from fg3d_builder.fullview.texture_fit import TextureFit, fit_texture
from fg3d_builder.pipeline.each_capture import StageResult, run_each
from fg3d_builder.pipeline.stages import CaptureFits, shared_view_detector
from fg3d_builder.pipeline.view_samples import InitialFitter, sample_images
from fg3d_builder.records import (
    Array,
    Capture,
    Landmarks,
    Registration,
)
from fg3d_builder.report.sheets import failure_sheet
from fg3d_builder.shards.rows import (
    TransformedShape,
    ViewSet,
    captured_view,
    sample_name,
    sample_seed,
    shape_row,
)
from fg3d_builder.shards.schema import CAPTURED
from fg3d_builder.transform.before_face import BeforeFace, before_face
from fg3d_builder.transform.donors import ATTEMPTS, DonorFace
from fg3d_builder.transform.target_shape import TargetShape, TargetShapes
from fg3d_builder.transform.transformed import Transformed, transform_capture

Donors = Mapping[str, str]
"""The subject that gives each part."""


@dataclass(frozen=True)
class ChunkInput:
    """What the stages before know of a chunk's captures, by capture id."""

    captures: Mapping[str, Capture]
    landmarks: Mapping[str, Landmarks]
    fits: Mapping[str, CaptureFits]
    registrations: Mapping[str, Registration]

    def failure_picture(self, name: str, error: CaptureError) -> Array:
        """Show a capture of which no view, or no new shape, could be made."""
        return failure_sheet(self.captures[name], error, self.landmarks[name])


def make_views(model: FaceModel, chunk: ChunkInput, config: BuildConfig) -> StageResult[ViewSet]:
    """Turn every registered capture to the poses of the schedule (Sec. 6.2)."""

    def turned(name: str) -> ViewSet:
        capture, registration = chunk.captures[name], chunk.registrations[name]
        solver = config.registration.solver
        texture = fit_texture(model, capture, registration, config.texture)
        mesh = view_mesh(model, capture, registration, config.fullview, solver)
        views = full_view(
            model,
            capture,
            registration,
            chunk.fits[name].initial,
            mesh,
            texture,
            config.fullview,
            config.shards.crop_margin,
            config.shards.image_size,
            lambda view: sample_seed(sample_name(name, view, CAPTURED)),
            solver,
        )
        fitter = _fitter(model, chunk.landmarks[name], config)
        shape = registration.shape_obj_mm
        return ViewSet(sample_images(views, shape, fitter, config.shards.image_format))

    subjects = {name: chunk.captures[name].subject_id for name in chunk.registrations}
    return run_each("views", subjects, turned, chunk.failure_picture)


def shape_key(capture_id: str, number: int) -> str:
    """Return the key of a capture's new shape among the records of its chunk."""
    return f"{capture_id}.transform-{number}"


def make_transforms(
    model: FaceModel,
    chunk: ChunkInput,
    draws: Mapping[str, Sequence[Sequence[Donors]]],
    faces: Mapping[str, DonorFace],
    config: BuildConfig,
) -> StageResult[TransformedShape]:
    """Give the captures new shapes and turn these to the poses of the schedule (Sec. 6.3).

    Parameters
    ----------
    model : FaceModel
    chunk : ChunkInput
    draws : mapping of capture id to a sequence per shape, of attempts
        Captures without an entry (test subjects, rejected ones) get no shapes.
    faces : mapping of subject to DonorFace
    config : BuildConfig

    Returns
    -------
    StageResult
        Records by ``<capture id>.transform-<number>``; a shape for which no draw gave a
        plausible face is a failure of its own.
    """
    solver = config.registration.solver
    targets = TargetShapes(model, solver, config.transform.max_deviation_sd)
    wanted = {
        shape_key(name, number): (name, donors)
        for name in chunk.registrations
        for number, donors in enumerate(draws.get(name, ()))
    }

    @lru_cache(maxsize=1)
    def prepared(name: str) -> _Prepared:
        return _Prepared.of(model, chunk.captures[name], chunk.registrations[name], config, solver)

    def transformed(key: str) -> TransformedShape:
        name, attempts = wanted[key]
        capture, registration = chunk.captures[name], chunk.registrations[name]
        for donors in attempts[:ATTEMPTS]:
            given = {part: faces[subject] for part, subject in donors.items()}
            target = targets.make(registration, given)
            if target is None:
                continue
            ready = prepared(name)
            made = transform_capture(
                model,
                capture,
                registration,
                ready.mesh,
                ready.texture,
                ready.before,
                target,
                solver,
                ready.head,
            )
            if made is not None:
                fitter = _fitter(model, chunk.landmarks[name], config)
                return _shape_with_views(model, key, given, target, made, fitter, config)
        raise CaptureError(
            "no_target_shape",
            f"none of {ATTEMPTS} draws of donors gave a plausible face whose background follows",
        )

    def picture(key: str, error: CaptureError) -> Array:
        return chunk.failure_picture(wanted[key][0], error)

    subjects = {key: chunk.captures[name].subject_id for key, (name, _) in wanted.items()}
    return run_each("transform", subjects, transformed, picture)


class _Prepared(NamedTuple):
    """What all new shapes of a capture share; no head for face profiling."""

    mesh: ImageMesh
    texture: TextureFit
    head: HeadLayers | None
    before: BeforeFace | None

    @classmethod
    def of(
        cls,
        model: FaceModel,
        capture: Capture,
        registration: Registration,
        config: BuildConfig,
        solver: str,
    ) -> _Prepared:
        settings = config.fullview
        mesh = image_mesh(model, capture, registration, settings, solver)
        texture = fit_texture(model, capture, registration, config.texture)
        head = None
        if settings.method == FULL_VIEW:
            head = HeadLayers.of(model, capture, registration, texture.light, settings, solver)
        measured = None if head is None else head.measured
        before = before_face(model, capture, registration, settings, measured)
        return cls(mesh, texture, head, before)


def _shape_with_views(
    model: FaceModel,
    key: str,
    donors: Mapping[str, DonorFace],
    target: TargetShape,
    made: Transformed,
    fitter: InitialFitter,
    config: BuildConfig,
) -> TransformedShape:
    """Make the samples of one transformed capture: as captured, and turned."""
    name, shape_source = key.rsplit(".", 1)
    capture, registration = made.capture, made.registration
    # The crops are cut around a fit to the whole new picture, as those of a capture are.
    fitted, _ = fitter.fit(capture, registration.vertices_cam_mm)
    initial = coarse_fit(model, fitted, float("nan"))
    turned = full_view(
        model,
        capture,
        registration,
        initial,
        made.mesh,
        made.texture,
        config.fullview,
        config.shards.crop_margin,
        config.shards.image_size,
        lambda view: sample_seed(sample_name(name, view, shape_source)),
        config.registration.solver,
        made.head,
    )
    captured = captured_view(model, capture, initial, registration, config.shards, made.painted)
    taken = {part: face.capture_id for part, face in donors.items()}
    return TransformedShape(
        capture_id=name,
        shape=shape_row(registration, shape_source, json.dumps(taken, sort_keys=True)),
        share=target.share,
        deviation_sd=target.deviation_sd,
        views=sample_images(
            chain([captured], turned),
            registration.shape_obj_mm,
            fitter,
            config.shards.image_format,
        ),
    )


def _fitter(model: FaceModel, landmarks: Landmarks, config: BuildConfig) -> InitialFitter:
    detector = shared_view_detector(config.landmarks, config.fullview.looks)
    return InitialFitter(model, detector, landmarks.scheme, config.fit)
