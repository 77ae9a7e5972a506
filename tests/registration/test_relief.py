"""What is kept of each wavelength, against the Wiener gain."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from toy_faces import make_scene

from fg3d_builder.config import RegistrationConfig
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.geometry.meshes import vertex_areas
from fg3d_builder.records import Array
from fg3d_builder.registration.membrane import Pattern, shared_pattern
from fg3d_builder.registration.register import register
from fg3d_builder.registration.relief import (
    RELIEF,
    relief_share,
    resolved,
    smoothing_spline,
)

SPACING_MM = 1.5
SIDE = 90


@pytest.fixture(scope="module")
def sheet() -> tuple[Array, Array, Pattern, Array]:
    """Vertices, triangles, pattern and areas of a flat sheet of equilateral triangles."""
    column, row = np.meshgrid(np.arange(SIDE), np.arange(SIDE))
    x = SPACING_MM * (column + 0.5 * (row % 2))
    y = SPACING_MM * np.sqrt(0.75) * row
    vertices = np.stack([x, y, np.zeros_like(x)], axis=-1).reshape(-1, 3)
    number = np.arange(SIDE * SIDE).reshape(SIDE, SIDE)
    a, b, c, d = number[:-1, :-1], number[:-1, 1:], number[1:, :-1], number[1:, 1:]
    even = (np.arange(SIDE - 1) % 2 == 0)[:, None]
    first = np.where(even[..., None], np.stack([a, b, c], -1), np.stack([a, b, d], -1))
    second = np.where(even[..., None], np.stack([b, d, c], -1), np.stack([a, d, c], -1))
    triangles = np.concatenate([first.reshape(-1, 3), second.reshape(-1, 3)]).astype(np.int32)
    pattern = shared_pattern(triangles, len(vertices), "cholmod")
    return vertices, triangles, pattern, vertex_areas(vertices, triangles)


def middle(values: Array, margin: int = 20) -> Array:
    return values.reshape(SIDE, SIDE)[margin:-margin, margin:-margin].ravel()


@pytest.mark.parametrize("wavelength_mm", [8.0, 12.0, 17.0, 25.0, 40.0])
def test_gain_of_a_wavelength(
    sheet: tuple[Array, Array, Pattern, Array], wavelength_mm: float
) -> None:
    vertices, _, pattern, areas = sheet
    cut_mm = 17.0
    wave = np.sin(2 * np.pi * (0.8 * vertices[:, 0] + 0.6 * vertices[:, 1]) / wavelength_mm)
    kept = smoothing_spline(
        pattern, areas, np.ones(len(areas)), wave[:, None], (cut_mm / (2 * np.pi)) ** 4
    )[:, 0]
    gain = (middle(kept) @ middle(wave)) / (middle(wave) @ middle(wave))
    assert gain == pytest.approx(1.0 / (1.0 + (cut_mm / wavelength_mm) ** 4), abs=0.03)


def test_the_spline_is_the_minimum(sheet: tuple[Array, Array, Pattern, Array]) -> None:
    """Against a direct solution, weights varying, a patch without any."""
    import scipy.sparse as sp
    from scipy.sparse.linalg import spsolve

    vertices, _, pattern, areas = sheet
    rng = np.random.default_rng(0)
    weights = np.clip(vertices[:, 0] / 60.0, 0.0, 1.0)
    values = rng.standard_normal((len(areas), 3))
    bending = 60.0
    membrane = pattern.laplacian(np.full(len(pattern.edges), 3.0**-0.25))
    matrix = sp.diags(areas * np.maximum(weights, 1e-6))
    matrix = matrix + bending * membrane @ sp.diags(1 / areas) @ membrane
    exact = spsolve(matrix.tocsc(), (areas * np.maximum(weights, 1e-6))[:, None] * values)
    found = smoothing_spline(pattern, areas, weights, values, bending)
    seen = weights > 0.2
    assert np.abs(found - exact)[seen].max() < 0.02 * np.abs(exact[seen]).max()


def test_noise_is_taken_and_relief_stays(model: FaceModel) -> None:
    """Noise of the density said falls to what the Wiener filter lets through, a bump stays."""
    posterior = model.mean + np.array([0.0, 0.0, 550.0])
    bump = 3.0 * np.exp(-((model.mean[:, :2] - [10.0, 0.0]) ** 2).sum(axis=1) / (2 * 20.0**2))
    registered = posterior + bump[:, None] * [0.0, 0.0, 1.0]
    areas = vertex_areas(posterior, model.triangles)
    density = 2.0
    noise = np.random.default_rng(3).standard_normal(len(areas)) * np.sqrt(density / areas)
    noisy = registered + noise[:, None] * [0.0, 0.0, 1.0]
    weights = np.ones(len(areas))
    kept = resolved(model, noisy, posterior, weights, density, "cholmod")
    error = (kept - registered)[model.reliable, 2]
    # Var = N / 2 pi  integral of k / (1 + a k^4)^2 dk = N / (16 sqrt(a)), a = N / RELIEF.
    expected = np.sqrt(density / (16.0 * np.sqrt(density / RELIEF)))
    assert np.sqrt((error**2).mean()) < 1.3 * expected
    assert np.sqrt((error**2).mean()) < 0.5 * noise[model.reliable].std()


def test_without_noise_nothing_changes(model: FaceModel) -> None:
    vertices = model.mean + np.random.default_rng(1).standard_normal(model.mean.shape)
    weights = np.ones(len(vertices))
    same = resolved(model, vertices, model.mean, weights, 0.0, "cholmod")
    np.testing.assert_array_equal(same, vertices)


def test_registered_noise_is_not_drawn(model: FaceModel) -> None:
    """Depth with correlated noise: most of the dimples go, and a bump of 20 mm stays."""
    shape = model.mean.copy()
    shape[:, 2] += 2.0 * np.exp(-((model.mean[:, :2] - [20.0, 0.0]) ** 2).sum(axis=1) / 800.0)
    scene = make_scene(model, shape)
    noise = gaussian_filter(
        np.random.default_rng(5).standard_normal(scene.capture.depth_mm.shape), 2.0
    )
    depth = scene.capture.depth_mm + 0.4 * noise / noise.std()
    noisy = dataclasses.replace(scene.capture, depth_mm=depth.astype(np.float32))
    config = RegistrationConfig()
    found = register(model, noisy, scene.landmarks, scene.coarse, config)
    clean = register(model, scene.capture, scene.landmarks, scene.coarse, config)
    seen = model.reliable & (clean.confidence > 0.3)
    drawn = (found.vertices_cam_mm - clean.vertices_cam_mm)[seen, 2]
    assert np.sqrt((drawn**2).mean()) < 0.2
    off = (found.vertices_cam_mm - scene.truth_cam_mm)[seen]
    assert np.linalg.norm(off, axis=1).mean() < 0.4


def test_white_noise_is_averaged(model: FaceModel) -> None:
    shape = model.mean.copy()
    shape[:, 2] += 2.0 * np.exp(-((model.mean[:, :2] - [20.0, 0.0]) ** 2).sum(axis=1) / 800.0)
    scene = make_scene(model, shape, noise_mm=1.0)
    found = register(model, scene.capture, scene.landmarks, scene.coarse, RegistrationConfig())
    seen = model.reliable & (found.confidence > 0.3)
    error = np.linalg.norm(found.vertices_cam_mm - scene.truth_cam_mm, axis=1)[seen]
    assert np.sqrt((error**2).mean()) < 0.5


def test_more_relief_is_expected_where_the_model_has_more(model: FaceModel) -> None:
    """Of two modes of one height, the finer one's place gets the larger share; scale is nothing."""
    places = {"fine": (-25.0, 6.0), "wide": (25.0, 15.0)}
    modes = np.zeros((len(model.mean), 3, 3))
    modes[:, 2, 2] = np.cos(model.mean[:, 0] / 15.0) * np.cos(model.mean[:, 1] / 15.0)
    near = {}
    for k, (x, width) in enumerate(places.values()):
        squared = ((model.mean[:, :2] - [x, 0.0]) ** 2).sum(axis=1)
        modes[:, 2, k] = np.exp(-squared / (2 * width**2))
    for name, (x, _) in places.items():
        near[name] = np.linalg.norm(model.mean[:, :2] - [x, 0.0], axis=1) < 5.0
    some = dataclasses.replace(
        model, id_basis=modes, id_sd=np.ones(3), exp_basis=modes[..., :0], exp_sd=np.ones(0)
    )
    share = relief_share(some)
    assert share[near["fine"]].mean() > 2.0 * share[near["wide"]].mean()
    twice = dataclasses.replace(some, id_basis=2.0 * modes)
    np.testing.assert_allclose(relief_share(twice), share)


def test_a_model_without_directions_expects_the_same_everywhere(model: FaceModel) -> None:
    none = dataclasses.replace(
        model,
        id_basis=model.id_basis[..., :0],
        id_sd=model.id_sd[:0],
        exp_basis=model.exp_basis[..., :0],
        exp_sd=model.exp_sd[:0],
    )
    np.testing.assert_array_equal(relief_share(none), np.ones(model.vertex_count))
