"""Expressions of a face sheet: the model's own, else a donor's, carried over."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.facemodel.sources.source import ModelSource
from fg3d_builder.facemodel.transfer.bending import open_regions
from fg3d_builder.facemodel.transfer.closing import Closing
from fg3d_builder.facemodel.transfer.correspondence import BentDonor, Correspondence
from fg3d_builder.geometry.alignment import align_similarity
from fg3d_builder.records import Array


class Expressions(NamedTuple):
    """The expression fields of `FaceModel`, and whether they are the source's own."""

    basis: Array
    sd: Array
    names: tuple[str, ...]
    lower: Array
    upper: Array
    own: bool


def sheet_expressions(
    source: ModelSource,
    of_file: Array,
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
    donor, n = bent.donor, bent.donor.vertex_count
    moved = np.zeros((len(bent.points_mm), donor.exp_basis[0].size))
    moved[:n] = donor.exp_basis.reshape(n, -1)
    # What closes the donor's mouth and eyes moves as lips and lids of both sides mixed.
    skin = np.ones(len(moved), dtype=bool)
    skin[:n] = ~open_regions(donor)
    count = len(of_file)
    of_skin = Correspondence(*(column[:count] for column in places))
    known = _size(donor, bent) * bent.carried_where(skin, moved, of_skin, triangles)
    known = known.reshape(count, *donor.exp_basis.shape[1:])
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
