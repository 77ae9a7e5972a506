"""A head before a wall, as cameras with any lens see it: exact depth and smooth colours."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import open3d

from fg3d_builder.captures.lens import Lens
from fg3d_builder.geometry.camera import intrinsics_matrix
from fg3d_builder.records import Array
from tests.captures.test_scan import bumpy_head

WALL_MM = 1200.0
HEAD_MM = 600.0


@dataclass(frozen=True)
class View:
    """What a camera sees.

    Attributes
    ----------
    depth_mm : (H, W) float64
        Along its z axis.
    rgb : (H, W, 3) uint8
    head : (H, W) bool
        Pixels of the head.
    """

    depth_mm: Array
    rgb: Array
    head: Array


def straight_lens(height: int, width: int, focal: float) -> Lens:
    middle = (width - 1) / 2 + 1.5, (height - 1) / 2 - 2.5
    return Lens(intrinsics_matrix(focal, 1.01 * focal, *middle), (height, width))


def seen_by(lens: Lens, rotation: Array | None = None, translation_mm: Array | None = None) -> View:
    """See the scene through a lens, from the scene's origin or another place.

    Parameters
    ----------
    lens : Lens
    rotation, translation_mm : (3, 3) and (3,) float, optional
        ``origin_from_camera``.
    """
    height, width = lens.size
    px = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1).astype(float)
    focal, middle = np.diag(lens.intrinsics)[:2], lens.intrinsics[:2, 2]
    slopes = lens.undistorted((px - middle) / focal)
    rays = np.concatenate([slopes, np.ones((height, width, 1))], axis=-1)
    turn = np.eye(3) if rotation is None else np.asarray(rotation)
    place = np.zeros(3) if translation_mm is None else np.asarray(translation_mm)
    turned = np.nan_to_num(rays) @ turn.T
    packed = np.concatenate([np.broadcast_to(place, turned.shape), turned], axis=-1)
    hits = _scene().cast_rays(open3d.core.Tensor(packed.astype(np.float32)))
    depth = hits["t_hit"].numpy().astype(np.float64)  # rays have z = 1 in the camera
    head = np.isfinite(depth)
    with np.errstate(divide="ignore"):
        wall = (WALL_MM - place[2]) / turned[..., 2]
    depth = np.where(head, depth, wall)
    depth[~np.isfinite(slopes).all(axis=-1)] = np.nan
    return View(depth, colours(place + turned * depth[..., None]), head)


def colours(points: Array) -> Array:
    """Smooth colours (..., 3) uint8 of places in the scene."""
    x, y, z = np.moveaxis(points, -1, 0)
    waves = [np.sin(x / 23.0) + np.cos(y / 31.0), np.cos(x / 29.0 + z / 90.0), np.sin(y / 19.0)]
    shades = np.stack([128 + 45 * w for w in waves], axis=-1)
    return np.rint(np.nan_to_num(shades)).clip(0, 255).astype(np.uint8)


def _scene() -> open3d.t.geometry.RaycastingScene:
    mesh = bumpy_head()
    vertices = mesh.vertices * [1.0, -1.0, -1.0] + [0.0, 0.0, HEAD_MM]
    scene = open3d.t.geometry.RaycastingScene()
    scene.add_triangles(vertices.astype(np.float32), mesh.triangles.astype(np.uint32))
    return scene
