"""Identities apart from expressions: one neutral shape for each subject.

All captures of a subject share one face ``N = S_mean + A_id alpha + d``, of which the model knows
the first two and d is what is the person's own; capture c adds an expression and its registration's
error ::

    S*_c = N + A_exp gamma_c + e_c

With d and e_c normal, alpha and all gamma_c follow from one linear system (d is eliminated, vertex
by vertex), within the model's expression box. The neutral shape is then the weighted mean of
``S*_c - A_exp gamma_c``: a vertex that an expression moves far counts little, because the model's
expression is not the person's own (`PERSONAL`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from fg3d_builder.facemodel.learning.shapes import OWN_MM, PATCH_MM2, CapturedShape
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.facemodel.surface_rows import coefficient_bounds, split_coefficients, vertex_rows
from fg3d_builder.geometry.alignment import align_similarity
from fg3d_builder.geometry.meshes import vertex_areas
from fg3d_builder.numerics.box_bounded import minimum_in_box
from fg3d_builder.numerics.sampling import systematic_sample
from fg3d_builder.records import Array

NEUTRAL = "neutral"
"""Tag of captures without expression, and of those of which nothing is known."""

RESTING = 0.25
"""Of its standard deviations, the share that an expression has in captures with that tag."""

ERROR_MM = 0.3
"""Standard deviation of e_c per coordinate: two registrations of one face are so far apart."""

PERSONAL = 0.25
"""Of a displacement by an expression, the share by which people differ from the model's."""

SAMPLES = 2500
"""Vertices that the fit looks at, evenly by area."""

ROUNDS = 3
"""Poses and coefficients take turns; the poses of ``S*`` are nearly right."""


class NeutralFace(NamedTuple):
    """A subject without expression.

    Attributes
    ----------
    shape_obj_mm : (n, 3) float64
    confidence : (n,) float64
        0 where no capture knows it.
    alpha_exp : (c, e) float64
        Expressions of its captures.
    moved_mm : (c, n, 3) float64
        The captures, in the pose of the neutral shape.
    """

    shape_obj_mm: Array
    confidence: Array
    alpha_exp: Array
    moved_mm: Array


class ExpressionRemoval:
    """Makes neutral faces with a model's expressions.

    Parameters
    ----------
    model : FaceModel
    """

    def __init__(self, model: FaceModel) -> None:
        self._model = model
        area = vertex_areas(model.mean, model.triangles)
        self._sample = np.unique(systematic_sample(area, SAMPLES))
        self._share = area.sum() / PATCH_MM2 / len(self._sample)
        rows = vertex_rows(model, self._sample)
        flat = rows.basis.reshape(-1, rows.basis.shape[2])
        k = len(model.id_sd)
        self._identity, self._expression = flat[:, :k], flat[:, k:]

    def __call__(self, captures: Sequence[CapturedShape]) -> NeutralFace:
        """Return the neutral face of one subject's captures, of which there is at least one."""
        model = self._model
        moved = np.array([c.shape_obj_mm for c in captures], dtype=np.float64)
        confidence = np.array([c.confidence for c in captures], dtype=np.float64)
        spread = np.array([RESTING if c.expression == NEUTRAL else 1.0 for c in captures])
        alpha_exp = np.zeros((len(captures), len(model.exp_sd)))
        for _ in range(ROUNDS):
            alpha_id, alpha_exp = self._fitted(moved, confidence, spread)
            face = model.shape(alpha_id)
            for c, weights in enumerate(confidence * model.rigid):
                if np.count_nonzero(weights) >= 3:
                    expected = face + model.exp_basis @ alpha_exp[c]
                    pose = align_similarity(moved[c], expected, weights, fix_scale=True)
                    moved[c] = pose.cam_from_obj(moved[c])
        offsets = np.einsum("nde,ce->cnd", model.exp_basis, alpha_exp, optimize=True)
        unsure = PERSONAL * np.linalg.norm(offsets, axis=2) / ERROR_MM
        weights = confidence / (1.0 + unsure**2)
        total = weights.sum(axis=0)
        share = np.divide(weights, total, out=np.zeros_like(weights), where=total > 0)
        shape = np.einsum("cn,cnd->nd", share, moved - offsets)
        shape = np.where(total[:, None] > 0, shape, (moved - offsets).mean(axis=0))
        return NeutralFace(shape, 1.0 - np.prod(1.0 - weights, axis=0), alpha_exp, moved)

    def _fitted(self, moved: Array, confidence: Array, spread: Array) -> tuple[Array, Array]:
        """Return alpha_id (k,) and alpha_exp (c, e).

        `spread` (c,): share of their standard deviations that the expressions of a capture have.
        """
        model, k, e = self._model, len(self._model.id_sd), len(self._model.exp_sd)
        seen = confidence[:, self._sample] * self._share / ERROR_MM**2
        own = self._share / OWN_MM**2
        left = own / (own + seen.sum(axis=0))
        apart = (moved[:, self._sample] - model.mean[self._sample]).reshape(len(moved), -1)
        identity, expression = self._identity, self._expression
        together = np.repeat(seen * left, 3, axis=1)
        hessian = np.eye(k + e * len(moved))
        gradient = np.zeros(len(hessian))
        hessian[:k, :k] += identity.T @ (together.sum(axis=0)[:, None] * identity)
        gradient[:k] = (together * apart).sum(axis=0) @ identity
        for c in range(len(moved)):
            mine = slice(k + e * c, k + e * (c + 1))
            hessian[mine, mine] /= spread[c] ** 2
            hessian[:k, mine] = identity.T @ (together[c][:, None] * expression)
            hessian[mine, :k] = hessian[:k, mine].T
            for other in range(len(moved)):
                # A row of the inverse covariance of a vertex's captures, d eliminated.
                row = seen[c] * (c == other) - seen[c] * seen[other] / own * left
                row = np.repeat(row, 3)
                its = slice(k + e * other, k + e * (other + 1))
                gradient[mine] += (row * apart[other]) @ expression
                hessian[mine, its] += expression.T @ (row[:, None] * expression)
        lower, upper = coefficient_bounds(model)
        low, high = (np.append(b[:k], np.tile(b[k:], len(moved))) for b in (lower, upper))
        z = minimum_in_box(hessian, gradient, low, high, np.zeros(len(gradient)))
        ones = [np.concatenate([z[:k], part]) for part in z[k:].reshape(len(moved), e)]
        alpha_exp = np.array([split_coefficients(model, one)[1] for one in ones])
        return z[:k] * model.id_sd, alpha_exp.reshape(len(moved), e)
