"""The Basel Face Models of 2017 and 2019 (Gerig et al. 2018) in their HDF5 files, of every mask.

Three models, ``shape``, ``expression`` and ``color``, in the layout of statismo 0.9: ``mean``
(3 n), ``pcaBasis`` (3 n, k) with orthonormal columns, ``pcaVariance`` (k) with the eigenvalues,
``noiseVariance``; ``representer/cells`` (3, m) and ``representer/points`` (3, n). Version 0.8 of
statismo keeps columns that are scaled by their standard deviations already. Millimetres, the axes
of the object frame, colours in sRGB from 0 to 1. A face is the sum of a shape and an expression,
both with their means.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from fg3d_builder.errors import CaptureError
from fg3d_builder.facemodel.sources.basel_parts import (
    MOST_BYTES,
    begins_with,
    colour_scale,
    deviations,
    linear_colours,
    scaled_modes,
    sized_mean,
    sized_modes,
    triangle_list,
    turned_out,
    unit_of,
    vertex_column,
)
from fg3d_builder.facemodel.sources.bfm_landmarks import landmark_groups
from fg3d_builder.facemodel.sources.layout import SourceLayout
from fg3d_builder.facemodel.sources.source import ModelSource
from fg3d_builder.files.bounded import opened_regular
from fg3d_builder.files.hdf5_checks import check_declared
from fg3d_builder.records import Array

MAGIC = b"\x89HDF\r\n\x1a\n"
LICENCES = {
    year: f"Basel Face Model {year}: non-commercial research, by registration (University of Basel)"
    for year in ("2017", "2019")
}
_SUFFIXES = (".h5", ".hdf5")
_LONGEST_COLUMN = 1.01
"""Of a basis of unit vectors; of a mask only some rows are there, so that columns are shorter."""


def files_of_year(path: Path, year: str) -> tuple[Path, ...]:
    """Return the model files of a year, in a folder all of them; see `SourceLayout`.

    A file whose name says no year is taken for 2017.
    """
    if path.is_dir():
        named = [p for p in sorted(path.glob("model*")) if p.suffix.lower() in _SUFFIXES]
        return tuple(p for p in named if _year(p) == year and begins_with(p, MAGIC))
    fits = path.suffix.lower() in _SUFFIXES and _year(path) == year
    return (path,) if fits and begins_with(path, MAGIC) else ()


def _year(path: Path) -> str:
    return next((year for year in ("2009", "2019") if year in path.name), "2017")


def read_year(path: Path, year: str, licence: str) -> ModelSource:
    """Read a model.

    Raises
    ------
    ValueError
        Names file and field.
    """
    found = files_of_year(path, year) if path.is_dir() else (path,)
    if len(found) != 1:
        names = ", ".join(p.name for p in found) or "none"
        raise ValueError(f"{path}: one model file is wanted, there are: {names}; name the file")
    return _opened(found[0], year, licence)


def _opened(path: Path, year: str, licence: str) -> ModelSource:
    try:
        with opened_regular(path, "unreadable_model") as stored:
            if stored.read(len(MAGIC)) != MAGIC:
                raise CaptureError("unreadable_model", f"{path}: no HDF5 file")
            with h5py.File(stored, "r") as file:
                check_declared(file, str(path), MOST_BYTES)
                return _source(path, file, year, licence)
    except CaptureError as error:
        raise ValueError(error.message) from None
    except ValueError as error:
        if str(error).startswith(str(path)):
            raise
        raise ValueError(f"{path}: cannot be read as HDF5: {error}") from None
    except Exception as error:  # of a damaged file libhdf5 raises what it likes
        text = " ".join(str(error).split())
        raise ValueError(f"{path}: cannot be read as HDF5: {text}") from None


def _source(path: Path, file: h5py.File, year: str, licence: str) -> ModelSource:
    fields = _Fields(path, file)
    neutral = vertex_column(fields.array("shape/model/mean"), fields.where("shape/model/mean"))
    n = len(neutral)
    mean = neutral.copy()
    if "expression" in file:
        name = "expression/model/mean"
        mean += vertex_column(fields.array(name), fields.where(name), n)
    unit_mm, unit_said = unit_of(mean, fields.where("shape/model/mean"))
    mean *= unit_mm
    sized_mean(neutral * unit_mm, fields.where("shape/model/mean"))
    sized_mean(mean, fields.where("expression/model/mean"))
    cells = "shape/representer/cells"
    cells = cells if cells in file else "representer/cells"
    triangles = triangle_list(fields.array(cells), 0, n, fields.where(cells), upright=False)
    triangles = turned_out(mean, triangles, fields.where(cells))
    groups = _groups(fields, neutral, unit_mm)

    id_basis = fields.modes("shape", unit_mm, n)
    sized_modes(id_basis, fields.where("shape/model/pcaBasis"))
    exp_basis = np.zeros((n, 3, 0))
    if "expression" in file:
        exp_basis = fields.modes("expression", unit_mm, n)
        sized_modes(exp_basis, fields.where("expression/model/pcaBasis"))
    albedo_mean = albedo_basis = None
    if "color" in file:
        where = fields.where("color/model/mean")
        colour = vertex_column(fields.array("color/model/mean"), where, n)
        white = colour_scale(colour, where)
        modes = fields.modes("color", 1 / white, n)
        where = fields.where("color/model/pcaBasis")
        albedo_mean, albedo_basis = linear_colours(colour / white, modes, where)
    return ModelSource(
        layout=f"bfm{year}",
        name=f"Basel Face Model {year} ({path.stem})",
        licence=licence,
        mean=mean,
        polygons=triangles,
        id_basis=id_basis,
        id_sd=np.ones(id_basis.shape[2]),
        exp_basis=exp_basis,
        exp_sd=np.ones(exp_basis.shape[2]),
        albedo_mean=albedo_mean,
        albedo_basis=albedo_basis,
        albedo_sd=None if albedo_basis is None else np.ones(albedo_basis.shape[2]),
        groups=groups,
        unit_said=unit_said,
    )


def _groups(fields: _Fields, neutral: Array, unit_mm: float) -> dict[str, Array]:
    name = "metadata/landmarks/json"
    if name not in fields.file:
        return {}
    surfaces = [neutral * unit_mm]
    points = "shape/representer/points"
    if points in fields.file:
        found = fields.array(points)
        if found.shape == (3, len(neutral)):
            surfaces.insert(0, found.T.astype(np.float64) * unit_mm)
    return landmark_groups(fields.value(name), surfaces, unit_mm, fields.where(name))


class _Fields:
    """The data sets of a file."""

    def __init__(self, path: Path, file: h5py.File) -> None:
        self.path, self.file = path, file

    def where(self, name: str) -> str:
        return f"{self.path}: field '/{name}'"

    def value(self, name: str) -> Any:
        found = self.file.get(name)
        if not isinstance(found, h5py.Dataset):
            raise ValueError(f"{self.where(name)} is missing")
        return found[()]

    def array(self, name: str) -> Array:
        """Return a data set of numbers."""
        found = self.file.get(name)
        if not isinstance(found, h5py.Dataset):
            raise ValueError(f"{self.where(name)} is missing")
        if found.dtype.kind not in "fiu" or not found.shape:
            raise ValueError(f"{self.where(name)}: {found.dtype} {found.shape}, wanted numbers")
        return np.asarray(found[()])

    def modes(self, group: str, unit: float, count: int) -> Array:
        """Return (n, 3, k) modes at one standard deviation, times a unit."""
        variance = deviations(
            self.array(f"{group}/model/pcaVariance"), self.where(f"{group}/model/pcaVariance")
        )
        name = f"{group}/model/pcaBasis"
        columns = self.array(name)
        if columns.ndim != 2 or columns.shape[1] != len(variance):
            text = f"shape {columns.shape}, wanted {len(variance)} columns"
            raise ValueError(f"{self.where(name)}: {text}")
        length = np.sqrt(np.einsum("ij,ij->j", columns, columns))
        version = self._version(group)
        # Before 0.8 had a version in its files its columns were scaled as well.
        scaled = version == (0, 8) or (version is None and np.any(length > _LONGEST_COLUMN))
        sd = np.sqrt(variance)
        if np.any(length > _LONGEST_COLUMN * (sd if scaled else 1.0)):
            of = "their deviations" if scaled else "1"
            text = f"columns of length {length.max():.3g}, longer than {of}"
            raise ValueError(f"{self.where(name)}: {text}")
        factors = np.full(len(sd), unit) if scaled else sd * unit
        return scaled_modes(columns, factors, self.where(name), count)

    def _version(self, group: str) -> tuple[int, int] | None:
        """Return statismo's version of a model."""
        for place in (f"{group}/version", "version"):
            names = [f"{place}/{part}Version" for part in ("major", "minor")]
            if all(isinstance(self.file.get(name), h5py.Dataset) for name in names):
                major, minor = (int(np.ravel(self.value(name))[0]) for name in names)
                return major, minor
        return None


LAYOUTS = tuple(
    SourceLayout(
        f"bfm{year}",
        f"Basel Face Model {year} (model{year}...h5, every mask)",
        "bfm2017.md",
        partial(files_of_year, year=year),
        partial(read_year, year=year, licence=LICENCES[year]),
    )
    for year in ("2017", "2019")
)
