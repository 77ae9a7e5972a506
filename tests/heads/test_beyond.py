"""The regression of what surrounds a face on the face's identity."""

from __future__ import annotations

import dataclasses

import numpy as np

from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.heads.beyond import conditional_mean
from fg3d_builder.heads.default import symmetric_pca

FLIP = np.array([-1.0, 1.0, 1.0])


def test_conditional_mean_is_the_least_squares_solution(toy_model: FaceModel) -> None:
    """Against numpy's solver, on people and their mirror images."""
    random = np.random.default_rng(3)
    half = np.abs(random.normal(size=(6, 3))) * 30 + 5
    template = np.concatenate([half, half * FLIP])
    mirror = np.roll(np.arange(12), 6)
    faces = template + random.normal(size=(50, 12, 3))
    around_mirror = np.array([1, 0, 2])
    around_mean = np.array([[4.0, 1, 1], [-4, 1, 1], [0, 2, 2]])
    mixing = random.normal(size=(36, 9))
    arounds = around_mean + ((faces - template).reshape(50, -1) @ mixing).reshape(50, 3, 3)
    mean, basis, sd = symmetric_pca(iter(faces), 50, mirror, 8)
    model = dataclasses.replace(toy_model, mean=mean, id_basis=basis, id_sd=sd)
    people = list(zip(faces, arounds, strict=True))
    found_mean, found_basis = conditional_mean(people, model, around_mirror)

    both = np.concatenate([faces, faces[:, mirror] * FLIP])
    rest = np.concatenate([arounds, arounds[:, around_mirror] * FLIP])
    alpha = (both - mean).reshape(100, -1) @ basis.reshape(36, -1)
    columns = np.column_stack([np.ones(100), alpha])
    wanted = np.linalg.lstsq(columns, rest.reshape(100, -1), rcond=None)[0]
    assert np.allclose(found_mean.ravel(), wanted[0], atol=1e-4)
    assert np.allclose(np.moveaxis(found_basis, 2, 0).reshape(8, -1), wanted[1:], atol=1e-3)
    assert np.array_equal(found_mean[around_mirror] * FLIP, found_mean)
