"""FaceScape's bilinear model, made linear about its mean, and its files of two times."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fg3d_builder.facemodel.sources.facescape import BLENDSHAPE_SD, LAYOUT, read_facescape
from fg3d_builder.facemodel.sources.known import layout_of, read_source
from fg3d_builder.facemodel.sources.source import ModelSource
from fg3d_builder.files import npy_streams
from fg3d_builder.records import Array
from tests.facemodel.sources.comparing import assert_same, close
from tests.facemodel.sources.model_writers_npz import (
    facescape_core,
    write_facescape,
    write_facescape_folder,
)
from tests.facemodel.sources.toy_head import toy_head

NAME = "facescape_bm_v1.6_847_50_52_id_front.npz"


@pytest.fixture(scope="module")
def head() -> ModelSource:
    """Expressions as the model scales them; a first direction that makes the head larger."""
    head = toy_head()
    return replace(
        head,
        exp_sd=np.full(4, BLENDSHAPE_SD),
        exp_names=tuple(f"blendshape_{i:02d}" for i in range(1, 5)),
        id_basis=np.concatenate([head.mean[..., None], head.id_basis], axis=2),
        id_sd=np.concatenate([[1e-3], head.id_sd]),
        groups={},
    )


def toy() -> ModelSource:
    return toy_head()


@pytest.mark.parametrize("fortran", [False, True])
def test_round_trip_of_version_1_6(
    tmp_path: Path, head: ModelSource, fortran: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(npy_streams, "BLOCK_BYTES", 5000)  # several blocks, the last one shorter
    file = write_facescape(toy(), tmp_path / NAME, fortran)
    assert layout_of(file) is LAYOUT
    found = read_source(file)
    assert_same(found, head, skip=("albedo_mean", "albedo_basis"), rtol=1e-6)
    assert "taken as millimetres" in found.unit_said
    assert head.albedo_mean is not None
    assert found.albedo_mean is not None
    assert found.albedo_basis is None
    front = np.flatnonzero(head.mean[:, 2] > 0)[1:]  # the first one has no colour
    np.testing.assert_allclose(found.albedo_mean[front], head.albedo_mean[front], atol=1e-9)
    others = np.setdiff1d(np.arange(768), front)
    wanted = np.broadcast_to(head.albedo_mean[front].mean(axis=0), (len(others), 3))
    np.testing.assert_allclose(found.albedo_mean[others], wanted, atol=1e-9)


@pytest.mark.parametrize("fortran", [False, True])
@pytest.mark.parametrize("predictor", [False, True])
def test_round_trip_of_version_1_3(
    tmp_path: Path, head: ModelSource, predictor: bool, fortran: bool
) -> None:
    write_facescape_folder(toy(), tmp_path, predictor, fortran)
    truth = replace(
        head,
        albedo_mean=None,
        albedo_basis=None,
        albedo_sd=None,
        landmarks68=head.landmarks68 if predictor else None,
    )
    core = tmp_path / "core_847_7_52.npy"
    for path in (tmp_path, core):
        assert layout_of(path) is LAYOUT
        assert_same(read_source(path), truth, rtol=1e-6)
    assert read_facescape(tmp_path).name == "core_847_7_52"


def bilinear(rng: np.random.Generator, source: ModelSource) -> tuple[Array, Array, Array]:
    """A model that is no sum: an expression depends on who makes it."""
    core, _, id_var = facescape_core(source)
    core[:, 1:] += 0.3 * rng.normal(size=core[:, 1:].shape)
    id_mean = np.concatenate([[1.0], rng.normal(0, 0.2, len(source.id_sd))])
    return core, id_mean, id_var


def test_linear_about_the_mean(tmp_path: Path) -> None:
    """Along each of both axes, from the mean, the linear model is the bilinear one."""
    rng = np.random.default_rng(7)
    core, id_mean, id_var = bilinear(rng, toy())
    file = write_facescape(
        toy(), tmp_path / NAME, shape_bm_core=core, id_mean=id_mean, id_var=id_var
    )
    found = read_facescape(file)
    neutral, weights = np.eye(5)[0], rng.uniform(0, 1, 4)
    identity = id_mean + np.sqrt(id_var) * rng.normal(size=7)

    def truth(identity: Array, expression: Array) -> Array:
        return np.einsum("rek,k,e->r", core, identity, expression).reshape(-1, 3)

    close("mean", found.mean, truth(id_mean, neutral), 1e-12)
    shape = found.mean + found.id_basis @ (identity - id_mean)
    close("identity", shape, truth(identity, neutral), 1e-12)
    # Weights of blendshapes go from the neutral one.
    blend = np.concatenate([[1 - weights.sum()], weights])
    shape = found.mean + found.exp_basis @ weights
    close("expression", shape, truth(id_mean, blend), 1e-12)
    np.testing.assert_allclose(found.id_sd**2, id_var)


NO = np.zeros(0)


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("shape_bm_core", np.zeros((2304, 5)), r"shape \(2304, 5\) of float64, wanted"),
        ("shape_bm_core", np.zeros((2303, 5, 7)), r"shape \(2303, 5, 7\), wanted"),
        ("shape_bm_core", np.zeros((2304, 5, 8)), "with k = 7"),
        ("shape_bm_core", np.zeros((2304, 5, 7), np.int32), "of floats"),
        ("shape_bm_core", np.full((2304, 5, 7), np.nan), "holds what is no finite"),
        ("shape_bm_core", np.zeros((2304, 5, 7)), "in no usual unit"),
        ("id_mean", np.zeros((7, 1)), "shape"),
        ("id_mean", np.full(7, np.inf), "holds what is no finite"),
        ("id_var", np.zeros(7), "holds what is not above 0"),
        ("id_var", np.ones(6), "shape"),
        ("fv_indices", np.zeros((9, 3)), "not from 1 to below 769"),
        ("fv_indices", np.full((9, 3), 769), "not from 1 to below 769"),
        ("ft_indices", np.ones((9, 3)), "shape"),
        ("texcoords", np.ones((9, 3)), "shape"),
        ("lm_list_v16", np.arange(51), "shape"),
        ("color_bm_mean", np.ones(4), "wanted three a colour"),
        ("vc_dict_front", np.full(9, 0), "shape"),
        ("v_indices_front", np.full(9, 768), "holds a number"),
    ],
)
def test_wrong_fields_are_named(tmp_path: Path, name: str, value: Any, problem: str) -> None:
    file = write_facescape(toy(), tmp_path / NAME, **{name: value})
    with pytest.raises(ValueError, match=problem) as caught:
        read_facescape(file)
    assert str(caught.value).startswith(f"{file}: field '{name}")
    assert "\n" not in str(caught.value)


def test_what_are_no_blendshapes_is_refused(tmp_path: Path) -> None:
    file = write_facescape(toy(), tmp_path / "facescape_bm_v1.6_847_50_52_id_exp.npz")
    with pytest.raises(ValueError, match="expressions are principal components"):
        read_facescape(file)
    core, _, _ = facescape_core(toy())
    core[:, 2] = 0.0
    file = write_facescape(toy(), tmp_path / NAME, shape_bm_core=core)
    with pytest.raises(ValueError, match="'shape_bm_core': an expression moves a vertex by 1"):
        read_facescape(file)


def test_missing_fields_and_wrong_files_are_named(tmp_path: Path) -> None:
    file = write_facescape(toy(), tmp_path / NAME)
    with np.load(file, allow_pickle=True) as archive:
        fields = dict(archive)
    needed = ("shape_bm_core", "id_mean", "id_var", "fv_indices", "ft_indices", "texcoords")
    for name in (*needed, "vc_dict_front", "v_indices_front"):  # colours are not dropped silently
        np.savez(file, **{key: value for key, value in fields.items() if key != name})
        with pytest.raises(ValueError, match=rf"front\.npz: field '{name}'.* (missing|not in it)"):
            read_facescape(file)
    np.savez(file, **fields)
    data = file.read_bytes()
    for length in range(0, len(data), len(data) // 9):
        file.write_bytes(data[:length])
        with pytest.raises(ValueError, match=r"front\.npz") as caught:
            read_facescape(file)
        assert "\n" not in str(caught.value)


def test_wrong_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no core_847_50_52\.npy"):
        read_facescape(tmp_path)
    write_facescape_folder(toy(), tmp_path)
    faces = tmp_path / "predef_faces.pkl"
    stored = pickle.loads(faces.read_bytes())
    for value, problem in (
        ([1, 2], "field 'faces': expected lists of four"),
        ({"a": 1}, "field 'faces': expected lists of four"),
        ([([1, 2, 3, 4], [], [1, 1, 1, 1], None)], r"field 'faces': shape \(1, 4\)"),
        ([([1, 2, 769], [], [1, 1, 1], None)], "field 'faces': holds a number"),
        ([([1, 2, "a"], [], [1, 1, 1], None)], "field 'faces': expected numbers"),
        ([([1, 2, 3], [], [1, 1, 10**6], None)], "field 'chart of faces': holds a number"),
    ):
        faces.write_bytes(pickle.dumps(value, 2))
        with pytest.raises(ValueError, match=rf"predef_faces\.pkl: {problem}"):
            read_facescape(tmp_path)
    faces.write_bytes(pickle.dumps(stored)[:-5])
    with pytest.raises(ValueError, match=r"predef_faces\.pkl: no pickle"):
        read_facescape(tmp_path)
    faces.unlink()
    with pytest.raises(ValueError, match=r"predef_faces\.pkl: file not found"):
        read_facescape(tmp_path)
    faces.write_bytes(pickle.dumps(stored, 3))
    factors = tmp_path / "factors_id_847_7_52.npy"
    for array, problem in (
        (np.zeros((5, 6)), "field 'factors_id': shape"),
        (np.zeros((1, 7)), "1 subjects"),
        (np.ones((5, 7)), "same for all subjects"),
        (np.full((5, 7), np.nan), "no finite"),
    ):
        np.save(factors, array)
        with pytest.raises(ValueError, match=rf"7_52\.npy: .*{problem}"):
            read_facescape(tmp_path)
    factors.unlink()
    with pytest.raises(ValueError, match=r"factors_id_847_7_52\.npy: file not found"):
        read_facescape(tmp_path)
    core = tmp_path / "core_847_7_52.npy"
    np.save(core, np.zeros((7, 5, 2303)))
    with pytest.raises(ValueError, match=r"field 'core': shape \(7, 5, 2303\)"):
        read_facescape(tmp_path)
    np.save(tmp_path / "core_847_300_52.npy", np.zeros((7, 5, 2304)))
    with pytest.raises(ValueError, match="holds several models"):
        read_facescape(tmp_path)
    assert LAYOUT.files(tmp_path) == ()


def test_wrong_points_are_named(tmp_path: Path) -> None:
    write_facescape_folder(toy(), tmp_path, predictor=True)
    points = tmp_path / "index_68.txt"
    lines = points.read_text().splitlines()
    for content, problem in (
        (lines[:67], "expected 68 lines"),
        (["one", *lines[1:]], "expected 68 lines"),
        (["768", *lines[1:]], "holds a number"),
        (["9" * 5000, *lines[1:]], "holds a number"),
    ):
        points.write_text("\n".join(content))
        with pytest.raises(ValueError, match=rf"index_68\.txt: field 'landmarks': {problem}"):
            read_facescape(tmp_path)
