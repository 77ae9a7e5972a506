"""Shows a mesh to a landmark detector, and finds on its surface what the detector marks."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import open3d

from fg3d_builder.geometry.camera import at_nearest_pixel, intrinsics_matrix
from fg3d_builder.geometry.meshes import vertex_normals
from fg3d_builder.geometry.pose import rotation_from_angles
from fg3d_builder.landmarks.edges import MEDIAPIPE
from fg3d_builder.landmarks.mediapipe_detector import MediaPipeDetector
from fg3d_builder.records import Array
from fg3d_builder.rendering.fragments import Fragments
from fg3d_builder.rendering.rasterizer import interpolate, rasterize
from fg3d_builder.rendering.shading import Light, phong, srgb_from_linear

VIEWS_DEG = ((0.0, 0.0), (3.0, -17.0), (-3.0, 17.0))
"""(pitch, yaw) of the renderings of each shape."""

_IMAGE_PX = 800
_FACE_PX = 480.0
_DISTANCE_MM = 700.0
_BACKGROUND = 0.16
_LIGHTS = ((0.0, 0.3, 1.0), (-0.45, 0.25, 1.0), (0.45, 0.25, 1.0))


@lru_cache(maxsize=1)
def _detector() -> MediaPipeDetector:
    """The one of all scenes: MediaPipe keeps 28 MB of each that is opened for good."""
    return MediaPipeDetector()


class Surroundings(NamedTuple):
    """A mesh drawn around the sheet, so that the rendering looks like a head.

    Attributes
    ----------
    vertices_obj_mm : (s, k, 3) float64
        Vertices around each shape.
    triangles : (t, 3) int32
    albedos : (s, k, 3) float64
    """

    vertices_obj_mm: Array
    triangles: Array
    albedos: Array


class Spot(NamedTuple):
    """Places of detected points on a sheet; NaN barycentrics for points beside it.

    Attributes
    ----------
    triangle : (k,) int
    barycentric : (k, 3) float
    """

    triangle: Array
    barycentric: Array


def trace_back(
    points_px: Array, fragments: Fragments, vertices_cam_mm: Array, triangles: Array, camera: Array
) -> Spot:
    """Find the points of a rendered mesh that are seen at sub-pixel image positions.

    The triangle is that of the nearest pixel; the place within it is where the ray meets
    its plane, so barycentric coordinates may leave [0, 1] by a fraction of a pixel.

    Parameters
    ----------
    points_px : (k, 2) float64
    fragments : Fragments
        The rendering of the mesh.
    vertices_cam_mm : (n, 3) float64
    triangles : (m, 3) int
        Spots on triangles of index m and beyond (surroundings) count as beside the sheet.
    camera : (3, 3) float64
        Intrinsics.
    """
    hit = at_nearest_pixel(fragments.triangle, points_px, -1)
    on_sheet = (hit >= 0) & (hit < len(triangles))
    rays = np.column_stack([points_px, np.ones(len(points_px))]) @ np.linalg.inv(camera).T
    barycentric = np.full((len(points_px), 3), np.nan)
    corners = vertices_cam_mm[triangles[hit[on_sheet]]]
    # A point at depth s on the ray: s * ray = w0 a + w1 b + w2 c with weights that sum to 1.
    weights = np.linalg.solve(np.swapaxes(corners, 1, 2), rays[on_sheet][..., None])[..., 0]
    barycentric[on_sheet] = weights / weights.sum(axis=1, keepdims=True)
    return Spot(np.where(on_sheet, hit, 0).astype(np.int32), barycentric)


def nearest_on_surface(points: Array, vertices: Array, triangles: Array, allowed: Array) -> Spot:
    """Return the spots nearest to (k, 3) points on the triangles that are `allowed` (m,)."""
    numbers = np.flatnonzero(allowed)
    surface = open3d.t.geometry.RaycastingScene()
    surface.add_triangles(
        open3d.core.Tensor.from_numpy(vertices.astype(np.float32)),
        open3d.core.Tensor.from_numpy(triangles[numbers].astype(np.uint32)),
    )
    found = surface.compute_closest_points(open3d.core.Tensor.from_numpy(points.astype(np.float32)))
    v, w = found["primitive_uvs"].numpy().astype(np.float64).T
    barycentric = np.clip(np.column_stack([1 - v - w, v, w]), 0.0, 1.0)
    barycentric /= barycentric.sum(axis=1, keepdims=True)
    return Spot(numbers[found["primitive_ids"].numpy()].astype(np.int32), barycentric)


class Scene:
    """Camera, light and surroundings of all renderings of a sheet, and who looks at them.

    Parameters
    ----------
    name : str
        Of the model, for messages.
    triangles : (m, 3) int
    context : Surroundings, optional
    """

    def __init__(self, name: str, triangles: Array, context: Surroundings | None = None) -> None:
        self.name = name
        self.triangles = np.asarray(triangles, dtype=np.int32)
        self.context = context
        self.detector = _detector()
        self.target_mm = np.zeros(3)
        self.camera = np.eye(3)

    def look_at(self, target_mm: Array, pixels_per_mm: float) -> None:
        """Put a point into the middle of all pictures."""
        focal = pixels_per_mm * _DISTANCE_MM
        middle = (_IMAGE_PX - 1) / 2
        self.target_mm = target_mm
        self.camera = intrinsics_matrix(focal, focal, middle, middle)

    def frame(self, shape_obj_mm: Array, albedo: Array) -> None:
        """Point the camera at the whole sheet, then at the face found on it."""
        low, high = shape_obj_mm.min(axis=0), shape_obj_mm.max(axis=0)
        pixels = 0.75 * _IMAGE_PX / float((high - low)[:2].max())
        self.look_at((low + high) / 2, pixels)
        spots = self.show(shape_obj_mm, albedo, 0, (0.0, 0.0), 0)
        if spots is None:
            raise ValueError(
                f"face model '{self.name}': no face is found on its rendering, so the embedding "
                f"'{MEDIAPIPE}' cannot be made; store one in the model file, give the model "
                "an albedo with lips, brows and eyes, or check its frame and its unit"
            )
        face = self.on_shape(spots, shape_obj_mm)
        face = face[np.isfinite(face[:, 0])]
        low, high = face.min(axis=0), face.max(axis=0)
        self.look_at((low + high) / 2, _FACE_PX / float((high - low)[:2].max()))

    def show(
        self,
        shape_obj_mm: Array,
        albedo: Array,
        subject: int,
        view: tuple[float, float],
        light: int,
    ) -> Spot | None:
        """Render and detect: the spots of the 478 points, None where no face is found.

        `subject` is the row of the context that is shown around the face, `view` pitch and yaw in
        degrees, `light` the number of one of a few directions of light.
        """
        vertices, triangles, colours = shape_obj_mm, self.triangles, albedo
        if self.context is not None:
            triangles = np.vstack([triangles, self.context.triangles + len(vertices)])
            vertices = np.vstack([vertices, self.context.vertices_obj_mm[subject]])
            colours = np.vstack([colours, self.context.albedos[subject]])
        posed = self.posed(vertices, view)
        fragments = rasterize(posed, triangles, self.camera, _IMAGE_PX, _IMAGE_PX)
        normals = vertex_normals(posed, triangles)
        toward = np.array(_LIGHTS[light % len(_LIGHTS)]) * [1.0, -1.0, -1.0]
        lamp = Light(np.full(3, 0.5), np.full(3, 0.75), toward / np.linalg.norm(toward))
        view_rays = -posed / np.linalg.norm(posed, axis=1, keepdims=True)
        linear = interpolate(fragments, triangles, phong(colours, normals, view_rays, lamp))
        linear[fragments.triangle < 0] = _BACKGROUND
        found = self.detector.detect_image(srgb_from_linear(linear))
        if found is None:
            return None
        return trace_back(found.points_px, fragments, posed, self.triangles, self.camera)

    def posed(self, vertices_obj_mm: Array, view: tuple[float, float]) -> Array:
        """Vertices (k, 3) in the camera's frame, mm."""
        rotation = rotation_from_angles(view[0], view[1], 0.0)
        away = np.array([0.0, 0.0, _DISTANCE_MM])
        return np.asarray((vertices_obj_mm - self.target_mm) @ rotation.T + away)

    def on_shape(self, spots: Spot, shape: Array) -> Array:
        """(k, 3) positions of spots on a shape; NaN beside it."""
        return np.einsum("kc,kcd->kd", spots.barycentric, shape[self.triangles[spots.triangle]])

    def visible_triangles(self, shape_obj_mm: Array) -> Array:
        """(m,) bool: seen in any of the views."""
        seen = np.zeros(len(self.triangles), dtype=bool)
        for view in VIEWS_DEG:
            posed = self.posed(shape_obj_mm, view)
            hit = rasterize(posed, self.triangles, self.camera, _IMAGE_PX, _IMAGE_PX).triangle
            seen[hit[hit >= 0]] = True
        return seen
