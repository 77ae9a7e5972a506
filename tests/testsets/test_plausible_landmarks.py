"""A landmark at a wrong vertex is found by anatomy, and named."""

from __future__ import annotations

import numpy as np
import pytest

from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.geometry.pose import rotation_from_angles
from fg3d_builder.testsets.mesh_files import SEVEN_POINTS
from fg3d_builder.testsets.plausible_landmarks import described, misplaced
from fg3d_builder.testsets.records import GivenLandmarks

SEVEN = tuple(sorted(SEVEN_POINTS))
INNER = tuple(range(17, 68))


def faces(model: FaceModel, count: int, ibug: tuple[int, ...]) -> list[np.ndarray]:
    """Landmarks of people, a third of them with an expression, each in a frame of its own."""
    rng = np.random.default_rng(4)
    found = []
    for number in range(count):
        strength = rng.random(len(model.exp_sd)) * (number % 3 == 0)
        alpha_exp = np.clip(0.5 * strength * model.exp_sd, model.exp_lower, model.exp_upper)
        shape = model.shape(model.id_sd * rng.normal(size=len(model.id_sd)), alpha_exp)
        points = model.embedded("ibug68", np.array(ibug)).points(shape, model.triangles)
        turn = rotation_from_angles(*rng.uniform(-90, 90, 3))
        found.append(rng.uniform(0.01, 10) * points @ turn.T + rng.normal(size=3))
    return found


@pytest.mark.parametrize("ibug", [SEVEN, INNER])
def test_faces_have_no_misplaced_landmarks(model: FaceModel, ibug: tuple[int, ...]) -> None:
    for points in faces(model, 12 if ibug == INNER else 60, ibug):
        assert misplaced(GivenLandmarks(np.array(ibug), points), model) == {}


@pytest.mark.parametrize(
    "pair", [(48, 54), (36, 39), (42, 45), (36, 45), (39, 42), (33, 48), (36, 48), (45, 54)]
)
def test_swapped_corners_are_named(model: FaceModel, pair: tuple[int, int]) -> None:
    rows = [SEVEN.index(point) for point in pair]
    both = 0
    for points in faces(model, 20, SEVEN):
        points[rows] = points[rows[::-1]]
        found = misplaced(GivenLandmarks(np.array(SEVEN), points), model)
        assert found
        assert set(found) <= set(pair)
        both += len(found) == 2
    assert both >= 18


def test_a_nose_at_the_chin_is_named(model: FaceModel) -> None:
    chin = model.embedded("ibug68", np.array([8])).points(model.mean, model.triangles)
    for ibug in (SEVEN, INNER):
        points = model.embedded("ibug68", np.array(ibug)).points(model.mean, model.triangles)
        points[ibug.index(33)] = chin
        found = misplaced(GivenLandmarks(np.array(ibug), points), model)
        assert set(found) == {33}
        assert 40 < found[33] < 90
        assert described(found).startswith("33 (bottom of the nose) by ")


def test_landmarks_that_fit_no_face_are_named(model: FaceModel) -> None:
    points = np.random.default_rng(0).normal(size=(7, 3))
    assert misplaced(GivenLandmarks(np.array(SEVEN), points), model)
    with pytest.raises(ValueError, match=r"coincide|line"):
        misplaced(GivenLandmarks(np.array(SEVEN), np.zeros((7, 3))), model)
