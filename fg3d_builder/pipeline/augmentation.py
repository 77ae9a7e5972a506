"""Stages 6 and 7 over a chunk of captures: turned views, and new shapes with their views."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from fg3d_builder.config import BuildConfig
from fg3d_builder.errors import CaptureError
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.fullview.augment import View, full_view
from fg3d_builder.fullview.image_mesh import ImageMesh, image_mesh
from fg3d_builder.fullview.texture_fit import TextureFit, fit_texture
from fg3d_builder.pipeline.stages import CaptureFits, StageResult, run_each, shared_detector
from fg3d_builder.pipeline.view_samples import InitialFitter, sample_images
from fg3d_builder.records import (
    Array,
    Capture,
    CoarseFit,
    DonorFace,
    Landmarks,
    Registration,
)
from fg3d_builder.report.sheets import failure_sheet
from fg3d_builder.shards.rows import (
    Picture,
    TransformedShape,
    ViewSet,
    captured_picture,
    sample_name,
    sample_seed,
    shape_row,
)
from fg3d_builder.shards.schema import CAPTURED
from fg3d_builder.transform.donors import ATTEMPTS
from fg3d_builder.transform.target_shape import TargetShape, TargetShapes
from fg3d_builder.transform.transformed import Transformed, transform_capture

Donors = Mapping[str, str]
"""Part to subject."""


@dataclass(frozen=True)
class ChunkInput:
    """What the stages before know of a chunk's captures, by capture id."""

    captures: Mapping[str, Capture]
    landmarks: Mapping[str, Landmarks]
    fits: Mapping[str, CaptureFits]
    registrations: Mapping[str, Registration]


def make_views(model: FaceModel, chunk: ChunkInput, config: BuildConfig) -> StageResult[ViewSet]:
    """Turn every registered capture to the poses of the schedule (Sec. 6.2)."""
    detector = shared_detector(config.landmarks)

    def one(name: str) -> ViewSet:
        capture, registration = chunk.captures[name], chunk.registrations[name]
        texture = fit_texture(model, capture, registration, config.texture)
        views = full_view(
            *(model, capture, registration, chunk.fits[name].initial, texture, config.fullview),
            *(config.shards.crop_margin, config.shards.image_size),
            lambda view: sample_seed(sample_name(name, view, CAPTURED)),
        )
        pictures = (picture_of(view) for view in views)
        fitter = InitialFitter(model, detector, chunk.landmarks[name].scheme, config.fit)
        shape = registration.shape_obj_mm
        return ViewSet(sample_images(pictures, shape, fitter, config.shards.image_format))

    subjects = {name: chunk.captures[name].subject_id for name in chunk.registrations}

    def picture(name: str, error: CaptureError) -> Array:
        return failure_sheet(chunk.captures[name], error, chunk.landmarks[name])

    return run_each("views", subjects, one, picture)


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
    targets = TargetShapes(model, config.transform.max_deviation_sd)
    detector = shared_detector(config.landmarks)
    result: StageResult[TransformedShape] = StageResult()
    for name in (n for n in chunk.registrations if n in draws):
        fitter = InitialFitter(model, detector, chunk.landmarks[name].scheme, config.fit)
        part = _transform_one(model, chunk, name, draws[name], faces, targets, fitter, config)
        result.records.update(part.records)
        result.failures += part.failures
        result.pictures.update(part.pictures)
        result.seconds.update(part.seconds)
    return result


def _transform_one(
    model: FaceModel,
    chunk: ChunkInput,
    name: str,
    draws: Sequence[Sequence[Donors]],
    faces: Mapping[str, DonorFace],
    targets: TargetShapes,
    fitter: InitialFitter,
    config: BuildConfig,
) -> StageResult[TransformedShape]:
    capture, registration = chunk.captures[name], chunk.registrations[name]

    @lru_cache(maxsize=1)
    def source() -> tuple[ImageMesh, TextureFit]:
        mesh = image_mesh(model, capture, registration, config.fullview)
        return mesh, fit_texture(model, capture, registration, config.texture)

    def one(key: str) -> TransformedShape:
        number = int(key.rsplit("-", 1)[1])
        for donors in draws[number][:ATTEMPTS]:
            target = targets.make(registration, {part: faces[s] for part, s in donors.items()})
            if target is None:
                continue
            made = transform_capture(model, capture, registration, *source(), target)
            if made is not None:
                taken = {part: faces[s].capture_id for part, s in donors.items()}
                return _transformed_shape(model, name, key, taken, target, made, fitter, config)
        raise CaptureError(
            "no_target_shape",
            f"none of {ATTEMPTS} draws of donors gave a plausible face whose background follows",
        )

    keys = {f"{name}.transform-{i}": capture.subject_id for i in range(len(draws))}
    return run_each(
        *("transform", keys, one),
        lambda key, error: failure_sheet(capture, error, chunk.landmarks[name]),
    )


def _transformed_shape(
    model: FaceModel,
    name: str,
    key: str,
    donors: Donors,
    target: TargetShape,
    made: Transformed,
    fitter: InitialFitter,
    config: BuildConfig,
) -> TransformedShape:
    """Make the samples of one transformed capture: as captured, and turned."""
    shape_source = key.rsplit(".", 1)[1]
    registration = made.registration

    def pictures() -> Iterator[Picture]:
        initial = _initial_of(made, fitter)
        yield captured_picture(
            model, made.capture, initial, registration, config.shards, made.painted
        )
        views = full_view(
            *(model, made.capture, registration, initial, made.texture, config.fullview),
            *(config.shards.crop_margin, config.shards.image_size),
            lambda view: sample_seed(sample_name(name, view, shape_source)),
            made.mesh,
        )
        for view in views:
            yield picture_of(view)

    return TransformedShape(
        capture_id=name,
        shape=shape_row(registration, shape_source, json.dumps(dict(donors), sort_keys=True)),
        share=target.share,
        deviation_sd=target.deviation_sd,
        views=sample_images(
            pictures(), registration.shape_obj_mm, fitter, config.shards.image_format
        ),
    )


def _initial_of(made: Transformed, fitter: InitialFitter) -> CoarseFit:
    """Fit the 3DMM to the landmarks of the whole new picture, as for a capture."""
    pose, capture = made.registration.pose, made.capture
    whole = Picture(
        *("", np.zeros(2), capture.rgb, np.eye(3), capture.intrinsics, pose),
        *(made.registration.visible, 0.0),
    )
    return fitter.fit(whole, made.registration.shape_obj_mm)[0]


def picture_of(view: View) -> Picture:
    """Hand a rendered view on to the samples."""
    face = int(view.rendered.face.sum())
    turn = view.camera.turn
    return Picture(
        name=view.name,
        view_deg=np.array([turn.pitch_deg, turn.yaw_deg]),
        rgb=view.rgb,
        px_crop_from_px=view.camera.px_crop_from_px,
        intrinsics=view.camera.intrinsics,
        pose=view.camera.pose,
        visible=view.visible,
        painted=float(view.rendered.face_unseen.sum()) / max(face, 1),
    )
