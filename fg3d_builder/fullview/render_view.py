"""A view of an image mesh, painted with the picture's own pixels.

The face is drawn over the background, whatever their depths: otherwise the sheet between face
and background would cover the cheek that comes into sight beside a turned head. For each pixel
of the view the surface point is taken back to the captured picture exactly: its colour there
is averaged over the pixel's footprint, and its depth, its slope and the measured depth tell
whether the picture shows that point at all.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numba
import numpy as np

from fg3d_builder.config import FullViewConfig
from fg3d_builder.fullview.image_mesh import ImageMesh
from fg3d_builder.fullview.sampling import PicturePyramid, singular_values
from fg3d_builder.fullview.views import ViewCamera
from fg3d_builder.geometry.camera import scaled_intrinsics
from fg3d_builder.geometry.meshes import vertex_normals
from fg3d_builder.records import Array, Capture
from fg3d_builder.rendering.fragments import Fragments
from fg3d_builder.rendering.rasterizer import rasterize

OCCLUSION_MM = 2.0
"""A surface point that is this far behind the first one on its ray is hidden."""

SHADOW_SIZE_PX = 512
"""Side of the face in the depth image that tells which points hide others."""

MIXING = 0.008
"""Part of the face's size over which a picture mixes it with what is before or behind it."""

RIM = 0.012
"""Part of the face's size next to its borders where hair, or a registration that is a pixel or
two off, may show; colours from there are doubted where they are drawn out."""

INNER = 0.08
"""Part of the face's size over which the inside of the face begins behind its outline."""

LEAST_PATCH_PX = 9
"""Fewer connected pixels at a wrong depth are noise."""

BORDER_SHARE = 0.02
"""Step in depth, as a part of the depth, from which a neighbour is behind the face's border."""

TRUSTED_SHARE = 2.2
"""Pixels stretched by this factor less than the largest stretch are trusted fully."""

DRAWN_FROM, DRAWN_TO = 1.4, 2.6
"""Stretch from and to which it matters more and more how the picture saw a point: obliquely,
or near a border of the face, its colour may be another surface's, and is drawn out."""

GRAZING = 0.05
"""Cosine of the angle below which the picture's own pixel mixes the face with what is behind."""


@dataclass(frozen=True)
class Source:
    """What all views of a capture share.

    Attributes
    ----------
    mesh : ImageMesh
    picture : PicturePyramid
    normals_cam : (n, 3) float64
        Normals of the model's vertices, in the capture's frame.
    first_mm : (h, w) float32
        Depth of the face alone over the picture, the farthest within a pixel's neighbours;
        infinite where the face is not.
    shown : (h, w) float32
        In [0, 1]: 0 where the camera measured something else than the face, or within a
        pixel or two of such a place, where colours mix.
    rim : (h, w) float32
        In [0, 1]: 0 at the borders of the visible face, where it ends or one part of it hides
        another, 1 at some distance from them.
    inner : (h, w) float32
        Distance from the outline alone, as a part of `INNER` of the face's size, at most 1.
    first_intrinsics : (3, 3) float64
        Pinhole matrix of these images: the picture's, or coarser where the face is large.
    """

    mesh: ImageMesh
    picture: PicturePyramid
    normals_cam: Array
    first_mm: Array
    shown: Array
    rim: Array
    inner: Array
    first_intrinsics: Array

    @classmethod
    def of(cls, capture: Capture, mesh: ImageMesh, config: FullViewConfig) -> Source:
        """Prepare a capture for rendering."""
        vertices = mesh.vertices_cam_mm[: mesh.face_vertex_count]
        height, width = mesh.image_size
        extent = float(np.max(np.ptp(mesh.source_px[mesh.outline], axis=0)))
        factor = min(1.0, SHADOW_SIZE_PX / extent)
        camera = scaled_intrinsics(mesh.intrinsics, factor)
        size = (int(np.ceil(height * factor)), int(np.ceil(width * factor)))
        first = rasterize(vertices, mesh.face_triangles, camera, *size).depth_mm
        farthest = cv2.dilate(np.nan_to_num(first, nan=np.inf), np.ones((3, 3), np.uint8))
        return cls(
            mesh=mesh,
            picture=PicturePyramid.of(capture.rgb),
            normals_cam=vertex_normals(vertices, mesh.face_triangles),
            first_mm=farthest,
            shown=_shown(capture.depth_mm, first, factor, MIXING * extent * factor, config),
            rim=_rim(first, RIM * extent * factor),
            inner=_inner(first, INNER * extent * factor),
            first_intrinsics=camera,
        )


@dataclass(frozen=True)
class RenderedView:
    """A view painted with the picture's pixels, and what is known of each.

    Attributes
    ----------
    rgb : (S, S, 3) uint8
    face : (S, S) bool
        The face model's surface, seen from its front.
    face_unseen : (S, S) bool
        Face pixels that the picture does not show: turned away from the camera, seen so
        obliquely that they are stretched too far, behind another part of the face, or not
        what the camera measured there.
    trust : (S, S) float32
        For face pixels, in [0, 1]: 0 where unseen, 1 where hardly stretched.
    inner : (S, S) float32
        For face pixels, in [0, 1]: 0 at the face's outline in the picture, 1 well inside.
    stretch : (S, S) float32
        Pixels of the view that share one pixel of the picture, in the direction in which they
        are most; times the scale between both, so that 1 is what the unturned crop has.
    beyond : (S, S) bool
        Painted with what continues the picture beyond its border.
    covered : (S, S) bool
        Anything at all is there; false only beyond the margin.
    depth_mm : (S, S) float32
        In the view's camera frame; NaN where not covered.
    source_px : (S, S, 2) float32
        Where each pixel comes from; NaN where not covered.
    fragments : Fragments
        The face alone, by triangles of the model.
    """

    rgb: Array
    face: Array
    face_unseen: Array
    trust: Array
    inner: Array
    stretch: Array
    beyond: Array
    covered: Array
    depth_mm: Array
    source_px: Array
    fragments: Fragments


def _shown(
    depth_mm: Array, first_mm: Array, factor: float, radius_px: float, config: FullViewConfig
) -> Array:
    """Where the camera measured the face; see `Source`. No depth speaks against nothing."""
    size = first_mm.shape
    row, column = (
        np.clip(np.rint((np.arange(n) + 0.5) / factor - 0.5).astype(int), 0, m - 1)
        for n, m in zip(size, depth_mm.shape, strict=True)
    )
    depth = depth_mm[np.ix_(row, column)]
    with np.errstate(invalid="ignore"):
        wrong = (depth < first_mm - config.hidden_mm) | (depth > first_mm + config.missed_mm)
    other = _without_specks(wrong)
    radius = max(1, round(radius_px))
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
    wide = np.asarray(cv2.dilate(other, disc), dtype=np.float32)
    doubt = np.maximum(cv2.GaussianBlur(wide, (0, 0), 0.7 * radius), wide)
    return np.asarray(1.0 - doubt, dtype=np.float32)


def _rim(first_mm: Array, width_px: float) -> Array:
    """Grow from 0 to 1 within the given distance from the face's borders; see `Source`."""
    border = np.isnan(first_mm)
    for axis in (0, 1):
        depth, mark = np.moveaxis(first_mm, axis, 0), np.moveaxis(border, axis, 0)
        with np.errstate(invalid="ignore"):
            mark[1:] |= depth[1:] - depth[:-1] > BORDER_SHARE * depth[1:]
            mark[:-1] |= depth[:-1] - depth[1:] > BORDER_SHARE * depth[:-1]
    away = cv2.distanceTransform((~border).astype(np.uint8), cv2.DIST_L2, 5)
    return np.clip(away / max(width_px, 1.0) - 0.5, 0.0, 1.0).astype(np.float32)


def _inner(first_mm: Array, width_px: float) -> Array:
    away = cv2.distanceTransform(np.isfinite(first_mm).astype(np.uint8), cv2.DIST_L2, 5)
    return np.minimum(away / max(width_px, 1.0), 1.0).astype(np.float32)


def _without_specks(mask: Array) -> Array:
    """Leave out small connected parts of a mask, noise of a depth sensor; uint8."""
    _, label, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    large = stats[:, cv2.CC_STAT_AREA] >= LEAST_PATCH_PX
    large[0] = False
    return large.astype(np.uint8)[label]


def render_view(source: Source, camera: ViewCamera, config: FullViewConfig) -> RenderedView:
    """Render a view of an image mesh with image pixels."""
    mesh, size = source.mesh, camera.size
    vertices_view = camera.view_from_cam(mesh.vertices_cam_mm)
    face, triangle, barycentric = _layers(mesh, vertices_view, camera)
    covered = triangle >= 0
    unit = float(camera.px_crop_from_px[0, 0])
    source_px, jacobian, depth, trust, inner = _traced(
        triangle[covered],
        barycentric[covered],
        np.argwhere(covered),
        mesh.triangles,
        mesh.face_triangle_count,
        mesh.vertices_cam_mm,
        vertices_view,
        camera.rotation,
        camera.intrinsics,
        mesh.intrinsics,
        source.normals_cam,
        source.first_mm,
        source.shown,
        source.rim,
        source.inner,
        source.first_intrinsics,
        unit,
        config.max_stretch,
    )
    rgb = np.zeros((size, size, 3), np.uint8)
    rgb[covered] = source.picture.sample(source_px, jacobian)
    height, width = mesh.image_size
    outside = (source_px < -0.5) | (source_px > [width - 0.5, height - 0.5])
    is_face = face.triangle >= 0
    full_trust = _image(covered, trust, 0.0)
    return RenderedView(
        rgb=rgb,
        face=is_face,
        face_unseen=is_face & (full_trust <= 0),
        trust=np.where(is_face, full_trust, 0.0).astype(np.float32),
        inner=np.where(is_face, _image(covered, inner, 0.0), 0.0).astype(np.float32),
        stretch=_image(covered, _stretch(jacobian) / unit, 0.0),
        beyond=_image(covered, outside.any(axis=1), 0.0) > 0,
        covered=covered,
        depth_mm=_image(covered, depth, np.nan),
        source_px=_image(covered, source_px, np.nan),
        fragments=face,
    )


def _layers(
    mesh: ImageMesh, vertices_view: Array, camera: ViewCamera
) -> tuple[Fragments, Array, Array]:
    """Fragments of the face; triangle of the mesh and coordinates in it of what is seen."""
    size = camera.size
    face = rasterize(vertices_view, mesh.face_triangles, camera.intrinsics, size, size)
    triangle, barycentric = face.triangle.copy(), face.barycentric.copy()
    start = mesh.face_triangle_count
    lining = start + mesh.background_triangle_count
    for first, part in ((start, mesh.background_triangles), (lining, mesh.triangles[lining:])):
        open_ = triangle < 0
        if not open_.any():
            break
        behind = rasterize(vertices_view, part, camera.intrinsics, size, size, False)
        here = open_ & (behind.triangle >= 0)
        triangle[here] = behind.triangle[here] + first
        barycentric[here] = behind.barycentric[here]
    return face, triangle, barycentric


def _stretch(jacobian: Array) -> Array:
    a, b, c, d = (jacobian[:, i, j] for i in (0, 1) for j in (0, 1))
    small = 0.5 * np.abs(np.hypot(a + d, c - b) - np.hypot(a - d, c + b))
    return 1.0 / np.maximum(small, 1e-6)


def _image(where: Array, values: Array, empty: float) -> Array:
    out = np.full((*where.shape, *values.shape[1:]), empty, dtype=np.float32)
    out[where] = values
    return out


@numba.njit(cache=True, nogil=True)
def _traced(  # type: ignore[no-untyped-def]
    triangle,
    barycentric,
    pixel,
    triangles,
    face_count,
    source,
    view,
    rotation,
    view_intrinsics,
    source_intrinsics,
    normals,
    first,
    shown,
    rim,
    inside,
    first_intrinsics,
    unit,
    max_stretch,
):
    """Take pixels back to the picture.

    Returns the position there (k, 2), its derivatives (k, 2, 2), the depth in the view, the
    trust, and the place between the face's outline and its inside, (k,) each.

    The pixel's ray ``r`` meets the triangle's plane ``N.x = D`` at ``r D / (N.r)``; that and
    the projection into the picture are differentiated by the pixel.
    """
    count = len(triangle)
    place = np.empty((count, 2))
    jacobian = np.empty((count, 2, 2))
    distance = np.empty(count)
    trust, inner = np.ones(count), np.ones(count)
    fx, fy = source_intrinsics[0, 0], source_intrinsics[1, 1]
    cx, cy = source_intrinsics[0, 2], source_intrinsics[1, 2]
    ray = np.ones(3)
    step, normal = np.zeros(3), np.zeros(3)
    for k in range(count):
        i, j, m = triangles[triangle[k]]
        wi, wj, wm = barycentric[k]
        x = wi * source[i, 0] + wj * source[j, 0] + wm * source[m, 0]
        y = wi * source[i, 1] + wj * source[j, 1] + wm * source[m, 1]
        z = wi * source[i, 2] + wj * source[j, 2] + wm * source[m, 2]
        place[k, 0] = fx * x / z + cx
        place[k, 1] = fy * y / z + cy
        px, py, pz = view[j, 0] - view[i, 0], view[j, 1] - view[i, 1], view[j, 2] - view[i, 2]
        qx, qy, qz = view[m, 0] - view[i, 0], view[m, 1] - view[i, 1], view[m, 2] - view[i, 2]
        normal[0], normal[1], normal[2] = py * qz - pz * qy, pz * qx - px * qz, px * qy - py * qx
        ray[0] = (pixel[k, 1] - view_intrinsics[0, 2]) / view_intrinsics[0, 0]
        ray[1] = (pixel[k, 0] - view_intrinsics[1, 2]) / view_intrinsics[1, 1]
        along = normal[0] * ray[0] + normal[1] * ray[1] + normal[2]
        far = wi * view[i, 2] + wj * view[j, 2] + wm * view[m, 2]
        distance[k] = far
        for axis in range(2):
            slope = 1.0 / view_intrinsics[axis, axis]
            slide = normal[axis] * slope / along if along != 0.0 else 0.0
            for c in range(3):
                step[c] = -far * ray[c] * slide
            step[axis] += far * slope
            # Back to the capture's frame: the rotation's transpose.
            dx = rotation[0, 0] * step[0] + rotation[1, 0] * step[1] + rotation[2, 0] * step[2]
            dy = rotation[0, 1] * step[0] + rotation[1, 1] * step[1] + rotation[2, 1] * step[2]
            dz = rotation[0, 2] * step[0] + rotation[1, 2] * step[1] + rotation[2, 2] * step[2]
            jacobian[k, 0, axis] = fx * (dx - x * dz / z) / z
            jacobian[k, 1, axis] = fy * (dy - y * dz / z) / z
        if triangle[k] >= face_count:
            continue
        nx = wi * normals[i, 0] + wj * normals[j, 0] + wm * normals[m, 0]
        ny = wi * normals[i, 1] + wj * normals[j, 1] + wm * normals[m, 1]
        nz = wi * normals[i, 2] + wj * normals[j, 2] + wm * normals[m, 2]
        length = np.sqrt((nx * nx + ny * ny + nz * nz) * (x * x + y * y + z * z))
        facing = -(nx * x + ny * y + nz * z) / max(length, 1e-12)
        _, least = singular_values(
            jacobian[k, 0, 0], jacobian[k, 0, 1], jacobian[k, 1, 0], jacobian[k, 1, 1]
        )
        stretch = 1.0 / max(least * unit, 1e-6)
        # In terms of the inverse, which is the cosine for a surface that is turned to face us.
        trust[k] = min(1.0, max(0.0, (max_stretch / stretch - 1.0) / (TRUSTED_SHARE - 1.0)))
        if facing < GRAZING:
            trust[k] = 0.0
        u = int(np.rint(first_intrinsics[0, 0] * x / z + first_intrinsics[0, 2]))
        v = int(np.rint(first_intrinsics[1, 1] * y / z + first_intrinsics[1, 2]))
        pictured = 0 <= v < first.shape[0] and 0 <= u < first.shape[1]
        if not pictured or z > first[v, u] + OCCLUSION_MM:
            trust[k] = 0.0
            inner[k] = 0.0
        else:
            inner[k] = inside[v, u]
            oblique = min(1.0, max(0.0, (max_stretch * facing - 1.0) / (TRUSTED_SHARE - 1.0)))
            drawn_out = min(1.0, max(0.0, (stretch - DRAWN_FROM) / (DRAWN_TO - DRAWN_FROM)))
            trust[k] *= shown[v, u] * (1.0 - drawn_out * (1.0 - min(rim[v, u], oblique)))
    return place, jacobian, distance, trust, inner
