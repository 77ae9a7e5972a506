"""Anyone's own 3DMM: an ``npz`` file of arrays under the names that `ModelSource` has."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fg3d_builder.errors import printable
from fg3d_builder.facemodel.sources.fields import UNREADABLE, Fields, said_in_a_line
from fg3d_builder.facemodel.sources.layout import SourceLayout
from fg3d_builder.facemodel.sources.mesh_sides import faces_outwards
from fg3d_builder.facemodel.sources.source import ModelSource
from fg3d_builder.facemodel.sources.units import HEIGHT_MM, plausible_unit
from fg3d_builder.files.bounded import read_npz
from fg3d_builder.files.npy_streams import array_names
from fg3d_builder.records import Array

_NEEDED = ("mean", "triangles", "id_basis", "id_sd")
_TELLING = frozenset(("mean", "triangles"))
"""Fields by which a file is told: others that are missing are named when it is read."""

_GROUP = "group_"


def read_arrays(path: Path) -> ModelSource:
    """Read an ``npz`` file of arrays; its page has the names.

    Raises
    ------
    ValueError
        One line with the file and the field.
    """
    with said_in_a_line():
        values = read_npz(path, UNREADABLE)
    fields = Fields(str(path), values)
    for name in _NEEDED:
        fields.value(name)
    mean = fields.real("mean", None, 3)
    if not len(mean):
        raise fields.wrong("mean", "has no vertices")
    unit_mm, said = _unit(fields, mean)
    mean = unit_mm * mean
    count = len(mean)
    triangles = fields.indices("triangles", count, None, 3)
    if not faces_outwards(mean, triangles):
        raise fields.wrong("triangles", "clockwise from outside, wanted counter-clockwise")
    id_sd = fields.spread("id_sd", None)
    exp_basis, exp_sd = _basis(fields, "exp", count, unit_mm)
    albedo_basis, albedo_sd = _basis(fields, "albedo", count, 1.0)
    directions = len(exp_sd)
    return ModelSource(
        layout="arrays",
        name=fields.text("name") if "name" in fields else path.stem,
        licence=fields.text("licence") if "licence" in fields else "unknown",
        mean=mean,
        polygons=triangles,
        id_basis=unit_mm * fields.real("id_basis", count, 3, len(id_sd)),
        id_sd=id_sd,
        exp_basis=exp_basis,
        exp_sd=exp_sd,
        exp_names=fields.texts("exp_names", directions) if "exp_names" in fields else (),
        exp_lower=_bound(fields, "exp_lower", directions),
        exp_upper=_bound(fields, "exp_upper", directions),
        albedo_mean=_albedo(fields, count),
        albedo_basis=albedo_basis if len(albedo_sd) else None,
        albedo_sd=albedo_sd if len(albedo_sd) else None,
        uv=_chart(fields, triangles, count),
        landmarks68=fields.indices("landmarks68", count, 68) if "landmarks68" in fields else None,
        groups={
            printable(name.removeprefix(_GROUP)): fields.indices(name, count, None)
            for name in values
            if name.startswith(_GROUP)
        },
        unit_said=said,
    )


def _unit(fields: Fields, mean: Array) -> tuple[float, str]:
    if "unit_mm" in fields:
        unit_mm = float(fields.real("unit_mm"))
        if unit_mm <= 0:
            raise fields.wrong("unit_mm", "not above 0")
        height, (low, high) = unit_mm * float(np.ptp(mean[:, 1])), HEIGHT_MM
        if not low <= height <= high:
            text = f"makes the mean {height:.3g} mm high; faces and heads have {low:g} to {high:g}"
            raise fields.wrong("unit_mm", text)
        return unit_mm, f"its field 'unit_mm' says {unit_mm:g} mm"
    try:
        return plausible_unit(mean)
    except ValueError as error:
        raise fields.wrong("mean", f"{error}; a field 'unit_mm' may say it") from None


def _basis(fields: Fields, kind: str, count: int, unit: float) -> tuple[Array, Array]:
    """Return basis (n, 3, e) and deviations (e,), without any direction where there is none."""
    name, sd_name = f"{kind}_basis", f"{kind}_sd"
    if name not in fields:
        if sd_name in fields:
            raise fields.wrong(sd_name, f"without a field '{name}'")
        return np.zeros((count, 3, 0)), np.zeros(0)
    basis = unit * fields.real(name, count, 3, None)
    directions = basis.shape[2]
    return basis, fields.spread(sd_name, directions) if sd_name in fields else np.ones(directions)


def _bound(fields: Fields, name: str, length: int) -> Array | None:
    """Return a bound of the expressions' coefficients, which may be infinite."""
    if name not in fields:
        return None
    bound = np.asarray(fields.value(name))
    if bound.dtype.kind not in "fiu" or bound.shape != (length,) or np.isnan(bound).any():
        raise fields.wrong(name, f"expected {length} numbers, or infinities")
    return bound.astype(np.float64)


def _albedo(fields: Fields, count: int) -> Array | None:
    if "albedo_mean" not in fields:
        if "albedo_basis" in fields:
            raise fields.wrong("albedo_basis", "without a field 'albedo_mean'")
        return None
    albedo = fields.real("albedo_mean", count, 3)
    if albedo.size and not 0 <= albedo.min() <= albedo.max() <= 1:
        raise fields.wrong("albedo_mean", "not in [0, 1]: it is linear reflectance")
    return albedo


def _chart(fields: Fields, triangles: Array, count: int) -> Array | None:
    if "uv" not in fields:
        return None
    if np.ndim(fields.value("uv")) == 3:
        return fields.real("uv", len(triangles), 3, 2)
    return fields.real("uv", count, 2)[triangles]


def _files(path: Path) -> tuple[Path, ...]:
    return (path,) if array_names(path) >= _TELLING else ()


LAYOUT = SourceLayout(
    name="arrays",
    title="anyone's own 3DMM, as arrays in an npz file",
    page="arrays.md",
    files=_files,
    read=read_arrays,
)
