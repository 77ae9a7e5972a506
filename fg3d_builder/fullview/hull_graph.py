"""Smooth fields over the outside of a head: face sheet and surround of a model as one graph.

Through the skirt both meshes move together. The face itself, where sensors see skin, is given:
fields are 0 there. What depends on the model alone is made once for it.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import lru_cache

import numpy as np

from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.facemodel.surround import Surround
from fg3d_builder.geometry.meshes import undirected_edges
from fg3d_builder.geometry.smoothing import diffused
from fg3d_builder.numerics.sparse_solver import SparseFactor, analyze, lower_pattern
from fg3d_builder.records import Array

STIFFNESS = 3.0
"""Weight of a difference between neighbours against a measured offset."""

REST = 0.001
"""Weight of the model's own shape, per vertex."""

FIRM = 1e4
"""Weight of what is given."""

GROWING_PASSES = 3
"""Averages over neighbours by which a step grows to its full size."""


KEPT = 12
"""Factors of recurring weights that are kept: of a skirt, and of each choice of ears."""


class HullGraph:
    """Topology of a model's head, and solvers on it.

    Attributes
    ----------
    surround : Surround
    n : int
        Vertices of the face model; those of the surround follow.
    triangles : (t, 3) int32
        Of both.
    given : (n + c,) bool
        The reliable face.
    scalp : (n + c,) float64
        Prior of hair; on the sheet it grows from none on the face to the surround's.
    """

    def __init__(self, model: FaceModel, surround: Surround, solver: str) -> None:
        self.surround = surround
        self.n = model.vertex_count
        count = self.n + surround.vertex_count
        self.triangles = np.concatenate([model.triangles, surround.triangles + self.n])
        corner = model.triangles[surround.skirt_triangle]
        tie = np.stack([np.repeat(surround.skirt + self.n, 3), corner.ravel()], axis=1)
        tie = tie[surround.skirt_barycentric.ravel() > 0]
        edges = np.concatenate([undirected_edges(self.triangles), tie])
        self.given = np.zeros(count, dtype=bool)
        self.given[: self.n] = model.reliable
        number = np.cumsum(~self.given) - 1
        ends = np.where(self.given[edges], -1, number[edges])
        free = int((~self.given).sum())
        self._graph = _Graph(ends[(ends >= 0).all(axis=1)], free, solver)
        # Neighbours of what is given feel its 0.
        held = (ends >= 0).sum(axis=1) == 1
        self._held = STIFFNESS * np.bincount(ends[held].max(axis=1), minlength=free)
        self._surround = _Graph(undirected_edges(surround.triangles), surround.vertex_count, solver)
        self.scalp = self.near(
            np.concatenate([np.zeros(self.n), surround.scalp]),
            np.concatenate([np.zeros(self.n), np.full(surround.vertex_count, FIRM)]),
        )

    def near(self, target: Array, weight: Array, rest: float = 0.0) -> Array:
        """Return the smoothest field (n + c,) near a target where it is weighted; 0 on the face."""
        free = ~self.given
        total = weight[free] + self._held
        pull = weight[free] * target[free] / np.maximum(total, 1e-12)
        out = np.zeros(len(target))
        out[free] = self._graph.smoothest(pull, total, rest)
        return out

    def followed(self, residual: Array) -> Array:
        """Carry residuals (s, 3) of the skirt on over the surround: (c, 3)."""
        weight, target = (
            np.zeros(self.surround.vertex_count),
            np.zeros((len(self.surround.mean), 3)),
        )
        weight[self.surround.skirt] = FIRM
        target[self.surround.skirt] = residual
        return self._surround.smoothest(target, weight, REST, again=True)

    def smooth_around(self, steps: Array, weight: Array) -> Array:
        """Return the smoothest field (c, 3) over the surround near weighted steps.

        Weights are those of few kinds of captures: with one ear in sight, the other, or both.
        """
        return self._surround.smoothest(steps, weight, 0.0, again=True)

    def closed_over(self, vertices: Array, hole: Array) -> Array:
        """Replace a part (c,) bool of the surround (c, 3) by the flattest cover of its border."""
        return self._surround.smoothest(vertices, np.where(hole, 0.0, FIRM), 0.0, again=True)

    def grown(self, steps_mm: Array) -> Array:
        """Steps (n + c,) that grow to the given ones over their neighbours; none on the face."""
        smooth = diffused(steps_mm[:, None], self.triangles, GROWING_PASSES)[:, 0]
        return np.where(self.given, 0.0, np.maximum(smooth, steps_mm))


class _Graph:
    """Smooth fields over the vertices of a mesh."""

    def __init__(self, edges: Array, count: int, solver: str) -> None:
        low, high = np.sort(edges, axis=1).T
        diagonal = np.arange(count) * (count + 1)
        lower, (self._at_diagonal, self._at_edge) = lower_pattern(
            count, diagonal, low * count + high
        )
        self._size = lower.nnz
        # Rows of a mesh's graph have few entries, for which dense blocks do not pay.
        self._analysis = analyze(lower, solver, supernodal=False)
        self._degree = np.bincount(edges.ravel(), minlength=count).astype(float)
        self._kept: OrderedDict[bytes, SparseFactor] = OrderedDict()

    def smoothest(self, target: Array, weight: Array, rest: float, again: bool = False) -> Array:
        """Return the field (c, ...) that is near `target` where weighted, and smooth.

        `again` tells that the same weights will come again: their factor is kept.
        """
        total = weight + rest
        factor = self._kept_factor(total) if again else self._factor(total)
        shape = (-1,) + (1,) * (target.ndim - 1)
        return np.asarray(factor.solve(weight.reshape(shape) * target))

    def _factor(self, total: Array) -> SparseFactor:
        values = np.zeros(self._size)
        values[self._at_edge] = -STIFFNESS
        values[self._at_diagonal] = STIFFNESS * self._degree + total
        return self._analysis.factor(values)

    def _kept_factor(self, total: Array) -> SparseFactor:
        key = total.tobytes()
        factor = self._kept.pop(key, None)
        if factor is None:
            factor = self._factor(total)
        self._kept[key] = factor
        while len(self._kept) > KEPT:
            self._kept.popitem(last=False)
        return factor


class _Same:
    """A model that is compared by identity, so that a cache may be keyed on it."""

    def __init__(self, model: FaceModel) -> None:
        self.model = model

    def __hash__(self) -> int:
        return id(self.model)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.model is other.model


def hull_graph(model: FaceModel, solver: str) -> HullGraph | None:
    """Return the graph of a model, made at the first call; None without a surround.

    Parameters
    ----------
    model : FaceModel
    solver : str
        Sparse backend, see `fg3d_builder.numerics.sparse_solver.analyze`.
    """
    return _made(_Same(model), solver)


@lru_cache(maxsize=2)
def _made(same: _Same, solver: str) -> HullGraph | None:
    surround = same.model.surround
    return None if surround is None else HullGraph(same.model, surround, solver)
