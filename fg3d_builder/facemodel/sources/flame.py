"""FLAME (Li et al. 2017): 2020, 2023 and 2023 Open, as pickle or ``npz``.

Names of fields after the makers' own reader (github.com/soubhiksanyal/FLAME_PyTorch).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from fg3d_builder.facemodel.sources import flame_beside, flame_jaw
from fg3d_builder.facemodel.sources.fields import UNREADABLE, Fields, said_in_a_line
from fg3d_builder.facemodel.sources.layout import SourceLayout
from fg3d_builder.facemodel.sources.mesh_sides import loose_parts, turned_outwards
from fg3d_builder.facemodel.sources.smpl_fields import array_of
from fg3d_builder.facemodel.sources.source import ModelSource
from fg3d_builder.facemodel.sources.units import plausible_unit
from fg3d_builder.files.inert_pickle import read_inert_pickle
from fg3d_builder.files.npy_streams import array_names, opened_npz
from fg3d_builder.records import Array

IDENTITIES, EXPRESSIONS = 300, 100
"""``shapedirs`` has directions of identity first, then those of expression."""

JOINTS = 5
_PARENTS = [0, 1, 1, 1]  # of all joints but the root

_MAX_PICKLE_BYTES = 1 << 30
_FIELDS = (
    "v_template",
    "f",
    "shapedirs",
    "posedirs",
    "J_regressor",
    "kintree_table",
    "weights",
)
_NAMES = ("generic_model", "male_model", "female_model")
_BESIDE = ("mask", "texture", "embedding", "landmark", "albedo", "vertex")
_LICENCE = (
    "FLAME, Max Planck Institute for Intelligent Systems: 2023 Open is CC BY 4.0, other versions "
    "as agreed with the makers"
)


def read_flame(path: Path) -> ModelSource:
    """Read a FLAME model; a folder is read where it holds one.

    Raises
    ------
    ValueError
        One line with the file and the field.
    """
    file = _one_of(path)
    fields = _fields(file)
    template = fields.real("v_template", None, 3)
    count = len(template)
    if count == 0:
        raise fields.wrong("v_template", "has no vertices")
    try:
        unit_mm, said = plausible_unit(template)
    except ValueError as error:
        raise fields.wrong("v_template", str(error)) from None
    directions = fields.real("shapedirs", count, 3, IDENTITIES + EXPRESSIONS)
    faces = fields.indices("f", count, None, 3)
    skeleton = _skeleton(fields, template)
    chart = flame_beside.chart_beside(file, faces)
    albedo = flame_beside.albedo_beside(file, chart, faces, count)
    triangles, uv = turned_outwards(template, faces, chart)
    identity, expression = directions[..., :IDENTITIES], directions[..., IDENTITIES:]
    identity, expression = _moving(identity), _moving(expression)
    names = tuple(f"expression_{i + 1:02d}" for i in range(expression.shape[2]))
    lower, upper = np.full(len(names), -np.inf), np.full(len(names), np.inf)
    sd = np.ones(len(names))
    if not _has_jaw_in_expressions(file):
        expression = np.dstack([expression, flame_jaw.jaw_directions(template, skeleton)])
        limits = np.array([flame_jaw.OPEN_LIMITS, flame_jaw.SIDE_LIMITS])
        names = names + flame_jaw.NAMES
        lower, upper = np.append(lower, limits[:, 0]), np.append(upper, limits[:, 1])
        sd = np.append(sd, [flame_jaw.OPEN_SD, flame_jaw.SIDE_SD])
    masks = flame_beside.masks_beside(file, count)
    eyes = _eyeballs(faces, skeleton, masks, count)
    return ModelSource(
        layout="flame",
        name=file.stem if file.stem.lower().startswith("flame") else f"flame-{file.stem}",
        licence=_LICENCE,
        mean=unit_mm * template,
        polygons=triangles,
        id_basis=unit_mm * identity,
        id_sd=np.ones(identity.shape[2]),
        exp_basis=unit_mm * expression,
        exp_sd=sd,
        exp_names=names,
        exp_lower=lower,
        exp_upper=upper,
        albedo_mean=None if albedo is None else albedo[0],
        albedo_basis=None if albedo is None else albedo[1],
        albedo_sd=None if albedo is None else albedo[2],
        uv=uv,
        groups={**masks, "eyes": eyes},
        unit_said=said,
    )


def _moving(directions: Array) -> Array:
    """Leave out directions that move nothing: shorter models are filled up with them."""
    return directions[..., np.any(directions != 0, axis=(0, 1))]


def _skeleton(fields: Fields, template: Array) -> flame_jaw.Skeleton:
    count = len(template)
    table = fields.numbers("kintree_table")
    # The root's parent is written as -1 or as 2^32 - 1.
    if not np.array_equal(table[:1, 1:], [_PARENTS]):
        raise fields.wrong("kintree_table", "not root, neck, and jaw and eyes on the neck")
    regressor = fields.real("J_regressor", JOINTS, count)
    weights = fields.real("weights", count, JOINTS)
    if np.abs(weights.sum(axis=1) - 1.0).max() > 1e-3:
        raise fields.wrong("weights", "do not add up to 1 at every vertex")
    return flame_jaw.Skeleton(
        joints=regressor @ template,
        parents=np.array([0, *_PARENTS]),
        weights=weights,
        correctives=fields.real("posedirs", count, 3, 9 * (JOINTS - 1)),
    )


def _eyeballs(
    triangles: Array, skeleton: flame_jaw.Skeleton, masks: dict[str, Array], count: int
) -> Array:
    """Return the vertices of the eyeballs: the makers' masks, or parts that turn with the eyes."""
    known = [masks[name] for name in ("left_eyeball", "right_eyeball") if name in masks]
    if len(known) == 2:
        return np.unique(np.concatenate(known))
    part = loose_parts(triangles, count)
    turned = skeleton.weights[:, flame_jaw.JAW + 1 :].sum(axis=1)
    share = np.bincount(part, turned) / np.bincount(part)
    return np.flatnonzero(share[part] > 0.5).astype(np.int32)


def _has_jaw_in_expressions(file: Path) -> bool:
    """Whether the expressions open the mouth, by the makers' names of files ("no jaw")."""
    return "no_jaw" in file.stem.lower().replace("-", "_").replace("nojaw", "no_jaw")


# ---- files ----


def _fields(file: Path) -> Fields:
    values: dict[str, Any] = {}
    if file.suffix.lower() == ".npz":
        with said_in_a_line(), opened_npz(file, UNREADABLE) as archive:
            values = {name: archive.array(name) for name in _FIELDS if name in archive.names}
        return Fields(str(file), values)
    model = read_inert_pickle(file, _MAX_PICKLE_BYTES)
    if not isinstance(model, dict):
        raise ValueError(f"{file}: expected a table of arrays, found {type(model).__name__}")
    for name in _FIELDS:
        if name in model:
            try:
                values[name] = array_of(model[name])
            except ValueError as error:
                raise ValueError(f"{file}: field '{name}': {error}") from None
    return Fields(str(file), values)


def _one_of(path: Path) -> Path:
    if not path.is_dir():
        return path
    found = _within(path)
    if len(found) == 1:
        return found[0]
    names = ", ".join(file.name for file in found) or "none"
    raise ValueError(f"{path}: expected one FLAME model, found {names}; name the file")


def _within(folder: Path) -> list[Path]:
    return [file for file in sorted(folder.iterdir()) if _is_model(file)]


def _is_model(file: Path) -> bool:
    stem = file.stem.lower()
    if not file.is_file() or any(word in stem for word in _BESIDE):
        return False
    named = stem in _NAMES or stem.startswith("flame")
    if file.suffix.lower() == ".pkl":
        return named
    return named and {"v_template", "shapedirs", "kintree_table"} <= array_names(file)


def _files(path: Path) -> tuple[Path, ...]:
    try:
        models = _within(path) if path.is_dir() else [path] if _is_model(path) else []
    except OSError:
        return ()
    if not models:
        return ()
    names = (flame_beside.MASKS, flame_beside.TEXTURE, *flame_beside.TEMPLATES)
    beside = [models[0].parent / name for name in names]
    return (*models, *(file for file in beside if file.is_file()))


LAYOUT = SourceLayout(
    name="flame",
    title="FLAME 2020, 2023, 2023 Open",
    page="flame.md",
    files=_files,
    read=read_flame,
)
