"""The release test: its errors are those of the evaluation, its verdict follows its rule."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from benchmarks.release_pictures import ReleasePicture, ReleaseTruth, dace_of, nme_of, pictures
from benchmarks.release_test import FIT, NETWORK, Row, measured, passes, summaries
from fg3d_builder.evaluation import Correspondence, dace, interocular_mm, nme, outer_eye_corners
from fg3d_builder.facemodel import FaceModel
from fg3d_builder.geometry.closest_points import ScanSurface
from fg3d_builder.records import Array


@pytest.fixture(scope="module")
def shapes(toy_model: FaceModel) -> tuple[Array, Array]:
    """A true shape and one that is 1 to 3 mm off, elsewhere and of another size."""
    rng = np.random.default_rng(4)
    truth = toy_model.shape(rng.normal(size=len(toy_model.id_sd)) * toy_model.id_sd)
    turn = Rotation.from_euler("xyz", [10, -20, 5], degrees=True).as_matrix()
    off = truth + rng.normal(scale=1.5, size=truth.shape)
    return truth, 1.1 * off @ turn.T + [20.0, -5.0, 700.0]


def test_errors_are_those_of_the_evaluation(
    toy_model: FaceModel, shapes: tuple[Array, Array]
) -> None:
    shape, other = shapes
    between = interocular_mm(shape, outer_eye_corners(toy_model))
    truth = ReleaseTruth(shape, toy_model.reliable, shape, toy_model.triangles, between)
    pairs = Correspondence.same_topology(toy_model.reliable)
    scan = ScanSurface(shape, toy_model.triangles)
    # Distances are in single precision.
    assert truth.dace(other) == pytest.approx(
        100 * dace(other, shape, pairs, scan, between).value, rel=1e-5
    )
    assert truth.nme(other) == pytest.approx(100 * nme(other, shape, pairs, between).value)
    assert truth.dace(other) < truth.nme(other)
    assert truth.dace(2.0 * shape + 30.0) < 1e-3


def rows_of(gains: dict[str, list[float]]) -> list[Row]:
    """One picture for each gain: DACE of the fit is 2 %, the network's lower by that share."""
    return [
        Row(name, f"{name}-{number}", *({FIT: 2.0, NETWORK: 2.0 * (1 - gain)} for _ in range(2)))
        for name, own in gains.items()
        for number, gain in enumerate(own)
    ]


@pytest.mark.parametrize(
    ("gains", "good"),
    [
        ({"heads": [0.2, 0.2, 0.2, -0.1], "synthetic": [0.3] * 4}, True),
        ({"heads": [0.2, 0.2, -0.1, -0.1], "synthetic": [0.3] * 12}, False),  # too few real ones
        ({"heads": [0.2] * 4, "synthetic": [-0.1] * 4}, False),  # too few of all
        ({"heads": [0.05] * 4, "synthetic": [0.3] * 4}, False),  # lower, but too little
    ],
)
def test_a_network_passes_on_enough_pictures_and_by_enough(
    gains: dict[str, list[float]], good: bool
) -> None:
    found = summaries(rows_of(gains), NETWORK)
    assert [one.name for one in found] == [*gains, "real", "all"]
    assert passes(found) == good
    real = next(one for one in found if one.name == "real")
    assert real.gain == pytest.approx(np.mean(gains["heads"]))


def test_what_was_made_once_is_read_again(
    tmp_path: Path, default: FaceModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of synthetic people alone, which need no real data; two of them are enough here."""
    monkeypatch.setattr("benchmarks.release_pictures.SYNTHETIC_SUBJECTS", 1)
    first = pictures(tmp_path, sets=("synthetic",))
    assert len(first) == 2
    monkeypatch.setattr("benchmarks.release_pictures.fit_landmarks", _never)
    again = pictures(tmp_path, sets=("synthetic",))
    assert [one.name for one in again] == [one.name for one in first]
    for one, other in zip(first, again, strict=True):
        assert np.array_equal(one.rgb, other.rgb)
        assert dace_of(one, one.fit.shape_obj_mm) == dace_of(other, other.fit.shape_obj_mm)
        check_picture(default, one)


def check_picture(model: FaceModel, picture: ReleasePicture) -> None:
    """The exact truth has no error, the fit less than the average face."""
    fitted = nme_of(picture, picture.fit.shape_obj_mm)
    assert dace_of(picture, picture.truth.shape_mm) < 1e-4
    assert dace_of(picture, picture.fit.shape_obj_mm) < fitted < nme_of(picture, model.mean)
    row = measured([picture], {FIT: lambda some: [one.fit.shape_obj_mm for one in some]})[0]
    assert row.nme[FIT] == fitted


def _never(*_: object) -> None:
    raise AssertionError("the fit is kept")
