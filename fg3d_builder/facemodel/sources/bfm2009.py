"""The Basel Face Model of 2009 (Paysan et al., AVSS 2009), as MATLAB and as HDF5 file.

``01_MorphableModel.mat`` holds the mean in micrometres (``shapeMU``), unit vectors
(``shapePC``), and what its documentation calls variances and what are standard deviations
(``shapeEV``); the same of colours from 0 to 255 (``texMU``, ``texPC``, ``texEV``); triangles that
count from 1 (``tl``), clockwise in the published file; four segments (``segbin``). Its axes are
those of the object frame. There are no expressions.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fg3d_builder.facemodel.sources import bfm_hdf5
from fg3d_builder.facemodel.sources.basel_parts import (
    MOST_BYTES,
    begins_with,
    colour_scale,
    deviations,
    linear_colours,
    scaled_modes,
    segment_groups,
    sized_mean,
    sized_modes,
    triangle_list,
    turned_out,
    unit_of,
    vertex_column,
)
from fg3d_builder.facemodel.sources.layout import SourceLayout
from fg3d_builder.facemodel.sources.source import ModelSource
from fg3d_builder.files.mat5_arrays import read_mat5
from fg3d_builder.records import Array

FILE = "01_MorphableModel.mat"
LICENCE = "Basel Face Model 2009: non-commercial research, by registration (University of Basel)"

_FIELDS = ("shapeMU", "shapeEV", "texMU", "texEV", "tl")
_SEGMENTS = "segbin"
_FOLDERS = ("", "PublicMM1", "BaselFaceModel/PublicMM1")


def files(path: Path) -> tuple[Path, ...]:
    """Return the model's file; see `SourceLayout`."""
    if path.is_dir():
        path = next((p for f in _FOLDERS if (p := path / f / FILE).is_file()), path)
    if path.is_dir():
        return bfm_hdf5.files_of_year(path, "2009")
    if path.name.lower() == FILE.lower() and begins_with(path, b"MATLAB"):
        return (path,)
    return bfm_hdf5.files_of_year(path, "2009")


def read(path: Path) -> ModelSource:
    """Read the model; see `SourceLayout`.

    Raises
    ------
    ValueError
        Names file and field.
    """
    found = files(path)
    if path.is_dir() and not found:
        raise ValueError(f"{path}: no {FILE}, nor model2009-publicmm1-bfm.h5 in it")
    file = found[0] if found else path
    if begins_with(file, bfm_hdf5.MAGIC):
        return bfm_hdf5.read_year(path, "2009", LICENCE)
    return _read_mat(file)


def _read_mat(path: Path) -> ModelSource:
    fields = read_mat5(path, (*_FIELDS, _SEGMENTS), MOST_BYTES)
    for name in _FIELDS:
        if name not in fields:
            raise ValueError(f"{path}: field '{name}' is missing")

    def where(name: str) -> str:
        return f"{path}: field '{name}'"

    mean = vertex_column(fields["shapeMU"], where("shapeMU"))
    n = len(mean)
    unit_mm, unit_said = unit_of(mean, where("shapeMU"))
    mean *= unit_mm
    sized_mean(mean, where("shapeMU"))
    triangles = triangle_list(fields["tl"], 1, n, where("tl"), upright=True)
    triangles = turned_out(mean, triangles, where("tl"))
    groups = {}
    if _SEGMENTS in fields:
        groups = segment_groups(fields[_SEGMENTS], n, where(_SEGMENTS))
    sd = deviations(fields["shapeEV"], where("shapeEV"))
    id_basis = _modes(path, "shapePC", sd * unit_mm, n)
    sized_modes(id_basis, where("shapePC"))

    colour = vertex_column(fields["texMU"], where("texMU"), n)
    white = colour_scale(colour, where("texMU"))
    texture_sd = deviations(fields["texEV"], where("texEV"))
    texture = _modes(path, "texPC", texture_sd / white, n)
    albedo_mean, albedo_basis = linear_colours(colour / white, texture, where("texPC"))
    return ModelSource(
        layout="bfm2009",
        name="Basel Face Model 2009",
        licence=LICENCE,
        mean=mean,
        polygons=triangles,
        id_basis=id_basis,
        id_sd=np.ones(len(sd)),
        exp_basis=np.zeros((n, 3, 0)),
        exp_sd=np.ones(0),
        albedo_mean=albedo_mean,
        albedo_basis=albedo_basis,
        albedo_sd=np.ones(len(texture_sd)),
        groups=groups,
        unit_said=unit_said,
    )


def _modes(path: Path, name: str, factors: Array, count: int) -> Array:
    """Read one basis alone, so that not both stand in memory twice."""
    found = read_mat5(path, (name,), MOST_BYTES)
    if name not in found:
        raise ValueError(f"{path}: field '{name}' is missing")
    return scaled_modes(found[name], factors, f"{path}: field '{name}'", count)


LAYOUT = SourceLayout(
    "bfm2009", "Basel Face Model 2009 (01_MorphableModel.mat)", "bfm2009.md", files, read
)
