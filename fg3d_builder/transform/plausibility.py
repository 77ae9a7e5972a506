"""How far a face, or a part of it, is from the faces that the 3DMM was made of."""

from __future__ import annotations

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.records import Array

PATCH_MM2 = 100.0
"""Area over which the 3DMM's misfit is correlated: that much skin is one measurement."""

SIGMA_MM = 1.0
"""Standard deviation of faces about the 3DMM, per coordinate."""

NEGLIGIBLE = 1e-2
"""Vertices with less than this part of the largest weight are left out."""


class IdentityPrior:
    """Maximum a posteriori identity coefficients of neutral faces, as one matrix product.

    Minimises ``sum_i w_i |S_mean + A_id alpha - S|_i^2 / sigma^2 + |alpha / sd|^2`` with ``w``
    the area in patches. A part of a face alone leaves the whole's position open, so mean
    displacement is fitted along.

    Parameters
    ----------
    model : FaceModel
    area_mm2 : (n,) float64
        By vertex; 0 leaves a vertex out.
    """

    def __init__(self, model: FaceModel, area_mm2: Array) -> None:
        self._used = np.flatnonzero(area_mm2 > NEGLIGIBLE * area_mm2.max())
        self._mean = model.mean[self._used]
        count, k = len(self._used), len(model.id_sd)
        columns = np.empty((count, 3, k + 3))
        columns[:, :, :k] = model.id_basis[self._used] * model.id_sd
        columns[:, :, k:] = np.eye(3)
        weights = np.repeat(area_mm2[self._used] / PATCH_MM2, 3) / SIGMA_MM**2
        flat = columns.reshape(3 * count, k + 3)
        weighted = flat * weights[:, None]
        prior = np.diag(np.concatenate([np.ones(k), np.full(3, 1e-6)]))
        solved = cho_solve(cho_factor(flat.T @ weighted + prior), weighted.T)
        self._solution = np.ascontiguousarray(solved[:k])

    def coefficients(self, neutral_obj_mm: Array) -> Array:
        """Return the (k,) coefficients in standard deviations of a face (n, 3)."""
        return np.asarray(self._solution @ (neutral_obj_mm[self._used] - self._mean).ravel())
