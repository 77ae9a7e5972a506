from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from toy_models import labelled, toy_model

from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.geometry.meshes import turned_triangles
from fg3d_builder.records import Pose, Registration
from fg3d_builder.transform.donors import DONATED_PARTS
from fg3d_builder.transform.plausibility import IdentityPrior
from fg3d_builder.transform.target_shape import TargetShapes, neutral_shape


@pytest.fixture(scope="module")
def model() -> FaceModel:
    return labelled(toy_model())


@pytest.fixture(scope="module")
def shapes(model: FaceModel) -> TargetShapes:
    return TargetShapes(model, "cholmod")


def registered(model: FaceModel, seed: int, spread: float = 1.0) -> Registration:
    """A registration of a random face with an expression and a little relief."""
    rng = np.random.default_rng(seed)
    alpha_id = spread * np.clip(rng.standard_normal(len(model.id_sd)), -1.5, 1.5) * model.id_sd
    alpha_exp = rng.uniform(0, 0.4, len(model.exp_sd))
    coarse = model.shape(alpha_id, alpha_exp)
    shape = coarse + 0.05 * rng.standard_normal(coarse.shape)
    n = model.vertex_count
    return Registration(
        topology_hash=model.topology_hash,
        vertices_cam_mm=shape + np.array([0, 0, 600]),
        pose=Pose(1.0, np.eye(3), np.array([0.0, 0.0, 600.0])),
        shape_obj_mm=shape,
        coarse_obj_mm=coarse,
        alpha_id=alpha_id,
        alpha_exp=alpha_exp,
        visible=np.ones(n, bool),
        confidence=np.full(n, seed / 10),
        surface_error_mm=np.zeros(n),
        landmark_error_px=1.0,
        quality=1.0,
        converged=True,
    )


def test_a_face_made_of_itself_stays(shapes: TargetShapes, model: FaceModel) -> None:
    host = registered(model, 1)
    target = shapes.make(host, dict.fromkeys(DONATED_PARTS, host))
    assert target is not None
    assert target.share == pytest.approx(1.0)
    assert np.allclose(target.shape_obj_mm, host.shape_obj_mm, atol=1e-6)
    assert np.allclose(target.confidence, host.confidence)


def test_the_hosts_expression_stays(shapes: TargetShapes, model: FaceModel) -> None:
    host = registered(model, 1)
    donors = {part: registered(model, 2 + i) for i, part in enumerate(DONATED_PARTS)}
    relaxed = replace(
        host,
        shape_obj_mm=neutral_shape(model, host),
        alpha_exp=np.zeros_like(host.alpha_exp),
    )
    with_expression, without = shapes.make(host, donors), shapes.make(relaxed, donors)
    assert with_expression is not None
    assert without is not None
    moved = with_expression.shape_obj_mm - without.shape_obj_mm
    assert np.allclose(moved, model.exp_basis @ host.alpha_exp, atol=1e-8)
    assert np.array_equal(with_expression.alpha_exp, host.alpha_exp)


def test_pose_and_size_of_a_donor_do_not_matter(shapes: TargetShapes, model: FaceModel) -> None:
    host, donor = registered(model, 1), registered(model, 2)
    angle = np.radians(12)
    turn = np.array(
        [[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]]
    )
    neutral = neutral_shape(model, donor)
    turned = replace(
        donor,
        shape_obj_mm=1.2 * neutral @ turn.T + [5.0, 2.0, -9.0],
        alpha_exp=np.zeros_like(donor.alpha_exp),
    )
    one = shapes.make(host, {"nose": donor})
    two = shapes.make(host, {"nose": turned})
    assert one is not None
    assert two is not None
    assert np.allclose(one.shape_obj_mm, two.shape_obj_mm, atol=1e-6)


def test_implausible_parts_are_drawn_back(model: FaceModel) -> None:
    host = registered(model, 1, spread=0.3)
    strange = registered(model, 2, spread=6.0)
    donors = dict.fromkeys(DONATED_PARTS, strange)
    free = TargetShapes(model, "cholmod", max_deviation_sd=100.0).make(host, donors)
    bound = TargetShapes(model, "cholmod", max_deviation_sd=2.0).make(host, donors)
    assert free is not None
    assert free.share == pytest.approx(1.0)
    assert free.deviation_sd > 4.0
    # Half of the way to this donor needs more than two standard deviations, a quarter does not.
    assert bound is not None
    assert bound.share == pytest.approx(0.25)
    assert 1.0 < bound.deviation_sd <= 2.0
    moved = free.shape_obj_mm - host.shape_obj_mm
    assert np.abs(moved).max() > 1.0
    assert np.allclose(bound.shape_obj_mm - host.shape_obj_mm, 0.25 * moved, atol=1e-9)


def test_places_that_turn_over_are_drawn_back_alone(shapes: TargetShapes, model: FaceModel) -> None:
    before = model.mean
    forehead = before[np.argmin(np.linalg.norm(before[:, :2] - [0.0, 35.0], axis=1) - before[:, 2])]
    spot = np.exp(-((before - forehead) ** 2).sum(axis=1) / 4.0**2)
    # A fold: neighbours are pushed past each other; and a harmless shift of everything.
    moved = np.outer(spot, [15.0, 0.0, 0.0]) + 1.0
    face = model.triangles[model.reliable[model.triangles].all(axis=1)]
    assert turned_triangles(before, before + moved, face).any()
    share = shapes.sound_share(before, moved, shapes.intersections(before))
    assert share is not None
    assert not turned_triangles(before, before + share[:, None] * moved, face).any()
    far = np.linalg.norm(before - forehead, axis=1) > 60
    assert share[far].min() > 0.97
    assert share.min() < 0.6


def test_identity_prior_finds_the_coefficients(model: FaceModel) -> None:
    rng = np.random.default_rng(5)
    z = rng.standard_normal(len(model.id_sd))
    shape = model.shape(z * model.id_sd)
    prior = IdentityPrior(model, np.full(model.vertex_count, 40.0))
    # 1,100 patches of 1 mm against modes of millimetres: the prior shrinks by a few per cent;
    # the mean shift takes what a mode shares with it.
    assert np.abs(prior.coefficients(shape) - z).max() < 0.15
    assert np.abs(prior.coefficients(model.mean)).max() < 1e-9
