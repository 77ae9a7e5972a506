"""A surround for models that have none: truth is a person's own head, or a model's own back."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path

import numpy as np
import pytest
from head_views import torn_and_hidden

from fg3d_builder.facemodel.ict import import_ict_head
from fg3d_builder.facemodel.model import FaceModel, check_model
from fg3d_builder.facemodel.surround import Beyond, Surround
from fg3d_builder.facemodel.surround_transfer import transferred_surround, with_surround
from fg3d_builder.geometry.closest_points import ScanSurface
from fg3d_builder.geometry.meshes import border_edges, vertex_normals
from fg3d_builder.heads.population import HeadPopulation
from fg3d_builder.records import Array


def check_tied(model: FaceModel) -> None:
    """Skirt below the sheet, nothing before it, border met everywhere."""
    around = model.surround
    assert around is not None
    sheet = ScanSurface(model.mean, model.triangles)
    found = sheet.closest(around.mean)
    normals = vertex_normals(model.mean, model.triangles)
    at = np.einsum("kc,kcd->kd", found.barycentric, normals[found.corners])
    height = np.einsum("kd,kd->k", around.mean - found.points_mm, at)
    border = ScanSurface(model.mean, border_edges(model.triangles)[:, [0, 1, 1]])
    # Behind an ear the head is opposite to it, not below it.
    within = border.closest(found.points_mm).distance_mm > 1.5
    above = within & (height > 0.05) & (found.distance_mm < 20) & (height > 0.7 * found.distance_mm)
    assert not np.any(above)
    ring = around.skirt[around.skirt_depth_mm == 0]
    assert len(ring) > 50
    assert np.abs(border.closest(around.mean[ring]).distance_mm).max() < 1e-6
    # And everywhere along the sheet's border, the surround is there.
    own = np.unique(border_edges(model.triangles))
    gap = ScanSurface(around.mean, around.triangles).closest(model.mean[own]).distance_mm
    assert np.quantile(gap, 0.95) < 0.5
    assert gap.max() < 3.0


@pytest.fixture(scope="module")
def person(default: FaceModel, population: HeadPopulation) -> tuple[FaceModel, Array]:
    """A model around a person that the embedded one has not seen, and the person's context."""
    _, face, context = population.neutral(731)
    return dataclasses.replace(default, name="person", mean=face, surround=None), context


@pytest.fixture(scope="module")
def of_person(default: FaceModel, person: tuple[FaceModel, Array]) -> FaceModel:
    return with_surround(person[0], default)


def test_a_persons_head_comes_out_around_the_face(
    default: FaceModel,
    population: HeadPopulation,
    person: tuple[FaceModel, Array],
    of_person: FaceModel,
) -> None:
    check_model(of_person)
    check_tied(of_person)
    around, donor = of_person.surround, default.surround
    assert around is not None
    assert donor is not None
    truth = ScanSurface(person[1], population.head.context_triangles)
    free = np.setdiff1d(np.flatnonzero(around.neck < 0.5), around.skirt)
    error = truth.closest(around.mean[free]).distance_mm
    assert error.mean() < 4.0
    # The donor's ears are there, whole.
    assert np.sum(around.ear > 0.5) > 0.97 * np.sum(donor.ear > 0.5)
    torn, hidden = torn_and_hidden(of_person)
    assert torn < 0.0005
    assert hidden < 0.003


def test_modes_go_on_smoothly_beyond_the_sheet(default: FaceModel, of_person: FaceModel) -> None:
    """Extension against regression, on the head (not the shoulders), all modes together."""
    around, donor = of_person.surround, default.surround
    assert around is not None
    assert donor is not None
    near = ScanSurface(donor.mean, donor.triangles).closest(around.mean)
    truth = np.einsum("kc,kcde->kde", near.barycentric, donor.id_basis[near.corners])
    head = (around.neck < 0.5) & (near.distance_mm < 15)
    error = ((around.id_basis - truth)[head] * default.id_sd) ** 2
    size = (truth[head] * default.id_sd) ** 2
    assert np.sqrt(error.sum() / size.sum()) < 0.6


def test_partners_are_on_the_other_side(of_person: FaceModel) -> None:
    around = of_person.surround
    assert around is not None
    free = np.setdiff1d(np.arange(around.vertex_count), around.skirt)
    image = around.mean[around.mirror] * [-1, 1, 1]
    # A person is not symmetric.
    assert np.median(np.linalg.norm(image - around.mean, axis=1)[free]) < 6.0


def test_a_model_with_a_surround_keeps_it(default: FaceModel) -> None:
    assert with_surround(default, default) is default


def test_without_the_points_a_model_stays_without(
    default: FaceModel, toy_model: FaceModel, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        assert with_surround(toy_model, default) is toy_model
    assert "'toy'" in caplog.text
    assert "ibug68" in caplog.text


@pytest.fixture(scope="module")
def ict(shared_data: Path) -> tuple[FaceModel, Beyond]:
    return import_ict_head(shared_data / "ict_facekit")


def own_back(ict: tuple[FaceModel, Beyond], around: Surround) -> tuple[Array, Array, Array]:
    """Distances (mm) of head and neck to the model's own, and relative error of the modes."""
    model, beyond = ict
    points = np.concatenate([model.mean, beyond.vertices_mm])
    triangles = np.concatenate([model.triangles, beyond.triangles])
    found = ScanSurface(points, triangles).closest(around.mean)
    free = np.ones(around.vertex_count, dtype=bool)
    free[around.skirt] = False
    head = free & (around.neck < 0.5)
    neck = free & (around.neck > 0.5) & (around.mean[:, 1] > -130)
    modes = np.concatenate([model.id_basis, beyond.id_basis])[found.corners[head]]
    truth = np.einsum("kc,kcde->kde", found.barycentric[head], modes)
    error = np.sqrt(((around.id_basis[head] - truth) ** 2).sum() / (truth**2).sum())
    return found.distance_mm[head], found.distance_mm[neck], error


@pytest.mark.data
def test_ict_transfer_alone_is_near_the_models_own_head(
    default: FaceModel, ict: tuple[FaceModel, Beyond]
) -> None:
    around = transferred_surround(ict[0], default)
    head, neck, modes = own_back(ict, around)
    assert head.mean() < 5.5
    assert neck.mean() < 5.5
    assert modes < 0.5
    # The sheet has the ears.
    assert not np.any(around.ear > 0.6)


@pytest.mark.data
def test_ict_surround_is_its_own_head(default: FaceModel, ict: tuple[FaceModel, Beyond]) -> None:
    model = with_surround(ict[0], default, ict[1])
    check_model(model)
    check_tied(model)
    assert model.surround is not None
    head, neck, modes = own_back(ict, model.surround)
    assert head.mean() < 1.0
    assert neck.mean() < 1.0
    assert modes < 0.1
    torn, hidden = torn_and_hidden(model)
    assert torn < 0.0005
    assert hidden < 0.003
