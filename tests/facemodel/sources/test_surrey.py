"""eos' archives come back as they were written, in every version, and damage is named."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fg3d_builder.facemodel.sources.known import layout_of, read_source
from fg3d_builder.facemodel.sources.source import ModelSource
from fg3d_builder.facemodel.sources.surrey import BLENDSHAPE_SD, LAYOUT, read_surrey
from tests.facemodel.sources.comparing import assert_same
from tests.facemodel.sources.model_writers_eos import (
    eigen,
    eos_blendshapes,
    eos_model,
    eos_pca,
    write_surrey,
)
from tests.facemodel.sources.toy_head import toy_head
from tests.facemodel.sources.writing import without_seams


@pytest.fixture(scope="module")
def head() -> ModelSource:
    return replace(toy_head(), exp_sd=np.full(4, BLENDSHAPE_SD), groups={})


@pytest.mark.parametrize("version", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("coloured", [False, True])
def test_round_trip(tmp_path: Path, head: ModelSource, version: int, coloured: bool) -> None:
    # Until version 3 a vertex has one place in the chart.
    truth = head if version == 4 else without_seams(head)
    if not coloured:
        truth = replace(truth, albedo_mean=None, albedo_basis=None, albedo_sd=None)
    file = write_surrey(truth, tmp_path, version)
    assert layout_of(file) is LAYOUT
    assert layout_of(tmp_path) is LAYOUT
    for path in (file, tmp_path):
        found = read_source(path)
        assert_same(found, truth, rtol=1e-6)
    assert found.name == "sfm_shape_768"
    assert "taken as millimetres" in found.unit_said
    names = [path.name for path in LAYOUT.files(tmp_path)]
    assert names == ["sfm_shape_768.bin", "expression_blendshapes_768.bin", "ibug_to_sfm.txt"]


@pytest.mark.parametrize("expressions", ["pca", "blendshapes"])
def test_expressions_within_the_model(tmp_path: Path, head: ModelSource, expressions: str) -> None:
    file = tmp_path / "model.bin"
    file.write_bytes(eos_model(head, 4, expressions))
    found = read_surrey(file)
    truth = replace(head, landmarks68=None)
    if expressions == "pca":
        truth = replace(truth, exp_names=(), exp_lower=None, exp_upper=None)
    assert_same(found, truth, rtol=1e-6)
    assert LAYOUT.files(file) == ()  # any file may be called so; --kind says that it is one
    assert layout_of(file, "surrey") is LAYOUT


@pytest.mark.parametrize("version", [1, 2, 3, 4])
def test_like_eos(tmp_path: Path, head: ModelSource, version: int) -> None:
    """The library reads what the tests write, and what it writes is read; where it is installed."""
    package = pytest.importorskip("eos", reason="the package eos-py is not installed")
    library = package.morphablemodel
    source = head if version == 4 else without_seams(head)
    expressions = "blendshapes" if version > 1 else ""
    ours, theirs = tmp_path / "ours.bin", tmp_path / "theirs.bin"
    ours.write_bytes(eos_model(source, version, expressions))
    model = library.load_model(str(ours))
    np.testing.assert_allclose(model.get_shape_model().get_mean(), head.mean.ravel(), atol=1e-4)
    basis = (head.id_basis * head.id_sd).reshape(head.mean.size, -1)
    rescaled = model.get_shape_model().get_rescaled_pca_basis()
    np.testing.assert_allclose(rescaled, basis, atol=1e-4)
    library.save_model(model, str(theirs))  # in its newest version
    if version == 4:
        assert theirs.read_bytes() == ours.read_bytes()
    assert_same(read_surrey(theirs), read_surrey(ours), rtol=1e-6)


def test_basis_that_is_there_twice(tmp_path: Path, head: ModelSource) -> None:
    """As eos wrote it with Eigen for some months: scaled, then orthonormal."""
    data = eos_model(without_seams(head), 1)
    basis = head.id_basis.reshape(head.mean.size, -1)
    place = 4 + len(eigen(head.mean.ravel()))
    twice = data[:place] + eigen(basis * head.id_sd) + data[place:]
    (tmp_path / "model.bin").write_bytes(twice)
    truth = replace(
        without_seams(head),
        landmarks68=None,
        exp_basis=np.zeros((768, 3, 0)),
        exp_sd=np.zeros(0),
        exp_names=(),
        exp_lower=None,
        exp_upper=None,
    )
    assert_same(read_surrey(tmp_path / "model.bin"), truth, rtol=1e-6)


def test_the_library_s_own_mapping_names_not_all_points(tmp_path: Path, head: ModelSource) -> None:
    file = write_surrey(head, tmp_path, 1)
    mapping = tmp_path / "ibug_to_sfm.txt"
    text = mapping.read_text()
    assert read_surrey(file).landmarks68 is not None
    mapping.write_text(text.replace("\n\t61  ", "\n\t    ; 61 "))
    assert read_surrey(file).landmarks68 is None
    pairs = [f'{i + 1} = {v} # "a point"' for i, v in enumerate(head.landmarks68)]  # type: ignore[arg-type]
    mapping.write_text("[landmark_mappings] # since 2017\n" + "\n".join(pairs))
    np.testing.assert_array_equal(read_surrey(file).landmarks68, head.landmarks68)
    mapping.write_text(text.replace(f"  {head.landmarks68[0]:4d} ;", "  9999 ;", 1))  # type: ignore[index]
    with pytest.raises(ValueError, match=r"ibug_to_sfm\.txt: field 'landmark_mappings': holds"):
        read_surrey(file)


def place_of(head: ModelSource, field: str) -> int:
    """Where a matrix of the shape model begins in an archive of version 1."""
    length, k = head.mean.size, len(head.id_sd)
    places = {"mean": 4, "basis": 12 + 4 * length, "eigenvalues": 20 + 4 * length * (1 + k)}
    return places[field]


@pytest.mark.parametrize(
    ("field", "offset", "form", "value", "problem"),
    [
        ("mean", -4, "<I", 5, "field 'version': expected 0 to 4, found 5"),
        ("mean", 0, "<i", -1, "'shape_model.mean': a matrix of -1 rows"),
        ("mean", 0, "<i", 2**31 - 1, "'shape_model.mean': "),
        ("mean", 0, "<i", 2**28, "'shape_model.mean': ends"),
        ("mean", 8, "<f", np.nan, "'shape_model.mean': holds what is no finite"),
        ("mean", 8, "<f", 1e30, "'shape_model.mean': holds what is no finite"),
        ("basis", 0, "<i", 7, "shape_model"),
        ("basis", 8, "<f", np.inf, "'shape_model.basis': holds what is no finite"),
        ("eigenvalues", 0, "<i", 5, "shape_model"),
        ("eigenvalues", 8, "<f", 0.0, "'shape_model.eigenvalues': holds what is not above 0"),
        ("eigenvalues", 8, "<f", -1.0, "'shape_model.eigenvalues': holds what is not above 0"),
        ("eigenvalues", 32, "<Q", 2**60, "'shape_model.triangle_list': declares"),
        ("eigenvalues", 40, "<i", 768, "'shape_model.triangle_list': holds a number"),
        ("eigenvalues", 40, "<i", -1, "'shape_model.triangle_list': holds a number"),
    ],
)
def test_wrong_numbers_are_named(
    tmp_path: Path,
    head: ModelSource,
    field: str,
    offset: int,
    form: str,
    value: float,
    problem: str,
) -> None:
    data = bytearray(eos_model(without_seams(head), 1))
    struct.pack_into(form, data, place_of(head, field) + offset, value)
    file = tmp_path / "sfm_shape_768.bin"
    file.write_bytes(bytes(data))
    with pytest.raises(ValueError, match=problem) as caught:
        read_surrey(file)
    assert "\n" not in str(caught.value)
    assert str(file) in str(caught.value)


def test_wrong_files_are_named(tmp_path: Path, head: ModelSource) -> None:
    file = write_surrey(head, tmp_path, 4)
    data = file.read_bytes()
    for length in [*range(0, len(data), 997), len(data) - 1]:
        file.write_bytes(data[:length])
        with pytest.raises(ValueError, match=r"sfm_shape_768\.bin: field '") as caught:
            read_surrey(file)
        assert "\n" not in str(caught.value)
    file.write_bytes(data + b"\x00")
    with pytest.raises(ValueError, match="field 'end': 1 bytes follow"):
        read_surrey(file)
    length = head.mean.size
    none = eos_pca(np.zeros(0), np.zeros((0, 0)), np.zeros(0), np.zeros((0, 3)), 1)
    file.write_bytes(struct.pack("<I", 1) + none + none + struct.pack("<Q", 0))
    with pytest.raises(ValueError, match="field 'shape_model': is empty"):
        read_surrey(file)
    huge = replace(head, mean=head.mean * 1e6)
    file.write_bytes(eos_model(huge, 4))
    with pytest.raises(ValueError, match=r"'shape_model\.mean': the mean is"):
        read_surrey(file)
    file.write_bytes(data)
    shapes = tmp_path / "expression_blendshapes_768.bin"
    whole = shapes.read_bytes()
    for content, problem in (
        (whole[:-1], "ends 1 bytes early"),
        (whole + b"\x00", "1 bytes follow"),
        (whole.replace(b"shape_1", b"shape_0"), "'shape_0' is there twice"),
        (whole.replace(struct.pack("<i", length), struct.pack("<i", 9), 1), "wanted .2304, 1."),
        (struct.pack("<Q", 2**61), "declares"),
        (struct.pack("<QQ", 1, 2**20) + bytes(99), "a text of 1048576 bytes"),
    ):
        shapes.write_bytes(content)
        with pytest.raises(ValueError, match=rf"blendshapes_768\.bin: .*{problem}"):
            read_surrey(file)
    shapes.write_bytes(eos_blendshapes(head))
    file.write_bytes(eos_model(head, 4, "blendshapes"))
    assert_same(read_surrey(file), head, rtol=1e-6)  # a file beside it is newer, and taken
    file.write_bytes(eos_model(head, 4, "pca"))
    with pytest.raises(ValueError, match="expressions of its own, and a file of blendshapes"):
        read_surrey(file)
    (tmp_path / "sfm_shape_16759.bin").write_bytes(data)
    with pytest.raises(ValueError, match=r"found sfm_shape_16759\.bin, sfm_shape_768\.bin"):
        read_surrey(tmp_path)
