"""The set C of Eq. 18-20: where a registration can be trusted to be on the raw scan."""

from __future__ import annotations

import numpy as np

from fg3d_builder.evaluation.places import Correspondence, Places
from fg3d_builder.geometry.closest_points import Scan
from fg3d_builder.geometry.meshes import border_edges
from fg3d_builder.records import Array

MAX_DISTANCE_MM = 3.0
MAX_NORMAL_DEG = 30.0


def reliable_correspondence(
    registered_mm: Array,
    registered_normals: Array,
    scan: Scan,
    scan_normals: Array,
    face: Array,
    scan_border: Array | None = None,
    max_distance_mm: float = MAX_DISTANCE_MM,
    max_normal_deg: float = MAX_NORMAL_DEG,
) -> Correspondence:
    """Pair each face vertex of a registered template with its closest point of the scan.

    A pair stays in C where the two are near, their normals agree, and the scan does not end
    there: across a hole, the closest point is on the hole's rim, which is nobody's
    counterpart. The paper names both thresholds and gives neither value; these defaults are
    far above what a registration leaves on skin (some tenths of a millimetre) and below the
    distance of hair, hollows and the other lid.

    Parameters
    ----------
    registered_mm, registered_normals : (n, 3) float
        The template's vertices and unit normals after registration, in the scan's frame.
    scan : Scan
        `ScanVertices` gives pairs of vertices as in the paper, `ScanSurface` pairs of a vertex
        and a point of a triangle.
    scan_normals : (p, 3) float
        Normal of each vertex of the scan, any positive length.
    face : (n,) bool
        The face region, within which C is sought.
    scan_border : (p,) bool, optional
        Vertices where the scan ends, see `border_vertices`. Left out: no such test.
    max_distance_mm, max_normal_deg : float

    Returns
    -------
    Correspondence
        From vertices of the template to places on the scan, of weight 1.

    Raises
    ------
    ValueError
        Arrays that do not fit each other, values that are not finite, or an empty C.
    """
    vertices = np.asarray(registered_mm, dtype=np.float64)
    count = len(vertices)
    for name, array, shape in (
        ("registered_mm", vertices, (count, 3)),
        ("registered_normals", registered_normals, (count, 3)),
        ("face", face, (count,)),
        ("scan_normals", scan_normals, (scan.vertex_count, 3)),
        ("scan_border", scan_border, (scan.vertex_count,)),
    ):
        if array is not None and np.shape(array) != shape:
            raise ValueError(f"{name}: shape {np.shape(array)}, wanted {shape}")
    index = np.flatnonzero(face)
    nearest = scan.closest(vertices[index])
    there = np.einsum("kc,kcd->kd", nearest.barycentric, scan_normals[nearest.corners])
    cosine = _cosine(np.asarray(registered_normals, dtype=np.float64)[index], there)
    kept = nearest.distance_mm <= max_distance_mm
    kept &= cosine >= np.cos(np.radians(max_normal_deg))
    if scan_border is not None:
        kept &= ~((nearest.barycentric > 0) & scan_border[nearest.corners]).any(axis=1)
    if not kept.any():
        raise ValueError(
            f"the set C is empty: of {len(index)} face vertices none is within "
            f"{max_distance_mm} mm and {max_normal_deg} degrees of the scan"
        )
    target = Places(nearest.corners[kept], nearest.barycentric[kept], scan.vertex_count)
    return Correspondence.of(Places.at_vertices(index[kept], count), target)


def border_vertices(triangles: Array, vertex_count: int) -> Array:
    """Return the (n,) bool vertices on edges that belong to one triangle only."""
    border = np.zeros(vertex_count, dtype=bool)
    border[border_edges(triangles)] = True
    return border


def _cosine(a: Array, b: Array) -> Array:
    """Cosine of the angle; -1 where a vector is zero or not finite: no normal agrees there."""
    length = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    known = np.isfinite(length) & (length > 0)
    dot = np.einsum("kd,kd->k", a, b)
    return np.divide(dot, length, out=np.full(len(a), -1.0), where=known)
