"""Writers of face models as GNM, FaceScape and plain arrays have them: archives of arrays."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from fg3d_builder.facemodel.sources.source import ModelSource
from fg3d_builder.records import Array
from tests.facemodel.sources.writing import chart_points, srgb_albedo

SINGLE = np.float32
_GNM_ROLES = {
    "eyes": ("left_eye", "right_eye"),
    "teeth": ("teeth",),
    "mouth_interior": ("mouth_sock",),
}


def gnm_fields(source: ModelSource) -> dict[str, Array]:
    """All 23 arrays of a GNM head."""
    count, triangles = len(source.mean), source.triangles
    groups = {"skin": np.ones(count, dtype=bool)}
    for role, index in source.groups.items():
        parts = _GNM_ROLES.get(role, (role,))
        pieces = [index]
        if len(parts) == 2:  # left and right
            left = source.mean[index, 0] > 0
            pieces = [index[left], index[~left]]
        for part, piece in zip(parts, pieces, strict=True):
            groups[part] = np.isin(np.arange(count), piece)
            groups["skin"] &= ~groups[part]
    chart = np.zeros((len(triangles), 3, 2)) if source.uv is None else source.uv
    names = source.exp_names or tuple(f"mouth_{i}" for i in range(len(source.exp_sd)))
    joints = 4
    return {
        "version": np.array("3.0"),
        "variant": np.array("head"),
        "template_vertex_positions": (source.mean / 1000.0).astype(SINGLE),
        "template_joint_positions": np.zeros((joints, 3), SINGLE),
        "vertex_identity_basis": _gnm_basis(source.id_basis * source.id_sd),
        "joint_identity_basis": np.zeros((len(source.id_sd), joints, 3), SINGLE),
        "expression_basis": _gnm_basis(source.exp_basis * source.exp_sd),
        "identity_names": np.array([f"head_{i}" for i in range(len(source.id_sd))]),
        "joint_names": np.array(["neck", "head", "left_eye", "right_eye"]),
        "expression_names": np.array(names),
        "joint_parent_indices": np.array([0, 0, 1, 1]),
        "skinning_weights": np.tile(np.eye(joints, dtype=SINGLE)[:, :1], (1, count)),
        "quads": np.zeros((0, 4), np.int32),
        "triangles": triangles.astype(np.int32),
        "quad_uvs": np.zeros((0, 4, 2), SINGLE),
        "triangle_uvs": chart.astype(SINGLE),
        "mesh_component_names": np.array(["skin", "left_eye", "right_eye"]),
        "mirror_indices": np.arange(count),
        "joint_regressor": np.zeros((joints, count), SINGLE),
        "pose_correctives_regressor": np.zeros((9 * joints, 3 * count), SINGLE),
        "bone_aligned_template_joint_orientations": np.tile(
            np.eye(3, dtype=SINGLE), (joints, 1, 1)
        ),
        "vertex_groups": np.array(list(groups.values()), dtype=SINGLE),
        "vertex_group_names": np.array(list(groups)),
    }


def write_gnm(source: ModelSource, file: Path, **changed: Array) -> Path:
    """Write ``gnm_head.npz``."""
    np.savez_compressed(file, **(gnm_fields(source) | changed))  # type: ignore[arg-type]
    return file


def _gnm_basis(basis: Array) -> Array:
    return np.moveaxis(basis / 1000.0, 2, 0).astype(SINGLE)


def facescape_core(source: ModelSource) -> tuple[Array, Array, Array]:
    """Core (3n, 1 + e, 1 + k), mean and variance of the factors: the first one carries the mean.

    Expressions are the same for everyone, which a bilinear model can be.
    """
    length = source.mean.size
    neutral = np.concatenate(
        [source.mean.reshape(length, 1), source.id_basis.reshape(length, -1)], 1
    )
    moves = source.exp_basis.reshape(length, -1)
    core = np.repeat(neutral[:, None, :], 1 + moves.shape[1], axis=1)
    core[:, 1:, 0] += moves
    mean = np.eye(1 + len(source.id_sd))[0]
    return core, mean, np.concatenate([[1e-6], source.id_sd**2])


def write_facescape(
    source: ModelSource, file: Path, fortran: bool = False, **changed: Array
) -> Path:
    """Write the ``npz`` of version 1.6, with colours of the vertices at the front."""
    core, id_mean, id_var = facescape_core(source)
    points, corners = chart_points(source)
    front = np.flatnonzero(source.mean[:, 2] > 0)
    fields: dict[str, Any] = {
        "shape_bm_core": core.astype(SINGLE, order="F" if fortran else "C"),
        "fv_indices": source.triangles + 1,
        "ft_indices": corners + 1,
        "v_indices_front": front,
        "vert_num": np.array(len(source.mean)),
        "texcoords": points,
        "sym_dict": np.array({1: 2}, dtype=object),
        "id_mean": id_mean,
        "id_var": id_var,
    }
    if source.landmarks68 is not None:
        fields["lm_list_v16"] = source.landmarks68.astype(np.int64)
    if source.albedo_mean is not None:
        srgb, _ = srgb_albedo(source.albedo_mean[front], np.zeros((len(front), 3, 0)))
        row = np.arange(len(front))[::-1].copy()  # some other order
        row[0] = -1
        fields |= {
            "color_bm_mean": 255.0 * srgb[::-1, ::-1].ravel(),
            "color_bm_core": np.zeros((srgb.size, 2)),
            "vc_dict_front": row,
        }
    np.savez(file, **(fields | changed))
    return file


def write_facescape_folder(
    source: ModelSource, folder: Path, predictor: bool = False, fortran: bool = False
) -> Path:
    """Write version 1.3: core and factors of subjects, faces in pickled lists.

    With `predictor` the names and lists of the makers' detail predictor, with the 68 points.
    """
    core, id_mean, id_var = facescape_core(source)
    k = len(id_mean)
    turned = core.transpose(2, 1, 0)
    np.save(folder / f"core_847_{k}_52.npy", turned.astype(SINGLE, order="F" if fortran else "C"))
    points, corners = chart_points(source)
    pairs = zip((source.triangles + 1).tolist(), (corners + 1).tolist(), strict=True)
    faces = [(vertices, [0, 0, 0], places, None) for vertices, places in pairs]
    if predictor:
        for name, value in (
            ("faces", (points.tolist(), faces)),
            ("id_mean", id_mean),
            ("id_var", id_var),
        ):
            (folder / f"{name}.pkl").write_bytes(pickle.dumps(value, 3))
        assert source.landmarks68 is not None
        lines = [f"{vertex} {number}" for number, vertex in enumerate(source.landmarks68)]
        (folder / "index_68.txt").write_text("\n".join(lines) + "\n")
        return folder
    (folder / "predef_faces.pkl").write_bytes(pickle.dumps(faces, 3))
    (folder / "predef_texcoords.pkl").write_bytes(pickle.dumps(points.tolist(), 3))
    # Two subjects for each factor have its mean and variance.
    spread = np.sqrt(id_var * k) * np.eye(k)
    subjects = np.concatenate([id_mean + spread, id_mean - spread])
    np.save(folder / f"factors_id_847_{k}_52.npy", subjects)
    return folder


def array_fields(source: ModelSource, unit_mm: float | None = None) -> dict[str, Array]:
    """Arrays under the names of the layout ``arrays``; in mm without `unit_mm`."""
    unit = unit_mm or 1.0
    fields: dict[str, Any] = {
        "mean": source.mean / unit,
        "triangles": source.triangles,
        "id_basis": source.id_basis / unit,
        "id_sd": source.id_sd,
        "exp_basis": source.exp_basis / unit,
        "exp_sd": source.exp_sd,
        "exp_names": np.array(source.exp_names),
        "exp_lower": source.exp_lower,
        "exp_upper": source.exp_upper,
        "albedo_mean": source.albedo_mean,
        "albedo_basis": source.albedo_basis,
        "albedo_sd": source.albedo_sd,
        "uv": source.uv,
        "landmarks68": source.landmarks68,
        "name": np.array(source.name),
        "licence": np.array(source.licence),
        **{f"group_{name}": index for name, index in source.groups.items()},
    }
    if unit_mm:
        fields["unit_mm"] = np.array(unit_mm)
    if not source.exp_names:
        del fields["exp_names"]
    return {name: value for name, value in fields.items() if value is not None}


def write_arrays(
    source: ModelSource,
    file: Path,
    unit_mm: float | None = None,
    changed: dict[str, Array] | None = None,
) -> Path:
    """Write an ``npz`` file of plain arrays."""
    np.savez(file, **(array_fields(source, unit_mm) | (changed or {})))  # type: ignore[arg-type]
    return file
