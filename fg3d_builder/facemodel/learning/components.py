"""Mean and modes of identities, with the model that they were registered with as the prior."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from fg3d_builder.facemodel.learning.alignment import procrustes_aligned
from fg3d_builder.facemodel.learning.reconstruction import LinearShapes
from fg3d_builder.facemodel.learning.shapes import (
    OWN_MM,
    Identities,
    measurements,
    mirror_partners,
    with_mirrored,
)
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.numerics.weighted_ppca import Components, Prior, weighted_ppca
from fg3d_builder.records import Array

MEAN_COUNT = 1.0
"""Subjects that the old model's mean counts as: it only decides where hardly anyone was seen."""

STILL_COUNT = 1.0
"""Subjects that count as unmoved by a mode: where few were seen, modes would else move anything."""

TOLERANCE, ITERATIONS = 2e-3, 40
"""Of the log-likelihood of a measured coordinate; later steps move errors by less than 1 %."""

_BESIDE_FACE = 1e-3
"""Weight of the rest of the sheet where components are put in their order."""

_LEAST_SEEN = 3

_LOG = logging.getLogger(__name__)


class OldModel(NamedTuple):
    """What learning takes from the model that was registered; parts of it, or its albedo.

    Attributes
    ----------
    linear : LinearShapes
        Its identities, in standard deviations.
    measurements : (n,) float64
        See `fg3d_builder.facemodel.learning.shapes.measurements`.
    face : (n,) bool
        The reliable face: in it the components are principal ones.
    aligns : (n,) bool or None
        Vertices at which faces are aligned; None for albedos, which are not.
    partners : (n,) int or None
        Vertices on the other side, None where mirror images take no part.
    """

    linear: LinearShapes
    measurements: Array
    face: Array
    aligns: Array | None
    partners: Array | None

    @staticmethod
    def of_shapes(model: FaceModel, mirror: bool = True) -> OldModel:
        """Take the identities of a model."""
        return OldModel(
            LinearShapes(model.mean, model.id_basis * model.id_sd),
            measurements(model),
            model.reliable,
            model.rigid,
            mirror_partners(model) if mirror else None,
        )

    @staticmethod
    def of_albedos(model: FaceModel, mirror: bool = True) -> OldModel:
        """Take the albedos of a model."""
        return OldModel(
            LinearShapes(model.albedo_mean, model.albedo_basis * model.albedo_sd),
            measurements(model),
            model.reliable,
            None,
            mirror_partners(model) if mirror else None,
        )

    def at(self, vertices: Array) -> OldModel:
        """Keep the vertices with the given numbers, which contain all of their partners."""
        partners = self.partners
        if partners is not None:
            number = np.full(len(partners), -1)
            number[vertices] = np.arange(len(vertices))
            partners = number[partners[vertices]]
        # Those that are left stand for all of the surface.
        share = self.measurements.sum() / self.measurements[vertices].sum()
        return OldModel(
            LinearShapes(self.linear.mean[vertices], self.linear.basis[vertices]),
            self.measurements[vertices] * share,
            self.face[vertices],
            None if self.aligns is None else self.aligns[vertices],
            partners,
        )


def even_sample(old: OldModel, count: int) -> Array:
    """Return about `count` vertices, evenly by area and the same on both sides, ascending."""
    from fg3d_builder.numerics.sampling import systematic_sample

    sample = np.unique(systematic_sample(old.measurements, count))
    if old.partners is not None:
        # Half of them, and their partners.
        half = sample[::2]
        sample = np.unique(np.concatenate([half, old.partners[half]]))
    return np.asarray(sample)


def aligned(old: OldModel, identities: Identities, reference_mm: Array) -> Identities:
    """Align faces rigidly to a reference (n, 3), by all of the rigid part; albedos stay.

    Half a face, laid upon half of a mean, would turn and shift: what was not seen takes the place
    that the old model expects of it. It takes part in nothing else.

    Raises
    ------
    ValueError
        A subject of whom too little was seen; names it.
    """
    if old.aligns is None:
        return identities
    for name, confidence in zip(identities.subjects, identities.confidence, strict=True):
        if np.count_nonzero(confidence[old.aligns]) < _LEAST_SEEN:
            raise ValueError(f"subject {name}: nothing of the face that aligns it was seen")
    whole = completed(old, identities)
    # By area, so that finely divided parts count no more than others.
    found = procrustes_aligned(whole, reference_mm, old.measurements * old.aligns)
    return found._replace(confidence=identities.confidence)


def completed(old: OldModel, identities: Identities) -> Identities:
    """Put what the old model expects, given what was seen, where nothing was; confidence 1."""
    mean = old.linear.mean
    basis = old.linear.basis.reshape(mean.size, -1)
    values = identities.values.copy()
    for row, confidence in enumerate(identities.confidence):
        seen = confidence > 0
        apart = np.where(seen[:, None], values[row] - mean, 0.0).ravel()
        weighted = basis * np.repeat(confidence * old.measurements / OWN_MM**2, 3)[:, None]
        normal = np.eye(basis.shape[1]) + weighted.T @ basis
        expected = mean + (basis @ np.linalg.solve(normal, weighted.T @ apart)).reshape(mean.shape)
        values[row, ~seen] = expected[~seen]
    return identities._replace(values=values, confidence=np.ones_like(identities.confidence))


def learnt_components(
    old: OldModel,
    identities: Identities,
    modes: int,
    prior_subjects: float,
    progress: Callable[[int], None] | None = None,
) -> Components:
    """Learn mean and modes.

    Parameters
    ----------
    old : OldModel
    identities : Identities
        In any order; their order plays no part.
    modes : int
    prior_subjects : float
        Subjects that the old model's covariance counts as; positive.
    progress : callable, optional
        See `weighted_ppca`.

    Raises
    ------
    ValueError
        See `weighted_ppca` and `procrustes_aligned`.
    """
    order = np.argsort(np.array(identities.subjects))
    identities = identities.subset(order)
    identities = aligned(old, identities, old.linear.mean)
    copies = 1
    if old.partners is not None:
        identities = with_mirrored(identities, old.partners, flips_x=old.aligns is not None)
        copies = 2
    directions = old.linear.basis.shape[2]
    prior = Prior(
        old.linear.mean,
        copies * MEAN_COUNT,
        np.moveaxis(old.linear.basis, 2, 0) * np.sqrt(directions),
        copies * prior_subjects,
        old.measurements,
        copies * STILL_COUNT,
    )
    weights = identities.confidence * old.measurements.astype(identities.confidence.dtype)
    found = weighted_ppca(
        identities.values,
        weights,
        modes,
        prior,
        # Rims count as much as the middle, although fewer were seen there.
        metric=old.measurements * np.where(old.face, 1.0, _BESIDE_FACE),
        tolerance=TOLERANCE,
        iterations=ITERATIONS,
        progress=progress,
    )
    if not found.converged:
        _LOG.warning("the components have not converged in %d steps", len(found.log_likelihood))
    return found


def linear_of(found: Components) -> LinearShapes:
    """Return components as a linear model in standard deviations."""
    return LinearShapes(found.mean, found.basis * found.sd)


def fold_of(subjects: Sequence[str], folds: int) -> Array:
    """Return the (s,) fold of every subject: by turns in the order of their names."""
    order = np.argsort(np.argsort(np.array(subjects)))
    return np.asarray(order % folds)
