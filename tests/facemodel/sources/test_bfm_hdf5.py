"""The Basel Face Models of 2017 and 2019: read as written, refused with file and field."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from model_writers_bfm import assert_same_model, face_source, write_bfm_hdf5

from fg3d_builder.facemodel.sources.known import layout_of, read_source

NAMES = (
    "model2017-1_bfm_nomouth.h5",
    "model2017-1_face12_nomouth.h5",
    "model2019_bfm.h5",
    "model2019_face12.h5",
    "model2019_fullHead.h5",
)
FIELDS = [
    f"{part}/model/{name}"
    for part in ("shape", "expression", "color")
    for name in ("mean", "pcaBasis", "pcaVariance")
]


@pytest.mark.parametrize("name", NAMES)
def test_every_variant_is_what_was_written(tmp_path: Path, name: str) -> None:
    wanted = face_source()
    file = write_bfm_hdf5(tmp_path, wanted, name)
    for path in (file, tmp_path):
        found = read_source(path)
        assert_same_model(found, wanted)
        assert found.layout == f"bfm{name[5:9]}" == layout_of(path).name
        assert found.licence.startswith(f"Basel Face Model {name[5:9]}: non-commercial")
        assert found.unit_said == "its unit is taken as millimetres: the mean is 205 mm high"
        assert found.groups == {}
        assert found.landmarks68 is None


def test_a_folder_with_several_masks_asks_for_one(tmp_path: Path) -> None:
    for name in NAMES[2:]:
        write_bfm_hdf5(tmp_path, face_source(), name)
    with pytest.raises(ValueError, match=r"there are: model2019_bfm\.h5, model2019_face12\.h5"):
        read_source(tmp_path)


def test_mean_is_that_of_shape_and_expression_together(tmp_path: Path) -> None:
    file = write_bfm_hdf5(tmp_path, face_source())
    with h5py.File(file) as stored:
        shape, expression = stored["shape/model/mean"][()], stored["expression/model/mean"][()]
    assert np.abs(expression).max() > 0.5
    np.testing.assert_allclose(read_source(file).mean.ravel(), shape + expression, atol=2e-5)


def test_a_deviation_is_the_root_of_the_variance(tmp_path: Path) -> None:
    file = write_bfm_hdf5(tmp_path, face_source())
    with h5py.File(file) as stored:
        basis, variance = (stored[f"shape/model/pca{x}"][()] for x in ("Basis", "Variance"))
    found = read_source(file)
    np.testing.assert_array_equal(found.id_sd, 1.0)
    np.testing.assert_allclose(
        np.linalg.norm(found.id_basis.reshape(len(basis), -1), axis=0) ** 2, variance, rtol=1e-5
    )


def test_statismo_0_8_has_scaled_columns(tmp_path: Path) -> None:
    file = write_bfm_hdf5(tmp_path, face_source(), version=(0, 8))
    assert_same_model(read_source(file), face_source())
    with h5py.File(file, "r+") as stored:
        del stored["shape/version"]
    assert_same_model(read_source(file), face_source())
    with h5py.File(file, "r+") as stored:
        stored["shape/version/majorVersion"], stored["shape/version/minorVersion"] = 0, 9
    with pytest.raises(ValueError, match="'/shape/model/pcaBasis': columns of length 9"):
        read_source(file)


def test_a_model_without_expressions_and_colours(tmp_path: Path) -> None:
    wanted = replace(
        face_source(),
        exp_basis=np.zeros((725, 3, 0)),
        exp_sd=np.zeros(0),
        albedo_mean=None,
        albedo_basis=None,
        albedo_sd=None,
    )
    assert_same_model(read_source(write_bfm_hdf5(tmp_path, wanted)), wanted, colours="")


def test_landmarks_are_groups_of_one_vertex(tmp_path: Path) -> None:
    places = {"center.nose.tip": 350, "left.eye.corner_outer": 480}
    file = write_bfm_hdf5(tmp_path, face_source(), landmarks=places)
    wanted = {f"landmark {name}": [vertex] for name, vertex in places.items()}
    assert {k: v.tolist() for k, v in read_source(file).groups.items()} == wanted
    with h5py.File(file, "r+") as stored:
        text = stored["metadata/landmarks/json"][()].decode()
        rows = json.loads(text)
        rows.append({"id": "left.ear.lobule.tip", "coordinates": [300.0, 0.0, 0.0]})
        for form in (
            json.dumps(rows),
            np.frombuffer(json.dumps(rows).encode(), np.int8),
            np.array([json.dumps(rows).encode()]),
        ):
            del stored["metadata/landmarks/json"]
            stored["metadata/landmarks/json"] = form
            stored.flush()
            # The ear is not on this mask.
            assert {k: v.tolist() for k, v in read_source(file).groups.items()} == wanted


@pytest.mark.parametrize(
    "text",
    [
        "[",
        "{}",
        "3",
        '[{"id": "a"}]',
        '[{"id": 3, "coordinates": [0, 0, 0]}]',
        '[{"id": "a", "coordinates": [0, 0]}]',
        '[{"id": "a", "coordinates": [0, 0, NaN]}]',
        '[{"id": "a", "coordinates": [0, 0, 0]}, {"id": "a", "coordinates": [0, 0, 0]}]',
        "[" * 100_000,
    ],
)
def test_wrong_landmarks(tmp_path: Path, text: str) -> None:
    file = write_bfm_hdf5(tmp_path, face_source())
    with h5py.File(file, "r+") as stored:
        stored["metadata/landmarks/json"] = text
    with pytest.raises(ValueError, match=r"\.h5: field '/metadata/landmarks/json': ") as caught:
        read_source(file)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", [*FIELDS, "shape/representer/cells"])
def test_a_missing_field_is_named(tmp_path: Path, name: str) -> None:
    file = write_bfm_hdf5(tmp_path, face_source())
    with h5py.File(file, "r+") as stored:
        del stored[name]
    named = "representer/cells" if name.endswith("cells") else name
    with pytest.raises(ValueError, match=rf"\.h5: field '/{named}' is missing"):
        read_source(file)


@pytest.mark.parametrize("name", [*FIELDS, "shape/representer/cells"])
@pytest.mark.parametrize("change", ["nan", "shape", "huge", "text"])
def test_a_wrong_field_is_named(tmp_path: Path, name: str, change: str) -> None:
    file = write_bfm_hdf5(tmp_path, face_source())
    with h5py.File(file, "r+") as stored:
        values: Any = stored[name][()]
        if change == "text":
            values = "text"
        elif change == "shape":
            values = values.ravel()[:-1]
        else:
            huge = 1e30 if values.dtype.kind == "f" else 2**31 - 1
            values.reshape(-1)[5 % len(values)] = (
                np.nan if change == "nan" and huge == 1e30 else huge
            )
        del stored[name]
        stored[name] = values
    # A wrong number of variances, or a wild one, shows where they are used.
    part = name.split("/")[0]
    named = f"{part}/model/pca(Variance|Basis)" if name.endswith("Variance") else name
    with pytest.raises(ValueError, match=rf"\.h5: field '/{named}'") as caught:
        read_source(file)
    assert "\n" not in str(caught.value)


def test_files_that_lead_elsewhere_or_are_cut_short(tmp_path: Path) -> None:
    file = write_bfm_hdf5(tmp_path, face_source())
    data = file.read_bytes()
    for length in np.linspace(8, len(data) - 1, 25).astype(int):
        file.write_bytes(data[:length])
        with pytest.raises(ValueError, match=r"model2017-1_bfm_nomouth\.h5"):
            read_source(file, "bfm2017")
    file.write_bytes(data)
    with h5py.File(file, "r+") as stored:
        del stored["shape/model/mean"]
        stored["shape/model/mean"] = h5py.ExternalLink("/etc/hostname", "/x")
    with pytest.raises(ValueError, match="is a link to another place"):
        read_source(file)
