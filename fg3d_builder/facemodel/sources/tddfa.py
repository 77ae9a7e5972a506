"""3DDFA's cut of the Basel Face Model with FaceWarehouse's expressions (Zhu et al. 2016, 2017).

``Model_Shape.mat`` holds ``mu_shape`` (3 n), ``w`` (3 n, 199), ``sigma`` (199), triangles
``tri`` (3, m) and the 68 points ``keypoints``, both counted from 1, the mean of the colours
``mu_tex`` or ``tex`` from 0 to 255, and ``segbin``; ``Model_Exp.mat`` or
``Model_Expression.mat`` hold ``mu_exp``, ``w_exp`` (3 n, 29) and ``sigma_exp``, which also goes
about in a file of its own. Micrometres; n is 53,215 of the 53,490 vertices of 2009, whose
``01_MorphableModel.mat`` beside them gives what the release itself may lack: ``sigma``, and the
deviations of ``w_tex``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fg3d_builder.facemodel.sources import bfm2009
from fg3d_builder.facemodel.sources.basel_parts import (
    MOST_BYTES,
    begins_with,
    colour_scale,
    deviations,
    indices,
    linear_colours,
    scaled_modes,
    segment_groups,
    signs_of_axes,
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

SHAPE = "Model_Shape.mat"
EXPRESSIONS = ("Model_Exp.mat", "Model_Expression.mat")
SPREAD = "sigma_exp.mat"
LICENCE = (
    "3DDFA's cut of the Basel Face Model 2009 with expressions of FaceWarehouse: "
    "non-commercial research, by registration (University of Basel)"
)
_SMALL = ("mu_shape", "sigma", "tri", "keypoints", "mu_tex", "tex", "segbin")


def files(path: Path) -> tuple[Path, ...]:
    """Return the files of shape and expressions, and others that are there; see `SourceLayout`.

    The release has the expressions beside the shape or one folder above it.
    """
    shape = path / SHAPE if path.is_dir() else path
    return _with_others(shape) if shape.name == SHAPE and begins_with(shape, b"MATLAB") else ()


def _with_others(shape: Path) -> tuple[Path, ...]:
    beside = [shape.parent / name for name in EXPRESSIONS]
    # Also where the path is a mere name, of which pathlib knows no folder above its own.
    above = [shape.parent / ".." / name for name in EXPRESSIONS]
    found = [p for p in (*beside, *above) if p.is_file()][:1]
    spreads = (shape.parent / SPREAD, shape.parent / ".." / SPREAD)
    spread = [p for p in spreads if p.is_file()][:1]
    basel = shape.parent / bfm2009.FILE
    return (shape, *found, *spread, *([basel] if basel.is_file() else []))


def read(path: Path) -> ModelSource:
    """Read the model; see `SourceLayout`.

    Raises
    ------
    ValueError
        Names file and field.
    """
    shape, *others = _with_others(path / SHAPE if path.is_dir() else path)
    files_by_role = {"shape": _Variables(shape)}
    for other in others:
        role = {SPREAD: "spread", bfm2009.FILE: "basel"}.get(other.name, "expressions")
        files_by_role[role] = _Variables(other)
    if "expressions" not in files_by_role:
        names = " or ".join(EXPRESSIONS)
        raise ValueError(f"{shape}: no {names} beside it or in the folder above")
    return _source(**files_by_role)


class _Variables:
    """Variables of one file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        names = (*_SMALL, "mu_exp", "sigma_exp", "shapeEV", "texEV")
        self._small = read_mat5(path, names, MOST_BYTES)

    def where(self, name: str) -> str:
        return f"{self.path}: field '{name}'"

    def __contains__(self, name: str) -> bool:
        return name in self._small

    def get(self, name: str) -> Array:
        if name not in self._small:
            raise ValueError(f"{self.where(name)} is missing")
        return self._small[name]

    def large(self, name: str) -> Array | None:
        """Read a basis now, which nobody keeps longer than it takes to scale it."""
        return read_mat5(self.path, (name,), MOST_BYTES).get(name)

    def modes(self, name: str, factors: Array, count: int) -> Array:
        columns = self.large(name)
        if columns is None:
            raise ValueError(f"{self.where(name)} is missing")
        return scaled_modes(columns, factors, self.where(name), count)


def _source(
    shape: _Variables,
    expressions: _Variables,
    spread: _Variables | None = None,
    basel: _Variables | None = None,
) -> ModelSource:
    mean = vertex_column(shape.get("mu_shape"), shape.where("mu_shape"))
    n = len(mean)
    mean += vertex_column(expressions.get("mu_exp"), expressions.where("mu_exp"), n)
    unit_mm, unit_said = unit_of(mean, shape.where("mu_shape"))
    mean *= unit_mm
    sized_mean(mean, shape.where("mu_shape"))
    landmarks = indices(shape.get("keypoints").ravel(), 1, n, shape.where("keypoints"))
    if len(landmarks) != 68:
        raise ValueError(f"{shape.where('keypoints')}: {len(landmarks)} points, wanted 68")
    signs = signs_of_axes(mean[landmarks], shape.where("keypoints"))
    mean *= signs
    triangles = triangle_list(shape.get("tri"), 1, n, shape.where("tri"), upright=False)
    triangles = turned_out(mean, triangles, shape.where("tri"))
    groups = {}
    if "segbin" in shape:
        groups = segment_groups(shape.get("segbin"), n, shape.where("segbin"))

    sd = _deviations(shape, "sigma", basel, "shapeEV")
    id_basis = shape.modes("w", sd * unit_mm, n)
    sized_modes(id_basis, shape.where("w"))
    id_basis *= signs[None, :, None]
    exp_sd = _deviations(expressions, "sigma_exp", spread, "sigma_exp")
    exp_basis = expressions.modes("w_exp", exp_sd * unit_mm, n)
    sized_modes(exp_basis, expressions.where("w_exp"))
    exp_basis *= signs[None, :, None]
    albedo_mean, albedo_basis = _colours(shape, basel, n)
    return ModelSource(
        layout="3ddfa",
        name="3DDFA's Basel Face Model with FaceWarehouse's expressions",
        licence=LICENCE,
        mean=mean,
        polygons=triangles,
        id_basis=id_basis,
        id_sd=np.ones(len(sd)),
        exp_basis=exp_basis,
        exp_sd=np.ones(len(exp_sd)),
        albedo_mean=albedo_mean,
        albedo_basis=albedo_basis,
        albedo_sd=None if albedo_basis is None else np.ones(albedo_basis.shape[2]),
        landmarks68=landmarks,
        groups=groups,
        unit_said=unit_said,
    )


def _deviations(own: _Variables, name: str, other: _Variables | None, its_name: str) -> Array:
    """Return deviations from a file itself, or where it has none from the other."""
    if name not in own and other is not None:
        own, name = other, its_name
    return deviations(own.get(name), own.where(name))


def _colours(
    shape: _Variables, basel: _Variables | None, count: int
) -> tuple[Array | None, Array | None]:
    """Return the mean, and modes where their deviations are known."""
    name = next((name for name in ("mu_tex", "tex") if name in shape), None)
    if name is None:
        return None, None
    values = shape.get(name)
    # `tex` is (3, n), in Fortran's order one vertex after the other like the columns.
    values = values.ravel(order="F") if values.shape == (3, count) else values
    colour = vertex_column(values, shape.where(name), count)
    white = colour_scale(colour, shape.where(name))
    modes = None
    if basel is not None and "texEV" in basel and (columns := shape.large("w_tex")) is not None:
        sd = deviations(basel.get("texEV"), basel.where("texEV"))
        modes = scaled_modes(columns, sd / white, shape.where("w_tex"), count)
    return linear_colours(colour / white, modes, shape.where(name))


LAYOUT = SourceLayout(
    "3ddfa", "3DDFA: Model_Shape.mat and Model_Exp.mat (BFM 2009)", "3ddfa.md", files, read
)
