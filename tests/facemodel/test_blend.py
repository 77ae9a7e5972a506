"""Blends: the moments are those of the mixture, shapes arrive where they belong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fg3d_builder.facemodel.blend import (
    BlendSource,
    blended_model,
    blended_moments,
    carried_source,
    joined_licence,
)
from fg3d_builder.facemodel.blend_storage import load_blend_sources, save_blend
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.facemodel.storage import load_model, save_model
from fg3d_builder.geometry.alignment import align_similarity
from fg3d_builder.geometry.meshes import vertex_areas
from fg3d_builder.geometry.pose import rotation_from_angles
from tests.toy_models import toy_model


@pytest.fixture(scope="module")
def toy() -> FaceModel:
    return toy_model(0)


def other_people(toy: FaceModel) -> FaceModel:
    """The same sheet with a larger mean face, other modes and another licence."""
    other = toy_model(5)
    return replace(
        toy,
        name="others",
        licence="ours alone",
        mean=1.04 * toy.mean,
        id_basis=other.id_basis,
        id_sd=0.7 * other.id_sd,
    )


def sources(toy: FaceModel, share: float) -> list[BlendSource]:
    return [
        carried_source(toy, toy, share),
        carried_source(toy, other_people(toy), 1.0 - share),
    ]


def test_moments_are_those_of_weighted_samples(toy: FaceModel) -> None:
    drawn_from = sources(toy, 0.3)
    rng = np.random.default_rng(0)
    picked = rng.random(20_000) < 0.3
    vertices = np.arange(0, toy.vertex_count, 400)
    thinned = [
        replace(s, mean_mm=s.mean_mm[vertices], deviations_mm=s.deviations_mm[:, vertices])
        for s in drawn_from
    ]
    faces = np.array(
        [
            s.face(rng.standard_normal(len(s.deviations_mm)))
            for s in (thinned[0] if first else thinned[1] for first in picked)
        ]
    ).reshape(len(picked), -1)
    mean, deviations = blended_moments(thinned)
    flat = deviations.reshape(len(deviations), -1)
    np.testing.assert_allclose(faces.mean(axis=0), mean.ravel(), atol=0.15)
    expected = flat.T @ flat
    found = np.cov(faces.T)
    assert np.abs(found - expected).max() < 0.05 * np.abs(expected).max()


def test_standard_deviations_are_honest(toy: FaceModel) -> None:
    """With all modes, the blend has as much variance at each vertex as the mixture."""
    drawn_from = sources(toy, 0.5)
    _, deviations = blended_moments(drawn_from)
    rank = np.linalg.matrix_rank(deviations.reshape(len(deviations), -1), tol=1e-3)
    blend = blended_model(toy, drawn_from, "both", int(rank))
    np.testing.assert_allclose(
        ((blend.id_basis * blend.id_sd) ** 2).sum(axis=(1, 2)),
        (deviations**2).sum(axis=(0, 2)),
        rtol=1e-3,
        atol=1e-3,
    )
    np.testing.assert_allclose((blend.id_basis**2).sum(axis=(0, 1)), 1.0)
    assert blend.exp_names == toy.exp_names
    assert blend.licence == "CC0 + ours alone"


def test_a_model_blended_with_itself_stays_what_it_is(toy: FaceModel) -> None:
    same = blended_model(toy, [carried_source(toy, toy, w) for w in (0.25, 0.75)], "same", 12)
    np.testing.assert_allclose(same.mean, toy.mean, atol=0.05)
    # The toy's modes also turn and shift the face, which is no part of an identity.
    used = np.flatnonzero(toy.rigid)
    area = vertex_areas(toy.mean, toy.triangles)[used]
    rng = np.random.default_rng(1)
    apart = []
    for _ in range(300):
        face = toy.mean + toy.id_basis @ (toy.id_sd * rng.standard_normal(12))
        pose = align_similarity(face[used], toy.mean[used], area, fix_scale=True)
        apart.append(((pose.cam_from_obj(face) - toy.mean) ** 2).sum())
    _, deviations = blended_moments([carried_source(toy, toy, 1.0)])
    assert (deviations**2).sum() == pytest.approx(np.mean(apart), rel=0.15)


def test_shapes_of_another_topology_and_frame_arrive_where_they_belong(toy: FaceModel) -> None:
    """Vertices in another order, the face turned and shifted; the other half of each mode."""
    order = np.random.default_rng(3).permutation(toy.vertex_count)
    number = np.argsort(order)
    rotation = rotation_from_angles(4.0, -6.0, 3.0)
    marks = {
        scheme: replace(e, triangle=e.triangle, barycentric=e.barycentric)
        for scheme, e in toy.embeddings.items()
    }
    moved = replace(
        toy,
        name="moved",
        mean=toy.mean[order] @ rotation.T + [5.0, -3.0, 2.0],
        id_basis=np.einsum("ij,njk->nik", rotation, toy.id_basis[order]),
        exp_basis=np.einsum("ij,njk->nik", rotation, toy.exp_basis[order]),
        triangles=number[toy.triangles].astype(np.int32),
        reliable=toy.reliable[order],
        rigid=toy.rigid[order],
        parts=toy.parts[order],
        uv=toy.uv[order],
        contour_lines=tuple(number[line] for line in toy.contour_lines),
        embeddings=marks,
    )
    assert moved.topology_hash != toy.topology_hash
    own, carried = carried_source(toy, toy, 1.0), carried_source(toy, moved, 1.0)
    face = toy.reliable
    assert np.abs(carried.mean_mm - own.mean_mm)[face].max() < 0.3
    covariance = [
        np.einsum("knd,kne->nde", s.deviations_mm, s.deviations_mm)[face] for s in (own, carried)
    ]
    assert np.abs(covariance[1] - covariance[0]).max() < 0.05 * covariance[0].max()


def test_licences_are_joined_once_each(toy: FaceModel) -> None:
    one = carried_source(toy, toy, 1.0)
    parts = [one, replace(one, licence="b"), replace(one, licence="b"), one]
    assert joined_licence(parts) == "CC0 + b"


def test_a_blend_is_a_model_file_with_people(toy: FaceModel, tmp_path: Path) -> None:
    drawn_from = sources(toy, 0.4)
    blend = blended_model(toy, drawn_from, "both")
    file = tmp_path / "blend.h5"
    save_blend(blend, drawn_from, file)
    assert load_model(file).name == "both"
    for read, written in zip(load_blend_sources(file), drawn_from, strict=True):
        assert (read.name, read.licence) == (written.name, written.licence)
        assert read.topology_hash == written.topology_hash
        assert read.weight == written.weight
        np.testing.assert_allclose(read.deviations_mm, written.deviations_mm, atol=1e-5)
    save_model(blend, tmp_path / "plain.h5")
    with pytest.raises(ValueError, match=r"plain\.h5: .*no people.*fg3d models blend"):
        load_blend_sources(tmp_path / "plain.h5")


def test_what_cannot_be_blended_says_why(toy: FaceModel) -> None:
    part = carried_source(toy, toy, 0.5)
    with pytest.raises(ValueError, match="weights"):
        blended_moments([part])
    with pytest.raises(ValueError, match="500 modes"):
        blended_model(toy, [part, part], "same", 500)


def test_by_default_a_blend_has_no_more_modes_than_its_sources_have_directions(
    toy: FaceModel,
) -> None:
    one = carried_source(toy, toy, 0.5)
    few = replace(one, deviations_mm=one.deviations_mm[:2])
    # Two deviations, both of each source; their means are the same.
    assert len(blended_model(toy, [few, few], "few").id_sd) == 2
    with pytest.raises(ValueError, match="3 modes: the sources together vary in 2 directions"):
        blended_model(toy, [few, few], "few", 3)
