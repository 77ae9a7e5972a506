"""A model without expressions moves as the donor does, each lip by itself."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from known_heads import bent_mm, bent_source

from fg3d_builder.facemodel.importing import import_model
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.facemodel.showing import nearest_on_surface
from fg3d_builder.geometry.meshes import undirected_edges


@pytest.fixture(scope="module")
def model(default: FaceModel) -> FaceModel:
    source = bent_source(default)
    still = dataclasses.replace(
        source,
        exp_basis=source.exp_basis[:, :, :0],
        exp_sd=np.zeros(0),
        exp_names=(),
        exp_lower=None,
        exp_upper=None,
    )
    return import_model(still, default).model


def test_it_moves_as_the_donor_at_the_same_places(model: FaceModel, default: FaceModel) -> None:
    assert model.exp_names == default.exp_names
    np.testing.assert_array_equal(model.exp_lower, default.exp_lower)
    everywhere = np.ones(len(default.triangles), dtype=bool)
    bent = bent_mm(default.mean)
    spots = nearest_on_surface(model.mean, bent, default.triangles, everywhere)
    corners = default.triangles[spots.triangle]
    wanted = 1.05 * np.einsum("kc,kcde->kde", spots.barycentric, default.exp_basis[corners])
    off = np.linalg.norm((model.exp_basis - wanted) * default.exp_sd, axis=1)
    moved = np.linalg.norm(wanted * default.exp_sd, axis=1)
    face = model.reliable
    # Landmarks and bending place skin within a millimetre or two of where it belongs.
    assert off[face].mean() < 0.15 * moved[face].mean()
    assert np.percentile(off[face].max(axis=1), 95) < 2.5


def test_an_open_mouth_has_smooth_lips(model: FaceModel, default: FaceModel) -> None:
    jaw = model.exp_names.index("jawOpen")
    opened = model.exp_basis[:, :, jaw]
    edges = undirected_edges(model.triangles)
    assert model.origin is not None
    of_file = (model.origin.sheet_vertex >= 0)[edges].all(axis=1)
    edges = edges[of_file]
    length = np.linalg.norm(model.mean[edges[:, 0]] - model.mean[edges[:, 1]], axis=1)
    strain = np.linalg.norm(opened[edges[:, 0]] - opened[edges[:, 1]], axis=1) / length
    own = undirected_edges(default.triangles)
    theirs = default.exp_basis[:, :, jaw]
    size = np.linalg.norm(default.mean[own[:, 0]] - default.mean[own[:, 1]], axis=1)
    known = np.linalg.norm(theirs[own[:, 0]] - theirs[own[:, 1]], axis=1) / size
    # The donor's skin stretches somewhere; nothing on this sheet may be torn further.
    assert np.percentile(strain, 99.9) < 1.5 * np.percentile(known, 99.9)
    lips = model.embedded("ibug68", [62, 66])
    apart = np.einsum("kc,kcd->kd", lips.barycentric, opened[model.triangles[lips.triangle]])
    assert apart[0, 1] - apart[1, 1] > 20.0
