"""Contact sheets of full-view augmentation: what was completed, turned, and painted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np

from fg3d_builder.config import FullViewConfig
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.fullview.augment import finished_view, view_mesh
from fg3d_builder.fullview.head_layers import HeadLayers
from fg3d_builder.fullview.image_mesh import ImageMesh
from fg3d_builder.fullview.render_view import RenderedView, render_view
from fg3d_builder.fullview.source import FACE_PROFILING, FULL_VIEW, Source
from fg3d_builder.fullview.texture_fit import TextureFit
from fg3d_builder.fullview.views import CAPTURED, ViewCamera, schedule, view_camera
from fg3d_builder.geometry.meshes import undirected_edges
from fg3d_builder.records import Array, Capture, CoarseFit, Registration
from fg3d_builder.report.paper import contact_sheet, joined
from fg3d_builder.report.pictures import depth_picture, image_picture, whole_view

SEEN, UNSEEN, BACKGROUND, BEYOND = (70, 180, 90), (220, 60, 50), (110, 110, 116), (70, 80, 130)
MEASURED, SURROUND = (90, 150, 220), (225, 165, 70)
BACKGROUND_WIRE, LINING_WIRE, OUTLINE_WIRE = (0, 200, 255), (170, 90, 190), (255, 214, 10)
_TILE = 230
_DEPTH_RANGE_MM = 350.0


def fullview_sheet(
    model: FaceModel,
    capture: Capture,
    registration: Registration,
    initial: CoarseFit,
    texture: TextureFit,
    config: FullViewConfig,
    crop_margin: float,
    size: int,
    solver: str,
    mesh: ImageMesh | None = None,
    head: HeadLayers | None = None,
) -> Array:
    """Show a capture's mesh and depth, and every view by both methods with its masks.

    Columns are views; rows: full-view augmentation, the same before painting, where each
    pixel comes from (see `mask_picture`), and face profiling.

    Parameters
    ----------
    model : FaceModel
    capture : Capture
    registration : Registration
    initial : CoarseFit
        Fit from landmarks alone, which crops are cut around.
    texture : TextureFit
    config : FullViewConfig
    crop_margin, size : float, int
        See `crop_around`.
    solver : str
        ``FitConfig.solver``.
    mesh : ImageMesh, optional
    head : HeadLayers, optional
        Those of full-view augmentation, where the caller has them.

    Returns
    -------
    (H, W, 3) uint8
    """
    turns = [CAPTURED, *schedule(registration.pose, config)]
    cameras = [
        view_camera(model, registration, initial, capture.intrinsics, turn, crop_margin, size)
        for turn in turns
    ]
    mesh, rendered, finished = _turned(
        model,
        capture,
        registration,
        cameras,
        texture,
        replace(config, method=FULL_VIEW),
        solver,
        mesh,
        head,
    )
    flat_mesh, _, profiled = _turned(
        model,
        capture,
        registration,
        cameras,
        texture,
        replace(config, method=FACE_PROFILING),
        solver,
    )
    whole = whole_view(capture)
    depth, profile = (made.completed_depth(whole.step) for made in (mesh, flat_mesh))
    around = (float(depth.min()), float(depth.min()) + _DEPTH_RANGE_MM)
    fewer = whole.of_every(whole.step)
    tiles = [
        ("picture", image_picture(capture, whole)),
        ("depth as measured", depth_picture(capture.depth_mm, whole, around)),
        ("depth completed (Eq. 12)", depth_picture(depth, fewer, around)),
        ("depth of face profiling", depth_picture(profile, fewer, around)),
        ("anchors", wire_picture(capture, mesh)),
    ]
    title = f"{capture.capture_id}: full-view augmentation"
    top = contact_sheet(tiles, title=title, columns=len(tiles), height=360)
    rows = (
        ("", finished),
        ("before painting ", [view.rgb for view in rendered]),
        ("masks ", [mask_picture(view) for view in rendered]),
        ("profiling ", profiled),
    )
    named = [
        (f"{label}{turn.name}", picture)
        for label, pictures in rows
        for turn, picture in zip(turns, pictures, strict=True)
    ]
    bottom = contact_sheet(named, columns=len(turns), height=_TILE)
    return joined([top, bottom], axis=0)


def _turned(
    model: FaceModel,
    capture: Capture,
    registration: Registration,
    cameras: Sequence[ViewCamera],
    texture: TextureFit,
    config: FullViewConfig,
    solver: str,
    mesh: ImageMesh | None = None,
    head: HeadLayers | None = None,
) -> tuple[ImageMesh, list[RenderedView], list[Array]]:
    """Return a capture's mesh, its views before painting, and the finished pictures."""
    if mesh is None:
        mesh = view_mesh(model, capture, registration, config, solver)
    source = Source.of(model, capture, registration, mesh, texture, config, solver, head)
    rendered = [render_view(source, camera, config) for camera in cameras]
    finished = [
        finished_view(source, camera, view, texture, config).rgb
        for camera, view in zip(cameras, rendered, strict=True)
    ]
    return mesh, rendered, finished


def mask_picture(rendered: RenderedView) -> Array:
    """Show where the pixels of a view come from, (S, S, 3) uint8.

    The face is green where the picture shows it and red where it is painted; the head around it
    light blue where depth was measured and orange where it was not; the background grey, and dark
    blue beyond the picture.
    """
    picture = np.zeros_like(rendered.rgb)
    picture[rendered.covered] = BACKGROUND
    picture[rendered.beyond] = BEYOND
    picture[rendered.captured] = MEASURED
    picture[rendered.surround] = SURROUND
    trust = rendered.trust[..., None]
    mixed = trust * np.array(SEEN) + (1.0 - trust) * np.array(UNSEEN)
    picture[rendered.face] = np.rint(mixed[rendered.face])
    return picture


def wire_picture(capture: Capture, mesh: ImageMesh, scale: float = 2.0) -> Array:
    """Show background, lining and outline over the picture."""
    scale *= 480.0 / mesh.image_size[0]
    picture = cv2.resize(capture.rgb, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    points = np.round((mesh.source_px + 0.5) * scale * 16.0 - 8.0).astype(np.int32)
    lining = mesh.sheet_triangles[mesh.background_triangle_count :]
    for triangles, color in ((lining, LINING_WIRE), (mesh.background_triangles, BACKGROUND_WIRE)):
        lines = points[undirected_edges(triangles)]
        cv2.polylines(picture, list(lines), False, color, 1, cv2.LINE_AA, 4)
    cv2.polylines(picture, [points[mesh.outline]], True, OUTLINE_WIRE, 2, cv2.LINE_AA, 4)
    return np.asarray(picture)
