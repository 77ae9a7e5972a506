from __future__ import annotations

import dataclasses
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from toy_models import toy_model

from fg3d_builder.facemodel.learning.choice import chosen, most_modes
from fg3d_builder.facemodel.learning.components import (
    OldModel,
    even_sample,
    learnt_components,
)
from fg3d_builder.facemodel.learning.learn import LearningOptions, Subjects, learn_components
from fg3d_builder.facemodel.learning.model import learnt_model, old_coefficients
from fg3d_builder.facemodel.learning.shapes import CapturedShape, Identities
from fg3d_builder.facemodel.origin import Origin
from fg3d_builder.facemodel.storage import load_model, save_model
from fg3d_builder.heads.library import default_model
from fg3d_builder.numerics.weighted_ppca import Components

MODEL = toy_model()
OLD = OldModel.of_shapes(MODEL)


def faces(count: int, seed: int = 1) -> Identities:
    """Faces of the toy model with a bump of their own that it does not know."""
    rng = np.random.default_rng(seed)
    z = rng.standard_normal((count, 12))
    near = np.exp(-(((MODEL.mean - MODEL.mean[1400]) / 25.0) ** 2).sum(axis=1))
    bump = 4.0 * rng.standard_normal((count, 1)) * [[0.0, 0.0, 1.0]]
    values = MODEL.mean + np.einsum("ndk,sk->snd", MODEL.id_basis * MODEL.id_sd, z)
    values = values + near[:, None] * bump[:, None]
    confidence = np.tile(np.where(MODEL.mean[:, 1] > -70, 1.0, 0.0), (count, 1))
    names = tuple(f"s{i:03d}" for i in range(count))
    return Identities(names, values, confidence)


def test_the_order_of_subjects_does_not_matter() -> None:
    some = faces(12)
    order = np.random.default_rng(3).permutation(12)
    one = learnt_components(OLD, some, 6, 3.0)
    other = learnt_components(OLD, some.subset(order), 6, 3.0)
    assert np.allclose(one.mean, other.mean, atol=1e-8)
    assert np.allclose(one.basis, other.basis, atol=1e-8)


def test_unseen_vertices_do_not_count_but_follow_the_old_model() -> None:
    some = faces(40)
    spoilt = some._replace(values=np.where(some.confidence[:, :, None] > 0, some.values, 1e3))
    one, other = (learnt_components(OLD, who, 13, 4.0) for who in (some, spoilt))
    assert np.array_equal(one.mean, other.mean)
    assert np.array_equal(one.basis, other.basis)
    # A face of the old model, seen above, continues below as the old model has it.
    face = MODEL.mean + (MODEL.id_basis * MODEL.id_sd) @ np.linspace(1, -1, 12)
    seen = some.confidence[0] > 0
    basis = (one.basis * one.sd).reshape(-1, 13)
    rows = np.repeat(seen, 3)
    apart = (face - one.mean).ravel()
    z = np.linalg.lstsq(basis[rows], apart[rows], rcond=None)[0]
    left = np.linalg.norm((apart - basis @ z).reshape(-1, 3), axis=1)
    moved = np.linalg.norm(face - MODEL.mean, axis=1)
    assert left[~seen].mean() < 0.35 * moved[~seen].mean()


def test_unseen_vertices_vary_no_more_than_before() -> None:
    """With more modes than the old model has, nothing determines some of them there."""
    some = faces(10)
    some = some._replace(confidence=np.maximum(some.confidence, 1e-3).astype(np.float32))
    found = learnt_components(OLD, some, 20, 3.0)
    rim = MODEL.mean[:, 1] <= -70
    learnt = np.einsum("ndk,k->n", found.basis**2, found.sd**2)[rim]
    before = np.einsum("ndk,k->n", MODEL.id_basis**2, MODEL.id_sd**2)[rim]
    assert learnt.mean() < 1.5 * before.mean()


def test_memory_holds_the_shapes_some_nine_times_with_their_mirror_images() -> None:
    some = faces(400)
    some = some._replace(
        values=some.values.astype(np.float32), confidence=some.confidence.astype(np.float32)
    )
    tracemalloc.start()
    learnt_components(OLD, some, 2, 10.0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    print(f"beside the shapes {peak / some.values.nbytes:.1f} times their size")
    assert peak < 10.0 * some.values.nbytes


def test_what_the_old_model_does_not_know_is_learnt() -> None:
    found, _ = learn_components(OLD, faces(60), LearningOptions(modes=14, prior_subjects=4.0))
    # The bump's standard deviation is 4 mm at its middle, on top of the old model's.
    variance = (found.basis[1400] ** 2 @ found.sd**2)[2]
    before = (MODEL.id_basis[1400] ** 2 @ MODEL.id_sd**2)[2]
    assert 0.6 * 4.0**2 < variance - before < 1.4 * 4.0**2


def test_more_modes_are_kept_where_faces_left_out_ask_for_them() -> None:
    choice = chosen(OLD, faces(16), prior_subjects=4.0)
    assert choice.modes >= 8
    assert choice.by_modes[1] > 1.5 * choice.by_modes[choice.modes]


def test_modes_and_prior_are_taken_where_they_are_given() -> None:
    choice = chosen(OLD, faces(6), modes=4, prior_subjects=2.0)
    assert (choice.modes, choice.prior_subjects) == (4, 2.0)


def test_as_many_modes_as_all_subjects_determine_can_be_asked_for() -> None:
    """Although the prior is chosen by models of fewer subjects, which determine fewer modes."""
    most = most_modes(OLD, 6)
    found, choice = learn_components(OLD, faces(6), LearningOptions(modes=most))
    assert choice.modes == len(found.sd) == most
    assert max(choice.by_modes) < most


def test_a_face_that_says_nothing_of_halves_does_not_decide() -> None:
    """A corner of a face has no hidden half."""
    some = faces(12)
    corner = (MODEL.mean[:, 0] > 30) & (MODEL.mean[:, 1] > 30)
    confidence = some.confidence.copy()
    confidence[5] *= corner
    choice = chosen(OLD, some._replace(confidence=confidence), prior_subjects=4.0)
    assert choice.modes > 1
    assert np.isfinite(list(choice.by_modes.values())).all()
    with pytest.raises(ValueError, match="of no subject is seen"):
        chosen(OLD, some._replace(confidence=some.confidence * corner), prior_subjects=4.0)


def test_too_few_subjects_and_too_many_modes_are_refused() -> None:
    subjects = Subjects(MODEL)
    subjects.add([CapturedShape("anna", "neutral", MODEL.mean, np.ones(MODEL.vertex_count))])
    with pytest.raises(ValueError, match=r"3 subjects at least.*there are 1: anna"):
        subjects.identities()
    with pytest.raises(ValueError, match="40 modes cannot be learnt: 6 subjects and their mirror"):
        learn_components(OLD, faces(6), LearningOptions(modes=40))


def test_a_sample_of_vertices_has_all_partners_and_stands_for_all_of_the_area() -> None:
    sample = even_sample(OLD, 400)
    small = OLD.at(sample)
    assert small.partners is not None
    assert np.array_equal(small.partners[small.partners], np.arange(len(sample)))
    assert small.measurements.sum() == pytest.approx(OLD.measurements.sum())


def test_a_learnt_model_is_stored_and_read_with_all_that_the_old_one_had(tmp_path: Path) -> None:
    found = learnt_components(OLD, faces(10), 8, 2.0)
    model = learnt_model(MODEL, found, "ours", "CC0")
    save_model(model, tmp_path / "ours.h5")
    read = load_model(tmp_path / "ours.h5")
    assert read.topology_hash == MODEL.topology_hash
    assert read.name == "ours"
    assert read.exp_names == MODEL.exp_names
    assert len(read.id_sd) == 8
    assert np.allclose(read.mean, found.mean, atol=1e-4)


def test_a_surround_follows_the_old_identities_within_the_learnt_ones() -> None:
    """Where the learnt modes are the old ones, the surround is the old one."""
    old = default_model()
    same = Components(old.mean, old.id_basis, old.id_sd, 0.01, (), True)
    model = learnt_model(old, same, "same", "CC0")
    assert old.surround is not None
    assert model.surround is not None
    alpha = old.id_sd * np.random.default_rng(4).standard_normal(len(old.id_sd))
    off = np.linalg.norm(model.surround.shape(alpha) - old.surround.shape(alpha), axis=1)
    moved = np.linalg.norm(old.surround.shape(alpha) - old.surround.mean, axis=1)
    assert off.mean() < 0.05 * moved.mean()


def test_the_file_around_an_imported_face_follows_it() -> None:
    """Vertices beside those of the sheet stay near, those at the same places stay there."""
    count = MODEL.vertex_count
    beyond = np.arange(0, count, 7)
    same = beyond % 2 == 0
    beside = MODEL.mean[beyond] + np.where(same, 0.0, 0.01)[:, None]
    origin = Origin(
        layout="toy",
        mean=np.concatenate([MODEL.mean, beside]),
        polygons=MODEL.triangles,
        uv=None,
        sheet_vertex=np.arange(count, dtype=np.int32),
        outside=count + np.arange(len(beyond), dtype=np.int32),
        outside_id_basis=MODEL.id_basis[beyond],
    )
    old = dataclasses.replace(MODEL, origin=origin)
    shifted = Components(
        MODEL.shape(0.5 * MODEL.id_sd), MODEL.id_basis[:, :, :5], MODEL.id_sd[:5], 0.01, (), True
    )
    model = learnt_model(old, shifted, "same", "CC0")
    assert model.origin is not None
    np.testing.assert_array_equal(model.origin.mean[:count], model.mean)
    off = np.linalg.norm(model.origin.mean[count:] - model.mean[beyond], axis=1)
    moved = np.linalg.norm(model.mean - MODEL.mean, axis=1)
    assert off.mean() < 0.05 * moved.mean()
    assert np.all(off[same] == 0)
    np.testing.assert_array_equal(model.origin.outside_id_basis[same], model.id_basis[beyond[same]])
    assert model.origin.outside_id_basis.shape == (len(beyond), 3, 5)


def test_a_surround_meets_a_face_that_the_old_model_does_not_know() -> None:
    old = default_model()
    surround = old.surround
    assert surround is not None
    rim = np.exp(-(((old.mean - old.mean[np.argmax(old.mean[:, 0])]) / 30.0) ** 2).sum(axis=1))
    unknown = rim[:, None] * [[3.0, 0.0, 0.0]]
    alpha = old_coefficients(old, unknown[:, :, None])
    left = unknown - (old.id_basis @ alpha)[:, :, 0]
    assert np.abs(left).max() > 1.0
    found = Components(old.mean, (unknown / 10.0)[:, :, None], np.array([10.0]), 0.01, (), True)
    model = learnt_model(old, found, "rim", "CC0")
    assert model.surround is not None
    face = model.shape(np.array([10.0]))
    head = model.surround.shape(np.array([10.0]))
    off = head[surround.skirt] - surround.attached(face, old.triangles)
    before = surround.mean[surround.skirt] - surround.attached(old.mean, old.triangles)
    assert np.linalg.norm(off - before, axis=1).max() < 0.5
