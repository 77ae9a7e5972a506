"""Expressions of a face sheet: the model's own, else a donor's, carried over."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree

from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.facemodel.smooth_extension import extended, smoothness
from fg3d_builder.facemodel.sources.source import ModelSource
from fg3d_builder.facemodel.transfer.bending import open_regions
from fg3d_builder.facemodel.transfer.closing import Closing
from fg3d_builder.facemodel.transfer.correspondence import BentDonor, Correspondence
from fg3d_builder.facemodel.transfer.semantics import (
    LOWER_INNER_LIP,
    UPPER_INNER_LIP,
    lip_sides,
)
from fg3d_builder.geometry.alignment import align_similarity
from fg3d_builder.landmarks.edges import MEDIAPIPE, MEDIAPIPE_CURVES
from fg3d_builder.records import Array

_LIP_MM = 7.0
_SMOOTH_MM = 6.0


class Expressions(NamedTuple):
    """The expression fields of `FaceModel`, and whether they are the source's own.

    Attributes
    ----------
    basis : (n, 3, e) float
        Millimetres.
    sd, lower, upper : (e,) float
        Deviation and range of each coefficient.
    names : tuple of str
    own : bool
    """

    basis: Array
    sd: Array
    names: tuple[str, ...]
    lower: Array
    upper: Array
    own: bool


def sheet_expressions(
    source: ModelSource,
    of_file: Array,
    sheet_mm: Array,
    triangles: Array,
    closing: Closing,
    places: Correspondence,
    bent: BentDonor,
) -> Expressions:
    """Return a sheet's expressions.

    A model without any (Basel's of 2009) could not follow an open mouth: it moves as the donor
    does at the same places, in the proportion of the two faces' sizes.

    Parameters
    ----------
    source : ModelSource
    of_file : (f,) int
        The file's vertices on the sheet, which come first on it.
    sheet_mm : (n, 3) float64
        The sheet's vertices.
    triangles : (m, 3) int
        The sheet's, over these vertices, with its openings.
    closing : Closing
        What closes the sheet's openings.
    places : Correspondence
        Of all of the sheet's vertices on the donor's head.
    bent : BentDonor
    """
    if source.exp_basis.shape[2]:
        known = source.exp_basis[of_file]
        unbounded = np.full(len(source.exp_sd), np.inf)
        return Expressions(
            np.concatenate([known, closing.of_basis(known)]),
            source.exp_sd,
            source.exp_names,
            -unbounded if source.exp_lower is None else source.exp_lower,
            unbounded if source.exp_upper is None else source.exp_upper,
            True,
        )
    donor, count = bent.donor, len(of_file)
    of_skin = Correspondence(*(column[:count] for column in places))
    known = _size(donor, bent) * _carried(sheet_mm[:count], triangles, closing, of_skin, bent)
    return Expressions(
        np.concatenate([known, closing.of_basis(known)]),
        donor.exp_sd,
        donor.exp_names,
        donor.exp_lower,
        donor.exp_upper,
        False,
    )


def _size(donor: FaceModel, bent: BentDonor) -> float:
    """How many times as large as the donor the other face is."""
    face = np.flatnonzero(donor.reliable)
    return float(align_similarity(donor.mean[face], bent.points_mm[face]).scale)


def _carried(
    vertices_mm: Array, triangles: Array, closing: Closing, places: Correspondence, bent: BentDonor
) -> Array:
    """(f, 3, e) motion of the donor at the places of a sheet's vertices.

    What closes the donor's mouth and eyes moves as lips and lids of both sides mixed, and the
    nearest skin of closed lips may be the other lip's: there the motion of the same side goes on
    smoothly.
    """
    donor, n = bent.donor, bent.donor.vertex_count
    moved = np.zeros((len(bent.points_mm), donor.exp_basis[0].size))
    moved[:n] = donor.exp_basis.reshape(n, -1)
    skin = np.ones(len(moved), dtype=bool)
    skin[:n] = ~open_regions(donor)
    heads = bent.head.triangles
    wrong = places.carried((~skin).astype(float), heads) > 0
    upper, lower = (rim[1:-1] for rim in closing.mouth_rims)
    if len(upper):
        own = lip_sides(vertices_mm, triangles, upper, lower, _LIP_MM)
        for mine, others in zip(own, _donors_lips(donor, skin[:n]), strict=True):
            foreign = np.zeros(len(moved))
            foreign[:n] = ~others
            wrong |= mine & ~(own[0] & own[1]) & (places.carried(foreign, heads) > 0)
    known = np.flatnonzero(~wrong)
    energy = smoothness(vertices_mm, triangles, _SMOOTH_MM, _SMOOTH_MM)
    values = extended(energy, known, places.carried(moved, heads)[known])
    return values.reshape(-1, *donor.exp_basis.shape[1:])


def _donors_lips(donor: FaceModel, skin: Array) -> tuple[Array, Array]:
    """Vertices (n,) that may be of the donor's upper lip, and those of its lower one."""
    ring = donor.embedded(MEDIAPIPE, MEDIAPIPE_CURVES["inner_lips"].points)
    places = ring.points(donor.mean, donor.triangles)
    candidates = np.flatnonzero(skin)
    nearest = candidates[cKDTree(donor.mean[candidates]).query(places)[1]]
    of_skin = donor.triangles[skin[donor.triangles].all(axis=1)]
    upper, lower = nearest[UPPER_INNER_LIP], nearest[LOWER_INNER_LIP]
    return lip_sides(donor.mean, of_skin, upper, lower, _LIP_MM)
