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
        NME or DACE, a fraction of `interocular_mm`.
    per_place : (k,) float64
        Error of each place of the correspondence, likewise a fraction.
    truth_from_reconstruction : Pose
        The alignment of Eq. 18, ``f R v + t``.
    interocular_mm : float
        ``d``.
    converged : bool
        Of the alignment; the closed form always has.
    """

    value: float
    per_place: Array
    truth_from_reconstruction: Pose
    interocular_mm: float
    converged: bool

    @property
    def distance_mm(self) -> Array:
        """(k,) errors in millimetres of the truth."""
        return np.asarray(self.per_place * self.interocular_mm)


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
    source, target = _pairs(reconstruction_mm, truth_mm, correspondence)
    pose, converged = _aligned(source, target, correspondence.weights, align_by, fix_scale)
    distance = np.linalg.norm(pose.cam_from_obj(source) - target, axis=1)
    return _shape_error(distance, correspondence.weights, pose, interocular_mm, converged)


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
        As in `nme`. The truth that the pairs refer to is the scan itself or a mesh that was
        registered to it.
    scan : Scan
        The raw scan in the truth's frame: `ScanVertices`, the paper's nearest neighbour, or
        `ScanSurface`, whose distances do not depend on how densely the scan was sampled.

    Raises
    ------
    ValueError
        As in `nme`.
    """
    source, target = _pairs(reconstruction_mm, truth_mm, correspondence)
    pose, converged = _aligned(source, target, correspondence.weights, align_by, fix_scale)
    distance = scan.closest(pose.cam_from_obj(source)).distance_mm
    return _shape_error(distance, correspondence.weights, pose, interocular_mm, converged)


def _pairs(
    reconstruction_mm: Array, truth_mm: Array, correspondence: Correspondence
) -> tuple[Array, Array]:
    return (
        correspondence.source.points(reconstruction_mm, "reconstruction"),
        correspondence.target.points(truth_mm, "ground truth"),
    )


def _aligned(
    source: Array, target: Array, weights: Array, align_by: AlignBy, fix_scale: bool
) -> tuple[Pose, bool]:
    if align_by == "squares":
        return align_similarity(source, target, weights, fix_scale), True
    if align_by == "distances":
        found = align_least_distances(source, target, weights, fix_scale)
        return found.pose, found.converged
    raise ValueError(f"align_by: 'squares' or 'distances', not {align_by!r}")


def _shape_error(
    distance_mm: Array, weights: Array, pose: Pose, interocular_mm: float, converged: bool
) -> ShapeError:
    if not (np.isfinite(interocular_mm) and interocular_mm > 0):
        raise ValueError(f"interocular distance: {interocular_mm} mm, wanted a positive length")
    per_place = distance_mm / interocular_mm
    mean = float(weights @ per_place / weights.sum())
    return ShapeError(mean, per_place, pose, float(interocular_mm), converged)
