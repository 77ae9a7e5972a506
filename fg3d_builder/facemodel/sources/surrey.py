"""The Surrey Face Model, and any other, as the library eos stores it (binary archive of cereal).

Layout after eos' ``MorphableModel``, ``PcaModel`` and ``Blendshape`` (github.com/patrikhuber/eos,
folder ``include/eos/morphablemodel``): class versions 0 to 4 of ``MorphableModel``.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fg3d_builder.facemodel.sources.colours import linear_albedo
from fg3d_builder.facemodel.sources.fields import UNREADABLE, Fields, said_in_a_line
from fg3d_builder.facemodel.sources.layout import SourceLayout
from fg3d_builder.facemodel.sources.mesh_sides import turned_outwards
from fg3d_builder.facemodel.sources.source import ModelSource
from fg3d_builder.facemodel.sources.units import plausible_unit
from fg3d_builder.files.bounded import read_regular
from fg3d_builder.files.cereal_archive import CerealArchive
from fg3d_builder.records import Array

BLENDSHAPE_SD = 0.3
"""Typical size of a blendshape's weight, which no file says; it is 1 at the full expression."""

_MAX_BYTES = 1 << 30
_MAX_TEXT_BYTES = 1 << 20
_NEWEST_VERSION = 4
_LICENCE = "Surrey Face Model: research only, University of Surrey (CVSSP)"
_ANOTHER_LICENCE = "unknown: the file does not say whose model it is"
_NAME = re.compile(r"sfm_shape_\d+")
_PAIR = re.compile(r"^\s*(\d+)\s*[=\s]\s*(\d+)\s*(?:[;#].*)?$")


class _Pca(NamedTuple):
    """Mean (3n,), orthonormal basis (3n, k), variances (k,), triangles (m, 3)."""

    mean: Array
    basis: Array
    variances: Array
    triangles: Array


class _Stored(NamedTuple):
    """An archive as it is: units, order and indices of the file."""

    shape: _Pca
    colour: _Pca
    expression: _Pca | None
    blendshapes: dict[str, Array]
    texture_points: Array
    texture_triangles: Array


def read_surrey(path: Path) -> ModelSource:
    """Read an eos model; a folder is read where it holds one ``sfm_shape_*.bin``.

    Raises
    ------
    ValueError
        One line with the file and the field.
    """
    file, shapes_file, points_file = _named(path)
    stored = _parsed(_bytes(file), str(file))
    shapes = dict(stored.blendshapes)
    if shapes_file is not None:
        archive = CerealArchive(_bytes(shapes_file), str(shapes_file))
        shapes = _blendshapes(archive, len(stored.shape.mean))
        _at_end(archive)
    return _source(file, stored, shapes, points_file)


def _source(
    file: Path, stored: _Stored, shapes: dict[str, Array], points_file: Path | None
) -> ModelSource:
    shape, where = stored.shape, str(file)
    mean = shape.mean.reshape(-1, 3)
    if stored.expression is not None:
        mean = mean + stored.expression.mean.reshape(-1, 3)
    count = len(mean)
    try:
        unit_mm, said = plausible_unit(mean)
    except ValueError as error:
        raise ValueError(f"{where}: field 'shape_model.mean': {error}") from None
    mean = unit_mm * mean
    triangles, uv = turned_outwards(mean, shape.triangles, _chart(stored, where))
    pca = stored.expression
    exp_basis = np.zeros((count, 3, 0)) if pca is None else pca.basis.reshape(count, 3, -1)
    exp_sd = np.zeros(0) if pca is None else np.sqrt(pca.variances)
    if shapes:
        if pca is not None:
            raise ValueError(f"{where}: has expressions of its own, and a file of blendshapes too")
        exp_basis = np.stack(list(shapes.values()), axis=1).reshape(count, 3, -1)
        exp_sd = np.full(len(shapes), BLENDSHAPE_SD)
    colour = _colour(stored.colour, count, where)
    return ModelSource(
        layout="surrey",
        name=file.stem,
        licence=_LICENCE if _NAME.fullmatch(file.stem) else _ANOTHER_LICENCE,
        mean=mean,
        polygons=triangles,
        id_basis=unit_mm * shape.basis.reshape(count, 3, -1),
        id_sd=np.sqrt(shape.variances),
        exp_basis=unit_mm * exp_basis,
        exp_sd=exp_sd,
        exp_names=tuple(shapes),
        exp_lower=np.zeros(len(shapes)) if shapes else None,
        exp_upper=np.ones(len(shapes)) if shapes else None,
        albedo_mean=None if colour is None else colour[0],
        albedo_basis=None if colour is None else colour[1],
        albedo_sd=None if colour is None else np.sqrt(stored.colour.variances),
        uv=uv,
        landmarks68=None if points_file is None else _landmarks(points_file, count),
        unit_said=said,
    )


# ---- the archive ----


def _parsed(data: bytes, where: str) -> _Stored:
    archive = CerealArchive(data, where)
    version = archive.number("<I", "version")
    if version > _NEWEST_VERSION:
        raise archive.wrong("version", f"expected 0 to {_NEWEST_VERSION}, found {version}")
    old = version == 0
    shape = _pca(archive, "shape_model", old)
    colour = _pca(archive, "color_model", old)
    expression: _Pca | None = None
    shapes: dict[str, Array] = {}
    if version >= 2 and not archive.flag("expression_model"):
        kind = archive.number("<i", "expression_model")
        if kind == 0:
            expression = _pca(archive, "expression_model", old)
        elif kind == 1:
            shapes = _blendshapes(archive, len(shape.mean))
        else:
            raise archive.wrong("expression_model", f"of kind {kind}, wanted 0 or 1")
    if version >= 3 and not archive.flag("landmark_definitions"):
        for _ in range(archive.length("landmark_definitions", 12)):
            archive.text("landmark_definitions")  # of eos' own names, which are not the 68
            archive.number("<i", "landmark_definitions")
    points = archive.rows("texture_coordinates", "<f4" if old else "<f8", 2)
    corners = np.zeros((0, 3), dtype=np.int32)
    if version >= 4:
        corners = archive.rows("texture_triangle_indices", "<i4", 3)
    _at_end(archive)
    stored = _Stored(shape, colour, expression, shapes, points, corners)
    if not len(shape.mean) or not len(shape.triangles):
        raise archive.wrong("shape_model", "is empty")
    if expression is not None and len(expression.mean) != len(shape.mean):
        raise archive.wrong("expression_model", f"{len(expression.mean)} rows, not the shape's")
    return stored


def _pca(archive: CerealArchive, name: str, old: bool) -> _Pca:
    read = archive.opencv_matrix if old else archive.eigen_matrix
    mean = read(f"{name}.mean")
    bases = [read(f"{name}.basis")]
    # Until 2017 the basis came twice: scaled by the deviations, then orthonormal. No version tells.
    twice = bases[0].size and archive.eigen_shape(f"{name}.basis") == bases[0].shape
    if old or twice:
        bases.append(read(f"{name}.basis"))
    variances = read(f"{name}.eigenvalues")
    triangles = archive.rows(f"{name}.triangle_list", "<i4", 3)
    basis = bases[-1]
    length = mean.size
    for field, array, shape in (
        ("mean", mean, (length, 1)),
        ("basis", basis, (length, variances.size)),
        ("eigenvalues", variances, (variances.size, 1)),
    ):
        # A model without colours has empty matrices.
        if array.size and array.shape != shape:
            raise archive.wrong(f"{name}.{field}", f"shape {array.shape}, wanted {shape}")
    if length % 3 or (length and not variances.size):
        raise archive.wrong(f"{name}.mean", f"{length} numbers, wanted three a vertex and a basis")
    fields = Fields(
        archive.where,
        {
            f"{name}.mean": mean.reshape(-1),
            f"{name}.basis": basis.reshape(length, -1) if length else np.zeros((0, 0)),
            f"{name}.eigenvalues": variances.reshape(-1) if length else np.zeros(0),
            f"{name}.triangle_list": triangles,
        },
    )
    return _Pca(
        fields.real(f"{name}.mean", length),
        fields.real(f"{name}.basis", length, None),
        fields.spread(f"{name}.eigenvalues", None),
        fields.indices(f"{name}.triangle_list", length // 3, None, 3),
    )


def _blendshapes(archive: CerealArchive, length: int) -> dict[str, Array]:
    """Return blendshapes (3n,) by their names."""
    found: dict[str, Array] = {}
    for _ in range(archive.length("blendshapes", 16)):
        name = archive.text("blendshapes")
        if name in found:
            raise archive.wrong("blendshapes", f"'{name}' is there twice")
        deformation = archive.eigen_matrix(f"blendshape {name}")
        if deformation.shape != (length, 1):
            text = f"shape {deformation.shape}, wanted ({length}, 1)"
            raise archive.wrong(f"blendshape {name}", text)
        fields = Fields(archive.where, {f"blendshape {name}": deformation[:, 0]})
        found[name] = fields.real(f"blendshape {name}", length)
    return found


def _at_end(archive: CerealArchive) -> None:
    if archive.left:
        raise archive.wrong("end", f"{archive.left} bytes follow the model")


def _chart(stored: _Stored, where: str) -> Array | None:
    """Return the chart (m, 3, 2); v points down in eos."""
    if not len(stored.texture_points):
        return None
    count, triangles = len(stored.texture_points), stored.shape.triangles
    fields = Fields(
        where,
        {
            "texture_coordinates": stored.texture_points,
            "texture_triangle_indices": stored.texture_triangles,
        },
    )
    points = fields.real("texture_coordinates", None, 2)
    if len(stored.texture_triangles):
        corners = fields.indices("texture_triangle_indices", count, len(triangles), 3)
    elif count == len(stored.shape.mean) // 3:
        corners = triangles
    else:
        raise fields.wrong("texture_coordinates", f"{count} of them, wanted one a vertex")
    return np.stack([points[..., 0], 1.0 - points[..., 1]], axis=-1)[corners]


def _colour(colour: _Pca, count: int, where: str) -> tuple[Array, Array] | None:
    """Return mean and basis of the linear albedo; eos has sRGB in [0, 1]."""
    if not len(colour.mean):
        return None
    if len(colour.mean) != 3 * count:
        text = f"{len(colour.mean)} numbers, wanted {3 * count}"
        raise ValueError(f"{where}: field 'color_model.mean': {text}")
    # Models converted from others have bytes.
    full = 255.0 if colour.mean.max() > 2.0 else 1.0
    mean, basis = linear_albedo(
        colour.mean.reshape(count, 3) / full, colour.basis.reshape(count, 3, -1) / full
    )
    assert basis is not None
    return mean, basis


# ---- files ----


def _landmarks(file: Path, count: int) -> Array | None:
    """Return the vertices of the 68 points, None where the file does not name all of them."""
    with said_in_a_line():
        data = read_regular(file, UNREADABLE, _MAX_TEXT_BYTES)
    pairs = [m for line in data.decode("utf-8", "replace").splitlines() if (m := _PAIR.match(line))]
    vertex = {int(m[1]): int(m[2]) for m in pairs if len(m[1]) < 9 and len(m[2]) < 9}
    if not all(number in vertex for number in range(1, 69)):
        return None
    values = {"landmark_mappings": np.array([vertex[number] for number in range(1, 69)])}
    return Fields(str(file), values).indices("landmark_mappings", count, 68)


def _named(path: Path) -> tuple[Path, Path | None, Path | None]:
    """Return the model, and blendshapes and points of it where they are beside it."""
    file = path
    if path.is_dir():
        models = [p for p in sorted(path.glob("*.bin")) if _NAME.fullmatch(p.stem)]
        if len(models) != 1:
            found = ", ".join(p.name for p in models) or "none"
            raise ValueError(f"{path}: expected one sfm_shape_*.bin, found {found}")
        file = models[0]
    resolution = file.stem.rpartition("_")[2]
    shapes = file.parent / f"expression_blendshapes_{resolution}.bin"
    points = file.parent / "ibug_to_sfm.txt"
    named = _NAME.fullmatch(file.stem) is not None
    return (
        file,
        shapes if named and shapes.is_file() else None,
        points if named and points.is_file() else None,
    )


def _files(path: Path) -> tuple[Path, ...]:
    if path.is_file() and not _NAME.fullmatch(path.stem):
        return ()
    try:
        found = _named(path)
    except (OSError, ValueError):
        return ()
    if found[0].suffix.lower() != ".bin" or not found[0].is_file():
        return ()
    return tuple(file for file in found if file is not None)


def _bytes(file: Path) -> bytes:
    with said_in_a_line():
        return read_regular(file, UNREADABLE, _MAX_BYTES)


LAYOUT = SourceLayout(
    name="surrey",
    title="Surrey Face Model and others in eos' binary format",
    page="surrey.md",
    files=_files,
    read=read_surrey,
)
