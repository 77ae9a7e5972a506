"""How much the old model counts, and how many modes are kept: by faces that were left out.

A face that was left out is shown by half: left, right, upper or lower. The model's posterior mean
given that half is held against the other one. More modes, or a weaker prior, help until they
follow the chance of the sample; a mere reconstruction of the whole face would never say so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from fg3d_builder.facemodel.learning.components import (
    OldModel,
    aligned,
    even_sample,
    fold_of,
    learnt_components,
)
from fg3d_builder.facemodel.learning.shapes import Identities
from fg3d_builder.numerics.weighted_ppca import Components
from fg3d_builder.records import Array

PRIOR_SHARES = (1 / 8, 1 / 2, 2.0)
"""Subjects that the old model may count as, by the number of subjects."""

VERTICES = 800
FOLDS = 3
MOST_MODES = 100
ENOUGH = 1.01
"""The fewest modes are kept whose error is within this factor of the least."""


class Choice(NamedTuple):
    """What was chosen, and by which errors.

    Attributes
    ----------
    modes : int
    prior_subjects : float
    by_prior : dict of float to float
        Error with all modes by number of prior subjects; in the values' unit.
    by_modes : dict of int to float
        Error with the chosen prior by number of modes.
    """

    modes: int
    prior_subjects: float
    by_prior: dict[float, float]
    by_modes: dict[int, float]


def chosen(
    old: OldModel,
    identities: Identities,
    modes: int | None = None,
    prior_subjects: float | None = None,
    progress: Callable[[], None] | None = None,
) -> Choice:
    """Choose what is not given.

    Parameters
    ----------
    old : OldModel
    identities : Identities
    modes : int, optional
    prior_subjects : float, optional
    progress : callable, optional
        Called after each of the `trials`.

    Raises
    ------
    ValueError
        See `learnt_components`; no face shows anything beside a half of it.
    """
    subjects = len(identities.subjects)
    if modes is not None and prior_subjects is not None:
        return Choice(modes, prior_subjects, {}, {})
    vertices = even_sample(old, VERTICES)
    small, faces = old.at(vertices), identities.at(vertices)
    # Fewer subjects, in whose place faces are left out, determine fewer modes.
    most = most_modes(old, subjects - -(-subjects // FOLDS))
    most = most if modes is None else min(modes, most)
    grid = mode_grid(most)
    shares = [share * subjects for share in PRIOR_SHARES]
    candidates = shares if prior_subjects is None else [prior_subjects]
    errors = {}
    fold = fold_of(faces.subjects, FOLDS)
    for count in candidates:
        rows = []
        for number in range(FOLDS):
            found = learnt_components(small, faces.subset(fold != number), most, count)
            rows.append(hidden_errors(small, found, faces.subset(fold == number), grid))
            if progress:
                progress()
        told = np.concatenate(rows)
        if not len(told):
            raise ValueError("of no subject is seen what could be hidden: a half, and more than it")
        errors[count] = told.mean(axis=0)
    best = min(errors, key=lambda count: float(errors[count][-1]))
    curve = errors[best]
    enough = grid[int(np.argmax(curve <= ENOUGH * curve.min()))]
    return Choice(
        modes or enough,
        best,
        {count: float(row[-1]) for count, row in errors.items()},
        {count: float(error) for count, error in zip(grid, curve, strict=True)},
    )


def trials(prior_subjects: float | None) -> int:
    """Return how often `chosen` calls its `progress`."""
    return FOLDS * (len(PRIOR_SHARES) if prior_subjects is None else 1)


def most_modes(old: OldModel, subjects: int) -> int:
    """Return the most modes that so many subjects and the old model can determine."""
    copies = 1 if old.partners is None else 2
    return min(copies * subjects - 1 + old.linear.basis.shape[2], MOST_MODES)


def mode_grid(most: int) -> list[int]:
    """Return numbers of modes to compare, denser where each matters more."""
    fine = [1, 2, 3, 5, 8, 10, 12, 15, 20, 25, 30, 40, 50, 64, 80, 100]
    return [count for count in fine if count < most] + [most]


def hidden_errors(
    old: OldModel, found: Components, faces: Identities, grid: Sequence[int]
) -> Array:
    """Return (s, m) mean distances of hidden halves to what is expected there, by modes.

    Faces of which no two halves are seen say nothing, and are left out.

    Parameters
    ----------
    old : OldModel
    found : Components
        Learnt without the faces.
    faces : Identities
    grid : sequence of int
        Numbers of modes.
    """
    faces = aligned(old, faces, found.mean)
    basis = (found.basis * found.sd).reshape(-1, len(found.sd))
    middle = np.median(found.mean, axis=0)
    variance = np.einsum("ndk,ndk,n->k", found.basis, found.basis, old.measurements) * found.sd**2
    variance /= 3 * old.measurements.sum()
    rows = []
    for values, confidence in zip(faces.values, faces.confidence, strict=True):
        apart = values.astype(np.float64) - found.mean
        known = np.where(confidence > 0, confidence, 0.0) * old.measurements
        errors = np.zeros(len(grid))
        total = 0.0
        for axis in (0, 1):
            for side in (-1.0, 1.0):
                shown = known * (side * (found.mean[:, axis] - middle[axis]) > 0)
                hidden = known - shown
                if shown.sum() == 0 or hidden.sum() == 0:
                    continue
                for i, modes in enumerate(grid):
                    noise = found.noise_variance + variance[modes:].sum()
                    part = basis[:, :modes]
                    weighted = part * np.repeat(shown / noise, 3)[:, None]
                    normal = np.eye(modes) + weighted.T @ part
                    z = np.linalg.solve(normal, weighted.T @ np.nan_to_num(apart).ravel())
                    left = np.linalg.norm(apart - (part @ z).reshape(apart.shape), axis=1)
                    errors[i] += float(hidden[hidden > 0] @ left[hidden > 0])
                total += float(hidden.sum())
        if total > 0:
            rows.append(errors / total)
    return np.array(rows).reshape(-1, len(grid))
