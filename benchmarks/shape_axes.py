"""The local shape axes of the embedded head as a linear basis, and fits of faces by them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from fg3d_builder.geometry.meshes import vertex_areas
from fg3d_builder.heads.population import HeadPopulation
from fg3d_builder.numerics.box_bounded import minimum_in_box
from fg3d_builder.numerics.sampling import systematic_sample
from fg3d_builder.records import Array

SIGMA_MM, PATCH_MM2 = 0.5, 100.0
"""What the axes miss of a face, per coordinate, and the area over which that is correlated."""

LOOSE = 2.0
"""A priori a value varies by so many hand-set standard deviations while a face is fitted: the
hand-set ones are a guess, and a tight prior would make the fitted spread a copy of it."""

SAMPLES = 2500
ITERATIONS = 25


@dataclass(frozen=True)
class ShapeAxes:
    """Displacements of the face by every local axis; the sides of a pair count as two.

    Attributes
    ----------
    plus_mm, minus_mm : (p, n, 3) float64
        At the value 1 and at -1; 0 for values below 0 of an axis without opposite.
    two_sided : (p,) bool
        The axis has an opposite.
    hand_set : (p,) float64
        Standard deviations of the recipe.
    names : tuple of str
    side : (p,) int
        0 in the middle or on the left, 1 on the right.
    turns_over : (p,) bool
    start_mm : (n, 3) float64
        The average phenotype's face with all axes at 0.
    weights : (n,) float64
        Areas of the face, 0 on eyeballs and between the lips.
    """

    population: HeadPopulation
    plus_mm: Array
    minus_mm: Array
    two_sided: Array
    hand_set: Array
    names: tuple[str, ...]
    side: Array
    turns_over: Array
    start_mm: Array
    weights: Array

    @staticmethod
    def of(population: HeadPopulation) -> ShapeAxes:
        """Return the axes that a face shows: all but those of the ears."""
        head, sampler = population.head, population.sampler
        number = {name: i for i, name in enumerate(head.target_names)}

        def moved(target: str) -> Array:
            return np.asarray(head.sheet @ head.targets_mm[number[target]])

        rows = [
            (axis, side)
            for axis in sampler.axes
            if not axis.name.startswith("ears/")
            for side in range(len(axis.plus))
        ]
        plus = np.array([moved(axis.plus[side]) for axis, side in rows])
        minus = np.array(
            [moved(axis.minus[side]) if axis.minus else 0 * plus[0] for axis, side in rows]
        )
        nothing = np.zeros(len(sampler.axes))
        average = sampler.weights(sampler.phenotype_weights(None), nothing, nothing)
        skin = (head.eye == 0) & (head.seam < 0.3)
        return ShapeAxes(
            population,
            plus,
            minus,
            np.array([bool(axis.minus) for axis, _ in rows]),
            np.array([axis.sd for axis, _ in rows]),
            tuple(axis.name for axis, _ in rows),
            np.array([side for _, side in rows]),
            np.array([axis.turns_over for axis, _ in rows]),
            head.sheet @ head.base(average),
            vertex_areas(population.average_mm, head.sheet_triangles) * skin,
        )

    def phenotype_mm(self, phenotype: Array) -> Array:
        """Return the (n, 3) face of a phenotype's target weights (m,) with all axes at 0."""
        head = self.population.head
        weights = np.zeros(len(head.target_names))
        weights[: len(phenotype)] = phenotype
        return np.asarray(head.sheet @ head.base(weights))

    def face_mm(self, values: Array, vertices: Array) -> Array:
        """Return the chosen vertices of the average phenotype's face with values (p,)."""
        up, down = np.maximum(values, 0.0), np.maximum(-values, 0.0)
        moved = np.tensordot(up, self.plus_mm[:, vertices], 1)
        return np.asarray(
            self.start_mm[vertices] + moved + np.tensordot(down, self.minus_mm[:, vertices], 1)
        )

    def slopes_mm(self, values: Array, vertices: Array) -> Array:
        """Return the (p, k, 3) derivatives of the chosen vertices at values (p,)."""
        rising = (values >= 0) | ~self.two_sided
        return np.where(
            rising[:, None, None], self.plus_mm[:, vertices], -self.minus_mm[:, vertices]
        )

    def metric(self) -> Array:
        """Return (p, p): mean squared displacement, mm^2, that values cause together."""
        vertices = sampled(self.weights)
        slopes = self.slopes_mm(np.zeros(len(self.names)), vertices)
        flat = slopes.reshape(len(self.names), -1) / np.sqrt(len(vertices))
        # A little of every axis: none may vary for free.
        return np.asarray(flat @ flat.T + 1e-3 * np.eye(len(flat)))


def sampled(weights: Array) -> Array:
    """Return vertices that stand for the face, evenly by weight."""
    return np.unique(systematic_sample(weights, SAMPLES))


class AxisFit:
    """Maximum a posteriori values of the axes of a mean face, and a linear fit about them.

    The pose is free. Attributes: `centre` (p,), `residual_mm`.
    """

    def __init__(self, axes: ShapeAxes, target_mm: Array, weights: Array) -> None:
        self._axes = axes
        self._vertices = sampled(weights)
        self._target = target_mm[self._vertices]
        self._row_weight = weights.sum() / len(self._vertices) / PATCH_MM2 / SIGMA_MM**2
        self._prior = 1.0 / (LOOSE * axes.hand_set) ** 2

    @staticmethod
    def to(axes: ShapeAxes, target_mm: Array, weights: Array) -> AxisFit:
        """Fit a face (n, 3) where the weights (n,) are positive.

        Gauss-Newton: an axis is linear on either side of 0, with another slope on each.
        """
        fit = AxisFit(axes, target_mm, weights)
        values = np.zeros(len(axes.names))
        energy = fit._energy(values)
        for _ in range(ITERATIONS):
            step, share = fit._step(values), 1.0
            while share > 0.05 and fit._energy(values + share * step) >= energy:
                share /= 2
            reached = fit._energy(values + share * step)
            if reached >= energy - 0.01:
                break
            values, energy = values + share * step, reached
        fit._finish(values)
        return fit

    def values(self, displacements_mm: Array) -> Array:
        """Return the changes (r, p) of the values that explain displacements (r, n, 3)."""
        turned = displacements_mm[:, self._vertices] @ self._turn.T
        return np.asarray(turned.reshape(len(turned), -1) @ self._operator.T)

    def posterior_covariance(self) -> Array:
        """Return (p, p): what is left of the hand-set spread once a face is known."""
        slopes = self._normal[: len(self.centre)] * self._row_weight
        data = slopes @ self._normal[: len(self.centre)].T
        return np.asarray(np.linalg.inv(data + np.diag(1.0 / self._axes.hand_set**2)))

    def _aligned(self, values: Array) -> _Aligned:
        face = self._axes.face_mm(values, self._vertices)
        middle, centre = self._target.mean(axis=0), face.mean(axis=0)
        u, _, vt = np.linalg.svd((self._target - middle).T @ (face - centre))
        turn = (vt.T * [1.0, 1.0, np.sign(np.linalg.det(vt.T @ u.T))]) @ u.T
        return _Aligned(face, (self._target - middle) @ turn.T + centre, turn)

    def _energy(self, values: Array) -> float:
        now = self._aligned(values)
        misfit = self._row_weight * ((now.target_mm - now.face_mm) ** 2).sum()
        return float(misfit + self._prior @ values**2)

    def _rows(self, values: Array, face_mm: Array) -> Array:
        """Derivatives (p + 6, 3k) by the values and by the pose."""
        centred = face_mm - face_mm.mean(axis=0)
        pose = np.zeros((6, len(face_mm), 3))
        for axis in range(3):
            pose[axis, :, axis] = 1.0
            pose[3 + axis] = np.cross(np.eye(3)[axis], centred)
        slopes = self._axes.slopes_mm(values, self._vertices)
        return np.concatenate([slopes, pose]).reshape(len(values) + 6, -1)

    def _step(self, values: Array) -> Array:
        now, count = self._aligned(values), len(values)
        rows = self._rows(values, now.face_mm)
        hessian = self._row_weight * rows @ rows.T
        hessian[range(count), range(count)] += self._prior
        gradient = self._row_weight * rows @ (now.target_mm - now.face_mm).ravel()
        gradient[:count] -= self._prior * values
        low = np.where(self._axes.two_sided, -1.0, 0.0) - values
        free = np.full(6, np.inf)
        step = minimum_in_box(
            hessian,
            gradient,
            np.concatenate([low, -free]),
            np.concatenate([1.0 - values, free]),
            np.zeros(count + 6),
        )
        return step[:count]

    def _finish(self, values: Array) -> None:
        now, count = self._aligned(values), len(values)
        self.centre = values
        off = ((now.target_mm - now.face_mm) ** 2).sum(axis=1)
        self.residual_mm = float(np.sqrt(off.mean()))
        self._turn = now.turn
        rows = self._rows(values, now.face_mm)
        self._normal = rows
        hessian = self._row_weight * rows @ rows.T
        hessian[range(count), range(count)] += self._prior
        hessian[range(count, count + 6), range(count, count + 6)] += 1e-9
        self._operator = np.linalg.solve(hessian, self._row_weight * rows)[:count]


class _Aligned(NamedTuple):
    """Face and target (k, 3) in the face's frame, and the rotation that took it there."""

    face_mm: Array
    target_mm: Array
    turn: Array


class Selection(NamedTuple):
    """Names (q,) of axes and the matrix (q, p) that takes values of single sides to them."""

    names: list[str]
    matrix: Array


def to_both_and_apart(axes: ShapeAxes) -> dict[str, Selection]:
    """Return how values of single sides make up those of `both_sides` and `sides_apart`."""
    out = {}
    for kind, sign in (("both_sides", 1.0), ("sides_apart", -1.0)):
        names, rows = [], []
        for i, name in enumerate(axes.names):
            row = np.zeros(len(axes.names))
            other = axes.names.index(name, i + 1) if name in axes.names[i + 1 :] else -1
            if other >= 0:
                row[i], row[other] = 0.5, 0.5 * sign
            elif axes.side[i] == 0 and name not in axes.names[:i]:
                if axes.turns_over[i] != (kind == "sides_apart"):
                    continue
                row[i] = 1.0
            else:
                continue
            names.append(name)
            rows.append(row)
        out[kind] = Selection(names, np.array(rows))
    return out
