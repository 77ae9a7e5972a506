"""Places a detector's points on a face model by showing it the model.

The model is rendered, the detector looks at the renderings, and what it marks is traced back
to the surface. A habit of the detector, such as brows marked a little high, thereby becomes
part of the correspondence and cancels when it looks at a real face.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np
import open3d
from scipy.spatial import cKDTree

from fg3d_builder.facemodel.model import Embedding, FaceModel, check_model
from fg3d_builder.facemodel.regions import LEFT_EYE, RIGHT_EYE, painted_albedo, signed_distance
from fg3d_builder.geometry.camera import at_nearest_pixel, intrinsics_matrix
from fg3d_builder.geometry.meshes import vertex_normals
from fg3d_builder.geometry.pose import rotation_from_angles
from fg3d_builder.landmarks.edges import (
    MEDIAPIPE,
    MEDIAPIPE_CURVES,
    MEDIAPIPE_IRISES,
    MEDIAPIPE_OVAL,
    edge_points,
    mediapipe_mirror,
)
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
_OPEN_MOUTH_MM = 10.0
_UPPER_LIP, _LOWER_LIP = 0, 17


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
    """Places of detected points on a sheet; NaN barycentrics for points beside it."""

    triangle: Array
    barycentric: Array


def with_embeddings(model: FaceModel, subjects: int = 10, seed: int = 0) -> FaceModel:
    """Return the model with a ``"mediapipe478"`` embedding; unchanged where it has one.

    The detector sees the mean and random subjects of the model itself.

    Raises
    ------
    ValueError
        No face is found on the renderings.
    """
    if MEDIAPIPE in model.embeddings:
        return model
    random = np.random.default_rng(seed)
    shapes, albedos = [model.mean], [_visible_albedo(model, np.zeros(len(model.albedo_sd)))]
    for _ in range(subjects):
        # A little less than the population's own spread keeps faces from being odd.
        shapes.append(model.shape(0.8 * model.id_sd * random.standard_normal(len(model.id_sd))))
        beta = 0.8 * model.albedo_sd * random.standard_normal(len(model.albedo_sd))
        albedos.append(_visible_albedo(model, beta))
    embedding, edge = mediapipe_embedding(model, np.array(shapes), np.array(albedos))
    full = dataclasses.replace(
        model,
        embeddings={**model.embeddings, MEDIAPIPE: embedding},
        edge_points={**model.edge_points, MEDIAPIPE: edge},
    )
    check_model(full)
    return full


def mediapipe_embedding(
    model: FaceModel,
    shapes_obj_mm: Array,
    albedos: Array,
    context: Surroundings | None = None,
    max_spread_mm: float = 4.0,
) -> tuple[Embedding, Array]:
    """Place MediaPipe's points on a model by detecting them on renderings.

    Each shape is rendered from `VIEWS_DEG` under soft light; each detected point is traced
    back to a triangle and from there to the mean shape. The place of a point is the mean of
    these, far ones left out, drawn to the nearest visible surface. Points between the lips
    are looked at with the mouth open, where the model has an expression for it: on a closed
    mouth, nothing tells the upper lip from the lower.

    Parameters
    ----------
    model : FaceModel
        Its mean, triangles and expression basis are used.
    shapes_obj_mm : (s, n, 3) float64
        Shapes in the model's topology, of neutral expression.
    albedos : (s, n, 3) float64
        Linear RGB.
    context : Surroundings or None
    max_spread_mm : float
        Points whose median distance from their place exceeds it are left out, and so are
        those that are beside the sheet in half of the renderings.

    Returns
    -------
    embedding : Embedding
        Has no irises, and no outline, which slides over the skin as the head turns.
    edge_ids : (p,) int32
        Its points that enter Eq. 9.

    Raises
    ------
    ValueError
        The detector finds a face on fewer than half of the renderings.
    """
    scene = _Scene(model, context)
    scene.frame(shapes_obj_mm[0], albedos[0])
    spots, spread = _place(scene, model.mean, shapes_obj_mm, albedos)
    opening = _open_mouth(model, spots)
    if opening is not None:
        inner = list(MEDIAPIPE_CURVES["inner_lips"].points)
        opened = model.mean + opening
        in_lips, spread_lips = _place(scene, opened, shapes_obj_mm + opening, albedos)
        spread[inner] = spread_lips[inner]
        for field, better in zip(spots, in_lips, strict=True):
            field[inner] = better[inner]
    wanted = spread <= max_spread_mm
    wanted[[*MEDIAPIPE_IRISES, *MEDIAPIPE_OVAL.points]] = False
    index = np.flatnonzero(wanted).astype(np.int32)
    embedding = Embedding(index, spots.triangle[index], spots.barycentric[index])
    edge = edge_points(MEDIAPIPE)
    return embedding, edge[np.isin(edge, index)]


def robust_mean(places: Array) -> tuple[Array, Array]:
    """Return the (p, 3) mean places of (r, p, 3), NaN where unseen, and their (p,) spread.

    The mean is over the places within 2.5 median distances of the coordinate-wise median;
    the spread is the median distance, infinite for points seen in less than half.
    """
    seen = np.isfinite(places[..., 0])
    often = 2 * seen.sum(axis=0) >= len(places)
    place = np.zeros(places.shape[1:])
    spread = np.full(places.shape[1], np.inf)
    for point in np.flatnonzero(often):
        there = places[seen[:, point], point]
        away = np.linalg.norm(there - np.median(there, axis=0), axis=1)
        spread[point] = float(np.median(away))
        place[point] = there[away <= 2.5 * spread[point]].mean(axis=0)
    return place, spread


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


def is_symmetric(vertices: Array, tolerance_mm: float = 0.3) -> bool:
    """Return whether nearly all vertices (n, 3) have a partner on the other side of x = 0."""
    distance = cKDTree(vertices).query(vertices * [-1.0, 1.0, 1.0])[0]
    return float(np.quantile(distance, 0.98)) < tolerance_mm


class _Scene:
    """Camera, light and surroundings of all renderings of a sheet, and who looks at them."""

    def __init__(self, model: FaceModel, context: Surroundings | None) -> None:
        self.name = model.name
        self.triangles = np.asarray(model.triangles, dtype=np.int32)
        self.context = context
        self.detector = MediaPipeDetector()
        self.target_mm = np.zeros(3)
        self.camera = np.eye(3)

    def look_at(self, target_mm: Array, pixels_per_mm: float) -> None:
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
        """Render and detect: the spots of the 478 points, None where no face is found."""
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


def _place(
    scene: _Scene, base_obj_mm: Array, shapes_obj_mm: Array, albedos: Array
) -> tuple[Spot, Array]:
    """Spots of all points, averaged on the shape `base_obj_mm`, and their spread in mm."""
    places = []
    for subject, (shape, albedo) in enumerate(zip(shapes_obj_mm, albedos, strict=True)):
        for number, view in enumerate(VIEWS_DEG):
            spots = scene.show(shape, albedo, subject, view, subject + number)
            if spots is not None:
                places.append(scene.on_shape(spots, base_obj_mm))
    renderings = len(shapes_obj_mm) * len(VIEWS_DEG)
    if 2 * len(places) < renderings:
        raise ValueError(
            f"face model '{scene.name}': a face is found on {len(places)} of {renderings} "
            f"renderings only; store an embedding '{MEDIAPIPE}' in the model file"
        )
    place, spread = robust_mean(np.array(places))
    if is_symmetric(base_obj_mm):
        # Left and right differ by chance alone; the mean of both halves the variance.
        other = mediapipe_mirror()
        both = np.isfinite(spread) & np.isfinite(spread[other])
        place[both] = (0.5 * (place + place[other] * [-1.0, 1.0, 1.0]))[both]
    seen = scene.visible_triangles(base_obj_mm)
    return nearest_on_surface(place, base_obj_mm, scene.triangles, seen), spread


def _open_mouth(model: FaceModel, spots: Spot) -> Array | None:
    """(n, 3) displacement of the expression that parts the lips most, to 10 mm more."""
    if model.exp_basis.shape[2] == 0:
        return None
    corners = model.triangles[spots.triangle]
    upper, lower = (
        np.einsum("c,cde->de", spots.barycentric[i], model.exp_basis[corners[i]])
        for i in (_UPPER_LIP, _LOWER_LIP)
    )
    apart = upper[1] - lower[1]
    # Each direction counts with the sign that parts the lips, as far as its bounds allow.
    reach = np.where(apart >= 0, model.exp_upper, -model.exp_lower)
    gain = np.abs(apart) * np.where(np.isfinite(reach), reach, 3 * model.exp_sd)
    best = int(np.argmax(gain))
    if gain[best] < 0.5 * _OPEN_MOUTH_MM:
        return None
    return np.asarray(model.exp_basis[:, :, best] * (_OPEN_MOUTH_MM / apart[best]))


def _visible_albedo(model: FaceModel, beta: Array) -> Array:
    """The model's albedo; for a model without one, paint by its 68 landmarks."""
    albedo = model.albedo(beta)
    known = model.embeddings.get("ibug68")
    if float(np.ptp(albedo, axis=0).max()) > 0.02 or known is None or len(known.point_index) < 68:
        return albedo
    marks = known.points(model.mean, model.triangles)
    eyes = np.zeros(model.vertex_count, dtype=bool)
    for eye in (RIGHT_EYE, LEFT_EYE):
        eyes |= signed_distance(model.mean[:, :2], marks[eye, :2]) > 0
    eyes &= model.mean[:, 2] > marks[36:48, 2].min() - 10.0
    iris = np.array([marks[RIGHT_EYE].mean(axis=0), marks[LEFT_EYE].mean(axis=0)])
    nothing = np.zeros(model.vertex_count, dtype=bool)
    return painted_albedo(model.mean, marks, eyes, nothing, iris)
