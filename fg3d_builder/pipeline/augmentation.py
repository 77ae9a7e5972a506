"""Stages 6 and 7 over a chunk of captures: turned views, and new shapes with their views."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from typing import Any

from fg3d_builder.config import BuildConfig
from fg3d_builder.errors import CaptureError
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.fitting.landmark_fit import coarse_fit
from fg3d_builder.fullview.augment import full_view, view_mesh
from fg3d_builder.fullview.head_layers import HeadLayers
from fg3d_builder.fullview.image_mesh import ImageMesh, image_mesh
from fg3d_builder.fullview.source import FULL_VIEW
from fg3d_builder.fullview.texture_fit import TextureFit, fit_texture
from fg3d_builder.pipeline.each_capture import EachCapture, StageResult
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
    """What the stages before know of a chunk's captures, by capture id.

    Attributes
    ----------
    captures, landmarks, fits, registrations : mapping of str to record
    """

    captures: Mapping[str, Capture]
    landmarks: Mapping[str, Landmarks]
    fits: Mapping[str, CaptureFits]
    registrations: Mapping[str, Registration]

    def failure_picture(self, name: str, error: CaptureError) -> Array:
        """Show a capture of which no view, or no new shape, could be made."""
        return failure_sheet(self.captures[name], error, self.landmarks[name])


def make_views(model: FaceModel, chunk: ChunkInput, config: BuildConfig) -> StageResult[ViewSet]:
    """Turn every registered capture to the poses of the schedule (Sec. 6.2)."""
    return _turning(model, chunk, config, _Preparing(model, chunk, config)).do_all()


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
    preparing = _Preparing(model, chunk, config)
    return _transforming(model, chunk, draws, faces, config, preparing).do_all()


def make_views_and_transforms(
    model: FaceModel,
    chunk: ChunkInput,
    draws: Mapping[str, Sequence[Sequence[Donors]]],
    faces: Mapping[str, DonorFace],
    config: BuildConfig,
    at_views: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> tuple[StageResult[ViewSet], StageResult[TransformedShape]]:
    """Make what `make_views` and `make_transforms` make, and prepare each capture once for both.

    Parameters
    ----------
    model, chunk, draws, faces, config
        As for `make_transforms`.
    at_views : callable
        Gives the ``with`` block in which the views of one capture are made. What both share is
        made there, unless that fails.
    """
    preparing = _Preparing(model, chunk, config)
    turning = _turning(model, chunk, config, preparing)
    transforming = _transforming(model, chunk, draws, faces, config, preparing)
    for name in chunk.registrations:
        with at_views():
            turning.do(name)
        for key in shape_keys(draws, [name]):
            transforming.do(key)
    return turning.result, transforming.result


def shape_keys(draws: Mapping[str, Sequence[Any]], names: Iterable[str]) -> list[str]:
    """Return the keys of the new shapes of some captures among the records of their chunk."""
    return [f"{name}.transform-{i}" for name in names for i in range(len(draws.get(name, ())))]


def capture_of(key: str) -> str:
    """Return the capture id of a new shape's key, see `shape_keys`; that of a capture is itself."""
    return key.rsplit(".transform-", 1)[0]


def _turning(
    model: FaceModel, chunk: ChunkInput, config: BuildConfig, preparing: _Preparing
) -> EachCapture[ViewSet]:
    def turned(name: str) -> ViewSet:
        registration, ready = chunk.registrations[name], preparing.of(name)
        texture = ready.texture
        views = full_view(
            model,
            chunk.captures[name],
            registration,
            chunk.fits[name].initial,
            ready.turned_mesh,
            texture,
            config.fullview,
            config.shards.crop_margin,
            config.shards.image_size,
            lambda view: sample_seed(sample_name(name, view, CAPTURED)),
            config.registration.solver,
            ready.head,
        )
        fitter = _fitter(model, chunk.landmarks[name], config)
        shape = registration.shape_obj_mm
        return ViewSet(sample_images(views, shape, fitter, config.shards.image_format))

    subjects = {name: chunk.captures[name].subject_id for name in chunk.registrations}
    return EachCapture("views", subjects, turned, chunk.failure_picture)


def _transforming(
    model: FaceModel,
    chunk: ChunkInput,
    draws: Mapping[str, Sequence[Sequence[Donors]]],
    faces: Mapping[str, DonorFace],
    config: BuildConfig,
    preparing: _Preparing,
) -> EachCapture[TransformedShape]:
    solver = config.registration.solver
    targets = TargetShapes(model, solver, config.transform.max_deviation_sd)
    wanted = {
        key: (name, donors)
        for name in chunk.registrations
        for key, donors in zip(shape_keys(draws, [name]), draws.get(name, ()), strict=True)
    }

    def transformed(key: str) -> TransformedShape:
        name, attempts = wanted[key]
        registration, ready = chunk.registrations[name], preparing.of(name)
        for donors in attempts[:ATTEMPTS]:
            given = {part: faces[subject] for part, subject in donors.items()}
            target = targets.make(registration, given)
            if target is None:
                continue
            made = transform_capture(
                model,
                chunk.captures[name],
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
    return EachCapture("transform", subjects, transformed, picture)


class _Preparing:
    """Prepares the captures of a chunk, and keeps the one that is worked on."""

    def __init__(self, model: FaceModel, chunk: ChunkInput, config: BuildConfig) -> None:
        self._model, self._chunk, self._config = model, chunk, config
        self._now: tuple[str, PreparedCapture] | None = None

    def of(self, name: str) -> PreparedCapture:
        """Return what views and new shapes of a capture are made with."""
        if self._now is None or self._now[0] != name:
            capture, registration = self._chunk.captures[name], self._chunk.registrations[name]
            self._now = name, PreparedCapture(self._model, capture, registration, self._config)
        return self._now[1]


@dataclass(frozen=True)
class PreparedCapture:
    """What views and new shapes of a capture are made with; each part is made when asked for.

    A part that cannot be made fails whoever asks for it.
    """

    model: FaceModel
    capture: Capture
    registration: Registration
    config: BuildConfig

    @cached_property
    def texture(self) -> TextureFit:
        """The face's texture."""
        return fit_texture(self.model, self.capture, self.registration, self.config.texture)

    @cached_property
    def mesh(self) -> ImageMesh:
        """The picture as a mesh that follows a new shape."""
        return image_mesh(
            self.model, self.capture, self.registration, self.config.fullview, self._solver
        )

    @cached_property
    def turned_mesh(self) -> ImageMesh:
        """The mesh that the configured method turns: the same, but for face profiling."""
        settings = self.config.fullview
        if settings.method == FULL_VIEW:
            return self.mesh
        return view_mesh(self.model, self.capture, self.registration, settings, self._solver)

    @cached_property
    def head(self) -> HeadLayers | None:
        """The head in the picture; None for face profiling."""
        settings = self.config.fullview
        if settings.method != FULL_VIEW:
            return None
        return HeadLayers.of(
            self.model,
            self.capture,
            self.registration,
            self.texture.light,
            settings,
            self._solver,
        )

    @cached_property
    def before(self) -> BeforeFace | None:
        """What stands before the face; None where nothing does."""
        measured = None if self.head is None else self.head.measured
        settings = self.config.fullview
        return before_face(self.model, self.capture, self.registration, settings, measured)

    @property
    def _solver(self) -> str:
        return self.config.registration.solver


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
