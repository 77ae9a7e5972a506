"""Files that were changed at random: every reader ends with a result or with its own error."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from bad_captures import GOOD, SIZE
from foreign_meshes import textured_square
from PIL import Image

from fg3d_builder.captures.folder import read_landmarks
from fg3d_builder.errors import CaptureError, ConfigError
from fg3d_builder.files.bounded import read_json_object, read_npy, read_npz
from fg3d_builder.files.hdf5_checks import check_declared
from fg3d_builder.files.images import read_rgb, read_uint16
from fg3d_builder.files.mesh_io import mesh_with_colors, read_mesh, write_mesh
from fg3d_builder.testsets import now, stirling
from fg3d_builder.testsets.mesh_files import (
    read_mesh_landmarks,
    read_picked_points,
    read_point_list,
)

MUTATIONS = 400
PIXELS = np.random.default_rng(3).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
NUMBERS = [b"-1", b"0", b"65536", b"2147483648", b"4294967296", b"1e400", b"nan", b"9" * 40]


def _image(kind: str, pixels: np.ndarray = PIXELS) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def _saved(*arrays: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    if len(arrays) == 1:
        np.save(buffer, arrays[0])
    else:
        np.savez_compressed(buffer, *arrays)
    return buffer.getvalue()


def _written(write: Callable[[Path], Any], name: str) -> Callable[[Path], bytes]:
    def make(folder: Path) -> bytes:
        write(folder / name)
        return (folder / name).read_bytes()

    return make


def _hdf5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["a"] = np.arange(9.0)
        packed = np.zeros((50, 50))
        file.create_dataset("g/b", data=packed, chunks=(50, 50), compression="gzip")
        file.attrs["schema"] = "x"


def _read_hdf5(path: Path) -> None:
    try:
        with h5py.File(path, "r") as file:
            check_declared(file, str(path))
    except (OSError, RuntimeError, KeyError) as error:  # what h5py says of damaged files
        raise ValueError(f"{path}: {error}") from None


RNG = np.random.default_rng(0)
PLY = mesh_with_colors(RNG.normal(size=(9, 3)), RNG.integers(0, 9, (6, 3)), PIXELS[0, :9])
OBJ = b"mtllib mesh.mtl\n" + b"".join(b"v %d 1 2 0.5 0 1\nvt 0.%d 1\n" % (i, i) for i in range(9))
OBJ += b"usemtl skin\nf 1/1 2/2 3/3\nf -1/-1 -2/-2 -3/-3 -4/-4\n"
MARKS = {"scheme": "ibug68", "points_px": [[1.5, 2]] * 68}
TABLE = {"schema": "fg3d-mesh-landmarks-1", "vertex_index": {str(p): p for p in range(30, 50)}}
POINTS = "".join(f"<point x='{i}' y='{i / 3}' z='1'/>" for i in range(7))
LIST = b"photo,subject,yaw\n" + b"".join(b"p/%d.jpg,F%d,45\n" % (i, i) for i in range(5))

READERS: dict[str, tuple[str, Callable[[Path], bytes], Callable[[Path], Any]]] = {
    "capture.json": ("a.json", lambda _: json.dumps(GOOD).encode(), read_json_object),
    "landmarks": ("a.json", lambda _: json.dumps({"landmarks": MARKS}).encode(), read_landmarks),
    "npy": ("a.npy", lambda _: _saved(np.ones(SIZE)), lambda p: read_npy(p, "bad")),
    "npz": ("a.npz", lambda _: _saved(np.ones(9), np.array(["a"])), lambda p: read_npz(p, "bad")),
    "png": ("a.png", lambda _: _image("PNG"), read_rgb),
    "png16": ("a.png", lambda _: _image("PNG", PIXELS[..., 0].astype(np.uint16)), read_uint16),
    "jpeg": ("a.jpg", lambda _: _image("JPEG"), read_rgb),
    "tiff": ("a.tif", lambda _: _image("TIFF"), read_rgb),
    "bmp": ("a.bmp", lambda _: _image("BMP"), read_rgb),
    "webp": ("a.webp", lambda _: _image("WEBP"), read_rgb),
    "tga": ("a.tga", lambda _: _image("TGA"), read_rgb),
    "obj": ("mesh.obj", lambda _: OBJ, read_mesh),
    "glb": ("a.glb", _written(lambda p: textured_square(PIXELS).written(p), "b.glb"), read_mesh),
    "ply": ("a.ply", _written(lambda p: write_mesh(p, PLY), "b.ply"), read_mesh),
    "hdf5": ("a.h5", _written(_hdf5, "b.h5"), _read_hdf5),
    "mesh landmarks": ("a.json", lambda _: json.dumps(TABLE).encode(), read_mesh_landmarks),
    "picked points": ("a.pp", lambda _: f"<P>{POINTS}</P>".encode(), read_picked_points),
    "point list": (
        "a.lnd",
        lambda _: b"".join(b"%d 1 2 3\n" % i for i in range(1, 8)),
        read_point_list,
    ),
    "photos.csv": ("photos.csv", lambda _: LIST, lambda p: stirling.list_images(p.parent)),
    "NoW's list": (
        "imagepathsvalidation.txt",
        lambda _: b"a/multiview_neutral/b.jpg\n" * 5,
        lambda p: now.list_images(p.parent),
    ),
}


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """Change a file in one to four places, as bad disks, editors and other programs do."""
    out = bytearray(data)
    for _ in range(rng.integers(1, 5)):
        at, size = int(rng.integers(len(out) + 1)), int(rng.integers(1, 9))
        kind = rng.integers(7)
        if kind == 0 and at < len(out):
            out[at] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            out[at : at + size] = rng.integers(0, 256, size, dtype=np.uint8).tobytes()
        elif kind == 2:
            del out[at:]
        elif kind == 3:
            del out[at : at + size * 8]
        elif kind == 4:
            out[at:at] = out[max(0, at - 64) : at]
        elif kind == 5:
            out[at : at + 4] = [b"\xff" * 4, bytes(4), b"\xff\xff\xff\x7f"][rng.integers(3)]
        else:  # another number, where the text has one
            digits = [i for i, c in enumerate(out) if 48 <= c <= 57]
            if digits:
                place = digits[rng.integers(len(digits))]
                out[place : place + 1] = NUMBERS[rng.integers(len(NUMBERS))]
    return bytes(out)


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_only_documented_errors_come_out(tmp_path: Path, name: str) -> None:
    file_name, make, read = READERS[name]
    (tmp_path / "mesh.mtl").write_text("newmtl skin\nKd 1 0 0\n")
    data = make(tmp_path)
    file = tmp_path / file_name
    file.write_bytes(data)
    if name != "NoW's list":  # which needs the folder of pictures
        read(file)
    rng = np.random.default_rng(list(name.encode()))
    expected = (ValueError,) if name == "hdf5" else (CaptureError, ConfigError)
    messages = []
    for _ in range(MUTATIONS):
        file.write_bytes(mutated(data, rng))
        try:
            read(file)
        except expected as error:
            messages.append(str(error))
    assert len(messages) > MUTATIONS / 20
    assert all(str(tmp_path) in message for message in messages)
