"""The prior and the term that close a face model's eyes."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.facemodel.surface_rows import embedded_rows, split_coefficients
from fg3d_builder.fitting.closed_lids import blinking, closing_actions, lid_terms
from fg3d_builder.fitting.map_solver import AT_HOME, Freedom, minimise
from fg3d_builder.fitting.terms import FaceState, PixelTerm
from fg3d_builder.geometry.camera import px_from_cam
from fg3d_builder.landmarks.edges import IBUG, MEDIAPIPE
from fg3d_builder.landmarks.eye_strip import lid_pairs
from fg3d_builder.landmarks.eyelids import Eyelids
from fg3d_builder.records import Array, Pose

LINE = np.array([[0.0, 0.0], [1.0, 0.0]])
POSE = Pose(1.0, np.diag([1.0, -1.0, -1.0]), np.array([0.0, 0.0, 600.0]))


def eyes(scheme: str, closed: tuple[bool, bool]) -> tuple[Eyelids, ...]:
    return tuple(
        Eyelids(pairs, float(shut), LINE if shut else None)
        for pairs, shut in zip(lid_pairs(scheme), closed, strict=True)
    )


def openings_mm(model: FaceModel, scheme: str, shape_obj_mm: Array) -> list[float]:
    """Mean heights between the lids of the right and the left eye."""
    return [
        float(
            np.mean(
                (
                    model.embedded(scheme, pairs.upper).points(shape_obj_mm, model.triangles)
                    - model.embedded(scheme, pairs.lower).points(shape_obj_mm, model.triangles)
                )[:, 1]
            )
        )
        for pairs in lid_pairs(scheme)
    ]


def rest_of_the_face(model: FaceModel) -> PixelTerm:
    """All landmarks but those around the eyes, where the mean face has them."""
    whole = model.embeddings[MEDIAPIPE]
    away = np.ones(len(whole.point_index), dtype=bool)
    places = whole.points(model.mean, model.triangles)
    for eye in lid_pairs(MEDIAPIPE):
        lids = model.embedded(MEDIAPIPE, eye.upper).points(model.mean, model.triangles)
        away &= np.linalg.norm(places - lids.mean(axis=0), axis=1) > 30.0
    rows = embedded_rows(model, whole.subset(whole.point_index[away]))
    camera = np.array([[900.0, 0.0, 240.0], [0.0, 900.0, 320.0], [0.0, 0.0, 1.0]])
    px = px_from_cam(POSE.cam_from_obj(rows.mean), camera)
    return PixelTerm(rows, px, camera, 3.0, np.full(len(px), 0.2), AT_HOME)


@pytest.mark.parametrize("scheme", [MEDIAPIPE, IBUG])
def test_the_action_that_closes_an_eye_is_found(default: FaceModel, scheme: str) -> None:
    for eye, side in zip(eyes(scheme, (True, True)), ("Right", "Left"), strict=True):
        closing = np.flatnonzero(closing_actions(default, scheme, eye))
        assert [default.exp_names[i] for i in closing] == [f"eyeBlink{side}"]


def test_only_the_closed_eye_may_blink_freely(default: FaceModel) -> None:
    model = blinking(default, MEDIAPIPE, eyes(MEDIAPIPE, (True, False)))
    changed = np.flatnonzero(model.exp_sd != default.exp_sd)
    assert [default.exp_names[i] for i in changed] == ["eyeBlinkRight"]
    assert blinking(default, MEDIAPIPE, eyes(MEDIAPIPE, (False, False))) is default


@pytest.mark.parametrize("closed", [(True, True), (True, False), (False, True)])
def test_the_nearest_face_with_closed_lids_blinks_and_keeps_its_identity(
    default: FaceModel, closed: tuple[bool, bool]
) -> None:
    seen = eyes(MEDIAPIPE, closed)
    model = blinking(default, MEDIAPIPE, seen)
    terms = [*lid_terms(model, MEDIAPIPE, seen), rest_of_the_face(model)]
    k, e = len(model.id_sd), len(model.exp_sd)
    lower = np.concatenate([np.full(k, -np.inf), model.exp_lower / model.exp_sd])
    upper = np.concatenate([np.full(k, np.inf), model.exp_upper / model.exp_sd])
    start = FaceState(POSE, np.zeros(k + e))
    found = minimise(start, lambda _: terms, Freedom(False, lower, upper), 20).state
    alpha_id, alpha_exp = split_coefficients(model, found.coefficients)
    wide = openings_mm(default, MEDIAPIPE, default.mean)
    left = openings_mm(default, MEDIAPIPE, default.shape(alpha_id, alpha_exp))
    for shut, before, after in zip(closed, wide, left, strict=True):
        assert abs(after) < 0.3 if shut else after > 0.8 * before
    # Eyes are not closed by being narrow.
    identity = openings_mm(default, MEDIAPIPE, default.shape(alpha_id))
    np.testing.assert_allclose(identity, wide, rtol=0.15)


def test_the_term_is_linear_in_the_coefficients(default: FaceModel) -> None:
    (term,) = lid_terms(default, IBUG, eyes(IBUG, (True, False)))
    size = len(default.id_sd) + len(default.exp_sd)
    state = FaceState(POSE, np.zeros(size))
    step = np.concatenate([np.zeros(7), 0.1 * np.random.default_rng(0).standard_normal(size)])
    gained = term.residual(state.moved(step)) - term.residual(state)
    np.testing.assert_allclose(gained, term.jacobian(state) @ step, atol=1e-9)


def test_points_that_a_model_does_not_embed_are_left_out(default: FaceModel) -> None:
    whole = default.embeddings[MEDIAPIPE]
    pairs = lid_pairs(MEDIAPIPE)[0]
    few = whole.subset(np.setdiff1d(whole.point_index, pairs.upper[:3]))
    none = whole.subset(np.setdiff1d(whole.point_index, pairs.upper))
    for embedding, count in ((few, 4), (none, 0)):
        model = dataclasses.replace(default, embeddings={MEDIAPIPE: embedding})
        (term,) = lid_terms(model, MEDIAPIPE, eyes(MEDIAPIPE, (True, False)))
        assert len(term.residual(FaceState(POSE, np.zeros(len(model.id_sd) + 42)))) == count
    assert blinking(model, MEDIAPIPE, eyes(MEDIAPIPE, (True, False))) is model
