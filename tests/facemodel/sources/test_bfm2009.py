"""The Basel Face Model of 2009: read as written, refused with file and field."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from model_writers_bfm import (
    assert_same_model,
    bfm2009_fields,
    face_source,
    write_bfm2009,
    write_bfm_hdf5,
)
from scipy.io import savemat

from fg3d_builder.facemodel.sources.known import layout_of, read_source

FIELDS = ("shapeMU", "shapePC", "shapeEV", "texMU", "texPC", "texEV", "tl")


def test_every_field_is_what_was_written(tmp_path: Path) -> None:
    wanted = face_source()
    file = write_bfm2009(tmp_path, wanted)
    found = read_source(tmp_path)
    assert_same_model(found, wanted)
    assert (found.layout, found.licence[:21]) == ("bfm2009", "Basel Face Model 2009")
    assert found.unit_said == "its unit is taken as micrometres: the mean is 205 mm high"
    assert found.exp_basis.shape == (725, 3, 0)
    assert found.landmarks68 is None
    assert sorted(found.groups) == sorted(wanted.groups)
    for name, vertices in found.groups.items():
        np.testing.assert_array_equal(vertices, wanted.groups[name])
    np.testing.assert_array_equal(read_source(file).mean, found.mean)


def test_files_and_folders_by_which_it_is_told(tmp_path: Path) -> None:
    inner = tmp_path / "PublicMM1"
    inner.mkdir()
    file = write_bfm2009(inner, face_source())
    assert layout_of(tmp_path).files(tmp_path) == (file,)
    assert layout_of(file).name == "bfm2009"
    file.write_bytes(b"something else")
    with pytest.raises(ValueError, match="holds no face model of a known kind"):
        layout_of(file)


def test_triangles_may_be_counter_clockwise_already(tmp_path: Path) -> None:
    fields = bfm2009_fields(face_source())
    fields["tl"] = fields["tl"][:, [0, 2, 1]]
    savemat(tmp_path / "01_MorphableModel.mat", fields)
    np.testing.assert_array_equal(read_source(tmp_path).polygons, face_source().polygons)


def test_its_statismo_file_is_the_same_model(tmp_path: Path) -> None:
    wanted = face_source()
    file = write_bfm_hdf5(tmp_path, wanted, "model2009-publicmm1-bfm.h5")
    found = read_source(file)
    assert_same_model(found, wanted)
    assert found.layout == "bfm2009"
    assert layout_of(tmp_path).name == "bfm2009"


@pytest.mark.parametrize("name", FIELDS)
def test_a_missing_field_is_named(tmp_path: Path, name: str) -> None:
    fields = bfm2009_fields(face_source())
    del fields[name]
    savemat(tmp_path / "01_MorphableModel.mat", fields)
    with pytest.raises(ValueError, match=f"01_MorphableModel.mat: field '{name}' is missing"):
        read_source(tmp_path)


@pytest.mark.parametrize("name", [*FIELDS, "segbin"])
@pytest.mark.parametrize("change", ["nan", "shape", "huge"])
def test_a_wrong_field_is_named(tmp_path: Path, name: str, change: str) -> None:
    fields = bfm2009_fields(face_source())
    values = fields[name].copy()
    if change == "shape":
        values = values[:-1]
    elif values.size:
        values[len(values) // 2, 0] = np.nan if change == "nan" else 3e9
    fields[name] = values
    savemat(tmp_path / "01_MorphableModel.mat", fields)
    if (name, change) in {("tl", "shape"), ("segbin", "huge")}:
        read_source(tmp_path)  # one triangle fewer; above 0 is inside
        return
    # A wrong number of deviations shows where they are used.
    named = {"shapeEV": "shape(EV|PC)", "texEV": "tex(EV|PC)"}.get(name, name)
    with pytest.raises(ValueError, match=f"01_MorphableModel.mat: field '{named}'") as caught:
        read_source(tmp_path)
    assert "\n" not in str(caught.value)


def test_first_vertex_is_1(tmp_path: Path) -> None:
    fields = bfm2009_fields(face_source())
    fields["tl"] = fields["tl"] - 1
    savemat(tmp_path / "01_MorphableModel.mat", fields)
    with pytest.raises(ValueError, match="field 'tl': indices 0 to 724, wanted 1 to 725"):
        read_source(tmp_path)


def test_no_unit_fits(tmp_path: Path) -> None:
    fields = bfm2009_fields(face_source())
    fields["shapeMU"] = fields["shapeMU"] * np.float32(1e9)
    savemat(tmp_path / "01_MorphableModel.mat", fields)
    with pytest.raises(ValueError, match=r"field 'shapeMU': the mean is .* units high"):
        read_source(tmp_path)


def test_a_file_that_is_cut_short(tmp_path: Path) -> None:
    file = write_bfm2009(tmp_path, face_source())
    data = file.read_bytes()
    for length in np.linspace(130, len(data) - 1, 25).astype(int):
        file.write_bytes(data[:length])
        with pytest.raises(ValueError, match=r"01_MorphableModel\.mat: "):
            read_source(tmp_path, "bfm2009")
