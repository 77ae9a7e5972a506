"""A head as a phone sees it, and files as phones' programs write them."""

from __future__ import annotations

import functools
import io
import json
import struct
import zipfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from benchmarks.drill.portrait_files import jpeg
from fg3d_builder.captures.aligned_depth import intrinsics_of_size
from fg3d_builder.geometry.camera import intrinsics_matrix
from fg3d_builder.records import Array
from fg3d_builder.rendering.rasterizer import interpolate, rasterize
from tests.captures.test_scan import bumpy_head

DISTANCE_MM = 400.0


class Shot(NamedTuple):
    """Colour (H, W, 3), true depth (H, W) in mm, NaN beside the head, and intrinsics."""

    rgb: Array
    depth_mm: Array
    intrinsics: Array


@functools.lru_cache
def shot(width: int, height: int) -> Shot:
    """A head 400 mm away in a picture of this size; sizes of one shape show the same view."""
    base = intrinsics_matrix(115.0, 115.4, 47.0 * width / height, 65.0)
    base_size = (128, round(128 * width / height))
    intrinsics = intrinsics_of_size(base, base_size, (height, width))
    mesh = bumpy_head()
    points = mesh.vertices * [1.0, -1.0, -1.0] + [0.0, 0.0, DISTANCE_MM]
    seen = rasterize(points, mesh.triangles, intrinsics, height, width)
    colours = 128 + 100 * np.sin(mesh.vertices / [9.0, 7.0, 11.0])
    rgb = interpolate(seen, mesh.triangles, colours)
    rgb[seen.triangle < 0] = [40, 60, 90]
    return Shot(np.rint(rgb).astype(np.uint8), seen.depth_mm, intrinsics)


def png(rgb: Array) -> bytes:
    data = io.BytesIO()
    Image.fromarray(rgb).save(data, "PNG")
    return data.getvalue()


def packed(data: bytes) -> bytes:
    """An LZFSE stream; of bytes as they are where the encoder is not installed."""
    try:
        import lzfse
    except ImportError:
        return b"bvx-" + struct.pack("<I", len(data)) + data + b"bvx$"
    return bytes(lzfse.compress(data))


def r3d_metadata(colour: Shot, depth: Array, frames: int = 1, **changes: Any) -> dict[str, Any]:
    """As Record3D writes it; a change to None leaves a field out."""
    height, width = colour.rgb.shape[:2]
    K = colour.intrinsics
    table = {
        "w": width,
        "h": height,
        "dw": depth.shape[1],
        "dh": depth.shape[0],
        "fps": 30,
        "K": [*K.T.ravel()],
        "perFrameIntrinsicCoeffs": [[K[0, 0], K[1, 1], K[0, 2], K[1, 2]]] * frames,
        "poses": [[0, 0, 0, 1, 0, 0, 0]] * frames,
        "initPose": [0, 0, 0, 1, 0, 0, 0],
        "frameTimestamps": [k / 30 for k in range(frames)],
        "cameraType": 0,
    } | changes
    return {name: value for name, value in table.items() if value is not None}


def write_r3d(
    path: Path,
    colour: Shot,
    depths_mm: list[Array],
    confidence: Array | None = None,
    picture: bytes = b"",
    **changes: Any,
) -> None:
    """Write a recording with one picture and several depth images."""
    path.parent.mkdir(parents=True, exist_ok=True)
    table = r3d_metadata(colour, depths_mm[0], len(depths_mm), **changes)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata", json.dumps(table))
        archive.writestr("icon", b"")
        for k, depth in enumerate(depths_mm):
            metres = np.nan_to_num(depth / 1000.0).astype("<f4")
            archive.writestr(f"rgbd/{k}.jpg", picture or jpeg(colour.rgb))
            archive.writestr(f"rgbd/{k}.depth", packed(metres.tobytes()))
            if confidence is not None:
                archive.writestr(f"rgbd/{k}.conf", packed(confidence.tobytes()))
