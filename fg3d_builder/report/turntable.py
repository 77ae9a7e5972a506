"""A textured face from all sides it has, on one sheet."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from fg3d_builder.records import Array
from fg3d_builder.rendering.rasterizer import interpolate, rasterize
from fg3d_builder.report.paper import PAPER
from fg3d_builder.report.pictures import side_picture, turned_to_camera

YAWS_DEG = (-75.0, -50.0, -25.0, 0.0, 25.0, 50.0, 75.0)
_OVERSAMPLED = 2


def turntable_sheet(
    vertices_obj_mm: Array,
    triangles: Array,
    uv: Array,
    texture: Array,
    *,
    yaws_deg: Sequence[float] = YAWS_DEG,
    height: int = 240,
) -> Array:
    """Show a face turned step by step, as its texture and as plaster below.

    Parameters
    ----------
    vertices_obj_mm : (n, 3) float
        Object frame.
    triangles : (m, 3) int
    uv : (n, 2) float
        Texture coordinates of the vertices, v up.
    texture : (H, W, 3) uint8
    yaws_deg : sequence of float
        One column each.
    height : int
        Height of a row in pixels.
    """
    painted = [
        textured_picture(vertices_obj_mm, triangles, uv, texture, yaw, height) for yaw in yaws_deg
    ]
    plaster = side_picture(vertices_obj_mm, triangles, yaws_deg=yaws_deg, height=height)
    return np.concatenate([np.concatenate(painted, axis=1), plaster])


def textured_picture(
    vertices_obj_mm: Array, triangles: Array, uv: Array, texture: Array, yaw_deg: float, height: int
) -> Array:
    """Show a textured mesh, unlit: the light is in the texture already.

    Turned by `yaw_deg`, positive to the subject's left; `texture` is (H, W, 3) uint8. The picture
    (height, height, 3) uint8 is a square.
    """
    side = height * _OVERSAMPLED
    vertices_cam, intrinsics = turned_to_camera(vertices_obj_mm, yaw_deg, side)
    seen = rasterize(vertices_cam, triangles, intrinsics, side, side)
    place = interpolate(seen, triangles, uv).astype(np.float32)
    rows, columns = texture.shape[:2]
    x, y = place[..., 0] * columns - 0.5, (1 - place[..., 1]) * rows - 0.5
    picture = cv2.remap(texture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    picture[seen.triangle < 0] = PAPER
    return np.asarray(cv2.resize(picture, (height, height), interpolation=cv2.INTER_AREA))
