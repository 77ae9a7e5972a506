from __future__ import annotations

import numpy as np
import pytest
from toy_models import toy_model

from fg3d_builder.facemodel.learning.alignment import procrustes_aligned
from fg3d_builder.facemodel.learning.components import OldModel, aligned
from fg3d_builder.facemodel.learning.shapes import (
    Identities,
    measurements,
    mirror_partners,
    with_mirrored,
)
from fg3d_builder.geometry.pose import rotation_from_angles

MODEL = toy_model()


def moved_copies(count: int) -> Identities:
    rng = np.random.default_rng(1)
    face = MODEL.shape(MODEL.id_sd)
    shapes = []
    for _ in range(count):
        turn = rotation_from_angles(*rng.uniform(-4, 4, 3))
        shapes.append(face @ turn.T + rng.uniform(-5, 5, 3))
    names = tuple(f"s{i}" for i in range(count))
    return Identities(names, np.array(shapes), np.ones((count, len(face))))


def test_copies_of_one_face_come_to_lie_upon_each_other_in_the_reference_frame() -> None:
    copies = moved_copies(6)
    weights = measurements(MODEL) * MODEL.reliable
    aligned = procrustes_aligned(copies, MODEL.mean, weights)
    assert np.ptp(aligned.values, axis=0).max() < 1e-3
    # No rigid motion brings the mean closer to the reference than where it is.
    used = MODEL.reliable
    shift = (weights[used] @ (aligned.values[0] - MODEL.mean)[used]) / weights[used].sum()
    assert np.abs(shift).max() < 1e-3


def test_size_is_kept() -> None:
    copies = moved_copies(3)
    larger = copies._replace(values=copies.values * np.array([1.0, 1.1, 0.9])[:, None, None])
    aligned = procrustes_aligned(larger, MODEL.mean, measurements(MODEL) * MODEL.rigid)
    spread = np.linalg.norm(aligned.values - aligned.values.mean(axis=1, keepdims=True), axis=2)
    assert np.allclose(spread[1] / spread[0], 1.1)
    assert np.allclose(spread[2] / spread[0], 0.9)


def test_a_subject_of_whom_nothing_is_known_is_named() -> None:
    copies = moved_copies(3)
    copies.confidence[1] = 0.0
    with pytest.raises(ValueError, match="subject s1: nothing of the face"):
        aligned(OldModel.of_shapes(MODEL), copies, MODEL.mean)


def test_halves_of_faces_are_aligned_as_the_whole_faces_are() -> None:
    """A wide face, seen from the left alone, is not moved until its left half is the mean's."""
    old = OldModel.of_shapes(MODEL)
    rng = np.random.default_rng(2)
    z = rng.standard_normal((6, 12))
    values = MODEL.mean + np.einsum("ndk,sk->snd", MODEL.id_basis * MODEL.id_sd, z)
    names = tuple(f"s{i}" for i in range(6))
    whole = Identities(names, values, np.ones(values.shape[:2]))
    halves = np.array([side * MODEL.mean[:, 0] > -10 for side in (1, -1, 1, -1, 1, -1)])
    spoilt = np.where(halves[:, :, None], values, np.nan)
    by_half = aligned(old, Identities(names, spoilt, halves.astype(float)), MODEL.mean)
    by_whole = aligned(old, whole, MODEL.mean)
    off = np.linalg.norm(by_half.values - by_whole.values, axis=2)[halves]
    assert off.mean() < 0.1


def test_mirror_images_of_mirror_images_are_the_faces() -> None:
    partners = mirror_partners(MODEL)
    assert partners is not None
    faces = moved_copies(2)
    twice = with_mirrored(with_mirrored(faces, partners), partners)
    assert np.allclose(twice.values[6:8], faces.values)
    other = MODEL.mean[partners] * [-1, 1, 1]
    assert np.abs(other - MODEL.mean).max() < 0.5
