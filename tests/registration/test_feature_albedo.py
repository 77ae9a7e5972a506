"""Brightness around features: a model's own, or the embedded model's carried onto it."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.registration.feature_albedo import (
    TEMPLATE_FILE,
    feature_albedo,
    log_albedo,
    template_table,
)
from fg3d_builder.registration.image_agreement import feature_vertices


@pytest.fixture(scope="module")
def painted(default: FaceModel) -> FaceModel:
    """The embedded model as another one: grey, in another frame, of another size."""
    turn = Rotation.from_euler("xyz", [8.0, -5.0, 20.0], degrees=True)
    return dataclasses.replace(
        default,
        mean=1.1 * turn.apply(default.mean) + [5.0, -3.0, 40.0],
        albedo_mean=np.full_like(default.albedo_mean, 0.4),
        albedo_basis=default.albedo_basis[:, :, :0],
        albedo_sd=default.albedo_sd[:0],
    )


def test_a_model_with_modes_of_albedo_has_its_own(default: FaceModel) -> None:
    np.testing.assert_array_equal(feature_albedo(default), log_albedo(default))


def test_a_painted_model_gets_that_of_the_embedded_one(
    default: FaceModel, painted: FaceModel
) -> None:
    """What is within a grid of 2 mm is lost, as the rims of lips are."""
    carried, own = feature_albedo(painted), feature_albedo(default)
    assert carried is not None
    assert own is not None
    around = np.unique(np.concatenate(list(feature_vertices(default).values())))
    off = np.abs(carried - own)[around]
    assert np.median(off) < 0.03
    assert np.corrcoef(carried[around], own[around])[0, 1] > 0.8


def test_without_points_nothing_is_known(painted: FaceModel) -> None:
    assert feature_albedo(dataclasses.replace(painted, embeddings={})) is None
    few = {name: e.subset(e.point_index[:20]) for name, e in painted.embeddings.items()}
    assert feature_albedo(dataclasses.replace(painted, embeddings=few)) is None


def test_the_file_is_what_the_embedded_model_gives(default: FaceModel) -> None:
    around = np.unique(np.concatenate(list(feature_vertices(default).values())))
    made = template_table(default, around)
    kept = json.loads(TEMPLATE_FILE.read_text(encoding="utf-8"))
    assert kept["numbers"] == made["numbers"]
    for name in ("points_mm", "places_mm", "log_albedo"):
        np.testing.assert_allclose(kept[name], made[name], atol=0.2)
