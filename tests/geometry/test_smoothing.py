"""Averaging over neighbourhoods of a mesh."""

from __future__ import annotations

import numpy as np
import trimesh

from fg3d_builder.geometry.meshes import vertex_normals
from fg3d_builder.geometry.smoothing import diffused, diffused_far, smooth_normals

SPHERE = trimesh.creation.icosphere(subdivisions=3, radius=50.0)


def test_a_constant_stays_and_noise_falls() -> None:
    noise = np.random.default_rng(0).standard_normal((len(SPHERE.vertices), 2))
    values = diffused(noise + 7.0, SPHERE.faces, 3)
    np.testing.assert_allclose(diffused(np.ones((len(noise), 1)), SPHERE.faces, 5), 1.0, rtol=1e-12)
    assert values.std() < 0.4
    assert np.abs(values.mean() - 7.0) < 0.1


def test_values_reach_as_many_edges_as_there_are_passes() -> None:
    spike = np.zeros((len(SPHERE.vertices), 1))
    spike[5] = 1.0
    reached = {5}
    for passes in (1, 2):
        reached |= {int(v) for tri in SPHERE.faces for v in tri if reached & set(tri.tolist())}
        got = set(np.flatnonzero(diffused(spike, SPHERE.faces, passes)[:, 0]).tolist())
        assert got == reached


def test_many_passes_at_once_are_the_passes_one_after_the_other() -> None:
    values = np.random.default_rng(2).random((len(SPHERE.vertices), 3))
    values[: len(values) // 2] = 0.0
    for passes in (0, 1, 7, 60, 200):
        slow = diffused(values, SPHERE.faces, passes)
        np.testing.assert_allclose(diffused_far(values, SPHERE.faces, passes), slow, atol=3e-6)


def test_smooth_normals_are_unit_and_nearer_the_truth_than_noisy_ones() -> None:
    rng = np.random.default_rng(1)
    vertices = SPHERE.vertices + 0.4 * rng.standard_normal(SPHERE.vertices.shape)
    smooth = smooth_normals(vertices, SPHERE.faces)
    np.testing.assert_allclose(np.linalg.norm(smooth, axis=1), 1.0, rtol=1e-12)
    truth = SPHERE.vertices / 50.0
    raw = np.linalg.norm(vertex_normals(vertices, SPHERE.faces) - truth, axis=1)
    assert np.linalg.norm(smooth - truth, axis=1).mean() < 0.7 * raw.mean()
