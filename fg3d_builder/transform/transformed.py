"""A captured picture whose face has a new shape (Sec. 6.3, Fig. 9).

The picture's mesh keeps its triangles: face vertices go to the target shape, in the pose of the
capture, the background follows the outline (Eq. 16), and every pixel is fetched from where its
surface point was in the captured picture. Then the shading is adjusted (Eq. 17) and what the
captured picture never showed is painted. The result is a capture with a registration like any
other, so turned views are made of it in the same way.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import cv2
import numpy as np

from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.fullview.delight import softened
from fg3d_builder.fullview.image_mesh import ImageMesh
from fg3d_builder.fullview.inpaint import inpaint_view
from fg3d_builder.fullview.texture_fit import TextureFit
from fg3d_builder.geometry.camera import cam_from_px, px_from_cam
from fg3d_builder.geometry.meshes import vertex_normals
from fg3d_builder.records import Array, Capture, Registration
from fg3d_builder.rendering.fragments import Fragments
from fg3d_builder.rendering.rasterizer import interpolate, rasterize, visible_vertices
from fg3d_builder.rendering.shading import linear_from_srgb, srgb_from_linear
from fg3d_builder.transform.background_warp import warp_background
from fg3d_builder.transform.shading_change import (
    ShadingChange,
    changed,
    shading_change,
    shape_shading,
)
from fg3d_builder.transform.target_shape import TargetShape

UNSEEN = 0.5
"""Interpolated visibility below which a pixel's surface was hidden in the captured picture."""

SOFT_SIGMA_PX = 1.0
"""Blur of the border between fetched and painted pixels."""


@dataclass(frozen=True)
class Transformed:
    """A capture with another shape.

    Attributes
    ----------
    capture : Capture
        With the new picture and depth; everything else is the source's.
    registration : Registration
        Registration of the target shape.
    mesh : ImageMesh
    texture : TextureFit
        The source's light and albedo on the target shape.
    warped_rgb : (H, W, 3) uint8
        The picture before its shading was adjusted.
    painted : float
        Share of the face's pixels that the source did not show.
    """

    capture: Capture
    registration: Registration
    mesh: ImageMesh
    texture: TextureFit
    warped_rgb: Array
    painted: float


def transform_capture(
    model: FaceModel,
    capture: Capture,
    registration: Registration,
    mesh: ImageMesh,
    texture: TextureFit,
    target: TargetShape,
    solver: str,
) -> Transformed | None:
    """Put a target shape under a captured picture.

    Parameters
    ----------
    model : FaceModel
    capture : Capture
    registration : Registration
    mesh : ImageMesh
    texture : TextureFit
        Both of the capture.
    target : TargetShape
        In the capture's object frame.
    solver : str
        Sparse backend, see `warp_background`.

    Returns
    -------
    Transformed or None
        None where the background cannot follow without folds.
    """
    target_cam = registration.pose.cam_from_obj(target.shape_obj_mm)
    moved = moved_mesh(mesh, target_cam, solver)
    if moved is None:
        return None
    still, moved_to = moved
    fetched = _fetch(still, moved_to, capture)
    before, after = (
        shape_shading(vertices, model.triangles, texture.light)
        for vertices in (registration.vertices_cam_mm, target_cam)
    )
    skin = softened(np.where(model.reliable & ~texture.occluder, 1.0, 0.0), model.triangles)
    change = shading_change(before, after, skin)
    rgb = _reshaded(fetched.rgb, fetched.face, model.triangles, change)
    lit = replace(
        texture,
        normals_cam=after.normals,
        colors_linear=texture.albedo * after.shade + after.gloss,
        completed_linear=texture.delit_albedo * after.shade + after.gloss,
    )
    hidden = _hidden(fetched.face, model.triangles, registration.visible)
    rgb = _hidden_painted(rgb, fetched.face, model.triangles, hidden, lit)
    normals = vertex_normals(target_cam, model.triangles)
    height, width = mesh.image_size
    visible = visible_vertices(
        target_cam, model.triangles, normals, capture.intrinsics, height, width
    )
    return Transformed(
        capture=replace(capture, rgb=rgb, depth_mm=fetched.depth_mm, landmarks=None, truth=None),
        registration=replace(
            registration,
            vertices_cam_mm=target_cam,
            shape_obj_mm=target.shape_obj_mm,
            coarse_obj_mm=model.shape(target.alpha_id, target.alpha_exp),
            alpha_id=target.alpha_id,
            alpha_exp=target.alpha_exp,
            confidence=target.confidence,
            visible=visible,
        ),
        mesh=moved_to,
        texture=lit,
        warped_rgb=fetched.rgb,
        painted=float(hidden.sum() / max(int((fetched.face.triangle >= 0).sum()), 1)),
    )


def moved_mesh(
    mesh: ImageMesh, target_cam_mm: Array, solver: str
) -> tuple[ImageMesh, ImageMesh] | None:
    """Give the face of a picture's mesh other vertices (n, 3); the background follows (Eq. 16).

    Anchors keep their depth. Where the background could not follow the outline without a fold
    it lets go of it, and gets vertices of its own.

    Returns
    -------
    tuple of two ImageMesh, or None
        The mesh as it was and as it moved, of one topology; None where folds remain.
    """
    n = mesh.face_vertex_count
    wanted = mesh.source_px.copy()
    wanted[:n] = px_from_cam(target_cam_mm, mesh.intrinsics)
    # Where two contour lines of the face crossed they will cross elsewhere, or no more: those
    # corners of the outline go with the background.
    on_face = np.arange(len(wanted)) < n
    warp = warp_background(
        mesh.source_px, mesh.background_triangles, on_face | mesh.border, wanted, on_face, solver
    )
    if warp.folded:
        return None
    loose = np.flatnonzero(warp.yielded)
    still = _with_copies(mesh, loose)
    points = np.concatenate([warp.points_px, warp.points_px[loose]])
    points[:n] = wanted[:n]
    vertices = cam_from_px(points, still.vertices_cam_mm[:, 2], mesh.intrinsics)
    vertices[:n] = target_cam_mm
    return still, replace(still, vertices_cam_mm=vertices, source_px=points)


def _with_copies(mesh: ImageMesh, loose: Array) -> ImageMesh:
    """Let background and lining use copies of some of the face's vertices."""
    number = np.arange(len(mesh.source_px) + len(loose), dtype=np.int32)
    number[loose] = len(mesh.source_px) + np.arange(len(loose), dtype=np.int32)
    sheet = number[mesh.sheet_triangles]

    def extended(values: Array) -> Array:
        return np.concatenate([values, values[loose]])

    return replace(
        mesh,
        vertices_cam_mm=extended(mesh.vertices_cam_mm),
        source_px=extended(mesh.source_px),
        triangles=np.concatenate([mesh.face_triangles, sheet]),
        outline=number[mesh.outline],
        border=extended(mesh.border),
    )


class _Fetched(NamedTuple):
    """The new picture before painting.

    rgb : (H, W, 3) uint8; depth_mm : (H, W) float32; face : Fragments of the face.
    """

    rgb: Array
    depth_mm: Array
    face: Fragments


def _fetch(source: ImageMesh, moved: ImageMesh, capture: Capture) -> _Fetched:
    """Render the moved mesh in the captured camera with the captured picture's pixels.

    The measured depth comes along, corrected by how far the surface moved in depth: so what
    stood before the face or behind it still does.
    """
    height, width = source.image_size
    face = rasterize(moved.vertices_cam_mm, moved.face_triangles, moved.intrinsics, height, width)
    sheet = rasterize(
        moved.vertices_cam_mm, moved.sheet_triangles, moved.intrinsics, height, width, False
    )
    is_face = face.triangle >= 0
    both = np.concatenate([source.vertices_cam_mm, moved.vertices_cam_mm[:, 2:]], axis=1)
    both = both.astype(np.float32)
    surface = interpolate(sheet, source.sheet_triangles, both, dtype=np.float32)
    at_face = interpolate(face, source.face_triangles, both, dtype=np.float32)
    surface[is_face] = at_face[is_face]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    covered = is_face | (sheet.triangle >= 0)
    x[covered], y[covered] = px_from_cam(surface[covered][:, :3], source.intrinsics).T
    rgb = cv2.remap(capture.rgb, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    depth = cv2.remap(
        capture.depth_mm,
        x,
        y,
        cv2.INTER_NEAREST,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=np.nan,
    )
    return _Fetched(rgb, (depth + surface[..., 3] - surface[..., 2]).astype(np.float32), face)


def _reshaded(rgb: Array, face: Fragments, triangles: Array, change: ShadingChange) -> Array:
    """Apply a change of shading to the face's pixels (H, W, 3) uint8."""
    # What stays as it is must not be rounded to it, so pixels without a change are left out.
    vertex = np.concatenate([change.gain - 1.0, change.offset], axis=1).astype(np.float32)
    is_face = face.triangle >= 0
    both = interpolate(face, triangles, vertex, dtype=np.float32)[is_face]
    touched = np.abs(both) @ np.ones(6, np.float32) > 1e-4
    pixel = np.flatnonzero(is_face)[touched]
    both = both[touched]
    out = rgb.copy()
    flat = out.reshape(-1, 3)
    color = linear_from_srgb(flat[pixel])
    flat[pixel] = srgb_from_linear(changed(color, 1.0 + both[:, :3], both[:, 3:]))
    return out


def _hidden_painted(
    rgb: Array, face: Fragments, triangles: Array, hidden: Array, lit: TextureFit
) -> Array:
    """Paint the hidden pixels (H, W) of the face with its own texture."""
    if not hidden.any():
        return rgb
    guide = interpolate(face, triangles, lit.completed_linear)
    soft = cv2.GaussianBlur(hidden.astype(np.float32), (0, 0), SOFT_SIGMA_PX)
    return inpaint_view(rgb, guide, hidden, soft, face.triangle >= 0)


def _hidden(face: Fragments, triangles: Array, visible: Array) -> Array:
    """Return the (H, W) mask of face pixels whose surface the captured picture does not show."""
    seen = interpolate(face, triangles, visible[:, None].astype(np.float64))[..., 0]
    hidden = (face.triangle >= 0) & (seen < UNSEEN)
    # Single pixels along an outline are neither hidden nor worth a colour of their own.
    opened = cv2.morphologyEx(hidden.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    return np.asarray(opened > 0)
