"""One HDF5 file per face model, behind a seal (`fg3d_builder.files.sealed`)."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from fg3d_builder.facemodel.model import Embedding, FaceModel, check_model
from fg3d_builder.facemodel.origin import Origin
from fg3d_builder.facemodel.surround import Surround
from fg3d_builder.files.atomic import replacing
from fg3d_builder.files.hdf5_checks import check_declared
from fg3d_builder.files.hdf5_writing import new_hdf5
from fg3d_builder.files.sealed import data_problem, seal

SCHEMA = "fg3d-facemodel-1"
_UNITS = {
    "mean": "mm, object frame",
    "id_basis": "mm per unit of alpha_id",
    "exp_basis": "mm per unit of alpha_exp",
    "albedo_mean": "linear RGB reflectance",
    "albedo_basis": "linear RGB per unit of beta",
    "uv": "chart coordinates in [0, 1]",
}
_FLOATS = (
    "mean",
    "id_basis",
    "id_sd",
    "exp_basis",
    "exp_sd",
    "exp_lower",
    "exp_upper",
    "albedo_mean",
    "albedo_basis",
    "albedo_sd",
    "uv",
)
_OTHERS = {"triangles": np.int32, "parts": np.uint8, "rigid": np.bool_, "reliable": np.bool_}
_SURROUND = {
    "mean": ("<f4", "mm, object frame"),
    "triangles": ("<i4", ""),
    "id_basis": ("<f4", "mm per unit of alpha_id"),
    "skirt": ("<i4", ""),
    "skirt_triangle": ("<i4", ""),
    "skirt_barycentric": ("<f8", ""),
    "skirt_depth_mm": ("<f4", "mm"),
    "ear": ("<f4", ""),
    "scalp": ("<f4", "probability"),
    "neck": ("<f4", ""),
    "mirror": ("<i4", ""),
}
_ORIGIN = {
    "mean": ("<f8", "mm, object frame"),  # exact, to be found again in the file
    "polygons": ("<i4", ""),
    "sheet_vertex": ("<i4", ""),
    "outside": ("<i4", ""),
    "outside_id_basis": ("<f4", "mm per unit of alpha_id"),
}

_ORIGINS_OWN = {"uv": "<f8", "outside_exp_basis": "<f4"}
"""What not every published file has."""

_HOW_TO_MAKE_ONE = (
    "make it again from its source, with `fg3d models build --out FILE.h5` or "
    "`fg3d_builder.facemodel.save_model`"
)
"""For a person whose file is damaged, or written before model files carried a seal."""


def save_model(
    model: FaceModel,
    path: str | os.PathLike[str],
    also: Callable[[h5py.File], None] | None = None,
) -> None:
    """Write a model, under a temporary name until it is complete.

    Parameters
    ----------
    model : FaceModel
    path : path-like
    also : callable, optional
        Writes further groups into the file.

    Raises
    ------
    ValueError
        The model contradicts itself; names the field.
    """
    check_model(model)
    with replacing(path) as temporary:
        with new_hdf5(temporary) as file:
            _write_fields(model, file)
            if also is not None:
                also(file)
        seal(temporary, SCHEMA)


def _write_fields(model: FaceModel, file: h5py.File) -> None:
    file.attrs["schema"] = SCHEMA
    file.attrs["name"] = model.name
    file.attrs["licence"] = model.licence
    file.attrs["topology_hash"] = model.topology_hash
    file.attrs["exp_names"] = list(model.exp_names) or [""]
    for name in _FLOATS:
        dataset = file.create_dataset(name, data=getattr(model, name).astype("<f4"))
        dataset.attrs["unit"] = _UNITS.get(name, "")
    for name, dtype in _OTHERS.items():
        file.create_dataset(name, data=getattr(model, name).astype(dtype))
    for scheme, embedding in model.embeddings.items():
        group = file.create_group(f"embeddings/{scheme}")
        group["point_index"] = embedding.point_index.astype("<i4")
        group["triangle"] = embedding.triangle.astype("<i4")
        group["barycentric"] = embedding.barycentric.astype("<f8")
        group["edge_points"] = model.edge_points.get(scheme, np.zeros(0)).astype("<i4")
    for i, line in enumerate(model.contour_lines):
        file[f"contour_lines/{i:03d}"] = np.asarray(line, dtype="<i4")
    if model.surround is not None:
        _write_arrays(model.surround, _SURROUND, file.create_group("surround"))
    if model.origin is not None:
        group = file.create_group("origin")
        group.attrs["layout"] = model.origin.layout
        _write_arrays(model.origin, _ORIGIN, group)
        for name, stored in _ORIGINS_OWN.items():
            if (known := getattr(model.origin, name)) is not None:
                group[name] = known.astype(stored)


def load_model(path: str | os.PathLike[str]) -> FaceModel:
    """Read a model file; one without a surround or an origin, as files were at first, gets None.

    Raises
    ------
    FileNotFoundError
    ValueError
        Not a face model file, one that does not fit its seal, an unknown schema, or a topology
        hash that does not fit. The file stays where it is.
    """
    with opened_model(path) as file:
        values = {name: file[name][()].astype(np.float64) for name in _FLOATS}
        values.update({name: file[name][()] for name in _OTHERS})
        embeddings, edge_points = {}, {}
        for scheme, group in file.get("embeddings", {}).items():
            embeddings[scheme] = Embedding(
                group["point_index"][()], group["triangle"][()], group["barycentric"][()]
            )
            edge_points[scheme] = group["edge_points"][()]
        lines = file.get("contour_lines", {})
        model = FaceModel(
            name=str(file.attrs["name"]),
            licence=str(file.attrs["licence"]),
            exp_names=tuple(str(n) for n in file.attrs["exp_names"] if n),
            embeddings=embeddings,
            edge_points=edge_points,
            contour_lines=tuple(lines[key][()] for key in sorted(lines)),
            surround=_read_surround(file["surround"]) if "surround" in file else None,
            origin=_read_origin(file["origin"]) if "origin" in file else None,
            **values,
        )
        stored = str(file.attrs["topology_hash"])
    if stored != model.topology_hash:
        raise ValueError(f"{path}: topology hash is {model.topology_hash}, the file says {stored}")
    check_model(model)
    return model


class StoredContents(NamedTuple):
    """What a model file has.

    Attributes
    ----------
    embedded_points : dict of str to int
        Numbers of embedded points by landmark scheme.
    surround : bool
    """

    embedded_points: dict[str, int]
    surround: bool


def stored_contents(path: str | os.PathLike[str]) -> StoredContents:
    """Tell what a model file has.

    Raises
    ------
    FileNotFoundError
    ValueError
        Not a face model file, one that does not fit its seal, or an unknown schema.
    """
    with opened_model(path) as file:
        schemes = file.get("embeddings", {})
        points = {scheme: len(group["point_index"]) for scheme, group in schemes.items()}
        return StoredContents(points, "surround" in file)


def _write_arrays(
    record: Surround | Origin, fields: dict[str, tuple[str, str]], group: h5py.Group
) -> None:
    for name, (dtype, unit) in fields.items():
        dataset = group.create_dataset(name, data=getattr(record, name).astype(dtype))
        dataset.attrs["unit"] = unit


def _read_arrays(fields: dict[str, tuple[str, str]], group: h5py.Group) -> dict[str, Any]:
    values = {}
    for name, (dtype, _) in fields.items():
        stored = group[name][()]
        values[name] = stored.astype(np.float64) if "f" in dtype else stored
    return values


def _read_surround(group: h5py.Group) -> Surround:
    return Surround(**_read_arrays(_SURROUND, group))


def _read_origin(group: h5py.Group) -> Origin:
    own = {name: group[name][()].astype(np.float64) for name in _ORIGINS_OWN if name in group}
    arrays = {"uv": None, **own, **_read_arrays(_ORIGIN, group)}
    return Origin(layout=str(group.attrs["layout"]), **arrays)


@contextmanager
def opened_model(path: str | os.PathLike[str]) -> Iterator[h5py.File]:
    """Give the content of a file, read at once, so that what was checked is what is read."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"no face model at {path}")
    data = Path(path).read_bytes()
    why = data_problem(data, SCHEMA)
    if why:
        raise ValueError(f"{path} is no sound face model file: {why}; {_HOW_TO_MAKE_ONE}")
    try:
        with h5py.File(io.BytesIO(data), "r") as file:
            check_declared(file, os.fspath(path))
            schema = file.attrs.get("schema", "")
            if schema != SCHEMA:
                raise ValueError(f"{path}: schema is '{schema}', this version reads '{SCHEMA}'")
            yield file
    except (
        OSError,
        KeyError,
        RuntimeError,
        TypeError,
    ) as error:  # under a seal, but of other content
        raise ValueError(f"{path} cannot be read as a face model: {error}") from None
