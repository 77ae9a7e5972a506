"""Full-view augmentation of one capture: all of its turned views (Sec. 6.2)."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import cv2
import numpy as np

from fg3d_builder.config import FullViewConfig
from fg3d_builder.errors import ConfigError
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.fullview.face_profiling import profiling_mesh
from fg3d_builder.fullview.image_mesh import ImageMesh, image_mesh
from fg3d_builder.fullview.inpaint import inpaint_view
from fg3d_builder.fullview.render_view import RenderedView, Source, render_view
from fg3d_builder.fullview.texture_fit import TextureFit
from fg3d_builder.fullview.views import ViewCamera, jittered, schedule, view_camera
from fg3d_builder.records import Array, Capture, CoarseFit, Registration, View
from fg3d_builder.rendering.rasterizer import interpolate, visible_vertices
from fg3d_builder.rendering.shading import linear_from_srgb

FULL_VIEW, FACE_PROFILING = "full_view", "face_profiling"

DEPTH_JUMP = 0.02
"""Neighbouring pixels whose depths differ by more than this part show different surfaces."""

EDGE_SIGMA_PX = 0.6
"""Blur of a camera's pixel across an edge."""

ALIKE, FOREIGN = 0.25, 0.7
"""Difference of a pixel's colours to the texture's, in natural logarithms, from which the pixel
is doubted and from which it is not believed at all. Only where the picture saw the face
obliquely: there a registration that is a pixel or two off shows the surface behind. Where it
looked straight at the face it is believed whatever its colour: glasses and beards stay."""

DRAWN_OUT = 0.5
"""Stretch, beyond 1, at which that doubt is full: what is not drawn out does no harm."""

DARK = 0.02
"""Linear light that is added before logarithms, so that noise in the dark does not count."""

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

    Raises
    ------
    CaptureError
        ``"no_crop"``.
    """
    source = Source.of(capture, mesh, config)
    for turn in schedule(registration.pose, config):
        turn = jittered(turn, config.jitter_deg, seed_of(turn.name))
        camera = view_camera(
            model, registration, initial, capture.intrinsics, turn, crop_margin, size
        )
        yield finished_view(source, camera, render_view(source, camera, config), texture, config)


def view_mesh(
    model: FaceModel, capture: Capture, registration: Registration, config: FullViewConfig
) -> ImageMesh:
    """Make the mesh that the configured method turns.

    Raises
    ------
    CaptureError
        ``"no_outline"``.
    ConfigError
        Unknown `config.method`.
    """
    methods = {FULL_VIEW: image_mesh, FACE_PROFILING: profiling_mesh}
    if config.method not in methods:
        known = ", ".join(methods)
        raise ConfigError(f"fullview.method: unknown '{config.method}'; known are {known}")
    return methods[config.method](model, capture, registration, config)


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
        rgb = paint_unseen(source.mesh, rendered, texture)
    rgb = blurred_at_jumps(rgb, rendered.depth_mm)
    mesh = source.mesh
    vertices = camera.view_from_cam(mesh.vertices_cam_mm[: mesh.face_vertex_count])
    visible = visible_vertices(
        vertices,
        mesh.face_triangles,
        source.normals_cam @ camera.rotation.T,
        camera.intrinsics,
        camera.size,
        camera.size,
    )
    return View(
        name=camera.turn.name,
        view_deg=np.array([camera.turn.pitch_deg, camera.turn.yaw_deg]),
        rgb=rgb,
        px_crop_from_px=camera.px_crop_from_px,
        intrinsics=camera.intrinsics,
        pose=camera.pose,
        visible=visible,
        painted=float(rendered.face_unseen.sum()) / max(int(rendered.face.sum()), 1),
    )


def paint_unseen(mesh: ImageMesh, rendered: RenderedView, texture: TextureFit) -> Array:
    """Return the view with its unseen face pixels painted by Poisson editing, uint8."""
    vertex = np.column_stack([texture.completed_linear, texture.sight])
    values = interpolate(
        rendered.fragments, mesh.face_triangles, vertex.astype(np.float32), dtype=np.float32
    )
    guide, sight = values[..., :3], np.clip(values[..., 3], 0.0, 1.0)
    seen = rendered.trust.copy()
    asked = rendered.face & (rendered.trust > 0) & (rendered.inner < 1) & (sight < 1)
    seen[asked] *= 1.0 - _foreign(rendered, guide, sight, asked)
    doubt = np.where(rendered.face, 1.0 - seen, 0.0).astype(np.float32)
    soft = cv2.GaussianBlur(doubt, (0, 0), SOFT_SIGMA * doubt.shape[0])
    unknown = rendered.face & (seen < LEAST_TRUST)
    return inpaint_view(rendered.rgb, guide, unknown, np.maximum(soft, doubt), rendered.face)


def _foreign(rendered: RenderedView, guide: Array, sight: Array, asked: Array) -> Array:
    """Return the doubt (k,) in [0, 1] that pixels near the outline show the face; see `FOREIGN`."""
    image = linear_from_srgb(rendered.rgb[asked])
    ratio = np.log((image + DARK) / (np.maximum(guide[asked], 0.0) + DARK))
    odd = np.clip((np.abs(ratio).max(axis=1) - ALIKE) / (FOREIGN - ALIKE), 0.0, 1.0)
    drawn_out = np.clip((rendered.stretch[asked] - 1.0) / DRAWN_OUT, 0.0, 1.0)
    outer = np.clip(2.0 * (1.0 - rendered.inner[asked]), 0.0, 1.0)
    return np.asarray(odd * drawn_out * outer * (1.0 - sight[asked]))


def blurred_at_jumps(rgb: Array, depth_mm: Array) -> Array:
    """Blur (S, S, 3) uint8 colours across depth jumps alone, as a camera's pixels do.

    A pixel of the view is one surface or the other; where a nose is in front of a cheek, or a
    cheek in front of a wall, that leaves stairs which no photo has.
    """
    jump = np.zeros(depth_mm.shape, dtype=bool)
    for axis in (0, 1):
        depth, mark = np.moveaxis(depth_mm, axis, 0), np.moveaxis(jump, axis, 0)
        with np.errstate(invalid="ignore"):
            here = np.abs(depth[1:] - depth[:-1]) > DEPTH_JUMP * np.minimum(depth[1:], depth[:-1])
        mark[1:] |= here
        mark[:-1] |= here
    blurred = cv2.GaussianBlur(rgb, (3, 3), EDGE_SIGMA_PX)
    return np.where(jump[..., None], blurred, rgb)
