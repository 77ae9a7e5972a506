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


def readers() -> list[Reader]:
    """Return the readers of these files."""
    from benchmarks.drill.readers import Reader

    errors = (CaptureError,)
    return [
        Reader(
            "record3d",
            "binary",
            r3d_maker,
            first_capture("record3d"),
            errors,
            wrong_capture,
            changed_member,
        ),
        *(
            Reader(
                f"portrait.{suffix}",
                form,
                portrait_maker(f"anna.{suffix}"),
                first_capture("portrait"),
                errors,
                wrong_capture,
            )
            for suffix, form in (("jpg", "picture"), ("heic", "mixed"))
            if suffix == "jpg" or importlib.util.find_spec("pillow_heif")
        ),
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
