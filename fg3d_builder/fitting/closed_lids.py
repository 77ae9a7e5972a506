"""A face model whose lids meet where an eye is closed.

The prior of facial actions resists a full blink: at 0.3 for one standard deviation it is more than
two of them, and shapes of the identity that make eyes narrow would take their part. Where the
image shows that an eye is closed there is no doubt, so the actions that close it get all of their
range as their deviation, and the lids are held together.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np

from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.facemodel.surface_rows import SurfaceRows, embedded_rows
from fg3d_builder.fitting.terms import POSE_SIZE, FaceState
from fg3d_builder.landmarks.eyelids import Eyelids
from fg3d_builder.numerics.robust import Huber, Kernel
from fg3d_builder.records import Array

SIGMA_MM = 0.5
"""Standard deviation of the distance of lids that meet."""

WIDE = Huber(100.0)
"""Least squares, in effect: no eye is open by 50 mm."""

MIN_CLOSING = 0.6
"""An action closes an eye when, at its bound, it takes away at least this part of its opening."""


class LidTerm(NamedTuple):
    """Holds pairs of points on upper and lower lid at one height (object frame).

    Attributes
    ----------
    rows : SurfaceRows
        The m differences, upper minus lower.
    weight : (m,) float64
    kernel : Kernel
    """

    rows: SurfaceRows
    weight: Array
    kernel: Kernel

    def residual(self, state: FaceState) -> Array:
        """Return (m, 1) residuals."""
        return self.rows.points_obj_mm(state.coefficients)[:, 1:2] / SIGMA_MM

    def jacobian(self, state: FaceState) -> Array:
        """Return (m, 1, 7 + k + e); the pose moves nothing."""
        out = np.zeros((len(self.weight), 1, POSE_SIZE + len(state.coefficients)))
        out[:, 0, POSE_SIZE:] = self.rows.basis[:, 1] / SIGMA_MM
        return out


def lid_terms(model: FaceModel, scheme: str, eyes: tuple[Eyelids, ...]) -> tuple[LidTerm, ...]:
    """Return what holds the lids of each closed eye together."""
    openings = [_openings(model, scheme, eye) for eye in eyes if eye.is_closed]
    return tuple(LidTerm(rows, np.ones(len(rows.mean)), WIDE) for rows in openings)


def blinking(model: FaceModel, scheme: str, eyes: tuple[Eyelids, ...]) -> FaceModel:
    """Return the model with the actions that close the closed eyes free within their bounds."""
    sd = model.exp_sd.copy()
    for eye in eyes:
        if eye.is_closed and scheme in model.embeddings:
            closing = closing_actions(model, scheme, eye)
            sd[closing] = np.maximum(sd, model.exp_upper)[closing]
    return model if np.array_equal(sd, model.exp_sd) else dataclasses.replace(model, exp_sd=sd)


def closing_actions(model: FaceModel, scheme: str, eye: Eyelids) -> Array:
    """Return the (e,) mask of the bounded actions that close an eye of the mean face."""
    rows = _openings(model, scheme, eye)
    if not len(rows.mean):
        return np.zeros(len(model.exp_sd), dtype=bool)
    opening = float(rows.mean[:, 1].mean())
    per_unit = rows.basis[:, 1, len(model.id_sd) :].mean(axis=0) / model.exp_sd
    reach = np.where(np.isfinite(model.exp_upper), model.exp_upper, 0.0)
    return np.asarray(-per_unit * reach >= MIN_CLOSING * opening)


def _openings(model: FaceModel, scheme: str, eye: Eyelids) -> SurfaceRows:
    """Return upper minus lower lid for the pairs of points that the model embeds, maybe none."""
    known = model.embeddings[scheme].point_index
    both = np.isin(eye.pairs.upper, known) & np.isin(eye.pairs.lower, known)
    upper, lower = (
        embedded_rows(model, model.embedded(scheme, lid[both]))
        for lid in (eye.pairs.upper, eye.pairs.lower)
    )
    return SurfaceRows(upper.mean - lower.mean, upper.basis - lower.basis)
