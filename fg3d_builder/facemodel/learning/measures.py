"""Compactness, generalisation and specificity of a learnt model, in millimetres.

Styner et al., "Evaluation of 3D Correspondence Methods for Model Building", 2003. Errors are mean
distances over the reliable face, by area and confidence, of faces that were aligned rigidly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from fg3d_builder.facemodel.learning.choice import most_modes
from fg3d_builder.facemodel.learning.components import (
    OldModel,
    even_sample,
    fold_of,
    learnt_components,
    linear_of,
)
from fg3d_builder.facemodel.learning.reconstruction import LinearShapes, errors_mm
from fg3d_builder.facemodel.learning.shapes import Identities
from fg3d_builder.geometry.alignment import align_similarity
from fg3d_builder.records import Array

VERTICES = 2000
SPECIFICITY_SAMPLES = 200


@dataclass(frozen=True)
class Curves:
    """The measures by number of modes.

    Attributes
    ----------
    modes : list of int
    compactness_mm : list of float
        Root mean square displacement that the first modes cause.
    compactness_share : list of float
        Of the variance of all modes.
    generalisation_mm, generalisation_se_mm : list of float
        Mean error of faces left out, and its standard error over subjects.
    specificity_mm, specificity_se_mm : list of float
        Mean distance of random faces to the nearest one learnt from, and its standard error.
    old_modes : list of int
    old_generalisation_mm, old_specificity_mm : list of float
        The same of the model that the faces were registered with.
    subjects, folds : int
    """

    modes: list[int]
    compactness_mm: list[float]
    compactness_share: list[float]
    generalisation_mm: list[float]
    generalisation_se_mm: list[float]
    specificity_mm: list[float]
    specificity_se_mm: list[float]
    old_modes: list[int]
    old_generalisation_mm: list[float]
    old_specificity_mm: list[float]
    subjects: int
    folds: int

    def table(self) -> dict[str, Any]:
        """Return the curves as JSON has them."""
        return asdict(self)


def compactness(model: LinearShapes, weights: Array) -> Array:
    """Return the (k + 1,) mean squared displacements by the first 0, 1, ... modes, mm^2.

    `weights` (n,) of the vertices.
    """
    share = weights / weights.sum()
    return np.concatenate([[0.0], np.cumsum(np.einsum("n,ndk,ndk->k", share, *[model.basis] * 2))])


def generalisation(
    old: OldModel,
    identities: Identities,
    measured: Array,
    grid: Sequence[int],
    folds: int,
    prior_subjects: float,
    progress: Callable[[], None] | None = None,
) -> Array:
    """Return (s, m) errors of every subject by models that were learnt without it, mm.

    Where those that remain determine fewer modes than are asked for, all of theirs count.

    Parameters
    ----------
    old : OldModel
    identities : Identities
    measured : (n,) float
        Weights of the vertices, times their confidence.
    grid : sequence of int
        Numbers of modes; the last is the largest.
    folds : int
        Subjects are left out by so many parts.
    prior_subjects : float
    progress : callable, optional
        Called after every fold.
    """
    fold = fold_of(identities.subjects, folds)
    out = np.zeros((len(fold), len(grid)))
    for number in range(folds):
        rest = identities.subset(fold != number)
        modes = min(max(grid), most_modes(old, len(rest.subjects)))
        found = linear_of(learnt_components(old, rest, modes, prior_subjects))
        for row in np.flatnonzero(fold == number).tolist():
            out[row] = _error(found, identities, row, measured, [min(k, modes) for k in grid])
        if progress:
            progress()
    return out


def explained_by(
    model: LinearShapes, identities: Identities, measured: Array, grid: Sequence[int]
) -> Array:
    """Return (s, m) errors of every subject by a model that does not depend on them, mm."""
    rows = range(len(identities.subjects))
    return np.array([_error(model, identities, row, measured, grid) for row in rows])


def _error(
    model: LinearShapes, faces: Identities, row: int, measured: Array, grid: Sequence[int]
) -> Array:
    weights = faces.confidence[row] * measured
    return errors_mm(model, faces.values[row], weights, weights, grid)


def specificity(
    model: LinearShapes,
    faces: Identities,
    measured: Array,
    grid: Sequence[int],
    samples: int = SPECIFICITY_SAMPLES,
    seed: int = 0,
) -> Array:
    """Return (r, m) distances of random faces of the model to the nearest of `faces`, mm.

    Standard normal draws, the same for every number of modes, each aligned to every face.

    `measured` (n,) weighs vertices, `grid` lists numbers of modes; `samples` faces are drawn by
    `seed`.
    """
    random = np.random.default_rng(seed).standard_normal((samples, model.basis.shape[2]))
    out = np.zeros((samples, len(grid)))
    weights = faces.confidence * measured
    # Faces look alike to a sample whose vertices lie where theirs do: a bound by moments would
    # save little, so all are tried.
    for column, modes in enumerate(grid):
        drawn = model.mean + np.einsum("ndk,rk->rnd", model.basis[:, :, :modes], random[:, :modes])
        for row, shape in enumerate(drawn):
            out[row, column] = _nearest(shape, faces.values, weights)
    return out


def _nearest(shape: Array, faces: Array, weights: Array) -> float:
    """Least mean distance of a shape to faces (s, n, 3), aligned rigidly by weights (s, n)."""
    best = np.inf
    for face, own in zip(faces, weights, strict=True):
        used = own > 0
        target, share = face[used].astype(np.float64), own[used] / own[used].sum()
        moved = align_similarity(shape[used], target, share, fix_scale=True)
        apart = np.linalg.norm(moved.cam_from_obj(shape[used]) - target, axis=1)
        best = min(best, float(share @ apart))
    return best


def measure_curves(
    old: OldModel,
    identities: Identities,
    learnt: LinearShapes,
    reliable: Array,
    grid: Sequence[int],
    folds: int,
    prior_subjects: float,
    progress: Callable[[], None] | None = None,
) -> Curves:
    """Measure a learnt model, on vertices that stand for the reliable face.

    Parameters
    ----------
    old : OldModel
        Of all vertices.
    identities : Identities
        What `learnt` was learnt from.
    learnt : LinearShapes
    reliable : (n,) bool
    grid : sequence of int
    folds : int
    prior_subjects : float
    progress : callable, optional
    """
    vertices = even_sample(old, VERTICES)
    small, faces = old.at(vertices), identities.at(vertices)
    part = LinearShapes(learnt.mean[vertices], learnt.basis[vertices])
    measured = small.measurements * reliable[vertices]
    seen = measured > 0
    inside = LinearShapes(part.mean[seen], part.basis[seen])
    total = compactness(inside, measured[seen])
    left_out = generalisation(small, faces, measured, grid, folds, prior_subjects, progress)
    old_grid = [count for count in grid if count < small.linear.basis.shape[2]]
    old_grid.append(small.linear.basis.shape[2])
    own = faces.at(np.flatnonzero(seen))
    random = specificity(inside, own, measured[seen], grid)
    before = LinearShapes(small.linear.mean[seen], small.linear.basis[seen])
    return Curves(
        modes=list(grid),
        compactness_mm=[float(np.sqrt(total[count])) for count in grid],
        compactness_share=[float(total[count] / total[-1]) for count in grid],
        generalisation_mm=_means(left_out),
        generalisation_se_mm=_errors_of_means(left_out),
        specificity_mm=_means(random),
        specificity_se_mm=_errors_of_means(random),
        old_modes=old_grid,
        old_generalisation_mm=_means(explained_by(small.linear, faces, measured, old_grid)),
        old_specificity_mm=_means(specificity(before, own, measured[seen], old_grid)),
        subjects=len(identities.subjects),
        folds=folds,
    )


def _means(rows: Array) -> list[float]:
    return [float(value) for value in rows.mean(axis=0)]


def _errors_of_means(rows: Array) -> list[float]:
    spread = rows.std(axis=0, ddof=1) if len(rows) > 1 else np.full(rows.shape[1], np.nan)
    return [float(value) for value in spread / np.sqrt(len(rows))]
