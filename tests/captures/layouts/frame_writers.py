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

NOMINAL_SCALE = 1.0
ORIENTATIONS = {
    0: (1, 0, 0, 0, -1, 0, 0, 0, -1, 0, 0, 0),
    1: (0, 1, 0, 1, 0, 0, 0, 0, -1, 0, 0, 0),
}
"""Column by column: the app's for iPads held lying and for phones held upright."""


def camera_table(intrinsics: Array, size: tuple[int, int], turns: int) -> dict[str, Any]:
    return {
        "extrinsicMatrix": [1, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0],
        "intrinsicMatrix": [*intrinsics.T.ravel()],
        "nominalIntrinsicMatrix": [*intrinsics.T.ravel()],
        "orientationMatrix": list(ORIENTATIONS[turns]),
        "focalLengthScaleFactor": NOMINAL_SCALE,
        "intrinsicMatrixReferenceSize": [size[1], size[0]],
    }


def write_frame(
    path: Path, small: Shot, large: Shot | None = None, turns: int = 1, **changes: Any
) -> None:
    """Write an upright shot as the sensor has it: turned clockwise by `turns` quarter turns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    reference = large or small
    back = (4 - turns) % 4
    camera, size = turned_camera(reference.intrinsics, reference.rgb.shape[:2], back)
    rgb, depth = (turned_image(image, back) for image in (small.rgb, small.depth_mm / 1000.0))
    about = {
        "color_space": "sRGB",
        "absolute_timestamp": 5e8,
        "timestamp": 1000.5,
        "camera_intrinsics": camera_table(camera, size, turns) | changes.pop("camera", {}),
        "width": depth.shape[1],
        "height": depth.shape[0],
    } | changes
    path.write_bytes(bply_bytes(json.dumps(about).encode(), rgb, depth))
    if large is not None:
        picture = jpeg(turned_image(large.rgb, back), 98)
        path.with_suffix(".jpeg").write_bytes(picture)
