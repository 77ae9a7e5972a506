"""Scan-to-mesh distances inside a sphere around the face: the metric of the NoW challenge.

Protocol, as NoW's evaluation page and the RingNet paper (Sanyal et al., CVPR 2019, Sec. 5)
describe it: the prediction is aligned with the scan by seven landmarks (rotation, translation and
scale), the alignment is refined by the scan-to-mesh distance, and the error is the distance from
every vertex of the cropped scan to the closest point on the surface of the prediction, in the
scan's millimetres. Errors of all images are pooled: median, mean and standard deviation are over
the vertices of all of them.

The crop is the sphere of the FG2018 competition (Feng et al., FG 2018, "Evaluation of dense 3D
reconstruction from 2D face images in the wild") with a larger radius, see `FaceSphere`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fg3d_builder.evaluation.surface_alignment import align_to_scan
from fg3d_builder.geometry.alignment import align_similarity
from fg3d_builder.geometry.closest_points import ScanSurface
from fg3d_builder.records import Array, Pose

SEVEN_POINTS = (36, 39, 42, 45, 33, 48, 54)
"""iBUG's numbers of the seven landmarks, in the order of NoW's and FG2018's files: eye corners
from the subject's right to its left, the bottom of the nose, the mouth's corners from right to
left."""

CENTRE_UP_THE_NOSE = 0.3
"""Where the sphere's centre is between the bottom of the nose (0) and its bridge (1)."""

RADIUS_FACTOR = 1.4
"""Of NoW's released evaluation; FG2018 has 1.2."""


class FaceSphere(NamedTuple):
    """The sphere that a scan is cropped to.

    The bridge of the nose is the midpoint of the inner eye corners. The centre is
    ``bottom + 0.3 (bridge - bottom)`` of the nose, the radius ``1.4 (e + n) / 2`` with ``e`` the
    distance of the outer eye corners and ``n`` that of the nose's bridge and bottom: about 95 mm
    on an adult.

    Attributes
    ----------
    centre : (3,) float64
        In the scan's frame.
    radius : float
        In the scan's unit.
    """

    centre: Array
    radius: float

    @classmethod
    def of_landmarks(cls, seven_points: Array) -> FaceSphere:
        """Return the sphere of the seven landmarks (7, 3) of a scan."""
        points = np.asarray(seven_points, dtype=np.float64)
        if points.shape != (len(SEVEN_POINTS), 3) or not np.isfinite(points).all():
            raise ValueError(f"wanted seven finite landmarks, got shape {points.shape}")
        right_outer, right_inner, left_inner, left_outer, bottom, _, _ = points
        bridge = (right_inner + left_inner) / 2
        across = np.linalg.norm(right_outer - left_outer)
        radius = RADIUS_FACTOR * (across + np.linalg.norm(bridge - bottom)) / 2
        return cls(bottom + CENTRE_UP_THE_NOSE * (bridge - bottom), float(radius))

    def holds(self, points: Array) -> Array:
        """(n,) bool which of some points (n, 3) are within the radius of the centre."""
        return np.asarray(np.linalg.norm(points - self.centre, axis=1) <= self.radius)


class ScanToMesh(NamedTuple):
    """How far a scan is from a prediction.

    Attributes
    ----------
    distance_mm : (n,) float64
        From each vertex of the cropped scan, in its order, to the prediction's surface.
    scan_from_mesh : Pose
        Of the refined alignment.
    converged : bool
        Whether the refinement has.
    """

    distance_mm: Array
    scan_from_mesh: Pose
    converged: bool


def scan_to_mesh(
    mesh: ScanSurface,
    mesh_landmarks: Array,
    scan_vertices_mm: Array,
    scan_landmarks_mm: Array,
    fix_scale: bool = False,
) -> ScanToMesh:
    """Measure a prediction by NoW's metric.

    Parameters
    ----------
    mesh : ScanSurface
        The prediction, in any frame and unit; right-handed.
    mesh_landmarks : (7, 3) float
        The seven landmarks on it, in its frame.
    scan_vertices_mm : (n, 3) float
        All vertices of the raw scan that belong to its surface.
    scan_landmarks_mm : (7, 3) float
        The seven landmarks on the scan.
    fix_scale : bool
        Keep the prediction's own size, as in NoW's metrical challenge (Zielonka et al., ECCV
        2022): both alignments are rigid, and the mesh has to be in millimetres.

    Raises
    ------
    ValueError
        Landmarks that are not finite or do not determine a rotation; a scan without a vertex in
        the sphere.
    """
    sphere = FaceSphere.of_landmarks(scan_landmarks_mm)
    inside = np.asarray(scan_vertices_mm)[sphere.holds(scan_vertices_mm)]
    if len(inside) < 3:
        raise ValueError(
            f"{len(inside)} vertices of the scan are within {sphere.radius:.1f} mm of the nose"
        )
    start = align_similarity(mesh_landmarks, scan_landmarks_mm, fix_scale=fix_scale)
    found = align_to_scan(mesh, inside, start, fix_scale=fix_scale)
    return ScanToMesh(found.distance, found.scan_from_mesh, found.converged)


class PooledDistances(NamedTuple):
    """Statistics over the scan vertices of many images, as NoW's tables give them.

    Attributes
    ----------
    images, vertices : int
        How many were pooled.
    median_mm, mean_mm, std_mm : float
        NaN where nothing was pooled; the standard deviation is that of the pooled distances.
    """

    images: int
    vertices: int
    median_mm: float
    mean_mm: float
    std_mm: float


def pooled(distances_mm: list[Array]) -> PooledDistances:
    """Pool the distances of images: every vertex of every image counts the same.

    Parameters
    ----------
    distances_mm : list of (n,) float
        Of each image, from the vertices of its cropped scan; finite.
    """
    if not distances_mm:
        return PooledDistances(0, 0, *3 * (float("nan"),))
    every = np.concatenate(distances_mm)  # some 10^8 numbers of the whole data set
    moments = every.mean(dtype=np.float64), every.std(dtype=np.float64)
    statistics = (float(np.median(every)), float(moments[0]), float(moments[1]))
    return PooledDistances(len(distances_mm), len(every), *statistics)
