"""NME and DACE: how far a reconstructed face is from the truth once pose and size agree.

Both are mean distances divided by the outer interocular distance ``d`` of the truth; they are
kept as fractions, tables of the paper show them as percentages.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

from fg3d_builder.evaluation.places import Correspondence
from fg3d_builder.geometry.alignment import align_least_distances, align_similarity
from fg3d_builder.geometry.closest_points import Scan
from fg3d_builder.records import Array, Pose

AlignBy = Literal["squares", "distances"]
"""What the alignment of Eq. 18 minimises over its pairs: squared distances, or distances."""


class ShapeError(NamedTuple):
    """Error of one reconstruction.

    Attributes
    ----------
    value : float
        NME or DACE, a fraction of the interocular distance.
    per_place : (k,) float64
        Error of each place of the correspondence, as such a fraction.
    truth_from_reconstruction : Pose
        The alignment of Eq. 18, ``f R v + t``.
    converged : bool
        Whether the alignment has; the closed form always has.
    """

    value: float
    per_place: Array
    truth_from_reconstruction: Pose
    converged: bool


def nme(
    reconstruction_mm: Array,
    truth_mm: Array,
    correspondence: Correspondence,
    interocular_mm: float,
    align_by: AlignBy = "squares",
    fix_scale: bool = False,
) -> ShapeError:
    """Return the Normalized Mean Error (Eq. 18 and 19).

    ``NME = sum_k w_k |f R v_k + t - v*_{k^t}| / (d sum_k w_k)`` over the set C.

    Parameters
    ----------
    reconstruction_mm : (n, 3) float
        ``V``, in any frame and at any scale.
    truth_mm : (m, 3) float
        ``V*``.
    correspondence : Correspondence
    interocular_mm : float
        ``d``, see `fg3d_builder.evaluation.places.interocular_mm`.
    align_by : "squares" or "distances"
        The paper writes the sum of distances; its least squares have a closed form, are what
        is commonly computed under this name, and thus the default. See docs/evaluation.md.
    fix_scale : bool
        Keep ``f = 1``, for methods that claim metric size.

    Raises
    ------
    ValueError
        Vertex counts that differ from the correspondence's, points to compare that are not
        finite, fewer than three or all on a line, or ``d`` that is not positive.
    """
    return _shape_error(
        reconstruction_mm, truth_mm, correspondence, None, interocular_mm, align_by, fix_scale
    )


def dace(
    reconstruction_mm: Array,
    truth_mm: Array,
    correspondence: Correspondence,
    scan: Scan,
    interocular_mm: float,
    align_by: AlignBy = "squares",
    fix_scale: bool = False,
) -> ShapeError:
    """Return the Densely Aligned Chamfer Error (Eq. 20).

    Aligned as for `nme` by the pairs of C, then from each ``k`` in C to the nearest point
    of the raw scan: ``DACE = sum_k w_k |f R v_k + t - v*_{k^nn}| / (d sum_k w_k)``.

    Parameters
    ----------
    reconstruction_mm, truth_mm, correspondence, interocular_mm, align_by, fix_scale
        See `nme`, also for errors. The truth that the pairs refer to is the scan itself or a
        mesh that was registered to it.
    scan : Scan
        The raw scan in the truth's frame: `ScanVertices`, the paper's nearest neighbour, or
        `ScanSurface`, whose distances do not depend on how densely the scan was sampled.
    """
    return _shape_error(
        reconstruction_mm, truth_mm, correspondence, scan, interocular_mm, align_by, fix_scale
    )


def _shape_error(
    reconstruction_mm: Array,
    truth_mm: Array,
    correspondence: Correspondence,
    scan: Scan | None,
    interocular_mm: float,
    align_by: AlignBy,
    fix_scale: bool,
) -> ShapeError:
    """Align, then measure to the scan, or to the truth's own points where there is none."""
    source = correspondence.source.points(reconstruction_mm, "reconstruction")
    target = correspondence.target.points(truth_mm, "ground truth")
    weights = correspondence.weights
    if align_by == "squares":
        pose, converged = align_similarity(source, target, weights, fix_scale), True
    elif align_by == "distances":
        found = align_least_distances(source, target, weights, fix_scale)
        pose, converged = found.pose, found.converged
    else:
        raise ValueError(f"align_by: 'squares' or 'distances', not {align_by!r}")
    if not (np.isfinite(interocular_mm) and interocular_mm > 0):
        raise ValueError(f"interocular distance: {interocular_mm} mm, wanted a positive length")
    aligned = pose.cam_from_obj(source)
    if scan is None:
        distance_mm = np.linalg.norm(aligned - target, axis=1)
    else:
        distance_mm = scan.closest(aligned).distance_mm
    per_place = distance_mm / interocular_mm
    return ShapeError(float(weights @ per_place / weights.sum()), per_place, pose, converged)
