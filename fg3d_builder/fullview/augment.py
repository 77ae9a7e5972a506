"""Full-view augmentation of one capture: all of its turned views (Sec. 6.2)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import cv2
import numba
import numpy as np

from fg3d_builder.config import FullViewConfig
from fg3d_builder.errors import ConfigError
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.fullview.face_profiling import profiling_mesh
from fg3d_builder.fullview.head_layers import HeadLayers
from fg3d_builder.fullview.image_mesh import ImageMesh, image_mesh
from fg3d_builder.fullview.inpaint import inpaint_view
from fg3d_builder.fullview.layers import is_same
from fg3d_builder.fullview.render_view import RenderedView, render_view
from fg3d_builder.fullview.source import FACE_PROFILING, FULL_VIEW, Source
from fg3d_builder.fullview.texture_fit import TextureFit
from fg3d_builder.fullview.views import ViewCamera, jittered, schedule, view_cameras
from fg3d_builder.records import Array, Capture, CoarseFit, Registration, View
from fg3d_builder.rendering.rasterizer import interpolate

DEPTH_JUMP = 0.02
"""Neighbouring pixels whose depths differ by more than this part show different surfaces."""

EDGE_SIGMA_PX = 0.6
"""Blur of a camera's pixel across an edge."""

HIDDEN_MM = 2.0
"""A vertex that is so far behind what a view shows is hidden."""

LEAST_TRUST = 0.02
"""Face pixels with less are unknown."""

SOFT_SIGMA = 1.5 / 256
"""Blur of the border between image and painting, as a part of the view's side."""


def full_view(
    model: FaceModel,
    capture: Capture,
    registration: Registration,
    initial: CoarseFit,
    mesh: ImageMesh,
    texture: TextureFit | None,
    config: FullViewConfig,
    crop_margin: float,
    size: int,
    seed_of: Callable[[str], int],
    solver: str,
    head: HeadLayers | None = None,
) -> Iterator[View]:
    """Make the turned views of a capture, one after the other, in the schedule's order.

    Parameters
    ----------
    model : FaceModel
    capture : Capture
    registration : Registration
    initial : CoarseFit
        From landmarks alone: the crops are cut around it.
    mesh : ImageMesh
        The capture's picture as a mesh; see `view_mesh`.
    texture : TextureFit or None
        What unseen parts of the face are painted with; None leaves them as they are.
    config : FullViewConfig
    crop_margin : float
        See `crop_around`.
    size : int
        Side of the crops in pixels.
    seed_of : callable
        From a view's name to the seed of its sample.
    solver : str
        Sparse backend, see `fg3d_builder.numerics.sparse_solver.analyze`.
    head : HeadLayers, optional
        Where the caller has it; it is found in the capture otherwise.

    Raises
    ------
    CaptureError
        ``"no_crop"``.
    """
    source = Source.of(model, capture, registration, mesh, texture, config, solver, head)
    turns = (
        jittered(turn, config.jitter_deg, seed_of(turn.name))
        for turn in schedule(registration.pose, config)
    )
    for camera in view_cameras(
        model, registration, initial, capture.intrinsics, turns, crop_margin, size
    ):
        yield finished_view(source, camera, render_view(source, camera, config), texture, config)


def view_mesh(
    model: FaceModel,
    capture: Capture,
    registration: Registration,
    config: FullViewConfig,
    solver: str = "cholmod",
) -> ImageMesh:
    """Make the mesh that the configured method turns.

    `solver` is the sparse backend, see `fg3d_builder.numerics.sparse_solver.analyze`.

    Raises
    ------
    CaptureError
        ``"no_outline"``.
    ConfigError
        Unknown `config.method`.
    """
    if config.method == FULL_VIEW:
        return image_mesh(model, capture, registration, config, solver)
    if config.method == FACE_PROFILING:
        return profiling_mesh(model, capture, registration, config)
    known = f"{FULL_VIEW}, {FACE_PROFILING}"
    raise ConfigError(f"fullview.method: unknown '{config.method}'; known are {known}")


def finished_view(
    source: Source,
    camera: ViewCamera,
    rendered: RenderedView,
    texture: TextureFit | None,
    config: FullViewConfig,
) -> View:
    """Paint what a rendered view lacks, by ``"full_view"`` with a texture, and soften its edges."""
    rgb = rendered.rgb
    if texture is not None and config.method == FULL_VIEW:
        rgb = paint_unseen(rendered, face_colors(source, rendered, texture))
    if not is_same(camera):
        rgb = blurred_at_jumps(rgb, rendered.depth_mm)
    return View(
        name=camera.turn.name,
        view_deg=np.array([camera.turn.pitch_deg, camera.turn.yaw_deg]),
        rgb=rgb,
        px_crop_from_px=camera.px_crop_from_px,
        intrinsics=camera.intrinsics,
        pose=camera.pose,
        visible=_visible(source, camera, rendered.depth_mm),
        painted=float(rendered.face_unseen.sum()) / max(int(rendered.face.sum()), 1),
    )


def _visible(source: Source, camera: ViewCamera, depth_mm: Array) -> Array:
    """Tell which registered vertices (n,) a view shows: facing it, and before them nothing."""
    mesh = source.mesh
    vertices = camera.view_from_cam(mesh.vertices_cam_mm[: mesh.face_vertex_count])
    seen = _before_what_is_shown(
        vertices, source.normals_cam @ camera.rotation.T, camera.intrinsics, depth_mm
    )
    return np.asarray(seen)


@numba.njit(cache=True, nogil=True)
def _before_what_is_shown(vertices, normals, camera, depth):  # type: ignore[no-untyped-def]
    """Tell which vertices (n, 3) face a camera and are at most `HIDDEN_MM` behind a depth image.

    Behind the farthest of their pixel's neighbours, or of nothing: slopes and outlines hide
    nothing, nor does what is beyond the image.
    """
    rows, columns = depth.shape
    out = np.zeros(len(vertices), np.bool_)
    for k in range(len(vertices)):
        x, y, z = vertices[k]
        facing = normals[k, 0] * x + normals[k, 1] * y + normals[k, 2] * z
        if not facing < 0.0:
            continue
        out[k] = True
        column = np.rint(camera[0, 0] * x / z + camera[0, 2])
        row = np.rint(camera[1, 1] * y / z + camera[1, 2])
        if not (z > 0.0 and 0 <= column < columns and 0 <= row < rows):
            continue
        c, r = int(column), int(row)
        farthest = np.float32(-np.inf)
        for i in range(max(r - 1, 0), min(r + 2, rows)):
            for j in range(max(c - 1, 0), min(c + 2, columns)):
                far = depth[i, j]
                farthest = max(farthest, far if far == far else np.float32(np.inf))
        out[k] = z <= farthest + HIDDEN_MM
    return out


def paint_unseen(rendered: RenderedView, guide_linear: Array) -> Array:
    """Return the view with its unseen face pixels painted by Poisson editing, uint8.

    Parameters
    ----------
    rendered : RenderedView
    guide_linear : (S, S, 3) float
        Colours of the face in linear light, whose gradients are painted.
    """
    doubt = np.where(rendered.face, 1.0 - rendered.trust, 0.0).astype(np.float32)
    soft = cv2.GaussianBlur(doubt, (0, 0), SOFT_SIGMA * doubt.shape[0])
    unknown = rendered.face & (rendered.trust < LEAST_TRUST)
    return inpaint_view(rendered.rgb, guide_linear, unknown, np.maximum(soft, doubt), rendered.face)


def face_colors(source: Source, rendered: RenderedView, texture: TextureFit) -> Array:
    """Return the colours (S, S, 3) that unseen parts of the face are painted with, linear light.

    Those of the unrolled head, which continue what the picture shows; without a surround to
    unroll, the fitted texture.
    """
    if source.around is not None:
        return rendered.around_linear
    return interpolate(
        rendered.fragments,
        source.mesh.face_triangles,
        texture.completed_linear.astype(np.float32),
        dtype=np.float32,
    )


def blurred_at_jumps(rgb: Array, depth_mm: Array) -> Array:
    """Blur (S, S, 3) uint8 colours across depth jumps alone, as a camera's pixels do.

    A pixel of the view is one surface or the other; where a nose is in front of a cheek, or a
    cheek in front of a wall, that leaves stairs which no photo has.
    """
    blurred = cv2.GaussianBlur(rgb, (3, 3), EDGE_SIGMA_PX)
    return np.asarray(_mixed_at_jumps(rgb, blurred, depth_mm))


@numba.njit(cache=True, nogil=True)
def _mixed_at_jumps(rgb, blurred, depth):  # type: ignore[no-untyped-def]
    """Colours (S, S, 3) of one picture beside jumps of depth, of the other elsewhere."""
    rows, columns = depth.shape
    out = rgb.copy()
    for row in range(rows):
        for column in range(columns):
            here, jump = depth[row, column], False
            for side in range(4):
                r, c = row + (0, 0, 1, -1)[side], column + (1, -1, 0, 0)[side]
                if 0 <= r < rows and 0 <= c < columns:
                    there = depth[r, c]
                    # NaN, nothing, fails the comparison.
                    jump |= abs(here - there) > DEPTH_JUMP * min(here, there)
            if jump:
                for k in range(3):
                    out[row, column, k] = blurred[row, column, k]
    return out
