"""Readers of pickles, FLAME, GNM, Surrey, FaceScape and plain arrays for the drill."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.drill import model_files_flame
from benchmarks.drill.mutate_bytes import Random, flipped
from benchmarks.drill.mutate_formats import NPY
from benchmarks.drill.sense import any_value
from fg3d_builder.facemodel.sources.known import read_source
from fg3d_builder.facemodel.sources.source import ModelSource, check_source
from fg3d_builder.files.inert_pickle import read_inert_pickle

if TYPE_CHECKING:
    from benchmarks.drill.readers import Reader

_ODD = np.array([np.nan, np.inf, -np.inf, 1e308, -1e308, 1e-320, -1.0, 0.0, 1e9, 1e-9])
_COUNTS = (0, 1, 2, 3, 19, 20, 21, 60, 255, 256, 65535, 2**31 - 1, 2**31, 2**32 - 1)


def readers() -> list[Reader]:
    """Return the readers of these files."""
    from benchmarks.drill.readers import Reader

    def model(
        name: str,
        form: str,
        make: Callable[[Path], Path],
        kind: str,
        mutate: Callable[[Path, Random], None] | None = None,
        named: str = "",
    ) -> Reader:
        def read(path: Path) -> Any:
            return read_source(path.with_name(named) if named else path, kind)

        return Reader(name, form, make, read, (ValueError,), _wrong_source, mutate)

    flame, sfm = "generic_model.pkl", "sfm_shape_20.bin"
    core = "core_847_3_52.npy"
    return [
        Reader(
            "any.pkl",
            "mixed",
            model_files_flame.any_pickle,
            _inert,
            (ValueError,),
            any_value,
            _odd_pickle,
        ),
        Reader(
            "text.pkl",
            "text",
            model_files_flame.text_pickle,
            _inert,
            (ValueError,),
            any_value,
            _odd_pickle,
        ),
        model("flame.pkl", "binary", model_files_flame.flame_pickle, "flame", _odd_pickle),
        model("flame.npz", "binary", model_files_flame.flame_npz, "flame", _odd_npz),
        model(
            "FLAME_masks.pkl", "binary", model_files_flame.flame_masks, "flame", _odd_pickle, flame
        ),
        model(
            "FLAME_texture.npz", "binary", model_files_flame.flame_texture, "flame", _odd_npz, flame
        ),
        model("head_template.obj", "text", model_files_flame.flame_template, "flame", None, flame),
        model("gnm_head.npz", "binary", model_files_flame.gnm, "gnm", _odd_npz),
        model("sfm_shape.bin", "binary", model_files_flame.surrey, "surrey", _odd_archive),
        model(
            "blendshapes.bin", "binary", model_files_flame.blendshapes, "surrey", _odd_archive, sfm
        ),
        model("ibug_to_sfm.txt", "text", model_files_flame.mapping, "surrey", None, sfm),
        model("facescape.npz", "binary", model_files_flame.facescape, "facescape", _odd_npz),
        model("facescape core.npy", "npy", model_files_flame.facescape_core, "facescape"),
        model(
            "predef_faces.pkl",
            "binary",
            model_files_flame.facescape_faces,
            "facescape",
            _odd_pickle,
            core,
        ),
        model("index_68.txt", "text", model_files_flame.facescape_points, "facescape", None, core),
        model("model arrays.npz", "binary", model_files_flame.arrays, "arrays", _odd_npz),
    ]


def _wrong_source(source: ModelSource, _wanted: Any) -> str:
    """Say what makes no sense in a model."""
    check_source(source)
    height = float(np.ptp(source.mean[:, 1]))
    if not 0 < height < 1e12:
        return f"a face of {height:g} mm"
    for name in ("id_basis", "exp_basis", "albedo_basis"):
        basis = getattr(source, name)
        if basis is not None and (basis.dtype != np.float64 or not np.isfinite(basis).all()):
            return f"{name} of {basis.dtype}, or not finite"
    if source.polygons.dtype != np.int32:
        return "polygons of another type"
    texts = (source.name, source.licence, source.unit_said, *source.exp_names, *source.groups)
    return "" if all(text.isprintable() for text in texts) else "a text that cannot be printed"


def _inert(path: Path) -> Any:
    return read_inert_pickle(path, 1 << 20)


# ---- mutations that leave check sums and lengths right ----


def _odd_npz(path: Path, rng: Random) -> None:
    """Change one array of an archive, or its name, or leave it out."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    names = list(members)
    name = names[int(rng.integers(len(names)))]
    way = rng.random()
    if way < 0.1:
        del members[name]
    elif way < 0.2:
        members[name] = members[names[int(rng.integers(len(names)))]]
    elif way < 0.5:
        members[name] = _odd_values(members[name], rng)
    else:
        members[name] = NPY[int(rng.integers(len(NPY)))](members[name], rng)
    with zipfile.ZipFile(path, "w") as archive:
        for member, data in members.items():
            archive.writestr(member, data)


def _odd_values(data: bytes, rng: Random) -> bytes:
    """Put an odd number of the array's own type over some of its elements."""
    array = np.load(io.BytesIO(data), allow_pickle=True)
    if not array.size or array.dtype.kind not in "fiu":
        return flipped(data, rng)
    flat = array.ravel().copy()
    first = int(rng.integers(flat.size))
    with np.errstate(all="ignore"):
        odd = np.array([*_ODD, *_COUNTS]).astype(flat.dtype)
    flat[first : first + int(rng.choice([1, 3, 10_000]))] = odd[int(rng.integers(len(odd)))]
    file = io.BytesIO()
    np.save(file, flat.reshape(array.shape))
    return file.getvalue()


def _odd_pickle(path: Path, rng: Random) -> None:
    """Put odd doubles, lengths or instructions over some of a pickle's."""
    data = bytearray(path.read_bytes())
    place = int(rng.integers(len(data)))
    way = rng.random()
    if way < 0.4:
        new = np.repeat(_ODD[int(rng.integers(len(_ODD)))], rng.choice([1, 4, 100])).tobytes()
    elif way < 0.7:
        new = struct.pack("<I", _COUNTS[int(rng.integers(len(_COUNTS)))])
    else:
        codes = b"(.0123IJKLMNSUTXVBCR]})ltdaesuqrhjpgcob\x80\x81\x85\x86\x87\x88\x8a\x8c\x93\x94"
        new = bytes(
            codes[int(i)] for i in rng.integers(len(codes), size=int(rng.choice([1, 2, 9])))
        )
    data[place : place + len(new)] = new
    path.write_bytes(bytes(data))


def _odd_archive(path: Path, rng: Random) -> None:
    """Put odd lengths or floats over some of an archive's words."""
    data = bytearray(path.read_bytes())
    # Half of the time near the beginning, where lengths are.
    end = 64 if rng.random() < 0.5 else len(data)
    place = 4 * int(rng.integers(min(end, len(data)) // 4))
    if rng.random() < 0.5:
        new = struct.pack("<I", _COUNTS[int(rng.integers(len(_COUNTS)))])
    else:
        with np.errstate(all="ignore"):
            new = _ODD[int(rng.integers(len(_ODD)))].astype("<f4").tobytes()
    data[place : place + 4] = new
    path.write_bytes(bytes(data))
