"""StandardCyborg's raw frames, as the app writes them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.drill.layout_readers_b import bply_bytes
from benchmarks.drill.portrait_files import jpeg
from fg3d_builder.captures.layouts.turned_pixels import turned_camera, turned_image
from fg3d_builder.records import Array
from tests.captures.layouts.phone_writers import Shot

PHONE = (0, 1, 0, 1, 0, 0, 0, 0, -1, 0, 0, 0)
TABLET = (1, 0, 0, 0, -1, 0, 0, 0, -1, 0, 0, 0)
"""Orientation matrices of the app, column by column."""


def camera_table(intrinsics: Array, size: tuple[int, int]) -> dict[str, Any]:
    return {
        "extrinsicMatrix": [1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0],
        "intrinsicMatrix": [*intrinsics.T.ravel()],
        "nominalIntrinsicMatrix": [*intrinsics.T.ravel()],
        "orientationMatrix": list(PHONE),
        "focalLengthScaleFactor": 1.0,
        "intrinsicMatrixReferenceSize": [size[1], size[0]],
    }


def write_frame(path: Path, small: Shot, large: Shot | None = None, **changes: Any) -> None:
    """Write an upright shot as a phone's sensor has it: turned anticlockwise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    reference = large or small
    camera, size = turned_camera(reference.intrinsics, reference.rgb.shape[:2], 1)
    rgb, depth = (turned_image(image, 1) for image in (small.rgb, small.depth_mm / 1000.0))
    about = {
        "color_space": "sRGB",
        "absolute_timestamp": 5e8,
        "timestamp": 1000.5,
        "camera_intrinsics": camera_table(camera, size) | changes.pop("camera", {}),
        "width": depth.shape[1],
        "height": depth.shape[0],
    } | changes
    path.write_bytes(bply_bytes(json.dumps(about).encode(), rgb, depth))
    if large is not None:
        path.with_suffix(".jpeg").write_bytes(jpeg(turned_image(large.rgb, 1), 98))
