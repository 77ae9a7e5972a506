"""Closest points on the depth surface, and the tests that decide which of them to believe."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np

from fg3d_builder.config import RegistrationConfig
from fg3d_builder.errors import CaptureError
from fg3d_builder.geometry.camera import at_nearest_pixel
from fg3d_builder.geometry.meshes import compact_triangles, vertex_normals
from fg3d_builder.occlusion.foreign import ForeignFinder
from fg3d_builder.occlusion.patches import OcclusionTest
from fg3d_builder.records import Array
from fg3d_builder.registration.surface_search import SurfaceSearch
from fg3d_builder.rendering.depth_surface import DepthSurface
from fg3d_builder.rendering.rasterizer import visible_vertices


@dataclass(frozen=True)
class Correspondences:
    """One closest point per visible template vertex.

    For the others nothing is looked up: they are their own target, at distance 0, with a
    zero normal and zero noise, and not accepted.

    Attributes
    ----------
    targets_cam_mm : (n, 3) float64
        Closest points on the noise-fitted surface.
    normals_cam : (n, 3) float64
        Unit normals of the surface there, towards the camera.
    distance_mm : (n,) float64
    visible : (n,) bool
        The camera sees the vertex, as far as the template itself hides it or not.
    accepted : (n,) bool
        Visible, and the closest point passed the tests of distance, normal and border and
        does not belong to an occluder.
    cosine : (n,) float64
        Between the vertex normal and the surface normal, in [0, 1]; 0 where not accepted.
    noise_mm : (n,) float64
        Noise of a single depth pixel at the target.
    """

    targets_cam_mm: Array
    normals_cam: Array
    distance_mm: Array
    visible: Array
    accepted: Array
    cosine: Array
    noise_mm: Array


class CorrespondenceFinder:
    """Finds closest points on one capture's surface, near one template.

    Parameters
    ----------
    surface : DepthSurface
    template_cam_mm : (n, 3) float
        Only surface within `reach_mm` of its bounding box is kept.
    triangles : (m, 3) int
        Triangles of the template.
    reach_mm : float
    foreign : ForeignFinder, optional
        Tells what is not the face; without it `exclude_foreign` excludes nothing.

    Raises
    ------
    CaptureError
        ``"no_depth_on_face"``: no surface there.
    """

    def __init__(
        self,
        surface: DepthSurface,
        template_cam_mm: Array,
        triangles: Array,
        reach_mm: float,
        foreign: ForeignFinder | None = None,
    ) -> None:
        self._triangles = triangles
        self._foreign = foreign
        self._surface = surface
        self._intrinsics = surface.intrinsics
        self._height, self._width = surface.valid.shape
        column, row = surface.vertex_px.T
        fitted = surface.fitted_cam_mm[row, column]
        low, high = template_cam_mm.min(axis=0), template_cam_mm.max(axis=0)
        with np.errstate(invalid="ignore"):
            near = np.ones(len(fitted), dtype=bool)
            for axis in range(3):
                near &= fitted[:, axis] >= low[axis] - reach_mm
                near &= fitted[:, axis] <= high[axis] + reach_mm
        near &= surface.valid[row, column]
        kept = _triangles_of(near, surface.triangles)
        if len(kept) == 0:
            raise CaptureError("no_depth_on_face", "there is no depth where the face should be")
        used, self._surface_triangles = compact_triangles(kept, len(fitted))
        self._vertex_px = surface.vertex_px[used]
        self._foreign_px = np.zeros(surface.valid.shape, dtype=bool)
        self._excluded_px = self._foreign_px
        self._normals = surface.normals_cam[row[used], column[used]]
        self._border = surface.border[row[used], column[used]]
        self._noise = surface.noise_mm[row[used], column[used]]
        self._search = SurfaceSearch(
            fitted[used],
            self._surface_triangles,
            self._vertex_px,
            surface.intrinsics,
            self._height,
            self._width,
        )

    def exclude_foreign(self, vertices_cam_mm: Array, test: OcclusionTest) -> None:
        """From now on accept no closest point on what does not belong to this template.

        Forgets what an earlier call, with a worse template, has found.
        """
        if self._foreign is not None:
            self._foreign_px = self._foreign.find(vertices_cam_mm, test)
            self._excluded_px = self._foreign.widened(self._foreign_px, vertices_cam_mm)

    @property
    def foreign_px(self) -> Array:
        """(H, W) bool: pixels of what is not the face, without their margin."""
        return self._foreign_px

    @property
    def excluded_px(self) -> Array:
        """(H, W) bool: the same with a margin; no closest point is accepted there."""
        return self._excluded_px

    def foreign_at(self, points_px: Array, intrinsics: Array) -> Array:
        """Return which points (k, 2) are on or beside an occluder, (k,) bool.

        The points are pixels of an image with these intrinsics.
        """
        return at_nearest_pixel(
            self._excluded_px, self._surface.px_from(points_px, intrinsics), False
        )

    def closest(self, points_cam_mm: Array) -> tuple[Array, Array, Array]:
        """Return closest points (k, 3), their surface triangles (k,) and weights (k, 3)."""
        return self._search.closest(points_cam_mm)

    def find(self, vertices_cam_mm: Array, config: RegistrationConfig) -> Correspondences:
        """Pair every template vertex with its closest point and test the pair."""
        normals = vertex_normals(vertices_cam_mm, self._triangles)
        visible = visible_vertices(
            vertices_cam_mm, self._triangles, normals, self._intrinsics, self._height, self._width
        )
        # Half of a head is hidden, and the hidden half is the slow one to look up.
        seen = np.flatnonzero(visible)
        found, index, weights = self.closest(vertices_cam_mm[seen])
        column, row = self._vertex_px.T
        forbidden = self._border | self._excluded_px[row, column]
        normal, single_noise, allowed = _at_targets(
            self._surface_triangles[index], weights, self._normals, self._noise, forbidden
        )
        near = np.linalg.norm(found - vertices_cam_mm[seen], axis=1)
        agree = np.einsum("kd,kd->k", normal, normals[seen])
        passed = near <= config.max_distance_mm
        passed &= agree >= np.cos(np.radians(config.max_normal_deg))
        passed &= allowed
        targets = vertices_cam_mm.copy()
        targets[seen] = found
        normals_cam = np.zeros_like(targets)
        normals_cam[seen] = normal
        distance, cosine, noise = (np.zeros(len(targets)) for _ in range(3))
        distance[seen] = near
        cosine[seen] = np.where(passed, np.clip(agree, 0.0, 1.0), 0.0)
        noise[seen] = single_noise
        accepted = visible.copy()
        accepted[seen] = passed
        return Correspondences(targets, normals_cam, distance, visible, accepted, cosine, noise)


@numba.njit(cache=True)
def _triangles_of(vertices, triangles):  # type: ignore[no-untyped-def]
    """Return those of the triangles (m, 3) all of whose corners are among `vertices` (n,) bool."""
    kept = np.empty_like(triangles)
    count = 0
    for t in range(len(triangles)):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        kept[count, 0], kept[count, 1], kept[count, 2] = a, b, c
        count += vertices[a] and vertices[b] and vertices[c]
    return kept[:count]


@numba.njit(cache=True)
def _at_targets(corners, weights, normals, noise, forbidden):  # type: ignore[no-untyped-def]
    """Unit normals (k, 3), noise (k,) and whether it is allowed (k,), of points on triangles."""
    count = len(corners)
    normal, mean = np.empty((count, 3)), np.empty(count)
    allowed = np.empty(count, dtype=np.bool_)
    for k in range(count):
        a, b, c = corners[k, 0], corners[k, 1], corners[k, 2]
        length2 = 0.0
        for axis in range(3):
            value = weights[k, 0] * normals[a, axis]
            value += weights[k, 1] * normals[b, axis]
            value += weights[k, 2] * normals[c, axis]
            normal[k, axis] = value
            length2 += value * value
        length = max(np.sqrt(length2), 1e-12)
        for axis in range(3):
            normal[k, axis] /= length
        mean[k] = (noise[a] + noise[b] + noise[c]) / 3.0
        allowed[k] = not (forbidden[a] or forbidden[b] or forbidden[c])
    return normal, mean, allowed
