"""Regressions of displacements on the coefficients of fits, against known truth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from fg3d_builder.fgnet.calibration import Calibration, features_of, learn
from fg3d_builder.fgnet.displacement_modes import Displacements
from fg3d_builder.geometry.pose import rotation_from_angles
from fg3d_builder.records import Array

SUBJECTS, VERTICES, WIDTH = 60, 30, 8


class World:
    """Faces whose displacement is a constant, a linear answer to the features, and noise."""

    def __init__(self, noise_mm: float, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.constant_mm = rng.normal(size=(VERTICES, 3))
        self.slope_mm = rng.normal(size=(WIDTH, VERTICES, 3))
        self.mean, self.sd = rng.normal(size=WIDTH), rng.uniform(0.5, 20.0, WIDTH)
        self._rng, self._noise_mm = rng, noise_mm

    def truth_mm(self, features: Array) -> Array:
        standard = (features - self.mean) / self.sd
        return np.asarray(self.constant_mm + np.einsum("sk,knc->snc", standard, self.slope_mm))

    def drawn(self, count: int, subjects: int = SUBJECTS) -> Displacements:
        features = self.mean + self.sd * self._rng.normal(size=(count, WIDTH))
        noise = self._noise_mm * self._rng.normal(size=(count, VERTICES, 3))
        offset = (self.truth_mm(features) + noise).astype(np.float32)
        return Displacements(features, offset, np.array([f"s{i % subjects}" for i in range(count)]))


def learnt(samples: Displacements) -> Calibration:
    def read(numbers: Sequence[int]) -> Displacements:
        rows = list(numbers)
        return Displacements(*(field[rows] for field in samples))

    return learn(read, len(samples.features))


def answered(calibration: Calibration, features: Array) -> Array:
    return np.asarray(calibration(torch.from_numpy(features).float()).numpy())


def test_a_linear_answer_without_noise_is_found() -> None:
    world = World(noise_mm=0.0)
    calibration = learnt(world.drawn(600))
    fresh = world.drawn(50)
    near = calibration.trust(torch.from_numpy(fresh.features).float()).numpy() == 1.0
    assert near.mean() > 0.9
    # 99.9 % of the predicted variance is kept.
    error = answered(calibration, fresh.features)[near] - fresh.offset_mm[near]
    assert np.sqrt(np.mean(error**2)) < 0.04 * np.sqrt(np.mean(fresh.offset_mm**2))
    np.testing.assert_allclose(calibration.constant_mm.numpy(), world.constant_mm, atol=0.35)


def test_noise_is_not_learnt() -> None:
    """Where coefficients tell nothing the ridge is strong, and unseen faces do not get worse."""
    world = World(noise_mm=3.0)
    world.slope_mm[:] = 0.0
    samples = world.drawn(120)
    fresh = world.drawn(500)
    error = answered(learnt(samples), fresh.features) - fresh.offset_mm
    constant = samples.offset_mm.mean(axis=0) - fresh.offset_mm
    assert np.mean(error**2) < 1.01 * np.mean(constant**2)


def test_new_faces_of_the_same_kind_are_trusted_even_after_few_samples() -> None:
    """What is near is told by faces that distances were not learnt from."""
    rng = np.random.default_rng(4)
    count, width = 150, 40
    offset = rng.normal(size=(count, VERTICES, 3)).astype(np.float32)
    subjects = np.array([f"s{i}" for i in range(count)])
    calibration = learnt(Displacements(rng.normal(size=(count, width)), offset, subjects))
    trust = calibration.trust(torch.from_numpy(rng.normal(size=(2000, width))).float()).numpy()
    assert (trust == 1.0).mean() > 0.95


def test_a_single_sample_gives_its_displacement() -> None:
    world = World(noise_mm=0.1)
    sample, fresh = world.drawn(1), world.drawn(5)
    expected = np.broadcast_to(sample.offset_mm, fresh.offset_mm.shape)
    np.testing.assert_allclose(answered(learnt(sample), fresh.features), expected, atol=1e-5)


def test_what_never_varied_in_training_takes_no_trust_away() -> None:
    world = World(noise_mm=0.1)
    samples, fresh = world.drawn(600), world.drawn(50)
    samples.features[:, 3] = 0.0
    fresh.features[:, 3] = 0.0
    calibration = learnt(samples)
    before = answered(calibration, fresh.features)
    fresh.features[:, 3] = 1.0
    np.testing.assert_array_equal(answered(calibration, fresh.features), before)


def test_answers_shrink_to_the_fit_far_from_the_training_samples() -> None:
    world = World(noise_mm=0.1)
    calibration = learnt(world.drawn(600))
    direction = np.zeros((1, WIDTH))
    direction[0, 2] = world.sd[2]
    trust = [
        float(calibration.trust(torch.from_numpy(world.mean + sd * direction).float()))
        for sd in (0.0, 1.0, 10.0, 100.0)
    ]
    assert trust[:2] == [1.0, 1.0]
    assert trust[2] < 0.5
    assert trust[3] == pytest.approx(trust[2] / 100.0, rel=0.1)  # with the square of the distance
    far = answered(calibration, world.mean + 1000.0 * direction)
    # The regression itself would answer with a thousand slopes.
    assert np.abs(far).max() < 0.01 * 1000.0 * np.abs(world.slope_mm[2]).max()


def test_the_answer_does_not_depend_on_units() -> None:
    world = World(noise_mm=0.5)
    samples = world.drawn(300)
    scale = np.geomspace(1e-2, 1e2, WIDTH)
    scaled = samples._replace(features=samples.features * scale)
    one = answered(learnt(samples), samples.features[:20])
    np.testing.assert_allclose(answered(learnt(scaled), scaled.features[:20]), one, atol=2e-3)


def test_of_one_subject_it_is_the_constant() -> None:
    samples = World(noise_mm=0.1).drawn(40, subjects=1)
    calibration = learnt(samples)
    near = answered(calibration, calibration.centre.numpy()[None])[0]
    np.testing.assert_allclose(near, samples.offset_mm.mean(axis=0), atol=1e-5)
    other = answered(calibration, samples.features[:1])[0]
    np.testing.assert_allclose(other, near, atol=1e-5)


def test_it_is_read_back_as_it_was() -> None:
    world = World(noise_mm=0.5)
    calibration = learnt(world.drawn(100))
    again = Calibration.from_state(calibration.state_dict())
    features = world.drawn(5).features
    np.testing.assert_array_equal(answered(again, features), answered(calibration, features))


def test_features_of_mirrored_heads_differ_in_sign_alone() -> None:
    rotations = np.stack([rotation_from_angles(10.0, yaw, 0.0) for yaw in (30.0, -30.0, 0.0)])
    features = features_of(torch.zeros(3, 2), torch.from_numpy(rotations).float())
    left, right, front = features.numpy()
    assert left[2] == pytest.approx(-right[2])
    assert abs(left[2]) == pytest.approx(
        np.sin(np.radians(30.0)) * np.cos(np.radians(10.0)), rel=0.1
    )
    np.testing.assert_allclose(left[3:], right[3:], atol=1e-6)
    assert front[2] == pytest.approx(0.0, abs=1e-6)
