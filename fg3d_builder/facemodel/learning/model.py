"""The learnt model: new identities and albedos, everything else from the model before it."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp

from fg3d_builder.facemodel.learning.shapes import OWN_MM, PATCH_MM2, measurements
from fg3d_builder.facemodel.model import FaceModel, check_model
from fg3d_builder.facemodel.origin import Origin, first_of_same
from fg3d_builder.facemodel.smooth_extension import smoothness, solved
from fg3d_builder.facemodel.surround import Surround
from fg3d_builder.geometry.meshes import surface_points, vertex_areas
from fg3d_builder.numerics.weighted_ppca import Components
from fg3d_builder.records import Array

FADE_MM, BENDING_MM = 40.0, 20.0
"""What the old surround misses at the edge of the new face fades over this distance, smoothly."""

_HOLD = 1e4
"""Weight of the face's edge against the energy of a square millimetre."""


class ExtraExpressions(NamedTuple):
    """Expression directions that were learnt: basis (n, 3, e), sd (e,), reach (e,) both ways."""

    basis: Array
    sd: Array
    reach: Array


def learnt_model(
    old: FaceModel,
    identity: Components,
    name: str,
    licence: str,
    albedo: Components | None = None,
    expressions: ExtraExpressions | None = None,
) -> FaceModel:
    """Put a model together.

    Topology, expressions, landmarks, regions and chart are the old model's; so is the albedo where
    none was learnt. The surround follows the new identities through the old coefficients.

    `name` and `licence` become the new model's.

    Raises
    ------
    ValueError
        The result contradicts itself; names the field.
    """
    model = dataclasses.replace(
        old,
        name=name,
        licence=licence,
        mean=identity.mean,
        id_basis=identity.basis,
        id_sd=identity.sd,
        surround=None,
        origin=None,
    )
    if albedo is not None:
        model = dataclasses.replace(
            model,
            albedo_mean=np.clip(albedo.mean, 0.0, 1.0),
            albedo_basis=albedo.basis,
            albedo_sd=albedo.sd,
        )
    if expressions is not None:
        count = len(expressions.sd)
        known = old.exp_names or tuple(f"expression-{i}" for i in range(len(old.exp_sd)))
        model = dataclasses.replace(
            model,
            exp_basis=np.concatenate([old.exp_basis, expressions.basis], axis=2),
            exp_sd=np.concatenate([old.exp_sd, expressions.sd]),
            exp_names=known + tuple(f"learnt-{i}" for i in range(count)),
            exp_lower=np.concatenate([old.exp_lower, -expressions.reach]),
            exp_upper=np.concatenate([old.exp_upper, expressions.reach]),
        )
    offsets = np.concatenate([(identity.mean - old.mean)[:, :, None], identity.basis], axis=2)
    alpha = old_coefficients(old, offsets)
    if old.surround is not None:
        around = _following(old, old.surround, offsets, alpha)
        model = dataclasses.replace(model, surround=around)
    if old.origin is not None:
        model = dataclasses.replace(model, origin=_around(old.origin, identity, alpha))
    check_model(model)
    return model


def old_coefficients(old: FaceModel, offsets_mm: Array) -> Array:
    """Return the (k, m) coefficients ``alpha_id`` of displacements (n, 3, m) of the old mean.

    Maximum a posteriori, which is linear in the displacements.
    """
    weights = np.repeat(measurements(old) * old.reliable / OWN_MM**2, 3)
    basis = (old.id_basis * old.id_sd).reshape(-1, len(old.id_sd))
    weighted = basis * weights[:, None]
    normal = np.eye(basis.shape[1]) + weighted.T @ basis
    z = np.linalg.solve(normal, weighted.T @ offsets_mm.reshape(len(basis), -1))
    return np.asarray(old.id_sd[:, None] * z)


def _around(origin: Origin, identity: Components, alpha: Array) -> Origin:
    """Return the published mesh around the new mean; what is off the sheet follows as before.

    Vertices that the file has several times at one place, as along seams, stay together.
    `alpha` (k, 1 + m) are the old coefficients of the new mean and of the new modes.
    """
    own = origin.sheet_vertex >= 0
    first = first_of_same(origin.mean)
    mean = origin.mean.copy()
    basis = np.zeros((*mean.shape, len(identity.sd)))
    moved = origin.outside_id_basis @ alpha
    mean[origin.outside] += moved[:, :, 0]
    basis[origin.outside] = moved[:, :, 1:]
    mean[origin.sheet_vertex[own]] = identity.mean[own]
    basis[origin.sheet_vertex[own]] = identity.basis[own]
    outside = first[origin.outside]
    mean[origin.outside] = mean[outside]
    return dataclasses.replace(origin, mean=mean, outside_id_basis=basis[outside])


def _following(old: FaceModel, surround: Surround, offsets: Array, alpha: Array) -> Surround:
    """Return the surround of new identities, see `_around`; `offsets` (n, 3, 1 + m) are theirs.

    What the old model knows of a face moves all of the head; what it does not know of the face's
    edge is carried on smoothly and fades.
    """
    moved = surround.id_basis @ alpha
    left = offsets - old.id_basis @ alpha
    at = (old.triangles, surround.skirt_triangle, surround.skirt_barycentric)
    edge = np.stack([surface_points(left[:, :, i], *at) for i in range(left.shape[2])], axis=2)
    area = vertex_areas(surround.mean, surround.triangles)
    energy = smoothness(surround.mean, surround.triangles, BENDING_MM, FADE_MM)
    hold = np.zeros(len(area))
    hold[surround.skirt] = _HOLD * PATCH_MM2
    right = np.zeros((len(area), edge[0].size))
    right[surround.skirt] = _HOLD * PATCH_MM2 * edge.reshape(len(edge), -1)
    system = (energy + sp.diags(area + hold)).tocsr()
    moved = moved + solved(system, right).reshape(moved.shape)
    return dataclasses.replace(
        surround, mean=surround.mean + moved[:, :, 0], id_basis=moved[:, :, 1:]
    )
