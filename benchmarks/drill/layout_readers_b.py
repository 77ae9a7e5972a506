"""Small valid files of phones and of synthetic people for the drill."""

from __future__ import annotations

import importlib.util
import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from benchmarks.drill.inputs import SMALL
from benchmarks.drill.mutate import mutated
from benchmarks.drill.mutate_bytes import Random
from benchmarks.drill.portrait_files import (
    disparity_levels,
    jpeg,
    portrait_heic,
    portrait_jpeg,
    xmp,
)
from benchmarks.drill.sense import wrong_capture
from benchmarks.drill.world import drill_capture, drill_model
from fg3d_builder.captures.layout_source import LayoutSource
from fg3d_builder.captures.layouts.known import LAYOUTS
from fg3d_builder.config import SourceConfig
from fg3d_builder.errors import CaptureError
from fg3d_builder.records import Capture

if TYPE_CHECKING:
    from benchmarks.drill.readers import Reader

_Maker = Callable[[Path], Path]
_Mutation = Callable[[Path, Random], None]


def readers() -> list[Reader]:
    """Return the readers of these files; those that need an optional package where it is there."""
    from benchmarks.drill.readers import Reader

    rows: list[tuple[str, str, str, _Maker, int, _Mutation | None]] = [
        ("record3d", "", "binary", r3d_maker, 0, changed_member),
        ("portrait", "jpg", "picture", portrait_maker("anna.jpg"), 0, None),
        ("arkit", "depth", "npy", arkit_maker("0001.npy"), 1, None),
        ("arkit", "camera", "json", arkit_maker("intrinsics.json"), 1, None),
        ("arkit", "matrix", "text", arkit_maker("0001.txt"), 1, None),
        ("standardcyborg", "frame", "mixed", bply_maker, 1, changed_description),
    ]
    if importlib.util.find_spec("pillow_heif"):
        rows.append(("portrait", "heic", "mixed", portrait_maker("anna.heic"), 0, None))
    if importlib.util.find_spec("OpenEXR"):
        rows += [
            ("record3d", "EXR's metadata", "json", export_maker("metadata.json"), 1, None),
            ("record3d", "EXR", "binary", export_maker("depth/0.exr"), 2, None),
            ("synthhuman", "depth", "binary", exr_maker("depth_0000001.exr"), 0, None),
            ("synthhuman", "camera", "text", exr_maker("cam_0000001.txt"), 0, None),
        ]
    errors = (CaptureError,)
    return [
        Reader(
            f"{kind}, {name}" if name else kind,
            form,
            make,
            first_capture(kind, up),
            errors,
            wrong_capture,
            own,
        )
        for kind, name, form, make, up, own in rows
    ]


def first_capture(kind: str, up: int = 0) -> Callable[[Path], Capture]:
    """Return what reads the first capture of a source: the file's folder, or so many above."""

    def read(path: Path) -> Capture:
        root = path.parents[up]
        source = LayoutSource(SourceConfig(kind=kind, path=str(root)), LAYOUTS[kind])
        return source.load(source.entries()[0])

    return read


def picture() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Colour, depth in mm and intrinsics of the drill's small capture."""
    capture = drill_capture(drill_model(), 0, SMALL)
    return capture.rgb, np.nan_to_num(capture.depth_mm), capture.intrinsics


def r3d_maker(folder: Path) -> Path:
    rgb, depth_mm, intrinsics = picture()
    height, width = depth_mm.shape
    table: dict[str, Any] = {
        "w": width, "h": height, "dw": width, "dh": height, "fps": 30,
        "K": [*intrinsics.T.ravel()], "poses": [[0, 0, 0, 1, 0, 0, 0]],
        "perFrameIntrinsicCoeffs": [[*intrinsics[[0, 1, 0, 1], [0, 1, 2, 2]]]],
    }  # fmt: skip
    path = folder / "anna_smile.r3d"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata", json.dumps(table))
        archive.writestr("rgbd/0.jpg", jpeg(rgb))
        archive.writestr("rgbd/0.depth", lzfse_stream((depth_mm / 1000).astype("<f4").tobytes()))
        archive.writestr("rgbd/0.conf", lzfse_stream(b"\2" * depth_mm.size))
    return path


def export_maker(mutated_name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        rgb, depth_mm, intrinsics = picture()
        height, width = depth_mm.shape
        place = folder / "anna"
        for name in ("rgb", "depth"):
            (place / name).mkdir(parents=True)
        (place / "rgb/0.jpg").write_bytes(jpeg(rgb))
        write_exr(place / "depth/0.exr", depth_mm / 1000.0)
        table = {"w": width, "h": height, "K": [*intrinsics.T.ravel()]}
        (place / "metadata.json").write_text(json.dumps(table))
        return place / mutated_name

    return make


def write_exr(path: Path, values: np.ndarray) -> None:
    import OpenEXR

    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
    OpenEXR.File(header, {"Y": values.astype(np.float32)}).write(str(path))


def lzfse_stream(data: bytes) -> bytes:
    """As a phone packs it where the encoder is installed, else as it is."""
    try:
        import lzfse
    except ImportError:
        return b"bvx-" + struct.pack("<I", len(data)) + data + b"bvx$"
    return bytes(lzfse.compress(data))


def changed_member(path: Path, rng: Random) -> None:
    """Mutate a member of a zip archive, whose sums are right again."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = list(members)[int(rng.integers(len(members)))]
    form = {"metadata": "json", "rgbd/0.jpg": "picture"}.get(name, "binary")
    members[name] = mutated(members[name], form, rng)
    with zipfile.ZipFile(path, "w") as archive:
        for one, data in members.items():
            archive.writestr(one, data)


def portrait_maker(name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        rgb, depth_mm, intrinsics = picture()
        height, width = depth_mm.shape
        write = portrait_heic if name.endswith("heic") else portrait_jpeg
        about = xmp(width, height, intrinsics)
        (folder / name).write_bytes(write(rgb, disparity_levels(depth_mm), about))
        return folder / name

    return make


def arkit_maker(mutated_name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        rgb, depth_mm, intrinsics = picture()
        place = folder / "anna"
        place.mkdir()
        np.save(place / "0001.npy", (depth_mm / 1000).astype(np.float32))
        (place / "0001.jpg").write_bytes(jpeg(rgb))
        names = ("fx", "fy", "cx", "cy")
        table = dict(zip(names, intrinsics[[0, 1, 0, 1], [0, 1, 2, 2]].tolist(), strict=True))
        size = {"width": rgb.shape[1], "height": rgb.shape[0]}
        (place / "intrinsics.json").write_text(json.dumps({"intrinsics": table | size}))
        if mutated_name.endswith(".txt"):
            np.savetxt(place / mutated_name, intrinsics)
        return place / mutated_name

    return make


def bply_maker(folder: Path) -> Path:
    rgb, depth_mm, intrinsics = picture()
    height, width = depth_mm.shape
    about = {
        "timestamp": 1.5,
        "width": width,
        "height": height,
        "camera_intrinsics": {
            "nominalIntrinsicMatrix": intrinsics.T.ravel().tolist(),
            "orientationMatrix": [0, 1, 0, 1, 0, 0, 0, 0, -1, 0, 0, 0],
            "focalLengthScaleFactor": 1.0,
            "intrinsicMatrixReferenceSize": [width, height],
        },
    }
    path = folder / "anna" / "frame-000.ply"
    path.parent.mkdir()
    path.write_bytes(bply_bytes(json.dumps(about).encode(), rgb, depth_mm / 1000.0))
    return path


def bply_bytes(text: bytes, rgb: np.ndarray, depth_m: np.ndarray) -> bytes:
    """A raw frame of StandardCyborg's app: a description, linear colours, metres."""
    head = (
        "ply\nformat binary_little_endian 1.0\ncomment StandardCyborgFusionVersion 1.8.0\n"
        f"element metadata {len(text)}\nproperty uchar char\nelement color {depth_m.size}\n"
        "property float r\nproperty float g\nproperty float b\n"
        f"element depth {depth_m.size}\nproperty float d\nend_header\n"
    )
    depth = np.where(np.isfinite(depth_m) & (depth_m > 0), depth_m, 9999.0)
    linear = (rgb / 255.0) ** 2.2
    return head.encode() + text + linear.astype("<f4").tobytes() + depth.astype("<f4").tobytes()


def changed_description(path: Path, rng: Random) -> None:
    """Mutate the description in a raw frame, whose length is right again."""
    data = path.read_bytes()
    start = data.index(b"end_header\n") + len(b"end_header\n")
    size = int(data.split(b"element metadata ")[1].split(b"\n")[0])
    text = mutated(data[start : start + size], "json", rng)
    head = data[:start].replace(b"metadata %d\n" % size, b"metadata %d\n" % len(text))
    path.write_bytes(head + text + data[start + size :])


def exr_maker(mutated_name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        rgb, depth_mm, intrinsics = picture()
        Image.fromarray(rgb).save(folder / "rgb_0000001.png")
        np.savetxt(folder / "cam_0000001.txt", intrinsics)
        write_exr(folder / "depth_0000001.exr", depth_mm / 10)
        return folder / mutated_name

    return make
