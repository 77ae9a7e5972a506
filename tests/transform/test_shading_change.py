from __future__ import annotations

import numpy as np
import pytest
from toy_models import toy_model

from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.geometry.smoothing import smooth_normals
from fg3d_builder.records import Array
from fg3d_builder.rendering.shading import Light, phong
from fg3d_builder.transform.shading_change import (
    LARGEST_GAIN,
    LARGEST_LOSS,
    ShadingChange,
    changed,
    shading_change,
    shape_shading,
)

LIGHT = Light(
    ambient=np.array([0.3, 0.32, 0.35]),
    directional=np.array([0.7, 0.65, 0.6]),
    direction=np.array([-0.4, -0.5, -0.768]) / np.linalg.norm([-0.4, -0.5, -0.768]),
    specular=0.08,
    shininess=15.0,
)
TURN = np.diag([1.0, -1.0, -1.0])


@pytest.fixture(scope="module")
def model() -> FaceModel:
    return toy_model()


def placed(model: FaceModel, seed: int) -> Array:
    rng = np.random.default_rng(seed)
    shape = model.shape(model.id_sd * rng.standard_normal(len(model.id_sd)))
    return shape @ TURN + np.array([0.0, 0.0, 600.0])


def rendered(model: FaceModel, vertices: Array, albedo: Array) -> tuple[Array, Array]:
    """Eq. 14 at the vertices, and the cosine to the line of sight."""
    view = -vertices / np.linalg.norm(vertices, axis=1, keepdims=True)
    normals = smooth_normals(vertices, model.triangles)
    return phong(albedo, normals, view, LIGHT), np.einsum("nd,nd->n", normals, view)


def change_between(
    model: FaceModel, source: Array, target: Array, weight: float = 1.0
) -> ShadingChange:
    before, after = (shape_shading(v, model.triangles, LIGHT) for v in (source, target))
    return shading_change(before, after, np.full(model.vertex_count, weight))


def test_gives_the_colours_of_eq_17_with_any_albedo(model: FaceModel) -> None:
    source, target = placed(model, 1), placed(model, 2)
    albedo = np.random.default_rng(0).uniform(0.05, 0.9, (model.vertex_count, 3))
    before, facing_before = rendered(model, source, albedo)
    after, facing_after = rendered(model, target, albedo)
    change = change_between(model, source, target)
    inner = (np.minimum(facing_before, facing_after) > 0.5) & (
        np.abs(np.log(change.gain)).max(axis=1) < 0.99 * np.log(LARGEST_GAIN)
    )
    # Vertices that would lose a glint larger than they are bright are held back.
    inner &= (change.offset > -LARGEST_LOSS * change.gain * before).all(axis=1)
    assert inner.sum() > 500
    assert np.abs(after - before)[inner].max() > 0.03
    assert np.allclose(changed(before, *change)[inner], after[inner], atol=1e-6)


def test_an_unchanged_face_keeps_its_pixels(model: FaceModel) -> None:
    source = placed(model, 1)
    change = change_between(model, source, source.copy())
    assert np.allclose(change.gain, 1.0, atol=1e-12)
    assert np.allclose(change.offset, 0.0, atol=1e-12)


def test_no_weight_no_change_and_none_at_the_outline(model: FaceModel) -> None:
    source, target = placed(model, 1), placed(model, 2)
    change = change_between(model, source, target, 0.0)
    assert np.array_equal(change.gain, np.ones_like(change.gain))
    assert not change.offset.any()
    full = change_between(model, source, target)
    _, facing = rendered(model, target, np.ones_like(source))
    assert np.allclose(full.gain[facing < 0.05], 1.0)


def test_colours_stay_within_bounds(model: FaceModel) -> None:
    source, target = placed(model, 1), placed(model, 9)
    change = change_between(model, source, target)
    assert change.gain.max() <= LARGEST_GAIN + 1e-12
    assert change.gain.min() >= 1 / LARGEST_GAIN - 1e-12
    assert changed(np.zeros((model.vertex_count, 3)), *change).min() >= 0.0


def test_a_dark_pixel_keeps_its_hue_when_a_glint_goes() -> None:
    color = np.array([[0.05, 0.02, 0.015]])
    out = changed(color, np.ones((1, 3)), np.full((1, 3), -0.03))
    assert (out >= (1 - LARGEST_LOSS) * color - 1e-12).all()
    bright = np.array([[0.6, 0.5, 0.4]])
    assert np.allclose(changed(bright, np.ones((1, 3)), np.full((1, 3), -0.03)), bright - 0.03)
