"""Turns a capture as a build does: the one place where benchmarks call the rendering."""

from __future__ import annotations

import time
from typing import NamedTuple

from fg3d_builder.config import FullViewConfig, TextureConfig
from fg3d_builder.facemodel import FaceModel
from fg3d_builder.fullview.augment import FULL_VIEW, finished_view, view_mesh
from fg3d_builder.fullview.render_view import render_view
from fg3d_builder.fullview.source import Source
from fg3d_builder.fullview.texture_fit import TextureFit, fit_texture
from fg3d_builder.fullview.views import ViewCamera
from fg3d_builder.records import Array, Capture, Registration


class TurnedView(NamedTuple):
    """A finished view and what was drawn where.

    Attributes
    ----------
    rgb : (S, S, 3) uint8
    face : (S, S) bool
        The face sheet as it was drawn.
    unseen : (S, S) bool
        Face pixels that the picture does not show.
    ms : float
        Processor time of this view alone.
    """

    rgb: Array
    face: Array
    unseen: Array
    ms: float


class Turnable(NamedTuple):
    """A capture prepared to be turned by one method.

    Attributes
    ----------
    source : Source
    texture : TextureFit or None
    config : FullViewConfig
    once_ms : dict of str to float
        Processor time of each step that all of its views share.
    """

    source: Source
    texture: TextureFit | None
    config: FullViewConfig
    once_ms: dict[str, float]


def turnable(
    model: FaceModel, capture: Capture, registration: Registration, method: str
) -> Turnable:
    """Do what all views of a capture share."""
    config = FullViewConfig(method=method)
    ms: dict[str, float] = {}
    texture = None
    start = time.process_time()
    if method == FULL_VIEW:
        texture = fit_texture(model, capture, registration, TextureConfig())
        ms["texture and light"] = 1e3 * (time.process_time() - start)
    start = time.process_time()
    mesh = view_mesh(model, capture, registration, config)
    ms["image mesh (Eq. 12)"] = 1e3 * (time.process_time() - start)
    start = time.process_time()
    source = Source.of(model, capture, registration, mesh, texture, config)
    ms["picture pyramid, shadows"] = 1e3 * (time.process_time() - start)
    return Turnable(source, texture, config, ms)


def turned(prepared: Turnable, camera: ViewCamera) -> TurnedView:
    """Make one view."""
    start = time.process_time()
    rendered = render_view(prepared.source, camera, prepared.config)
    view = finished_view(prepared.source, camera, rendered, prepared.texture, prepared.config)
    ms = 1e3 * (time.process_time() - start)
    return TurnedView(view.rgb, rendered.face, rendered.face_unseen, ms)
