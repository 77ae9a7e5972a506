"""Rigid region-wise error of a face against the region scans of REALY.

REALY (Chai et al., ECCV 2022, "REALY: rethinking the evaluation of 3D face reconstruction") aligns
a prediction with a scan by seven key points, then once more and rigidly with each of four regions
of the scan, and measures each region apart. This module does these two steps, as the paper's
Sec. 3 and the benchmark's released evaluation (``czh-98/REALY``, MIT licence) describe them, and
measures from the region's vertices to the closest points on the aligned prediction.

The benchmark goes one step further: it deforms the region towards the prediction, nonrigidly and
held by key points, and measures to the points that the deformed region is closest to. That
deformation depends on the details of its solver and is not done here. A closest point is nearer
than any other, so this error is never above the benchmark's own figure for the same alignment,
and the two must not be compared with each other.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fg3d_builder.evaluation.surface_alignment import KeyPoints, align_to_scan
from fg3d_builder.geometry.alignment import align_similarity
from fg3d_builder.geometry.closest_points import ScanSurface
from fg3d_builder.records import Array, Pose

KEY_POINT_COUNT = 85
"""iBUG's 68 points and 17 more on nose, cheeks and forehead."""

SEVEN_KEY_POINTS = (36, 39, 42, 45, 33, 48, 54)
"""Of the global alignment: eye corners, bottom of the nose, corners of the mouth."""

_EYES = tuple(range(36, 48))
_BROWS = tuple(range(17, 27))
_MOUTH = (*range(48, 61), 64)


class Region(NamedTuple):
    """A region of the face, and the key points that hold its alignment.

    Attributes
    ----------
    name : str
        Also that of its scan, ``NAME.obj``.
    key_points : tuple of int
    weight : float
        How much all key points together count, beside all vertices of the region.
    """

    name: str
    key_points: tuple[int, ...]
    weight: float


REGIONS = (
    Region("nose", (*range(27, 36), 70, 71), 1.0),
    Region("mouth", _MOUTH, 1.0),
    Region("forehead", (*_EYES, *_BROWS), 1.0),
    Region("cheek", (*_MOUTH, 76, 77, 36, 41, 40, 39, 42, 47, 46, 45, 7, 8, 9), 0.25),
)
"""In the order of the benchmark's tables."""


def global_pose(key_points: Array, scan_key_points: Array) -> Pose:
    """Return the similarity that takes a prediction to a scan by the seven key points.

    Rotation and translation are the closed form; the scale is the ratio of the sums of absolute
    coordinates about the means, as the benchmark has it, not that of least squares.

    Parameters
    ----------
    key_points, scan_key_points : (85, 3) float

    Raises
    ------
    ValueError
        Other shapes, or points that do not determine a rotation.
    """
    for points in (key_points, scan_key_points):
        if np.shape(points) != (KEY_POINT_COUNT, 3):
            raise ValueError(f"wanted ({KEY_POINT_COUNT}, 3) key points, got {np.shape(points)}")
    source = np.asarray(key_points, dtype=np.float64)[list(SEVEN_KEY_POINTS)]
    target = np.asarray(scan_key_points, dtype=np.float64)[list(SEVEN_KEY_POINTS)]
    rotation = align_similarity(source, target).rotation
    turned = source @ rotation.T
    about = np.abs(target - target.mean(axis=0)).sum(), np.abs(turned - turned.mean(axis=0)).sum()
    scale = float(about[0] / about[1])
    return Pose(scale, rotation, target.mean(axis=0) - scale * turned.mean(axis=0))


def regional_distance(
    mesh: ScanSurface,
    key_points: Array,
    region: Region,
    region_vertices: Array,
    scan_key_points: Array,
) -> Array:
    """Return the (n,) distances from a region of the scan to a prediction aligned with it.

    Parameters
    ----------
    mesh : ScanSurface
        The prediction, in any frame and unit; right-handed.
    key_points : (85, 3) float
        On it, in its frame.
    region : Region
    region_vertices : (n, 3) float
        Vertices of the region of the scan; the distances are in their unit.
    scan_key_points : (85, 3) float
        In the scan's frame.

    Raises
    ------
    ValueError
        What `global_pose` and `align_to_scan` raise.
    """
    start = global_pose(key_points, scan_key_points)
    rows = list(region.key_points)
    each = int(region.weight * len(region_vertices) / len(rows))
    held = KeyPoints(np.asarray(key_points)[rows], np.asarray(scan_key_points)[rows], float(each))
    return align_to_scan(mesh, region_vertices, start, fix_scale=True, key_points=held).distance
