"""Parts, masks, contour lines and a painted albedo, derived from the 68 landmarks.

For models that come without them. The rules are ratios of the face's own measures, so they
hold for any front sheet in the object frame that has the iBUG-68 points.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import scipy.sparse as sp
import scipy.sparse.csgraph
from scipy.spatial import ConvexHull, cKDTree

from fg3d_builder.facemodel.model import PARTS
from fg3d_builder.geometry.camera import intrinsics_matrix
from fg3d_builder.geometry.meshes import undirected_edges, vertex_normals
from fg3d_builder.geometry.pose import rotation_from_angles
from fg3d_builder.records import Array
from fg3d_builder.rendering.rasterizer import visible_vertices

JAW = slice(0, 17)
RIGHT_BROW, LEFT_BROW = slice(17, 22), slice(22, 27)
NOSE = slice(27, 36)
RIGHT_EYE, LEFT_EYE = slice(36, 42), slice(42, 48)
OUTER_LIPS, INNER_LIPS = slice(48, 60), slice(60, 68)

_SKIN = (0.51, 0.29, 0.20)
_LIP = (0.37, 0.13, 0.11)
_BROW = (0.06, 0.035, 0.025)
_SCLERA = (0.62, 0.58, 0.55)
_IRIS = (0.09, 0.05, 0.03)
_PUPIL = (0.01, 0.01, 0.01)
_MOUTH = (0.08, 0.02, 0.02)


def part_labels(vertices: Array, landmarks: Array) -> Array:
    """Return the (n,) uint8 labels of `PARTS`: eyes with brows, nose, mouth, cheeks, rest."""
    unit = _outer_eye_distance(landmarks)
    front = _face_polygon(landmarks, inset=0.0)
    flat = unwrap(vertices, landmarks)
    marks = unwrap(landmarks, landmarks)
    face = signed_distance(flat, front) >= 0
    labels = np.zeros(len(vertices), dtype=np.uint8)
    cheek_top, cheek_bottom = marks[36:48, 1].min(), marks[OUTER_LIPS, 1].min() - 0.1 * unit
    cheeks = face & (flat[:, 1] < cheek_top) & (flat[:, 1] > cheek_bottom)
    labels[cheeks] = PARTS.index("cheeks")
    groups = [
        ("eyes", (RIGHT_BROW, RIGHT_EYE), 0.06),
        ("eyes", (LEFT_BROW, LEFT_EYE), 0.06),
        ("mouth", (OUTER_LIPS,), 0.09),
        ("nose", (NOSE,), 0.07),
    ]
    for name, slices, margin in groups:
        points = np.concatenate([marks[s] for s in slices])
        hull = points[ConvexHull(points).vertices]
        labels[face & (signed_distance(flat, hull) >= -margin * unit)] = PARTS.index(name)
    return labels


def reliable_mask(
    vertices: Array, triangles: Array, landmarks: Array, interior: Array | None = None
) -> Array:
    """Return the (n,) bool region where depth sensors see skin.

    Inside the jaw line and below the hair line, in front of the ears, and seen from straight
    ahead or from 40 degrees to the side (which leaves out nostrils and folds).

    Parameters
    ----------
    interior : (n,) bool or None
        Vertices of eyeballs and the mouth's inside, to be left out with what borders on them.
    """
    polygon = _face_polygon(landmarks, inset=0.06)
    mask = signed_distance(unwrap(vertices, landmarks), polygon) >= 0
    seen = np.zeros(len(vertices), dtype=bool)
    for yaw_deg in (0.0, 40.0, -40.0):
        rotation = rotation_from_angles(0.0, yaw_deg, 0.0)
        centre = landmarks.mean(axis=0)
        posed = (vertices - centre) @ rotation.T + [0.0, 0.0, 800.0]
        normals = vertex_normals(vertices, triangles) @ rotation.T
        camera = intrinsics_matrix(2400.0, 2400.0, 511.5, 511.5)
        seen |= visible_vertices(posed, triangles, normals, camera, 1024, 1024, 1.0)
    mask &= seen
    if interior is not None:
        edges = undirected_edges(triangles)
        touched = np.array(interior)
        for _ in range(2):
            spread = touched[edges].any(axis=1)
            touched[edges[spread].ravel()] = True
        mask &= ~touched
    return mask


def rigid_mask(reliable: Array, motion_mm: Array, share: float = 0.4) -> Array:
    """Return the (n,) bool region that expressions hardly move.

    Parameters
    ----------
    reliable : (n,) bool
    motion_mm : (n,) float64
        Typical displacement of each vertex by expressions.
    share : float
        Share of the reliable vertices that is kept: those that move least.
    """
    return np.asarray(reliable & (motion_mm <= np.quantile(motion_mm[reliable], share)))


def contour_lines(vertices: Array, triangles: Array, landmarks: Array) -> tuple[Array, ...]:
    """Return 17 vertex polylines from the cheeks outwards, one through each jaw landmark.

    Line ``i`` runs from the face's middle over the vertex at jaw point ``i`` and on for a
    third of that way, along the mesh's edges, as close to a straight line of the unwrapped
    face as these allow. From a turned head's silhouette, the point of line ``i`` that is seen
    there takes the place of jaw point ``i`` (landmark marching).

    `landmarks` are the (68, 3) points of the scheme ``"ibug68"``, mm.
    """
    flat = unwrap(vertices, landmarks)
    marks = unwrap(landmarks, landmarks)
    tree = cKDTree(flat)
    edges = undirected_edges(triangles)
    length = np.linalg.norm(vertices[edges[:, 0]] - vertices[edges[:, 1]], axis=1)
    unit = _outer_eye_distance(landmarks)
    heart = marks[33]
    lines = []
    for jaw in marks[JAW]:
        # Cheek points run out level, chin points fan out from below the nose.
        level = np.clip((jaw[1] - marks[54, 1]) / (0.3 * unit), 0.0, 1.0)
        origin = np.array([heart[0], (1 - level) * marks[57, 1] + level * jaw[1]])
        start = origin + 0.45 * (jaw - origin)
        end = origin + 1.3 * (jaw - origin)
        along = (end - start) / np.linalg.norm(end - start)
        aside = np.abs((flat - start) @ np.array([-along[1], along[0]]))
        cost = length * (1.0 + (aside[edges].sum(axis=1) / (0.04 * unit)) ** 2)
        graph = sp.coo_matrix((cost, (edges[:, 0], edges[:, 1])), shape=(len(flat),) * 2)
        stops = [int(tree.query(point)[1]) for point in (start, jaw, end)]
        line: list[int] = []
        for a, b in pairwise(stops):
            line += _path(graph.tocsr(), a, b)[: None if b == stops[-1] else -1]
        lines.append(np.array(list(dict.fromkeys(line)), dtype=np.int32))
    return tuple(lines)


def painted_albedo(
    vertices: Array, landmarks: Array, eyeballs: Array, mouth: Array, iris_centres: Array
) -> Array:
    """Return (n, 3) linear RGB: skin with lips, brows, eye whites, irises and pupils.

    For models without a texture, so that a landmark detector recognises their rendering.

    `landmarks` are the (68, 3) points of the scheme ``"ibug68"``, mm.

    Parameters
    ----------
    eyeballs, mouth : (n,) bool
        Vertices of the patches that close the eyes and the mouth.
    iris_centres : (2, 3) float64
        mm.
    """
    unit = _outer_eye_distance(landmarks)
    plane, marks = vertices[:, :2], landmarks[:, :2]
    near = vertices[:, 2] > landmarks[36:48, 2].min() - 0.3 * unit
    albedo = np.tile(np.array(_SKIN), (len(vertices), 1))

    def paint(colour: tuple[float, float, float], amount: Array) -> None:
        albedo[:] = (1 - amount[:, None]) * albedo + amount[:, None] * np.array(colour)

    soft = 0.012 * unit
    for brow in (RIGHT_BROW, LEFT_BROW):
        distance = distance_to_polyline(plane, marks[brow])
        paint(_BROW, near * 0.85 * _ramp(0.04 * unit - distance, soft))
    paint(_LIP, near * 0.9 * _ramp(signed_distance(plane, marks[OUTER_LIPS]), soft))
    paint(_MOUTH, mouth.astype(float))
    paint(_SCLERA, eyeballs.astype(float))
    to_iris = np.linalg.norm(plane[:, None] - iris_centres[None, :, :2], axis=2).min(axis=1)
    paint(_IRIS, eyeballs * _ramp(0.065 * unit - to_iris, soft))
    paint(_PUPIL, eyeballs * _ramp(0.025 * unit - to_iris, soft))
    return albedo


def unwrap(points: Array, landmarks: Array) -> Array:
    """Return (k, 2) places of points on a vertical cylinder about the head's axis, mm.

    The cylinder has its axis in the plane of the ears and the radius of the cheeks.
    """
    axis_z = float(landmarks[[0, 16], 2].mean())
    radius = float(np.abs(landmarks[[0, 16], 0]).mean())
    middle = float(landmarks[[0, 16], 0].mean())
    angle = np.arctan2(points[:, 0] - middle, points[:, 2] - axis_z)
    return np.column_stack([radius * angle, points[:, 1]])


def signed_distance(points: Array, polygon: Array) -> Array:
    """Return (k,) distances of 2D points to a closed polygon, positive inside."""
    distance = distance_to_polyline(points, np.vstack([polygon, polygon[:1]]))
    a, b = polygon, np.roll(polygon, -1, axis=0)
    x, y = points[:, None, 0], points[:, None, 1]
    crosses = (a[:, 1] > y) != (b[:, 1] > y)
    rise = np.where(b[:, 1] == a[:, 1], 1.0, b[:, 1] - a[:, 1])
    left = x < a[:, 0] + (y - a[:, 1]) / rise * (b[:, 0] - a[:, 0])
    inside = (crosses & left).sum(axis=1) % 2 == 1
    return np.where(inside, distance, -distance)


def distance_to_polyline(points: Array, line: Array) -> Array:
    """Return (k,) distances of 2D points to an open polyline (p, 2)."""
    a, along = line[:-1], np.diff(line, axis=0)
    to_point = points[:, None] - a
    share = np.einsum("kpd,pd->kp", to_point, along) / np.maximum((along**2).sum(axis=1), 1e-12)
    foot = a + np.clip(share, 0, 1)[..., None] * along
    return np.asarray(np.linalg.norm(points[:, None] - foot, axis=2).min(axis=1))


def _face_polygon(landmarks: Array, inset: float) -> Array:
    """Jaw line closed over temples and forehead in the unwrapped plane, drawn in."""
    unit = _outer_eye_distance(landmarks)
    marks = unwrap(landmarks, landmarks)
    brow = marks[17:27, 1].mean()
    top = brow + 0.62 * (brow - marks[33, 1])
    jaw = marks[JAW]
    right, left = jaw[0, 0], jaw[16, 0]
    # A rounded rectangle from the left ear over the forehead to the right one.
    angle = np.linspace(0, np.pi, 15)
    round_x = np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** 0.6
    round_y = np.sin(angle) ** 0.6
    arc_x = (left + right) / 2 + round_x * (left - right) / 2
    base = max(jaw[0, 1], jaw[16, 1])
    arc = np.column_stack([arc_x, base + round_y * (top - base)])
    polygon = np.vstack([jaw, arc])
    centre = np.array([(left + right) / 2, marks[27:31, 1].mean()])
    from_centre = polygon - centre
    reach = np.linalg.norm(from_centre, axis=1, keepdims=True)
    return np.asarray(centre + from_centre * (1 - inset * unit / reach))


def _outer_eye_distance(landmarks: Array) -> float:
    return float(np.linalg.norm(landmarks[45] - landmarks[36]))


def _ramp(distance: Array, width: float) -> Array:
    return np.clip(distance / width + 0.5, 0.0, 1.0)


def _path(graph: sp.csr_matrix, start: int, end: int) -> list[int]:
    before = scipy.sparse.csgraph.dijkstra(
        graph, directed=False, indices=start, return_predecessors=True
    )[1]
    path = [end]
    while path[-1] != start:
        path.append(int(before[path[-1]]))
    return path[::-1]
