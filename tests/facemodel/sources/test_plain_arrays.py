"""Anyone's arrays come back as they were written, with what they leave out, and damage is named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fg3d_builder.facemodel.sources.known import layout_of, read_source
from fg3d_builder.facemodel.sources.plain_arrays import LAYOUT, read_arrays
from fg3d_builder.facemodel.sources.source import ModelSource
from tests.facemodel.sources.comparing import assert_same
from tests.facemodel.sources.model_writers_npz import array_fields, write_arrays
from tests.facemodel.sources.toy_head import toy_head
from tests.facemodel.sources.writing import vertex_chart, without_seams


@pytest.fixture(scope="module")
def head() -> ModelSource:
    return toy_head()


@pytest.mark.parametrize("unit_mm", [None, 1000.0, 0.5])
def test_round_trip(tmp_path: Path, head: ModelSource, unit_mm: float | None) -> None:
    file = write_arrays(head, tmp_path / "ours.npz", unit_mm)
    assert layout_of(file) is LAYOUT
    found = read_source(file)
    assert_same(found, head, rtol=1e-12)
    np.testing.assert_array_equal(found.id_sd, head.id_sd)
    assert (found.name, found.licence, found.layout) == ("toy", "CC0", "arrays")
    said = "taken as millimetres" if unit_mm is None else f"'unit_mm' says {unit_mm:g} mm"
    assert said in found.unit_said


def test_what_may_be_left_out(tmp_path: Path, head: ModelSource) -> None:
    fields = array_fields(head)
    needed = {name: fields[name] for name in ("mean", "triangles", "id_basis", "id_sd")}
    np.savez(tmp_path / "ours.npz", **needed)  # type: ignore[arg-type]
    found = read_source(tmp_path / "ours.npz")
    bare = replace(
        head,
        exp_basis=np.zeros((768, 3, 0)),
        exp_sd=np.zeros(0),
        exp_names=(),
        exp_lower=None,
        exp_upper=None,
        albedo_mean=None,
        albedo_basis=None,
        albedo_sd=None,
        uv=None,
        landmarks68=None,
        groups={},
    )
    assert_same(found, bare, rtol=1e-12)
    assert (found.name, found.licence) == ("ours", "unknown")
    more = needed | {"exp_basis": head.exp_basis, "uv": vertex_chart(head)}
    np.savez(tmp_path / "ours.npz", **more)  # type: ignore[arg-type]
    found = read_source(tmp_path / "ours.npz")
    np.testing.assert_array_equal(found.exp_sd, np.ones(4))
    np.testing.assert_array_equal(found.uv, without_seams(head).uv)


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("mean", np.zeros((768, 2)), "shape"),
        ("mean", np.full((768, 3), np.nan), "no finite"),
        ("mean", np.ones((768, 3)), "in no usual unit.*a field 'unit_mm' may say it"),
        ("triangles", np.full((2, 3), 768), "holds a number"),
        ("triangles", np.ones((2, 3), dtype=bool), "expected numbers, found elements of type bool"),
        ("id_basis", np.zeros((2304, 6)), "shape"),
        ("id_sd", np.zeros(6), "not above 0"),
        ("id_sd", np.ones(5), "shape"),
        ("exp_basis", np.zeros((768, 3)), "shape"),
        ("exp_sd", np.ones(5), "shape"),
        ("exp_names", np.array(["a"]), "shape"),
        ("exp_lower", np.zeros(3), "expected 4 numbers"),
        ("exp_upper", np.full(4, np.nan), "expected 4 numbers"),
        ("albedo_mean", np.full((768, 3), 255.0), "linear reflectance"),
        ("albedo_basis", np.zeros((768, 3, 4)), "shape"),
        ("albedo_sd", -np.ones(3), "not above 0"),
        ("uv", np.zeros((768, 3)), "shape"),
        ("landmarks68", np.arange(51), "shape"),
        ("group_eyes", np.array([768]), "holds a number"),
        ("name", np.arange(3), "no text"),
        ("unit_mm", np.array(0.0), "not above 0"),
        ("unit_mm", np.array(0.01), "makes the mean .* mm high; faces and heads have 110 to 560"),
        ("mean", np.zeros((0, 3)), "has no vertices"),
        ("unit_mm", np.ones(2), "shape"),
    ],
)
def test_wrong_fields_are_named(
    tmp_path: Path, head: ModelSource, name: str, value: Any, problem: str
) -> None:
    file = write_arrays(head, tmp_path / "ours.npz", changed={name: value})
    with pytest.raises(ValueError, match=problem) as caught:
        read_arrays(file)
    wrong = "id_basis" if name == "id_sd" and len(value) == 5 else name
    wrong = "albedo_sd" if name == "albedo_basis" else wrong
    assert str(caught.value).startswith(f"{file}: field '{wrong}'")
    assert "\n" not in str(caught.value)


def test_wrong_files_are_named(tmp_path: Path, head: ModelSource) -> None:
    file = tmp_path / "ours.npz"
    fields = array_fields(head)
    for name in ("mean", "triangles", "id_basis", "id_sd"):
        np.savez(file, **{key: value for key, value in fields.items() if key != name})  # type: ignore[arg-type]
        with pytest.raises(ValueError, match=rf"ours\.npz: field '{name}' is missing"):
            read_arrays(file)
        # Without being told the kind as well, unless hardly anything of it is there.
        problem = "field" if name.startswith("id_") else "holds no face model of a known kind"
        with pytest.raises(ValueError, match=problem):
            read_source(file)
    for without, left in (("exp_basis", "exp_sd"), ("albedo_mean", "albedo_basis")):
        np.savez(file, **{key: value for key, value in fields.items() if key != without})  # type: ignore[arg-type]
        with pytest.raises(ValueError, match=rf"field '{left}': without a field '{without}'"):
            read_arrays(file)
    write_arrays(head, file, changed={"triangles": head.polygons[:, ::-1]})
    with pytest.raises(ValueError, match="field 'triangles': clockwise from outside"):
        read_arrays(file)
    data = write_arrays(head, file).read_bytes()
    for length in range(0, len(data), len(data) // 9):
        file.write_bytes(data[:length])
        with pytest.raises(ValueError, match=r"ours\.npz") as caught:
            read_arrays(file)
        assert "\n" not in str(caught.value)
