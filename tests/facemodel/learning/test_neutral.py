from __future__ import annotations

import numpy as np
import pytest
from toy_models import toy_model

from fg3d_builder.facemodel.learning.components import OldModel, learnt_components, linear_of
from fg3d_builder.facemodel.learning.learn import Subjects, learn_expressions
from fg3d_builder.facemodel.learning.neutral import ExpressionRemoval
from fg3d_builder.facemodel.learning.reconstruction import LinearShapes
from fg3d_builder.facemodel.learning.shapes import CapturedShape
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.geometry.pose import rotation_from_angles
from fg3d_builder.records import Array

MODEL = toy_model()
SMILE = 0


def captured(
    subject: int, activation: float, rng: np.random.Generator, model: FaceModel = MODEL
) -> CapturedShape:
    """A subject's face, with its smile in its own strength, as it was registered."""
    own = np.random.default_rng([7, subject])
    alpha = model.id_sd * own.standard_normal(len(model.id_sd))
    gamma = np.zeros(len(model.exp_sd))
    gamma[SMILE] = activation * own.uniform(0.85, 1.15)
    shape = model.shape(alpha, gamma) + 0.1 * rng.standard_normal(model.mean.shape)
    tag = "smile" if activation else "neutral"
    return CapturedShape(f"s{subject:03d}", tag, shape, model.reliable.astype(float))


def true_face(subject: int) -> Array:
    own = np.random.default_rng([7, subject])
    return MODEL.shape(MODEL.id_sd * own.standard_normal(len(MODEL.id_sd)))


def test_one_face_is_found_in_a_neutral_and_a_smiling_capture() -> None:
    rng = np.random.default_rng(1)
    remove = ExpressionRemoval(MODEL)
    for subject in range(3):
        captures = [captured(subject, 0.0, rng), captured(subject, 0.8, rng)]
        face = remove(captures)
        seen = face.confidence > 0
        off = np.linalg.norm(face.shape_obj_mm - true_face(subject), axis=1)[seen]
        assert off.mean() < 0.25
        assert face.alpha_exp[1, SMILE] > 0.5
        assert face.alpha_exp[0].max() < 0.1


def test_a_rigid_offset_of_one_capture_is_taken_back() -> None:
    rng = np.random.default_rng(2)
    still, moved = captured(1, 0.0, rng), captured(1, 0.0, rng)
    turn = rotation_from_angles(0.8, -0.6, 0.4)
    moved = moved._replace(shape_obj_mm=moved.shape_obj_mm @ turn.T + [0.6, -0.4, 0.5])
    face = ExpressionRemoval(MODEL)([still, moved])
    apart = np.linalg.norm(face.moved_mm[0] - face.moved_mm[1], axis=1)[MODEL.rigid]
    assert np.median(apart) < 0.35  # the noise of both


def test_where_nothing_was_seen_the_shape_takes_no_part() -> None:
    rng = np.random.default_rng(3)
    one, other = captured(2, 0.0, rng), captured(2, 0.0, rng)
    hidden = MODEL.mean[:, 0] > 30
    confidence = np.where(hidden, 0.0, other.confidence)
    spoilt = np.where(hidden[:, None], other.shape_obj_mm + 50.0, other.shape_obj_mm)
    remove = ExpressionRemoval(MODEL)
    faces = [
        remove([one, other._replace(confidence=confidence, shape_obj_mm=shape)])
        for shape in (other.shape_obj_mm, spoilt)
    ]
    seen = faces[0].confidence > 0
    assert np.array_equal(faces[0].shape_obj_mm[seen], faces[1].shape_obj_mm[seen])
    assert np.array_equal(faces[0].confidence, faces[1].confidence)


def test_smiles_of_half_of_the_subjects_do_not_leak_into_identities() -> None:
    old = OldModel.of_shapes(MODEL)
    models = []
    for smiling in (False, True):
        rng = np.random.default_rng(4)
        subjects = Subjects(MODEL)
        for subject in range(40):
            activation = 0.8 if smiling and subject % 2 else 0.0
            subjects.add([captured(subject, activation, rng)])
        models.append(linear_of(learnt_components(old, subjects.identities(), 12, 4.0)))
    without, with_smiles = (_along_smile(model) for model in models)
    smile = MODEL.exp_basis[:, :, SMILE].ravel()
    length = float(np.linalg.norm(smile))
    # Half of the people at 0.8 would add 0.4 activations of standard deviation, and to the mean.
    leaked = np.sqrt(max(with_smiles - without, 0.0)) / length
    assert leaked < 0.1
    shift = float((models[1].mean - models[0].mean).ravel() @ smile) / length**2
    assert abs(shift) < 0.1


def _along_smile(model: LinearShapes) -> float:
    """Variance of a model along the direction of the smile, in units of its length."""
    smile = MODEL.exp_basis[:, :, SMILE].ravel()
    along = model.basis.reshape(smile.size, -1).T @ (smile / np.linalg.norm(smile))
    return float((along**2).sum())


def test_an_expression_that_the_old_model_does_not_have_is_learnt() -> None:
    """Everyone also puffs a cheek, which no direction of the toy does."""
    puff = np.exp(-(((MODEL.mean - [45.0, -20.0, 60.0]) / 18.0) ** 2).sum(axis=1))
    outwards = puff[:, None] * [[0.6, 0.0, 0.8]]
    rng = np.random.default_rng(5)
    subjects = Subjects(MODEL)
    for subject in range(16):
        still, puffed = captured(subject, 0.0, rng), captured(subject, 0.4, rng)
        own = puffed.shape_obj_mm + rng.uniform(2.0, 6.0) * outwards
        subjects.add([still, puffed._replace(shape_obj_mm=own)])
    extra = learn_expressions(MODEL, subjects, 1)
    seen = MODEL.reliable
    ours, true = extra.basis[seen, :, 0].ravel(), outwards[seen].ravel()
    assert abs(ours @ true) > 0.85 * np.linalg.norm(ours) * np.linalg.norm(true)
    with pytest.raises(ValueError, match="20 expression directions cannot be learnt from 16"):
        learn_expressions(MODEL, subjects, 20)
