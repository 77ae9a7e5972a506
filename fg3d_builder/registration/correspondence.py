"""Closest points on the depth surface, and the tests that decide which of them to believe."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import open3d as o3d

from fg3d_builder.config import RegistrationConfig
from fg3d_builder.errors import CaptureError
from fg3d_builder.records import Array
from fg3d_builder.rendering.depth_surface import DepthSurface
from fg3d_builder.rendering.geometry import vertex_normals
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
        Visible, and the closest point passed the tests of distance, normal and border.
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
        Of the template.
    reach_mm : float

    Raises
    ------
    CaptureError
        ``"no_depth_on_face"``: no surface there.
    """

    def __init__(
        self, surface: DepthSurface, template_cam_mm: Array, triangles: Array, reach_mm: float
    ) -> None:
        self._triangles = triangles
        self._intrinsics = surface.intrinsics
        self._height, self._width = surface.valid.shape
        column, row = surface.vertex_px.T
        fitted = surface.fitted_cam_mm[row, column]
        low, high = template_cam_mm.min(axis=0), template_cam_mm.max(axis=0)
        with np.errstate(invalid="ignore"):
            near = np.all((fitted >= low - reach_mm) & (fitted <= high + reach_mm), axis=1)
        near &= surface.valid[row, column]
        kept = surface.triangles[near[surface.triangles].all(axis=1)]
        if len(kept) == 0:
            raise CaptureError("no_depth_on_face", "there is no depth where the face should be")
        used, self._surface_triangles = compacted(kept, len(fitted))
        self._points = fitted[used]
        self._normals = surface.normals_cam[row[used], column[used]]
        self._border = surface.border[row[used], column[used]]
        self._noise = surface.noise_mm[row[used], column[used]]
        # Single precision inside Embree: a local origin keeps it at micrometres.
        self._origin = self._points.mean(axis=0)
        self._scene = o3d.t.geometry.RaycastingScene(nthreads=1)
        self._scene.add_triangles(
            o3d.core.Tensor.from_numpy((self._points - self._origin).astype(np.float32)),
            o3d.core.Tensor.from_numpy(self._surface_triangles.astype(np.uint32)),
        )

    def closest(self, points_cam_mm: Array) -> tuple[Array, Array, Array]:
        """Return closest points (k, 3), their surface triangles (k,) and weights (k, 3)."""
        query = o3d.core.Tensor.from_numpy((points_cam_mm - self._origin).astype(np.float32))
        answer = self._scene.compute_closest_points(query, nthreads=1)
        index = answer["primitive_ids"].numpy().astype(np.int64)
        uv = answer["primitive_uvs"].numpy().astype(np.float64)
        weights = np.stack([1.0 - uv.sum(axis=1), uv[:, 0], uv[:, 1]], axis=1)
        corners = self._points[self._surface_triangles[index]]
        return np.einsum("kc,kcd->kd", weights, corners), index, weights

    def find(self, vertices_cam_mm: Array, config: RegistrationConfig) -> Correspondences:
        """Pair every template vertex with its closest point and test the pair."""
        normals = vertex_normals(vertices_cam_mm, self._triangles)
        visible = visible_vertices(
            vertices_cam_mm, self._triangles, normals, self._intrinsics, self._height, self._width
        )
        # Half of a head is hidden, and the hidden half is the slow one to look up.
        seen = np.flatnonzero(visible)
        found, index, weights = self.closest(vertices_cam_mm[seen])
        corners = self._surface_triangles[index]
        normal = np.einsum("kc,kcd->kd", weights, self._normals[corners])
        normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
        near = np.linalg.norm(found - vertices_cam_mm[seen], axis=1)
        agree = np.einsum("kd,kd->k", normal, normals[seen])
        passed = near <= config.max_distance_mm
        passed &= agree >= np.cos(np.radians(config.max_normal_deg))
        passed &= ~self._border[corners].any(axis=1)
        targets = vertices_cam_mm.copy()
        targets[seen] = found
        normals_cam = np.zeros_like(targets)
        normals_cam[seen] = normal
        distance, cosine, noise = (np.zeros(len(targets)) for _ in range(3))
        distance[seen] = near
        cosine[seen] = np.where(passed, np.clip(agree, 0.0, 1.0), 0.0)
        noise[seen] = self._noise[corners].mean(axis=1)
        accepted = visible.copy()
        accepted[seen] = passed
        return Correspondences(targets, normals_cam, distance, visible, accepted, cosine, noise)


def compacted(triangles: Array, vertex_count: int) -> tuple[Array, Array]:
    """Return the (u,) vertices that triangles use and the (m, 3) int32 triangles over them."""
    is_used = np.zeros(vertex_count, dtype=bool)
    is_used[triangles.ravel()] = True
    number = np.cumsum(is_used, dtype=np.int32) - np.int32(1)
    return np.flatnonzero(is_used), number[triangles]
