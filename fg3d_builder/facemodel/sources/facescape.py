"""FaceScape's bilinear model (Yang et al. 2020), version 1.6 and 1.0 to 1.3, made linear.

A shape is ``core . id . exp``: bilinear in the factors of identity and in blendshape weights, of
which the first one, the neutral face, is 1. Linear in both about the mean: identities vary at the
neutral expression, ``core[:, 0, :] (id - id_mean)``, and expressions move the mean identity,
``(core[:, j, :] - core[:, 0, :]) id_mean``. That how a person smiles depends on the person is lost.

Names of files and fields after github.com/zhuhao-nju/facescape, folder ``toolkit``.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fg3d_builder.facemodel.sources import facescape_pickles
from fg3d_builder.facemodel.sources.colours import linear_albedo
from fg3d_builder.facemodel.sources.fields import UNREADABLE, Fields, said_in_a_line
from fg3d_builder.facemodel.sources.layout import SourceLayout
from fg3d_builder.facemodel.sources.mesh_sides import turned_outwards
from fg3d_builder.facemodel.sources.source import ModelSource
from fg3d_builder.facemodel.sources.units import plausible_unit
from fg3d_builder.files.npy_streams import ArrayStream, array_names, opened_npz
from fg3d_builder.records import Array

BLENDSHAPE_SD = 0.3
"""Typical size of a blendshape's weight; the model only bounds weights to [0, 1]."""

LARGEST_EXPRESSION_MM = 100.0
"""No vertex of a face moves further; where one does, what was taken for blendshapes is none."""

_LICENCE = "FaceScape: non-commercial research only (Nanjing University)"
_GREY = 0.4
_COLOURS = ("color_bm_mean", "vc_dict_front", "v_indices_front")


class _Core(NamedTuple):
    """The core at the neutral expression (3n, k), and at the mean identity (3n, e)."""

    neutral: Array
    mean_identity: Array


def read_facescape(path: Path) -> ModelSource:
    """Read a bilinear model: the ``npz`` of version 1.6, or the folder of an earlier one.

    Raises
    ------
    ValueError
        One line with the file and the field.
    """
    if path.suffix.lower() == ".npz":
        return _read_npz(path)
    with said_in_a_line():
        stored = facescape_pickles.read_folder(path)
    with said_in_a_line(), facescape_pickles.opened_core(stored.core_file) as stream:
        where = str(stored.core_file)
        core = _slices(stream, where, "core", stored.id_mean, identities_last=False)
    return _source(Fields(where, {}), "core", core, stored)


def _read_npz(file: Path) -> ModelSource:
    if "id_exp" in file.stem:
        raise ValueError(
            f"{file}: of this variant the expressions are principal components whose neutral is "
            "in no file; take one whose name ends with _id or _id_front"
        )
    with said_in_a_line(), opened_npz(file, UNREADABLE) as archive:
        names = ["id_mean", "id_var", "fv_indices", "ft_indices", "texcoords", "lm_list_v16"]
        names += _COLOURS if _COLOURS[0] in archive.names else ()
        values: dict[str, Any] = {n: archive.array(n) for n in names if n in archive.names}
        fields = Fields(str(file), values)
        id_mean = fields.real("id_mean", None)
        with archive.stream("shape_bm_core") as stream:
            core = _slices(stream, str(file), "shape_bm_core", id_mean, identities_last=True)
    count = len(core.neutral) // 3
    points = fields.real("texcoords", None, 2)
    triangles = fields.indices("fv_indices", count, None, 3, first=1)
    corners = fields.indices("ft_indices", len(points), len(triangles), 3, first=1)
    stored = facescape_pickles.Stored(
        core_file=file,
        id_mean=id_mean,
        id_var=fields.spread("id_var", len(id_mean)),
        triangles=triangles,
        uv=points[corners],
        landmarks68=fields.indices("lm_list_v16", count, 68) if "lm_list_v16" in fields else None,
    )
    source = _source(fields, "shape_bm_core", core, stored)
    colours = _albedo(fields, count) if "color_bm_mean" in fields else None
    return source if colours is None else _with_colours(source, colours)


def _slices(
    stream: ArrayStream, where: str, name: str, id_mean: Array, identities_last: bool
) -> _Core:
    """Go through the core, which may be larger than memory.

    Parameters
    ----------
    stream : ArrayStream
        (k, e, 3n), or (3n, e, k) where `identities_last`.
    where, name : str
        File and field.
    id_mean : (k,) float64
    identities_last : bool
    """
    # NumPy writes a tensor that was turned before, which is the same bytes, in Fortran's order.
    if stream.fortran_order:
        stream, identities_last = stream.reversed_axes(), not identities_last
    fields = Fields(where, {})
    shape = stream.shape
    wanted = "(3n, e, k)" if identities_last else "(k, e, 3n)"
    if stream.dtype.kind != "f" or len(shape) != 3:
        raise fields.wrong(name, f"shape {shape} of {stream.dtype}, wanted {wanted} of floats")
    rows, expressions, k = shape if identities_last else shape[::-1]
    if rows % 3 or not rows or expressions < 1 or k != len(id_mean):
        text = f"shape {shape}, wanted {wanted} with k = {len(id_mean)}"
        raise fields.wrong(name, text)
    if rows * max(expressions, k) > 400_000_000:
        raise fields.wrong(name, f"shape {shape}: too large")
    neutral, at_mean = np.zeros((rows, k)), np.zeros((rows, expressions))
    for first, block in stream.blocks():
        last = first + len(block)
        if identities_last:
            neutral[first:last] = block[:, 0]
            at_mean[first:last] = block @ id_mean
        else:
            neutral[:, first:last] = block[:, 0].T
            at_mean += np.einsum("ker,k->re", block, id_mean[first:last])
    return _Core(
        Fields(where, {name: neutral}).real(name, rows, k),
        Fields(where, {name: at_mean}).real(name, rows, expressions),
    )


def _source(
    fields: Fields, name: str, core: _Core, stored: facescape_pickles.Stored
) -> ModelSource:
    count = len(core.neutral) // 3
    mean = core.mean_identity[:, 0].reshape(count, 3)
    try:
        unit_mm, said = plausible_unit(mean)
    except ValueError as error:
        raise fields.wrong(name, str(error)) from None
    moves = core.mean_identity[:, 1:] - core.mean_identity[:, :1]
    expression = unit_mm * moves.reshape(count, 3, -1)
    far = float(np.linalg.norm(expression, axis=1).max(initial=0.0))
    if far > LARGEST_EXPRESSION_MM:
        text = f"an expression moves a vertex by {far:.0f} mm: its second axis has no blendshapes"
        raise fields.wrong(name, text)
    triangles, uv = turned_outwards(mean, stored.triangles, stored.uv)
    directions = expression.shape[2]
    return ModelSource(
        layout="facescape",
        name=stored.core_file.stem,
        licence=_LICENCE,
        mean=unit_mm * mean,
        polygons=triangles,
        id_basis=unit_mm * core.neutral.reshape(count, 3, -1),
        id_sd=np.sqrt(stored.id_var),
        exp_basis=expression,
        exp_sd=np.full(directions, BLENDSHAPE_SD),
        exp_names=tuple(f"blendshape_{i:02d}" for i in range(1, directions + 1)),
        exp_lower=np.zeros(directions),
        exp_upper=np.ones(directions),
        uv=uv,
        landmarks68=stored.landmarks68,
        unit_said=said,
    )


def _albedo(fields: Fields, count: int) -> Array:
    """Return the (n, 3) mean albedo; vertices without a colour have the mean of the others.

    Colours are those of the front vertices, blue first, sRGB in [0, 255]. How far their
    coefficients go is in no file, so the basis of colours is left.
    """
    flat = fields.real("color_bm_mean", None)
    if flat.size % 3 or not flat.size:
        raise fields.wrong("color_bm_mean", f"{flat.size} numbers, wanted three a colour")
    colours = flat.reshape(-1, 3)[:, ::-1] / 255.0
    vertex = fields.indices("v_indices_front", count, None)
    row = fields.indices("vc_dict_front", len(colours) + 1, len(vertex), first=-1) - 1
    albedo, _ = linear_albedo(colours)
    known = row >= 0
    middle = albedo[row[known]].mean(axis=0) if known.any() else np.full(3, _GREY)
    filled = np.tile(middle, (count, 1))
    filled[vertex[known]] = albedo[row[known]]
    return filled


def _with_colours(source: ModelSource, albedo: Array) -> ModelSource:
    return replace(source, albedo_mean=albedo)


def _files(path: Path) -> tuple[Path, ...]:
    if path.suffix.lower() == ".npz":
        return (path,) if "shape_bm_core" in array_names(path) else ()
    try:
        return facescape_pickles.files_of(path)
    except (OSError, ValueError):
        return ()


LAYOUT = SourceLayout(
    name="facescape",
    title="FaceScape's bilinear model",
    page="facescape.md",
    files=_files,
    read=read_facescape,
)
