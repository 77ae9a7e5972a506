"""Albedo of a face sheet: the model's own, else a donor's, carried over."""

from __future__ import annotations

import numpy as np

from fg3d_builder.facemodel.sources.source import ModelSource
from fg3d_builder.facemodel.transfer.correspondence import BentDonor, Correspondence
from fg3d_builder.records import Array

_ONE_COLOUR = 0.02


def has_colours(source: ModelSource) -> bool:
    """Tell whether a source has colours of its own: not one for all of its vertices."""
    albedo = source.albedo_mean
    return albedo is not None and float(np.ptp(albedo, axis=0).max()) > _ONE_COLOUR


def sheet_albedo(
    source: ModelSource,
    sheet_vertex: Array,
    triangles: Array,
    places: Correspondence,
    bent: BentDonor,
) -> tuple[Array, Array, Array]:
    """Return (n, 3) mean, (n, 3, b) basis and (b,) deviations of a sheet's albedo, linear RGB.

    What closes eyes and mouth has the donor's mean, and does not vary where the model has
    colours of its own.

    `sheet_vertex` (n,) is the file's vertex at each of the sheet's, negative where there is none.
    """
    mean, basis = _donors(places, bent, triangles)
    if not has_colours(source):
        return mean, basis, bent.donor.albedo_sd.copy()
    assert source.albedo_mean is not None
    of_file = sheet_vertex >= 0
    mean[of_file] = source.albedo_mean[sheet_vertex[of_file]]
    sd = np.zeros(0) if source.albedo_sd is None else source.albedo_sd
    own = np.zeros((len(mean), 3, len(sd)))
    if source.albedo_basis is not None:
        own[of_file] = source.albedo_basis[sheet_vertex[of_file]]
    return mean, own, sd.copy()


def _donors(places: Correspondence, bent: BentDonor, triangles: Array) -> tuple[Array, Array]:
    """The donor's colours; beyond its face, those at the face's border go on."""
    donor = bent.donor
    n, v = donor.vertex_count, len(bent.points_mm)
    both = np.concatenate([donor.albedo_mean[:, :, None], donor.albedo_basis], axis=2)
    every = np.zeros((v, both[0].size))
    every[:n] = both.reshape(n, -1)
    known = np.arange(v) < n
    values = bent.carried_where(known, every, places, triangles)
    values = values.reshape(len(values), 3, -1)
    return np.clip(values[:, :, 0], 0.0, 1.0), values[:, :, 1:].copy()
