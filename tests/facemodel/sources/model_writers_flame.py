"""Writers of face models as FLAME's files have them.

As in all modules of writers here, each takes a `ModelSource` and writes it in exactly the layout of
the makers' files: names, shapes, element types, order of axes, units, first numbers of indices.
What a format cannot hold is left out; what it needs beyond a `ModelSource` has a parameter, with
something that makes sense where it is not given.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from fg3d_builder.facemodel.sources import flame_jaw
from fg3d_builder.facemodel.sources.source import ModelSource
from fg3d_builder.records import Array
from tests.facemodel.sources.python2_pickle import Ch, Select, python2_pickle
from tests.facemodel.sources.writing import chart_points


def jaw_skeleton(source: ModelSource, seed: int = 0) -> flame_jaw.Skeleton:
    """A skeleton for a head: neck below, jaw at the ears, eyes in the "eyes" group; mm.

    Joints are means of vertices, as a regressor gives them; correctives are small and random. A
    head without that group has joints of the eyes that turn nothing.
    """
    mean = source.mean
    low, high = mean.min(axis=0), mean.max(axis=0)
    size, middle = high - low, (low + high) / 2
    share = np.zeros((len(mean), 5))
    # The jaw takes what is low and to the front, smoothly; the rest turns with the neck.
    down = (middle[1] - 0.1 * size[1] - mean[:, 1]) / (0.2 * size[1])
    front = (mean[:, 2] - middle[2]) / (0.3 * size[2])
    share[:, 2] = np.clip(down, 0, 1) * np.clip(front, 0, 1)
    share[:, 1] = 1 - share[:, 2]
    if "eyes" in source.groups:
        for joint, vertices in zip((3, 4), _eyes(source), strict=True):
            share[vertices] = np.eye(5)[joint]
    rng = np.random.default_rng(seed)
    return flame_jaw.Skeleton(
        joints=joint_regressor(source) @ mean,
        parents=np.array([0, 0, 1, 1, 1]),
        weights=share,
        correctives=rng.normal(0, 0.05, (len(mean), 3, 36)),
    )


def joint_regressor(source: ModelSource) -> Array:
    """Weights (5, n) that give the joints: root, neck, jaw, left and right eye."""
    low, high = source.mean.min(axis=0), source.mean.max(axis=0)
    x, y, z = (low + high) / 2
    ears = [_nearest(source.mean, [side, y, z]) for side in (low[0], high[0])]
    neck, root = [x, low[1] / 2, z], [x, low[1], z]
    groups = [_nearest(source.mean, root), _nearest(source.mean, neck), np.concatenate(ears)]
    regressor = np.zeros((5, len(source.mean)))
    for joint, vertices in enumerate([*groups, *_eyes(source)]):
        regressor[joint, vertices] = 1 / len(vertices)
    return regressor


def _eyes(source: ModelSource) -> list[Array]:
    """Vertices of the left and of the right eye, or those of the skin where eyes may be."""
    low, high = source.mean.min(axis=0), source.mean.max(axis=0)
    x = (low[0] + high[0]) / 2
    if "eyes" in source.groups:
        eyes = source.groups["eyes"]
        left = source.mean[eyes, 0] > x
        return [eyes[left], eyes[~left]]
    y, side = low[1] + 0.6 * (high[1] - low[1]), 0.2 * (high[0] - low[0])
    return [_nearest(source.mean, [x + sign * side, y, high[2]]) for sign in (1, -1)]


def _nearest(points: Array, place: list[float]) -> Array:
    return np.argsort(np.linalg.norm(points - place, axis=1))[:4]


def flame_fields(
    source: ModelSource, skeleton: flame_jaw.Skeleton | None = None, unit_mm: float = 1000.0
) -> dict[str, Array]:
    """Arrays of a FLAME model; directions of the jaw are left out, they are in the skeleton."""
    bones = skeleton or jaw_skeleton(source)
    count = len(source.mean)
    moves = [not name.startswith("jaw_") for name in source.exp_names] or [True] * len(
        source.exp_sd
    )
    directions = np.zeros((count, 3, 400))
    directions[..., : len(source.id_sd)] = source.id_basis * source.id_sd
    expressions = (source.exp_basis * source.exp_sd)[..., np.array(moves, dtype=bool)]
    directions[..., 300 : 300 + expressions.shape[2]] = expressions
    return {
        "v_template": source.mean / unit_mm,
        "f": source.triangles.astype(np.uint32),
        "shapedirs": directions / unit_mm,
        "posedirs": bones.correctives / unit_mm,
        "J_regressor": joint_regressor(source),
        "J": bones.joints / unit_mm,
        "kintree_table": np.array([[2**32 - 1, 0, 1, 1, 1], [0, 1, 2, 3, 4]], dtype=np.uint32),
        "weights": bones.weights,
        "bs_type": np.array("lrotmin"),
        "bs_style": np.array("lbs"),
    }


def write_flame(
    source: ModelSource,
    file: Path,
    skeleton: flame_jaw.Skeleton | None = None,
    single: bool = False,
) -> Path:
    """Write ``generic_model.pkl`` and the like, or ``.npz``, by the file's ending.

    The pickle is one of Python 2 with Chumpy's objects and a sparse regressor; with `single` one
    of Python 3 with plain arrays of single precision, as later versions are.
    """
    fields: dict[str, Any] = dict(flame_fields(source, skeleton))
    if file.suffix == ".npz":
        np.savez(file, **fields)
        return file
    fields["J_regressor"] = sp.csc_matrix(fields["J_regressor"])
    fields |= {name: str(fields[name]) for name in ("bs_type", "bs_style")}
    if single:
        for name in ("v_template", "shapedirs", "posedirs", "weights"):
            fields[name] = fields[name].astype(np.float32)
        file.write_bytes(pickle.dumps(fields, 4))
        return file
    whole = Ch(fields["shapedirs"])
    index = np.arange(whole.x.size).reshape(whole.x.shape)
    fields["shapedirs"] = whole
    fields["v_template"] = Ch(fields["v_template"])
    if whole.x.size < 10**6:  # as a slice of a Chumpy object is one
        fields["shapedirs"] = Select(whole, index.ravel(), whole.x.shape)
    file.write_bytes(python2_pickle(fields))
    return file


def write_flame_masks(source: ModelSource, folder: Path) -> Path:
    """Write ``FLAME_masks.pkl``: the two eyeballs, and the other groups by their names."""
    eyes = source.groups["eyes"]
    left = source.mean[eyes, 0] > source.mean[:, 0].mean()
    masks = {
        name: index.astype(np.int64) for name, index in source.groups.items() if name != "eyes"
    }
    masks |= {"left_eyeball": eyes[left], "right_eyeball": eyes[~left]}
    (folder / "FLAME_masks.pkl").write_bytes(python2_pickle(masks))
    return folder / "FLAME_masks.pkl"


def write_flame_texture(source: ModelSource, folder: Path, image: Array, basis: Array) -> Path:
    """Write ``FLAME_texture.npz``: images (h, w, 3) and (h, w, 3, b), red first here."""
    points, corners = chart_points(source)
    np.savez(
        folder / "FLAME_texture.npz",
        mean=image[..., ::-1],
        tex_dir=basis[..., ::-1, :],
        vt=points,
        ft=corners.astype(np.uint32),
    )
    return folder / "FLAME_texture.npz"


def write_flame_template(source: ModelSource, folder: Path) -> Path:
    """Write ``head_template.obj``: the template with its chart."""
    points, corners = chart_points(source)
    lines = [f"v {x:.7f} {y:.7f} {z:.7f}" for x, y, z in source.mean / 1000.0]
    lines += [f"vt {u:.8f} {v:.8f}" for u, v in points]
    for vertices, places in zip(source.triangles + 1, corners + 1, strict=True):
        lines.append("f " + " ".join(f"{v}/{p}" for v, p in zip(vertices, places, strict=True)))
    (folder / "head_template.obj").write_text("\n".join(lines) + "\n")
    return folder / "head_template.obj"
