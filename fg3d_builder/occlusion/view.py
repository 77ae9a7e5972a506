"""A template before a depth image: which pixels it covers, and how far they are from it."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numba
import numpy as np
from scipy.spatial import cKDTree

from fg3d_builder.geometry.meshes import triangle_normals, vertex_normals
from fg3d_builder.records import Array
from fg3d_builder.rendering.depth_surface import DepthSurface
from fg3d_builder.rendering.rasterizer import rasterize


class TemplateView(NamedTuple):
    """What the camera of a capture sees of a template, cut out around it.

    Attributes
    ----------
    box : tuple of slice
        Rows and columns of the capture; the other images have its size (h, w).
    triangle : (h, w) int32
        Of the template, -1 beside it.
    template_mm : (h, w) float64
        Its depth; NaN beside it.
    measured_mm : (h, w) float64
        Depth of the capture; NaN where there is none.
    distance_mm : (h, w) float64
        How far the measured point is before the template, along the template's normal at the
        pixel; NaN where either is missing.
    cosine : (h, w) float64
        Between the template's normal and the camera's axis; 0 beside it.
    pitch_mm : float
        Size of a pixel on the face.
    noise_mm : float
        Of a depth pixel, median over the template; 0 where none is known.
    """

    box: tuple[slice, slice]
    triangle: Array
    template_mm: Array
    measured_mm: Array
    distance_mm: Array
    cosine: Array
    pitch_mm: float
    noise_mm: float

    @staticmethod
    def of(
        surface: DepthSurface, vertices_cam_mm: Array, triangles: Array, margin_mm: float = 0.0
    ) -> TemplateView | None:
        """Look at a template (n, 3); None where no depth lies over it.

        The box has `margin_mm` around the template.
        """
        height, width = surface.valid.shape
        fragments = rasterize(vertices_cam_mm, triangles, surface.intrinsics, height, width)
        depth = surface.points_cam_mm[..., 2]
        covered = fragments.triangle >= 0
        known = covered & np.isfinite(depth)
        if not known.any():
            return None
        pitch = float(np.median(vertices_cam_mm[:, 2])) / float(surface.intrinsics[0, 0])
        box = _box(covered, round(margin_mm / pitch))
        normals = triangle_normals(vertices_cam_mm, triangles)
        slant = np.abs(normals[:, 2]) / np.maximum(np.linalg.norm(normals, axis=1), 1e-12)
        triangle = fragments.triangle[box]
        cosine = np.where(triangle >= 0, slant[triangle], 0.0)
        template = fragments.depth_mm[box].astype(np.float64)
        noise = surface.noise_mm[known]
        return TemplateView(
            box=box,
            triangle=triangle,
            template_mm=template,
            measured_mm=depth[box],
            distance_mm=(template - depth[box]) * cosine,
            cosine=cosine,
            pitch_mm=pitch,
            noise_mm=float(np.nan_to_num(np.nanmedian(noise))),
        )

    def every(self, step: int) -> TemplateView:
        """Return the view on every so many-th row and column; the box is that of the whole."""
        return self._replace(
            triangle=self.triangle[::step, ::step],
            template_mm=self.template_mm[::step, ::step],
            measured_mm=self.measured_mm[::step, ::step],
            distance_mm=self.distance_mm[::step, ::step],
            cosine=self.cosine[::step, ::step],
            pitch_mm=self.pitch_mm * step,
        )

    def pixels(self, length_mm: float, least: int = 1) -> int:
        """Return a length on the face in whole pixels."""
        return max(least, round(length_mm / self.pitch_mm))

    def window(self, reach_mm: float) -> Array:
        """Return OpenCV's disc of pixels within `reach_mm`, at least 3 x 3."""
        size = 2 * self.pixels(reach_mm) + 1
        return np.asarray(cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)))

    def steps(self, depth_mm: Array, slope: float) -> tuple[Array, Array]:
        """Return the (h, w) pixels on the near and on the far side of steps.

        A step is where depth changes by more than this slope to one of the eight neighbours, and
        more than noise does. There is none to missing depth.
        """
        kernel = np.ones((3, 3), np.uint8)
        known = np.isfinite(depth_mm)
        far = cv2.dilate(np.where(known, depth_mm, 0.0), kernel)
        near = cv2.erode(np.where(known, depth_mm, 1e9), kernel)
        limit = slope * self.pitch_mm + 4.0 * self.noise_mm
        with np.errstate(invalid="ignore"):
            return known & (far - depth_mm > limit), known & (depth_mm - near > limit)

    def steep(self, depth_mm: Array, slope: float) -> Array:
        """Return the (h, w) pixels on either side of a step, see `steps`."""
        near, far = self.steps(depth_mm, slope)
        return np.asarray(near | far)


def distance_from_face(
    surface: DepthSurface,
    view: TemplateView,
    vertices_cam_mm: Array,
    triangles: Array,
    least: float,
) -> Array:
    """Return the (h, w) signed distance of measured points to the template, mm.

    Along a pixel's ray the face seems far away beside everything that is steep: a nose that is
    longer or a chin that is lower than the template's. Here the distance is that to the nearest
    part of the template, positive before it. It is only sharpened where `distance_mm` is
    beyond `least`; elsewhere that stands.
    """
    distance = view.distance_mm.copy()
    with np.errstate(invalid="ignore"):
        rows, columns = np.nonzero(np.abs(distance) > least)
    if not len(rows):
        return distance
    points = surface.points_cam_mm[view.box][rows, columns]
    normals = vertex_normals(vertices_cam_mm, triangles)
    facing = np.flatnonzero(np.einsum("nd,nd->n", normals, vertices_cam_mm) < 0.0)
    # Asked so few times, a tree is not worth balancing.
    tree = cKDTree(vertices_cam_mm[facing], balanced_tree=False, compact_nodes=False)
    near, index = tree.query(points)
    index = facing[index]
    offset = points - vertices_cam_mm[index]
    along = np.abs(np.einsum("kd,kd->k", offset, normals[index]))
    across = np.sqrt(np.maximum(near**2 - along**2, 0.0))
    spacing = np.sqrt(_vertex_spacing2(vertices_cam_mm, triangles))[index]
    nearest = np.hypot(along, np.maximum(across - spacing, 0.0))
    there = distance[rows, columns]
    distance[rows, columns] = np.sign(there) * np.minimum(np.abs(there), nearest)
    return distance


@numba.njit(cache=True)
def _vertex_spacing2(vertices, triangles):  # type: ignore[no-untyped-def]
    """(n,) squared length of the longest edge at each vertex."""
    longest = np.zeros(len(vertices))
    for t in range(len(triangles)):
        for side in range(3):
            a, b = triangles[t, side], triangles[t, (side + 1) % 3]
            length2 = 0.0
            for axis in range(3):
                length2 += (vertices[a, axis] - vertices[b, axis]) ** 2
            longest[a] = max(longest[a], length2)
            longest[b] = max(longest[b], length2)
    return longest


def _box(mask: Array, margin: int) -> tuple[slice, slice]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    return (
        slice(max(0, int(rows[0]) - margin), int(rows[-1]) + 1 + margin),
        slice(max(0, int(columns[0]) - margin), int(columns[-1]) + 1 + margin),
    )
