"""GNM's archive comes back as it was written, and damage is named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fg3d_builder.facemodel.sources.gnm import LAYOUT, read_gnm
from fg3d_builder.facemodel.sources.known import layout_of, read_source
from fg3d_builder.facemodel.sources.source import ModelSource
from tests.facemodel.sources.comparing import assert_same
from tests.facemodel.sources.model_writers_npz import gnm_fields, write_gnm
from tests.facemodel.sources.toy_head import toy_head


@pytest.fixture(scope="module")
def head() -> ModelSource:
    head = toy_head()
    groups = head.groups | {"left_ear": np.array([3, 5, 9], dtype=np.int32)}
    return replace(head, groups=groups)


def expected(head: ModelSource) -> ModelSource:
    return replace(
        head,
        id_sd=np.ones(6),
        id_basis=head.id_basis * head.id_sd,
        exp_sd=np.ones(4),
        exp_basis=head.exp_basis * head.exp_sd,
        exp_lower=None,
        exp_upper=None,
        albedo_mean=None,
        albedo_basis=None,
        albedo_sd=None,
        landmarks68=None,
    )


def test_round_trip(tmp_path: Path, head: ModelSource) -> None:
    file = write_gnm(head, tmp_path / "gnm_head.npz")
    assert layout_of(tmp_path) is LAYOUT
    for path in (file, tmp_path):
        assert layout_of(path) is LAYOUT
        found = read_source(path)
        assert_same(found, expected(head), rtol=2e-7)
    assert found.name == "gnm-head"
    assert found.licence == "Apache-2.0 (Google)"
    assert "taken as metres" in found.unit_said
    assert set(found.groups) == {"skin", "eyes", "teeth", "left_ear"}


def test_clockwise_triangles_are_turned(tmp_path: Path, head: ModelSource) -> None:
    uv = gnm_fields(head)["triangle_uvs"][:, ::-1]
    file = write_gnm(head, tmp_path / "a.npz", triangles=head.polygons[:, ::-1], triangle_uvs=uv)
    assert_same(read_gnm(file), expected(head), rtol=2e-7)


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("template_vertex_positions", np.zeros((9, 2)), r"shape \(9, 2\)"),
        ("template_vertex_positions", np.full((768, 3), np.nan), "holds what is no finite"),
        ("template_vertex_positions", np.ones((768, 3)), "in no usual unit"),
        ("template_vertex_positions", np.zeros((0, 3)), "has no vertices"),
        ("vertex_identity_basis", np.zeros((6, 767, 3)), r"wanted \(any, 768, 3\)"),
        ("expression_basis", np.zeros((6, 768, 3, 1)), "shape"),
        ("expression_basis", np.array(["a"]), "expected numbers, found texts"),
        ("expression_names", np.array(["a"]), r"wanted \(4\)"),
        ("expression_names", np.arange(4), "no list of texts"),
        ("triangles", np.full((5, 3), 768), "holds a number that is not from 0 to below 768"),
        ("triangles", np.full((5, 3), -1), "holds a number"),
        ("triangle_uvs", np.zeros((5, 3, 2)), "shape"),
        ("vertex_groups", np.zeros((2, 768)), "shape"),
        ("vertex_group_names", np.array("skin"), "no list of texts"),
    ],
)
def test_wrong_fields_are_named(
    tmp_path: Path, head: ModelSource, name: str, value: Any, problem: str
) -> None:
    file = write_gnm(head, tmp_path / "gnm_head.npz", **{name: value})
    with pytest.raises(ValueError, match=problem) as caught:
        read_gnm(file)
    assert str(caught.value).startswith(f"{file}: field '")
    assert "\n" not in str(caught.value)


def test_missing_fields_and_wrong_files_are_named(tmp_path: Path, head: ModelSource) -> None:
    fields = gnm_fields(head)
    file = tmp_path / "gnm_head.npz"
    for name in (
        "template_vertex_positions",
        "vertex_identity_basis",
        "expression_basis",
        "expression_names",
        "triangles",
        "triangle_uvs",
        "vertex_groups",
        "vertex_group_names",
    ):
        np.savez(file, **{key: value for key, value in fields.items() if key != name})  # type: ignore[arg-type]
        with pytest.raises(ValueError, match=rf"gnm_head\.npz: field '{name}' is missing"):
            read_gnm(file)
    np.savez(file, **(fields | {"triangles": np.array([{}], dtype=object)}))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="field 'triangles': expected numbers, found Python obj"):
        read_gnm(file)
    data = write_gnm(head, file).read_bytes()
    for length in range(0, len(data), len(data) // 7):
        file.write_bytes(data[:length])
        with pytest.raises(ValueError, match=r"gnm_head\.npz") as caught:
            read_gnm(file)
        assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match=r"gnm_head\.npz: file not found"):
        read_gnm(tmp_path / "nothing" / "gnm_head.npz")
