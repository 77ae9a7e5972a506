"""Regressions on pictures and fits, learnt without a part of the subjects each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pytest
import torch

from fg3d_builder.fgnet import first_look
from fg3d_builder.fgnet.displacement_modes import Displacements
from fg3d_builder.fgnet.first_look import (
    FOLDS,
    FirstLook,
    Looked,
    folds_of,
    inputs_of,
    learn_first_look,
    pictures_of,
    populations_of,
)
from fg3d_builder.fgnet.networks.architectures import NetworkInput
from fg3d_builder.records import Array
from fg3d_builder.shards.sampling import scattered

FEATURES, PICTURED, VERTICES = 6, 30, 20


class World:
    """Subjects whose displacement is linear in their inputs, but for noise."""

    def __init__(self, count: int, subjects: int, noise_mm: float = 0.05) -> None:
        rng = np.random.default_rng(count)
        self.inputs = rng.normal(size=(count, FEATURES + PICTURED)).astype(np.float32)
        self.inputs *= np.geomspace(0.1, 10.0, FEATURES + PICTURED).astype(np.float32)
        slope = (
            rng.normal(size=(FEATURES + PICTURED, VERTICES, 3))
            / self.inputs.std(axis=0)[:, None, None]
        )
        self.offset_mm = 0.5 + np.einsum("sk,knc->snc", self.inputs, slope)
        self.offset_mm += noise_mm * rng.normal(size=self.offset_mm.shape)
        self.subjects = np.array([f"s{i % subjects:03d}" for i in range(count)])

    def looked(self, numbers: Sequence[int]) -> Iterable[Looked]:
        for first in range(0, len(numbers), 7):
            some = list(numbers[first : first + 7])
            yield Looked(some, self.inputs[some])

    def displacements(self, numbers: Sequence[int]) -> Displacements:
        rows = list(numbers)
        features = self.inputs[rows, :FEATURES].astype(np.float64)
        offset = self.offset_mm[rows].astype(np.float32)
        return Displacements(features, offset, self.subjects[rows])

    def learnt(self, populations: Array | None = None) -> FirstLook:
        folds = folds_of(self.subjects)
        return learn_first_look(self.looked, self.displacements, folds, FEATURES, populations)


def rms(values: Array) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def test_a_linear_answer_is_found_and_new_faces_get_it() -> None:
    world = World(900, 90)
    look = world.learnt()
    answer = look(torch.from_numpy(world.inputs)).numpy()
    near = look.trust(torch.from_numpy(world.inputs)).numpy() == 1.0
    assert near.mean() == pytest.approx(0.99, abs=0.01)
    left = answer[near] - world.offset_mm[near]
    assert rms(left) < 0.1 * rms(world.offset_mm[near])


def test_a_sample_in_training_gets_the_answer_of_who_has_not_seen_its_subject(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # What is chosen by the errors on all folds must not hide what one of them is told.
    alike = first_look.Chosen(strength=0.1, constant=1.0, answer=1.0)
    monkeypatch.setattr(first_look, "choose", lambda *_: alike)
    world = World(300, 30)
    fold = folds_of(world.subjects)
    before = world.learnt()
    mean = world.offset_mm[fold == 1].mean(axis=0)
    world.offset_mm[fold == 1] = 2.0 * mean - world.offset_mm[fold == 1]
    after = world.learnt()
    own = torch.full((len(fold),), 1)
    inputs = torch.from_numpy(world.inputs)

    def slope(look: FirstLook, chosen: torch.Tensor) -> Array:
        answers = look(inputs, chosen).numpy() - look.constant_mm.numpy()
        return np.asarray(answers - answers.mean(axis=0))

    # What is regressed without fold 1 does not know that all is the other way round there.
    # (The stored modes hold 99.8 % of the variance of what is answered.)
    assert rms(slope(after, own) - slope(before, own)) < 0.1 * rms(slope(before, own))
    other = torch.zeros_like(own)
    assert rms(slope(after, other) - slope(before, other)) > 0.3 * rms(slope(before, other))


def test_what_is_no_linear_function_of_the_inputs_is_found_too() -> None:
    world = World(1200, 400, noise_mm=0.0)
    across = world.inputs[:, 0] / world.inputs[:, 0].std()
    bend = np.random.default_rng(9).normal(size=(VERTICES, 3))
    world.offset_mm = across[:, None, None] ** 2 * bend  # no linear function tells any of it
    fold = torch.from_numpy(folds_of(world.subjects))
    left = world.learnt()(torch.from_numpy(world.inputs), fold).numpy() - world.offset_mm
    assert rms(left) < 0.75 * rms(world.offset_mm - world.offset_mm.mean(axis=0))


def test_a_place_where_training_pictures_hardly_varied_does_not_decide() -> None:
    """What a picture shows where all of them were black is worth no more than another pixel."""
    world = World(300, 60)
    world.inputs[:, -1] = 1e-4 * np.random.default_rng(2).normal(size=300)
    look = world.learnt()
    usual = torch.from_numpy(world.inputs[:20])
    lit = usual.clone()
    lit[:, -1] = float(world.inputs[:, FEATURES:].std())
    changed = (look(lit) - look(usual)).numpy()
    assert rms(changed) < 0.2 * rms(world.offset_mm - world.offset_mm.mean(axis=0))
    assert float(look.trust(lit).mean()) > 0.9


def test_noise_gives_a_strong_ridge() -> None:
    world = World(200, 50)
    world.offset_mm = np.random.default_rng(3).normal(size=world.offset_mm.shape) + 1.0
    look = world.learnt()
    fold = torch.from_numpy(folds_of(world.subjects))
    left_out = look(torch.from_numpy(world.inputs), fold).numpy() - world.offset_mm
    assert rms(left_out) < 1.05 * rms(world.offset_mm - world.offset_mm.mean(axis=0))


def test_of_one_subject_it_is_the_constant() -> None:
    world = World(40, 1)
    look = world.learnt()
    answer = look(torch.from_numpy(world.inputs[:3])).numpy()
    trust = look.trust(torch.from_numpy(world.inputs[:3])).numpy()
    expected = trust[:, None, None] * world.offset_mm.mean(axis=0)
    np.testing.assert_allclose(answer, expected, atol=1e-4)


def test_of_one_sample_it_is_its_displacement() -> None:
    world = World(5, 5)
    fold = folds_of(world.subjects[:1])
    look = learn_first_look(world.looked, world.displacements, fold, FEATURES)
    answer = look(torch.from_numpy(world.inputs)).numpy()
    expected = np.broadcast_to(world.offset_mm[:1], answer.shape)
    np.testing.assert_allclose(answer, expected, atol=1e-4)


def test_a_fold_that_is_not_learnt_from_has_a_regression(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(first_look, "MOST_SAMPLES", 10)
    world = World(100, 10)
    left_out = sorted(set(range(100)) - set(scattered(100, 10)))
    world.subjects[:] = np.where(np.arange(100) % 2 == 0, "a", "b")
    world.subjects[left_out[0]] = "c"
    fold = torch.from_numpy(folds_of(world.subjects))
    answer = world.learnt()(torch.from_numpy(world.inputs), fold)
    assert torch.isfinite(answer).all()


def test_answers_shrink_far_from_the_training_samples() -> None:
    world = World(300, 30)
    look = world.learnt()
    far = look.centre + 1000.0 * (torch.from_numpy(world.inputs[:1]) - look.centre)
    assert look(far).abs().max() < 0.01 * 1000.0 * np.abs(world.offset_mm).max()
    assert float(look.trust(far)) < 1e-4


def test_of_an_answer_is_kept_what_is_true_of_the_population_that_has_least_of_it() -> None:
    """Three populations, of which the last has half the slope of the others and a fifth of their
    constant: what the others tell of it is too large by just that."""
    world = World(900, 90, noise_mm=0.0)
    population = np.arange(900) % 90 // 30  # thirty subjects each, ten of every fold
    constant = 5.0 * np.random.default_rng(4).normal(size=(VERTICES, 3))
    slope = np.empty_like(world.offset_mm)
    for number in range(3):  # of which no inputs are other than those of the others on average
        own = population == number
        slope[own] = world.offset_mm[own] - world.offset_mm[own].mean(axis=0)
        world.inputs[own] -= world.inputs[own].mean(axis=0)
    last = (population == 2)[:, None, None]
    world.offset_mm = np.where(last, 0.2 * constant + 0.5 * slope, constant + slope)
    world.offset_mm = world.offset_mm.astype(np.float32)
    inputs = torch.from_numpy(world.inputs)
    alone, kept = world.learnt(), world.learnt(population)
    factor = float((kept.constant_mm / alone.constant_mm).median())
    assert factor == pytest.approx(0.2, abs=0.03)

    def varied(look: FirstLook) -> Array:
        rest = look(inputs) / look.trust(inputs)[:, None, None] - look.constant_mm
        return np.asarray(rest.numpy())

    ratio = np.sum(varied(kept) * varied(alone)) / np.sum(varied(alone) ** 2)
    assert ratio == pytest.approx(0.5, abs=0.06)


def test_of_an_answer_that_is_true_of_all_populations_all_is_kept() -> None:
    world = World(900, 90)
    alone, kept = world.learnt(), world.learnt(np.arange(900) % 90 // 30)
    inputs = torch.from_numpy(world.inputs)
    assert rms((kept(inputs) - alone(inputs)).numpy()) < 0.05 * rms(alone(inputs).numpy())


def test_a_population_is_what_the_first_fitting_pattern_names() -> None:
    names = ["lab-7", "synthetic-14-1", "synthetic-15-3", "lab-2"]
    found = populations_of(names, ("lab-*", "synthetic-14-*", "synthetic-*"))
    assert found.tolist() == [0, 1, 2, 0]
    with pytest.raises(ValueError, match=r"synthetic-15-3 is of none"):
        populations_of(names, ("lab-*", "synthetic-14-*"))
    with pytest.raises(ValueError, match=r"no training subject is of population 'lba-\*'"):
        populations_of(names, ("*", "lba-*"))


def test_it_is_read_back_as_it_was() -> None:
    world = World(60, 12)
    look = world.learnt()
    again = FirstLook.from_state(look.state_dict())
    inputs = torch.from_numpy(world.inputs)
    assert torch.equal(again(inputs), look(inputs))


def test_folds_hold_whole_subjects_and_are_alike_in_size() -> None:
    subjects = [f"s{i // 4}" for i in range(120)]
    folds = folds_of(subjects)
    by_subject = {name: set(folds[np.array(subjects) == name].tolist()) for name in set(subjects)}
    assert all(len(found) == 1 for found in by_subject.values())
    assert np.bincount(folds).tolist() == [40] * FOLDS


def test_pictures_are_what_the_network_is_given() -> None:
    generator = torch.Generator().manual_seed(0)
    image = torch.rand(2, 3, 8, 8, generator=generator)
    views = torch.rand(2, 5, 3, 8, 8, generator=generator)
    assert pictures_of(NetworkInput(views=views)) is views
    assert torch.equal(pictures_of(NetworkInput(image=image))[:, 0], image)
    grid = torch.nn.functional.affine_grid(
        torch.eye(2, 3).expand(2, 2, 3), [2, 1, 8, 8], align_corners=False
    )
    seen = torch.ones(2, 1, 8, 8)
    seen[:, :, 0] = 0.0
    warped = pictures_of(NetworkInput(image=image, uv_from_image=grid, image_visible=seen))
    torch.testing.assert_close(warped[:, 0, :, 1:], image[:, :, 1:], atol=1e-5, rtol=1e-5)
    assert torch.all(warped[:, 0, :, 0] == 0.0)
    features = torch.rand(2, 4, generator=generator)
    assert torch.equal(inputs_of(NetworkInput(image=image), features)[:, :4], features)
    with pytest.raises(ValueError, match="pictures"):
        pictures_of(NetworkInput())
