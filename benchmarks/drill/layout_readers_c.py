"""Small valid files of depth cameras and scan collections for the drill."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from benchmarks.drill.sense import wrong_capture
from fg3d_builder.captures.layout_source import LayoutSource
from fg3d_builder.captures.layouts import biwi, realsense
from fg3d_builder.captures.layouts.layout import Layout
from fg3d_builder.config import SourceConfig
from fg3d_builder.errors import CaptureError
from fg3d_builder.records import Capture

if TYPE_CHECKING:
    from benchmarks.drill.readers import Reader

HEIGHT, WIDTH = 12, 16
_Maker = Callable[[Path], Path]


def readers() -> list[Reader]:
    """Return the readers of these files."""
    from benchmarks.drill.readers import Reader

    capture = (CaptureError,)
    return [
        Reader(name, form, maker, first_capture(layout), capture, wrong_capture)
        for layout, name, form, maker in (
            (realsense, "realsense, both cameras", "json", realsense_maker("intrinsics.json")),
            (realsense, "realsense, Open3D's camera", "json", open3d_maker),
            (realsense, "realsense, depth", "png", realsense_maker("depth_1.png")),
            (realsense, "realsense, raw depth", "binary", realsense_maker("depth_2.raw")),
            (realsense, "realsense, sizes", "text", realsense_maker("depth_2_metadata.csv")),
            (biwi, "biwi, depth", "binary", biwi_maker("frame_00001_depth.bin")),
            (biwi, "biwi, calibration", "text", biwi_maker("rgb.cal")),
        )
    ]


def first_capture(module: Any) -> Callable[[Path], Capture]:
    """Return what reads the capture that a file two folders below the root belongs to."""

    layout: Layout = module.LAYOUT

    def read(path: Path) -> Capture:
        root = path.parents[1]
        source = LayoutSource(SourceConfig(kind=layout.kind, path=str(root)), layout)
        number = "2" if "_2" in path.name else "1"
        entries = source.entries()
        chosen = [entry for entry in entries if entry.capture_id.endswith(number)] or entries
        return source.load(chosen[0])

    return read


def depth_steps(height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """A slope 600 mm away with a step and a hole in it."""
    y, x = np.mgrid[0:height, 0:width]
    steps = (600 + 3 * x + 2 * y).astype(np.uint16)
    steps[:, width // 2 :] += 200
    steps[1, 1] = 0
    return steps


def write_pair(colour: Path, depth: Path, size: tuple[int, int] = (HEIGHT, WIDTH)) -> None:
    """Write a colour and a depth picture."""
    rng = np.random.default_rng(5)
    for file in (colour, depth):
        file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rng.integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)).save(colour)
    if depth.suffix == ".png":
        Image.fromarray(depth_steps(*size)).save(depth)
    else:
        depth.write_bytes(depth_steps(*size).tobytes())


def camera(width: int = WIDTH, height: int = HEIGHT, **more: Any) -> dict[str, Any]:
    """A small camera, as pyrealsense2 describes it."""
    return {"width": width, "height": height, "fx": 20.0, "fy": 20.5, "ppx": 7.5, "ppy": 5.5,
            "model": "distortion.brown_conrady", "coeffs": [0.05, -0.02, 0.001, 0.0, 0.01],
            **more}  # fmt: skip


def realsense_maker(mutated: str) -> _Maker:
    def make(folder: Path) -> Path:
        place = folder / "person"
        write_pair(place / "color_1.png", place / "depth_1.png", (10, 14))
        write_pair(place / "color_2.png", place / "depth_2.raw", (10, 14))
        (place / "depth_2_metadata.csv").write_text(
            "Frame Info: \nType,Depth\nFormat,Z16\nResolution x,14\nResolution y,10\n"
        )
        table = {
            "color": camera(),
            "depth": camera(14, 10, ppx=6.5, ppy=4.5),
            "depth_to_color": {"rotation": [1, 0, 0, 0, 1, 0, 0, 0, 1],
                               "translation": [0.015, 0.0, 0.0]},
            "depth_scale": 0.001,
        }  # fmt: skip
        (place / "intrinsics.json").write_text(json.dumps(table, indent=1))
        return place / mutated

    return make


def open3d_maker(folder: Path) -> Path:
    place = folder / "person"
    write_pair(place / "color/000001.png", place / "depth/000001.png")
    matrix = [20.0, 0, 0, 0, 20.5, 0, 7.5, 5.5, 1]
    table = {"width": WIDTH, "height": HEIGHT, "intrinsic_matrix": matrix}
    (place / "camera_intrinsic.json").write_text(json.dumps(table, indent=1))
    return place / "camera_intrinsic.json"


def biwi_maker(mutated: str) -> _Maker:
    def make(folder: Path) -> Path:
        place = folder / "01"
        write_pair(place / "frame_00001_rgb.png", place / "unused.raw")
        (place / "unused.raw").unlink()
        data = struct.pack("<ii", WIDTH, HEIGHT)
        for row in depth_steps():
            data += struct.pack("<ii", 2, WIDTH - 2) + row[2:].astype("<i2").tobytes()
        (place / "frame_00001_depth.bin").write_bytes(data)
        for name, move in (("rgb.cal", "-24.0 5.9 -13.2"), ("depth.cal", "0 0 0")):
            (place / name).write_text(
                "20.5 0 7.5 \n0 20.5 5.5 \n0 0 1 \n\n0.01 0 0 0 \n\n1 0 0 \n0 1 0 \n0 0 1 \n\n"
                f"{move} \n\n{WIDTH} {HEIGHT}\n"
            )
        return place / mutated

    return make
