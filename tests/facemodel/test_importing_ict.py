"""ICT-FaceKit through the general import: its published landmarks are the truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from test_importing import check_disk, check_of_file

from benchmarks.model_import import LANDMARK_REGIONS, landmark_errors_mm, map_loss_mm
from benchmarks.model_sources import ict_source
from fg3d_builder.facemodel.importing import Imported, import_model
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.facemodel.shape_export import ShapeExport, whole_mesh
from fg3d_builder.facemodel.sources.source import ModelSource
from fg3d_builder.landmarks.edges import IBUG, MEDIAPIPE
from fg3d_builder.records import Array

pytestmark = pytest.mark.data


@pytest.fixture(scope="module")
def published(shared_data: Path) -> tuple[ModelSource, Array]:
    return ict_source(shared_data)


@pytest.fixture(scope="module")
def imported(published: tuple[ModelSource, Array], default: FaceModel) -> Imported:
    return import_model(published[0], default)


def test_sheet_is_a_disk_of_the_files_own_vertices(
    imported: Imported, published: tuple[ModelSource, Array]
) -> None:
    check_disk(imported.model)
    check_of_file(imported.model, published[0])
    assert not imported.check.problems
    assert imported.check.surface_mm[1] < 0.6


def test_published_landmarks_are_found(
    imported: Imported, published: tuple[ModelSource, Array]
) -> None:
    """Features are met; brows follow another convention, see docs/benchmarks.md."""
    source, points = published
    distance, sideways = landmark_errors_mm(imported.model, source.mean[points])
    mean = {name: float(distance[rows].mean()) for name, rows in LANDMARK_REGIONS.items()}
    assert mean["all but jaw"] < 3.0
    assert mean["eyes"] < 2.0
    assert mean["lips"] < 3.0
    assert mean["nose"] < 2.5
    assert mean["jaw"] < 10.0
    assert mean["brows"] < 6.0
    assert sideways[LANDMARK_REGIONS["jaw"]].mean() < 3.0


def test_lips_are_told_apart_where_they_touch(imported: Imported) -> None:
    """An opened jaw takes along the lower lip's points, and none of the upper lip's."""
    model = imported.model
    opened = np.zeros(len(model.exp_names))
    opened[model.exp_names.index("jawOpen")] = 1.0
    shape = model.shape(None, opened)
    for scheme, above, below in (
        (IBUG, (50, 51, 52, 61, 62, 63), (56, 57, 58, 65, 66, 67)),
        (MEDIAPIPE, (0, 13, 81, 311, 82, 312), (17, 14, 178, 402, 87, 317)),
    ):
        for numbers, low, high in ((above, 0.0, 6.0), (below, 15.0, 60.0)):
            points = model.embedded(scheme, numbers)
            before = points.points(model.mean, model.triangles)
            moved = np.linalg.norm(points.points(shape, model.triangles) - before, axis=1)
            assert moved.min() >= low
            assert moved.max() < high


def test_whole_heads_open_their_mouths(
    imported: Imported, published: tuple[ModelSource, Array]
) -> None:
    """Throat and mouth go along with the sheet as the file itself has it."""
    model, source = imported.model, published[0]
    opened = np.zeros(len(model.exp_names))
    opened[model.exp_names.index("jawOpen")] = 1.0
    export = ShapeExport(model, model, whole_mesh(model))
    found = export(model.shape(np.zeros(len(model.id_sd)), opened))
    truth = source.mean + source.exp_basis[:, :, source.exp_names.index("jawOpen")]
    away = np.linalg.norm(found - truth, axis=1)
    assert away.mean() < 0.05  # chins move by 40 mm
    assert away.max() < 1.0


def test_closed_lids_leave_no_eyeball_standing_out(imported: Imported) -> None:
    model = imported.model
    assert model.origin is not None
    shut = np.zeros(len(model.exp_names))
    for name in ("eyeBlink_L", "eyeBlink_R"):
        shut[model.exp_names.index(name)] = 1.0
    shape = model.shape(None, shut)
    eyes = model.embedded(IBUG, range(36, 48)).points(shape, model.triangles)
    new = (model.origin.sheet_vertex < 0) & (model.mean[:, 1] > 0)
    assert new.sum() > 100
    assert shape[new, 2].max() < eyes[:, 2].max() + 2.0


def test_maps_lose_little(imported: Imported, default: FaceModel) -> None:
    for model in (imported.model, default):
        lost = map_loss_mm(model)
        assert lost["95 % reliable"] < 0.1
        assert lost["mean"] < 0.05
