"""FLAME's files come back as they were written, its jaw as directions, and damage is named."""

from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from fg3d_builder.facemodel.sources import flame_jaw
from fg3d_builder.facemodel.sources.flame import LAYOUT, read_flame
from fg3d_builder.facemodel.sources.known import layout_of, read_source
from fg3d_builder.facemodel.sources.source import ModelSource
from fg3d_builder.records import Array
from tests.facemodel.sources.comparing import assert_same, close
from tests.facemodel.sources.model_writers_flame import (
    flame_fields,
    jaw_skeleton,
    write_flame,
    write_flame_masks,
    write_flame_template,
    write_flame_texture,
)
from tests.facemodel.sources.python2_pickle import Ch, Select, python2_pickle
from tests.facemodel.sources.toy_head import toy_head

NOT_HELD = ("albedo_mean", "albedo_basis", "uv", "landmarks68", "exp_names", "exp_basis")
LIMITS = ("exp_lower", "exp_upper", "groups")


@pytest.fixture(scope="module")
def head() -> ModelSource:
    return toy_head()


def expected(head: ModelSource) -> ModelSource:
    """What FLAME's files hold of the toy: expressions of variance 1, and the jaw."""
    jaw = flame_jaw.jaw_directions(head.mean, jaw_skeleton(head))
    exp = np.dstack([head.exp_basis * head.exp_sd, jaw])
    e = len(head.exp_sd)
    return replace(
        head,
        exp_basis=exp,
        exp_sd=np.append(np.ones(e), [flame_jaw.OPEN_SD, flame_jaw.SIDE_SD]),
        exp_names=(*(f"expression_{i + 1:02d}" for i in range(e)), "jaw_open", "jaw_left"),
        exp_lower=np.append(np.full(e, -np.inf), [0.0, -1.0]),
        exp_upper=np.append(np.full(e, np.inf), [2.0, 1.0]),
        albedo_mean=None,
        albedo_basis=None,
        albedo_sd=None,
        uv=None,
        landmarks68=None,
        groups={"eyes": head.groups["eyes"]},
    )


@pytest.mark.parametrize(
    ("name", "single"),
    [
        ("generic_model.pkl", False),
        ("male_model.pkl", False),
        ("flame2023.pkl", True),
        ("FLAME2023_Open.npz", False),
    ],
)
def test_round_trip(tmp_path: Path, head: ModelSource, name: str, single: bool) -> None:
    file = write_flame(head, tmp_path / name, single=single)
    assert layout_of(file) is LAYOUT
    assert layout_of(tmp_path) is LAYOUT
    for path in (file, tmp_path):
        found = read_source(path)
        assert_same(found, expected(head), rtol=2e-7)
    assert found.layout == "flame"
    assert found.name == ("flame-" + file.stem if "model" in name else file.stem)
    assert "taken as metres" in found.unit_said


def test_no_jaw_twice(tmp_path: Path, head: ModelSource) -> None:
    found = read_flame(write_flame(head, tmp_path / "flame2023_no_jaw.pkl"))
    e = len(head.exp_sd)
    assert found.exp_names == tuple(f"expression_{i + 1:02d}" for i in range(e))
    close("exp_basis", found.exp_basis, head.exp_basis * head.exp_sd, 1e-6)


def test_what_lies_beside_the_model(tmp_path: Path, head: ModelSource) -> None:
    file = write_flame(head, tmp_path / "generic_model.pkl")
    masks = write_flame_masks(head, tmp_path)
    write_flame_template(head, tmp_path)
    found = read_flame(file)
    assert_same(found, replace(expected(head), uv=head.uv, groups=head.groups), rtol=1e-6)
    assert LAYOUT.files(file) == (file, masks, tmp_path / "head_template.obj")
    assert {"left_eyeball", "right_eyeball", "teeth"} <= set(found.groups)


def test_texture_space(tmp_path: Path, head: ModelSource) -> None:
    """An image that is linear in the chart is sampled to what it is at the vertices."""
    file = write_flame(head, tmp_path / "generic_model.pkl")
    height, width, b = 64, 96, 3
    v, u = (
        1.0 - (np.mgrid[0:height, 0:width][0] + 0.5) / height,
        (np.mgrid[0:height, 0:width][1] + 0.5) / width,
    )
    ramp = np.stack([60.0 + 120 * u, 200.0 - 90 * v, 40.0 + 50 * u + 30 * v], axis=-1)
    basis = np.zeros((height, width, 3, b))
    basis[..., 0], basis[..., 0, 1] = 6.0, 20 * u  # the third one moves nothing
    write_flame_texture(head, tmp_path, ramp, basis)
    found = read_flame(file)
    assert head.uv is not None
    assert found.albedo_mean is not None
    assert found.albedo_basis is not None
    close("uv", found.uv, head.uv, 1e-12)
    corner_u, corner_v = head.uv[..., 0], head.uv[..., 1]

    def at_vertices(values: Array) -> Array:
        total = np.zeros((len(head.mean), values.shape[-1]))
        np.add.at(total, head.triangles, values)
        return total / np.bincount(head.triangles.ravel())[:, None]

    srgb = at_vertices(
        np.stack(
            [
                60 + 120 * corner_u,
                200 - 90 * corner_v,
                40 + 50 * corner_u + 30 * corner_v,
                20 * corner_u,
            ],
            axis=-1,
        )
    )
    colour = srgb[:, :3] / 255.0
    linear = ((colour + 0.055) / 1.055) ** 2.4
    np.testing.assert_allclose(found.albedo_mean, linear, atol=1e-9)
    slope = 2.4 / 1.055 * ((colour + 0.055) / 1.055) ** 1.4
    assert found.albedo_basis.shape == (len(head.mean), 3, 2)
    np.testing.assert_allclose(found.albedo_basis[..., 0], slope * 6.0 / 255, atol=1e-9)
    wanted = np.zeros_like(slope)
    wanted[:, 0] = slope[:, 0] * srgb[:, 3] / 255
    np.testing.assert_allclose(found.albedo_basis[..., 1], wanted, atol=1e-9)

    # Without its chart the texture space takes that of a template, and is not dropped in silence.
    with np.load(tmp_path / "FLAME_texture.npz") as stored:
        images = {name: stored[name] for name in ("mean", "tex_dir")}
    np.savez(tmp_path / "FLAME_texture.npz", **images)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"FLAME_texture\.npz: field 'vt' is missing, and no head"):
        read_flame(file)
    write_flame_template(head, tmp_path)
    np.testing.assert_allclose(read_flame(file).albedo_mean, linear, atol=1e-6)


def test_jaw_moves_as_skinning_does(head: ModelSource) -> None:
    """Against transforms of the whole chain of joints, as readers of FLAME compute them."""
    bones = jaw_skeleton(head)
    angle = np.array([0.21, -0.08, 0.05])
    turns = np.tile(np.eye(3), (5, 1, 1))
    turns[2] = flame_jaw.rotation(angle)
    features = (turns[1:] - np.eye(3)).ravel()
    shaped = head.mean + np.einsum("ndf,f->nd", bones.correctives, features)
    world = np.tile(np.eye(4), (5, 1, 1))
    for joint, parent in enumerate([-1, 0, 1, 1, 1]):
        local = np.eye(4)
        local[:3, :3] = turns[joint]
        local[:3, 3] = bones.joints[joint] - (bones.joints[parent] if joint else 0)
        world[joint] = local if joint == 0 else world[parent] @ local
    for joint in range(5):
        world[joint, :3, 3] -= world[joint, :3, :3] @ bones.joints[joint]
    blended = np.einsum("nj,jab->nab", bones.weights, world)
    homogeneous = np.concatenate([shaped, np.ones((len(shaped), 1))], axis=1)
    wanted = np.einsum("nab,nb->na", blended, homogeneous)[:, :3]
    np.testing.assert_allclose(flame_jaw.posed(head.mean, bones, angle), wanted, atol=1e-9)


def test_rotation_is_one() -> None:
    turn = flame_jaw.rotation(np.array([0.0, 0.0, np.pi / 2]))
    np.testing.assert_allclose(turn @ [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], atol=1e-12)
    np.testing.assert_allclose(flame_jaw.rotation(np.zeros(3)), np.eye(3))


def test_jaw_directions(head: ModelSource) -> None:
    """Open goes down, left goes to the subject's left; beside the arc by no more than said."""
    bones = jaw_skeleton(head)._replace(correctives=np.zeros((len(head.mean), 3, 36)))
    moves = flame_jaw.jaw_directions(head.mean, bones)
    chin = np.argmax(bones.weights[:, 2] * head.mean[:, 2])
    assert moves[chin, 1, 0] < -10.0
    assert moves[chin, 0, 1] > 5.0
    still = bones.weights[:, 2] == 0
    np.testing.assert_allclose(moves[still], 0.0, atol=1e-12)
    lever = np.linalg.norm(head.mean - bones.joints[2], axis=1)
    for share in (0.25, 0.5, 0.75):
        angle = np.array([share * flame_jaw.OPEN_RAD, 0.0, 0.0])
        true = flame_jaw.posed(head.mean, bones, angle) - head.mean
        off = np.linalg.norm(share * moves[..., 0] - true, axis=1)
        assert np.all(off <= lever * flame_jaw.OPEN_RAD**2 / 8 * 1.01)
    opposite = flame_jaw.posed(head.mean, bones, np.array([0.0, -flame_jaw.SIDE_RAD, 0.0]))
    off = np.linalg.norm(head.mean - moves[..., 1] - opposite, axis=1)
    assert off.max() <= lever.max() * flame_jaw.SIDE_RAD**2 / 2


# ---- damage ----


def changed_pickle(head: ModelSource, file: Path, **changes: Any) -> Path:
    fields: dict[str, Any] = dict(flame_fields(head)) | changes
    fields = {name: value for name, value in fields.items() if value is not None}
    file.write_bytes(pickle.dumps(fields, 2))
    return file


def bad_sparse(head: ModelSource) -> sp.csc_matrix:
    matrix = sp.csc_matrix(flame_fields(head)["J_regressor"])
    matrix.indices = matrix.indices + 10**6
    return matrix


NAN = np.full((768, 3), np.nan)


@pytest.mark.parametrize(
    ("name", "change", "problem"),
    [
        ("v_template", lambda head: None, "field 'v_template' is missing"),
        ("f", lambda head: None, "field 'f' is missing"),
        ("shapedirs", lambda head: None, "field 'shapedirs' is missing"),
        ("posedirs", lambda head: None, "field 'posedirs' is missing"),
        ("J_regressor", lambda head: None, "field 'J_regressor' is missing"),
        ("kintree_table", lambda head: None, "field 'kintree_table' is missing"),
        ("weights", lambda head: None, "field 'weights' is missing"),
        ("v_template", lambda head: NAN, "'v_template': holds what is no finite"),
        ("v_template", lambda head: head.mean[:-1] / 1000, "'shapedirs': shape"),
        ("v_template", lambda head: head.mean * 40, "in no usual unit"),
        ("v_template", lambda head: "text", "'v_template': expected numbers, found texts"),
        ("v_template", lambda head: [[1.0], [2.0, 3.0]], "'v_template': expected numbers"),
        ("v_template", lambda head: Path("x"), "'v_template': an object of pathlib"),
        ("f", lambda head: head.triangles + 1, r"'f': holds a number that is not from 0"),
        ("f", lambda head: head.triangles + 0.5, "'f': holds fractions"),
        ("f", lambda head: head.triangles.ravel(), r"'f': shape \("),
        ("shapedirs", lambda head: np.zeros((768, 3, 300)), "wanted .768, 3, 400."),
        ("posedirs", lambda head: np.zeros((768, 3, 207)), "'posedirs': shape"),
        ("weights", lambda head: np.zeros((768, 5)), "do not add up to 1"),
        ("weights", lambda head: np.zeros((768, 24)), "'weights': shape"),
        ("kintree_table", lambda head: np.zeros((2, 24)), "'kintree_table': not root"),
        ("J_regressor", bad_sparse, "'J_regressor': a sparse matrix whose indices"),
        ("J_regressor", lambda head: sp.coo_matrix(np.eye(5)), "kind coo_matrix"),
        ("J_regressor", lambda head: sp.csc_matrix(np.eye(5)), "'J_regressor': shape"),
    ],
)
def test_wrong_fields_are_named(
    tmp_path: Path, head: ModelSource, name: str, change: Any, problem: str
) -> None:
    file = changed_pickle(head, tmp_path / "generic_model.pkl", **{name: change(head)})
    with pytest.raises(ValueError, match=problem) as caught:
        read_flame(file)
    assert "\n" not in str(caught.value)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize("name", ["v_template", "kintree_table"])
def test_lists_that_unfold_beyond_memory(tmp_path: Path, head: ModelSource, name: str) -> None:
    many: Any = [0.0] * 30
    for _ in range(12):  # each list names the one before it thirty times
        many = [many] * 30
    file = changed_pickle(head, tmp_path / "generic_model.pkl", **{name: many})
    with pytest.raises(ValueError, match=f"'{name}': lists with more than"):
        read_flame(file)


def test_chumpy_objects_that_would_be_computed(tmp_path: Path, head: ModelSource) -> None:
    class Add(Ch):
        pass

    Add.__module__, Add.__qualname__ = "chumpy.ch_ops", "add"
    fields = flame_fields(head)
    for value, problem in (
        (Add(fields["v_template"]), "Chumpy object of kind add"),
        (Ch(Ch(fields["v_template"])), "Chumpy object of kind Ch"),  # type: ignore[arg-type]
        (Ch("text"), "expected numbers, found texts"),  # type: ignore[arg-type]
    ):
        file = tmp_path / "generic_model.pkl"
        file.write_bytes(python2_pickle(fields | {"v_template": value}))
        with pytest.raises(ValueError, match=problem):
            read_flame(file)


def test_slices_of_slices(tmp_path: Path, head: ModelSource) -> None:
    fields = flame_fields(head)
    whole = np.concatenate([np.zeros((1, 3)), fields["v_template"], np.zeros((2, 3))])
    index = np.arange(whole.size).reshape(whole.shape)
    slice_ = Select(Ch(whole), index[1:].ravel(), index[1:].shape)
    inner = np.arange(index[1:].size).reshape(index[1:].shape)[:-2]
    file = tmp_path / "generic_model.pkl"
    template = Select(slice_, inner.ravel(), inner.shape)
    file.write_bytes(python2_pickle(fields | {"v_template": template}))
    close("mean", read_flame(file).mean, head.mean, 1e-12)
    template.a = template  # round
    file.write_bytes(python2_pickle(fields | {"v_template": template}))
    with pytest.raises(ValueError, match="'v_template': Chumpy objects Select in more than 8"):
        read_flame(file)
    template.a, template.idxs = slice_, inner.ravel() + 10**6
    file.write_bytes(python2_pickle(fields | {"v_template": template}))
    with pytest.raises(ValueError, match="'v_template': a Chumpy object Select without"):
        read_flame(file)


def test_like_smplx(tmp_path: Path, head: ModelSource) -> None:
    """Against the reader that most people use, where it is installed."""
    smplx = pytest.importorskip("smplx", reason="the package smplx is not installed")
    torch = pytest.importorskip("torch")
    found = read_flame(write_flame(head, tmp_path / "FLAME_NEUTRAL.pkl", single=True))
    points = {"lmk_face_idx": np.arange(51), "lmk_b_coords": np.full((51, 3), 1 / 3)}
    (tmp_path / "flame_static_embedding.pkl").write_bytes(pickle.dumps(points))
    theirs = smplx.FLAME(
        str(tmp_path), num_betas=300, num_expression_coeffs=100, use_face_contour=False
    )

    def shape(**parameters: Array) -> Array:
        tensors = {k: torch.tensor(v, dtype=torch.float32) for k, v in parameters.items()}
        return np.asarray(1000.0 * theirs(**tensors).vertices[0].detach().numpy())

    rng = np.random.default_rng(4)
    betas, expression = np.zeros((1, 300)), np.zeros((1, 100))
    betas[0, :6], expression[0, :4] = rng.normal(size=6), rng.normal(size=4)
    jaw = {
        name: np.array([[0.0, angle, 0.0]])
        for name, angle in (("left", flame_jaw.SIDE_RAD), ("right", -flame_jaw.SIDE_RAD))
    }
    sideways = (shape(jaw_pose=jaw["left"]) - shape(jaw_pose=jaw["right"])) / 2
    for ours, wanted in (
        (found.mean, shape()),
        (found.mean + found.id_basis @ betas[0, :6], shape(betas=betas)),
        (found.mean + found.exp_basis[..., :4] @ expression[0, :4], shape(expression=expression)),
        (
            found.mean + found.exp_basis[..., 4],
            shape(jaw_pose=np.array([[flame_jaw.OPEN_RAD, 0.0, 0.0]])),
        ),
        (found.exp_basis[..., 5], sideways),
    ):
        np.testing.assert_allclose(ours, wanted, atol=1e-4)
    np.testing.assert_array_equal(found.polygons, theirs.faces)


def test_wrong_files_are_named(tmp_path: Path, head: ModelSource) -> None:
    file = write_flame(head, tmp_path / "generic_model.pkl")
    data = file.read_bytes()
    for length in (0, 1, 100, len(data) // 2, len(data) - 1):
        file.write_bytes(data[:length])
        with pytest.raises(ValueError, match=r"generic_model\.pkl: no pickle") as caught:
            read_flame(file)
        assert "\n" not in str(caught.value)
    file.write_bytes(pickle.dumps([1, 2]))
    with pytest.raises(ValueError, match="expected a table of arrays, found list"):
        read_flame(file)
    archive = write_flame(head, tmp_path / "flame2023.npz")
    with pytest.raises(ValueError, match=r"found flame2023\.npz, generic_model\.pkl; name"):
        read_flame(tmp_path)
    whole = archive.read_bytes()
    archive.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"flame2023\.npz: no npz archive"):
        read_flame(archive)
    with pytest.raises(ValueError, match=r"gone\.pkl: file not found"):
        read_flame(tmp_path / "gone.pkl")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="expected one FLAME model, found none"):
        read_flame(tmp_path / "empty")


def test_wrong_files_beside_the_model_are_named(tmp_path: Path, head: ModelSource) -> None:
    file = write_flame(head, tmp_path / "generic_model.pkl")
    masks = tmp_path / "FLAME_masks.pkl"
    masks.write_bytes(pickle.dumps({"face": np.array([5023])}))
    with pytest.raises(ValueError, match=r"FLAME_masks\.pkl: field 'face': holds a number"):
        read_flame(file)
    masks.write_bytes(pickle.dumps([1]))
    with pytest.raises(ValueError, match=r"FLAME_masks\.pkl: expected a table"):
        read_flame(file)
    masks.unlink()
    template = write_flame_template(replace(head, polygons=head.polygons[::-1]), tmp_path)
    with pytest.raises(ValueError, match=r"head_template\.obj: its triangles are not"):
        read_flame(file)
    template.unlink()
    image = np.zeros((8, 8, 3))
    for basis, problem in (
        (np.zeros((8, 9, 3, 2)), "field 'tex_dir': shape"),
        (np.full((8, 8, 3, 2), np.nan), "field 'tex_dir': holds what is no finite"),
    ):
        write_flame_texture(head, tmp_path, image, basis)
        with pytest.raises(ValueError, match=rf"FLAME_texture\.npz: {problem}"):
            read_flame(file)
    fewer = replace(head, polygons=head.polygons[1:], uv=head.uv[1:])  # type: ignore[index]
    write_flame_texture(fewer, tmp_path, image, np.zeros((8, 8, 3, 1)))
    with pytest.raises(ValueError, match=r"FLAME_texture\.npz: field 'ft': shape"):
        read_flame(file)
