"""Small valid files of FLAME, GNM, Surrey, FaceScape, plain arrays and pickles for the drill."""

from __future__ import annotations

import pickle
import struct
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from fg3d_builder.records import Array


def _head() -> tuple[Array, Array, Array]:
    """Return vertices (20, 3) mm, triangles and random numbers (20, 3, 6): skull and two eyes."""
    golden = (1 + 5**0.5) / 2
    corners = [(0, s, t * golden) for s in (-1, 1) for t in (-1, 1)]
    points = np.array([p[i:] + p[:i] for i in range(3) for p in corners])
    vertices = [points * [45.0, 70.0, 55.0]]
    triangles = [
        (a, b, c)
        for a in range(12)
        for b in range(a + 1, 12)
        for c in range(b + 1, 12)
        if all(np.linalg.norm(points[i] - points[j]) < 2.1 for i, j in ((a, b), (b, c), (a, c)))
    ]
    eye = np.array([[1, 1, 1], [-1, -1, 1], [-1, 1, -1], [1, -1, -1]]) * 8.0
    for side in (-1.0, 1.0):
        start = sum(map(len, vertices))
        vertices.append(eye + np.array([side * 30.0, 20.0, 70.0]))
        triangles += [(start + a, start + b, start + c) for a, b, c in _tetrahedron()]
    every = np.concatenate(vertices)
    turned = [_outwards(every, corner) for corner in triangles]
    basis = np.random.default_rng(5).normal(size=(20, 3, 6))
    return every, np.array(turned, dtype=np.int32), basis


def _tetrahedron() -> list[tuple[int, int, int]]:
    return [(0, 1, 2), (0, 3, 1), (0, 2, 3), (1, 3, 2)]


def _outwards(vertices: Array, corner: tuple[int, int, int]) -> tuple[int, int, int]:
    a, b, c = vertices[list(corner)]
    part = (
        vertices[12:16]
        if 12 <= corner[0] < 16
        else vertices[16:]
        if corner[0] >= 16
        else vertices[:12]
    )
    outside = np.cross(b - a, c - a) @ ((a + b + c) / 3 - part.mean(axis=0)) > 0
    return corner if outside else (corner[0], corner[2], corner[1])


def _flame_fields() -> dict[str, Any]:
    vertices, triangles, basis = _head()
    directions = np.zeros((20, 3, 400), np.float32)
    directions[..., [0, 1, 2, 300, 301]] = basis[..., :5] / 1000.0
    weights = np.zeros((20, 5))
    weights[:12, 1], weights[:4, 1], weights[:4, 2] = 1.0, 0.4, 0.6
    weights[12:16, 3] = weights[16:, 4] = 1.0
    return {
        "v_template": vertices / 1000.0,
        "f": triangles.astype(np.uint32),
        "shapedirs": directions,
        "posedirs": np.full((20, 3, 36), 1e-4),
        "J_regressor": np.full((5, 20), 0.05),
        "kintree_table": np.array([[2**32 - 1, 0, 1, 1, 1], [0, 1, 2, 3, 4]], dtype=np.uint32),
        "weights": weights,
    }


def flame_pickle(folder: Path) -> Path:
    fields = _flame_fields()
    fields["J_regressor"] = sp.csc_matrix(fields["J_regressor"])
    (folder / "generic_model.pkl").write_bytes(pickle.dumps(fields, 2))
    return folder / "generic_model.pkl"


def flame_npz(folder: Path) -> Path:
    np.savez(folder / "flame2023.npz", **_flame_fields())
    return folder / "flame2023.npz"


def flame_masks(folder: Path) -> Path:
    flame_pickle(folder)
    masks = {
        "left_eyeball": np.arange(12, 16),
        "right_eyeball": np.arange(16, 20),
        "face": np.arange(9),
    }
    (folder / "FLAME_masks.pkl").write_bytes(pickle.dumps(masks, 2))
    return folder / "FLAME_masks.pkl"


def flame_texture(folder: Path) -> Path:
    flame_pickle(folder)
    triangles = _head()[1]
    rng = np.random.default_rng(3)
    np.savez(
        folder / "FLAME_texture.npz",
        mean=rng.uniform(50, 200, (8, 6, 3)),
        tex_dir=rng.normal(size=(8, 6, 3, 2)),
        vt=rng.uniform(size=(20, 2)),
        ft=triangles,
    )
    return folder / "FLAME_texture.npz"


def flame_template(folder: Path) -> Path:
    flame_pickle(folder)
    vertices, triangles, _ = _head()
    lines = [f"v {x:.4f} {y:.4f} {z:.4f}" for x, y, z in vertices / 1000.0]
    lines += [f"vt {0.5 + x / 300:.4f} {0.5 + y / 300:.4f}" for x, y, _ in vertices]
    lines += [f"f {a}/{a} {b}/{b} {c}/{c}" for a, b, c in triangles + 1]
    (folder / "head_template.obj").write_text("\n".join(lines) + "\n")
    return folder / "head_template.obj"


def gnm(folder: Path) -> Path:
    vertices, triangles, basis = _head()
    np.savez(
        folder / "gnm_head.npz",
        version=np.array("3.0"),
        template_vertex_positions=(vertices / 1000.0).astype(np.float32),
        vertex_identity_basis=np.moveaxis(basis[..., :3], 2, 0).astype(np.float32),
        expression_basis=np.moveaxis(basis[..., 3:], 2, 0).astype(np.float32),
        expression_names=np.array(["a", "b", "c"]),
        triangles=triangles,
        triangle_uvs=np.zeros((len(triangles), 3, 2), np.float32),
        vertex_groups=np.eye(20, dtype=np.float32)[:2],
        vertex_group_names=np.array(["left_eye", "tongue"]),
    )
    return folder / "gnm_head.npz"


def _eigen(matrix: Array) -> bytes:
    table = np.atleast_2d(matrix.T).T
    return struct.pack("<ii", *table.shape) + table.T.astype("<f4").tobytes()


def surrey(folder: Path) -> Path:
    vertices, triangles, basis = _head()
    rows = struct.pack("<Q", len(triangles)) + triangles.astype("<i4").tobytes()
    flat = basis.reshape(60, 6)
    shape = _eigen(vertices.ravel()) + _eigen(flat[:, :3]) + _eigen(np.ones(3)) + rows
    colour = _eigen(np.full(60, 0.4)) + _eigen(flat[:, :2] / 50) + _eigen(np.ones(2)) + rows
    chart = struct.pack("<Q", 20) + np.full((20, 2), 0.5).tobytes() + rows
    data = struct.pack("<I", 4) + shape + colour + b"\x01\x01" + chart
    (folder / "sfm_shape_20.bin").write_bytes(data)
    return folder / "sfm_shape_20.bin"


def blendshapes(folder: Path) -> Path:
    surrey(folder)
    basis = _head()[2].reshape(60, 6)
    data = struct.pack("<Q", 2)
    for i, name in enumerate((b"anger", b"fear")):
        data += struct.pack("<Q", len(name)) + name + _eigen(basis[:, i])
    (folder / "expression_blendshapes_20.bin").write_bytes(data)
    return folder / "expression_blendshapes_20.bin"


def mapping(folder: Path) -> Path:
    surrey(folder)
    lines = [f"\t{i + 1:2d} {i % 20:4d} ; a point ({i})" for i in range(68)]
    text = "\n".join(["; mapping", "landmarkMappings", "{", *lines, "}"])
    (folder / "ibug_to_sfm.txt").write_text(text)
    return folder / "ibug_to_sfm.txt"


def _core() -> Array:
    """Return a core (60, 3, 3): the mean, and two directions."""
    vertices, _, basis = _head()
    flat = basis.reshape(60, 6)
    neutral = np.column_stack([vertices.ravel(), flat[:, :2]])
    core = np.repeat(neutral[:, None], 3, axis=1)
    core[:, 1, 0] += flat[:, 3]
    core[:, 2, 0] += flat[:, 4]
    return core.astype(np.float32)


def facescape(folder: Path) -> Path:
    triangles = _head()[1]
    np.savez(
        folder / "facescape_bm_v1.6_847_2_3_id_front.npz",
        shape_bm_core=_core(),
        id_mean=np.eye(3)[0],
        id_var=np.array([1e-6, 1.0, 1.0]),
        fv_indices=triangles + 1,
        ft_indices=triangles + 1,
        texcoords=np.full((20, 2), 0.5),
        lm_list_v16=np.arange(68) % 20,
        color_bm_mean=np.full(24, 120.0),
        vc_dict_front=np.arange(-1, 7),
        v_indices_front=np.arange(8),
    )
    return folder / "facescape_bm_v1.6_847_2_3_id_front.npz"


def facescape_core(folder: Path) -> Path:
    facescape_faces(folder)
    return folder / "core_847_3_52.npy"


def facescape_faces(folder: Path) -> Path:
    np.save(folder / "core_847_3_52.npy", np.ascontiguousarray(_core().transpose(2, 1, 0)))
    spread = np.eye(3) * [1e-3, 1.0, 1.0]
    np.save(
        folder / "factors_id_847_3_52.npy",
        np.concatenate([np.eye(3)[0] + spread, np.eye(3)[0] - spread]),
    )
    faces = [(corner, [0, 0, 0], corner, None) for corner in (_head()[1] + 1).tolist()]
    (folder / "predef_faces.pkl").write_bytes(pickle.dumps(faces, 3))
    chart = np.full((20, 2), 0.5).tolist()
    (folder / "predef_texcoords.pkl").write_bytes(pickle.dumps(chart, 3))
    (folder / "index_68.txt").write_text("\n".join(f"{i % 20} {i}" for i in range(68)))
    return folder / "predef_faces.pkl"


def facescape_points(folder: Path) -> Path:
    facescape_faces(folder)
    return folder / "index_68.txt"


def arrays(folder: Path) -> Path:
    vertices, triangles, basis = _head()
    np.savez(
        folder / "ours.npz",
        mean=vertices,
        triangles=triangles,
        id_basis=basis[..., :3],
        id_sd=np.ones(3),
        exp_basis=basis[..., 3:],
        exp_names=np.array(["a", "b", "c"]),
        exp_lower=np.zeros(3),
        exp_upper=np.ones(3),
        albedo_mean=np.full((20, 3), 0.4),
        uv=np.full((20, 2), 0.5),
        landmarks68=np.arange(68) % 20,
        group_eyes=np.arange(12, 20),
        name=np.array("ours"),
    )
    return folder / "ours.npz"


# ---- pickles of all sorts ----


def any_pickle(folder: Path) -> Path:
    value = {
        "array": np.arange(12.0).reshape(3, 4),
        "fortran": np.asfortranarray(np.arange(6, dtype=">i4").reshape(2, 3)),
        "objects": np.array([1, "a", None], dtype=object),
        "texts": np.array(["a", "bc"]),
        "scalar": np.float32(2.5),
        "matrix": sp.csc_matrix(np.eye(4)),
        "table": OrderedDict(a=[1, (2, {3: "x"})]),
        "set": {1, 2},
        "plain": [None, True, 2**70, -1.5, "ü", b"\xff", (), (1,), (1, 2)],
        "class": Path,
    }
    protocol = 4
    (folder / "any.pkl").write_bytes(pickle.dumps(value, protocol))
    return folder / "any.pkl"


def text_pickle(folder: Path) -> Path:
    value = {"a": [1, 2.5, "ü", b"ab", None, True, 2**70], "b": np.arange(5), "c": {1}}
    (folder / "text.pkl").write_bytes(pickle.dumps(value, 0))
    return folder / "text.pkl"
