"""The few points of a face model that a fit looks at, and nothing of the rest of the mesh."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from fg3d_builder.facemodel.model import Embedding, FaceModel
from fg3d_builder.records import Array


class SurfaceRows(NamedTuple):
    """Points fixed to a model's surface as affine functions of its coefficients.

    Attributes
    ----------
    mean : (m, 3) float64
        Positions on the mean shape, object frame, mm.
    basis : (m, 3, k + e) float64 or float32
        Identity then expression directions, multiplied by their standard deviations, so that
        the coefficients are standard normal a priori. In single precision positions are good to
        1e-5 mm, and derivatives take half the time.
    """

    mean: Array
    basis: Array

    def points_obj_mm(self, coefficients: Array) -> Array:
        """Return the (m, 3) positions for (k + e,) standardised coefficients (Eq. 1)."""
        # One matrix-vector product: stacked (3, k) products would be slower.
        flat = self.basis.reshape(self.mean.size, len(coefficients))
        moved = flat @ coefficients.astype(flat.dtype, copy=False)
        return self.mean + moved.reshape(self.mean.shape)

    def take(self, index: Array) -> SurfaceRows:
        """Keep the points at `index`."""
        return SurfaceRows(self.mean[index], self.basis[index])


def vertex_rows(
    model: FaceModel, vertices: Array, precision: DTypeLike = np.float64
) -> SurfaceRows:
    """Return the rows of the vertices with the given indices (m,)."""
    k = len(model.id_sd)
    basis = np.empty((len(vertices), 3, k + len(model.exp_sd)), precision)
    parts = ((model.id_basis, model.id_sd), (model.exp_basis, model.exp_sd))
    for part, (directions, sd) in zip((basis[..., :k], basis[..., k:]), parts, strict=True):
        np.multiply(directions[vertices], sd, out=part, casting="same_kind")
    return SurfaceRows(model.mean[vertices], basis)


def embedded_rows(
    model: FaceModel, embedding: Embedding, precision: DTypeLike = np.float64
) -> SurfaceRows:
    """Return the rows of the points of a landmark embedding."""
    corners = vertex_rows(model, model.triangles[embedding.triangle].ravel())
    weight = embedding.barycentric
    mean = np.einsum("kc,kcd->kd", weight, corners.mean.reshape(-1, 3, 3))
    basis = corners.basis.reshape(-1, 3, 3, corners.basis.shape[2])
    return SurfaceRows(mean, np.einsum("kc,kcde->kde", weight, basis).astype(precision, copy=False))


def coefficient_bounds(model: FaceModel) -> tuple[Array, Array]:
    """Return the bounds of the standardised coefficients; identity has none."""
    free = np.full(len(model.id_sd), np.inf)
    lower = np.concatenate([-free, model.exp_lower / model.exp_sd])
    upper = np.concatenate([free, model.exp_upper / model.exp_sd])
    return lower, upper


def split_coefficients(model: FaceModel, coefficients: Array) -> tuple[Array, Array]:
    """Return ``alpha_id, alpha_exp`` in the model's own units, exactly within its bounds.

    `coefficients` are (k + e,) in standard deviations, identity first.
    """
    k = len(model.id_sd)
    alpha_exp = np.clip(coefficients[k:] * model.exp_sd, model.exp_lower, model.exp_upper)
    return coefficients[:k] * model.id_sd, alpha_exp
