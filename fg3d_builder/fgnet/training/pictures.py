"""Pictures for a person: what the network was given, what it answered, and how far it is off."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.fgnet.data.kept_inputs import Fed
from fg3d_builder.fgnet.view_geometry import vertex_normals_batch
from fg3d_builder.files.atomic import write_bytes
from fg3d_builder.files.encoding import encode_png
from fg3d_builder.geometry.pose import rotation_from_angles
from fg3d_builder.records import Array
from fg3d_builder.rendering.rasterizer_torch import interpolate_batch, rasterize_batch

CELL = 192
DISTANCE_MM = 1200.0
ERROR_LIMIT_MM = 5.0
PORTRAIT_DEG = (0.0, 30.0)
_NO_VALUE = 150


def save_grid(path: Path, model: FaceModel, photos: Tensor, fed: Fed, predicted_mm: Tensor) -> None:
    """Draw a batch: photo, views, fit, prediction, truth, and errors of fit and prediction.

    Parameters
    ----------
    path : Path
        PNG to write.
    model : FaceModel
    photos : (B, 3, H, W) uint8
    fed : Fed
        Its views are drawn where the network takes any.
    predicted_mm : (B, n, 3) float
    """
    shapes = [fed.shape_mm, predicted_mm, fed.target_mm]
    plasters = [plaster_pictures(model, s.detach().float().cpu()) for s in shapes]
    target = fed.target_mm.cpu()
    errors = [(s.detach().float().cpu() - target).norm(dim=-1) for s in shapes[:2]]
    maps = [error_pictures(model, target, e, ERROR_LIMIT_MM) for e in errors]
    names = ["photo"]
    rows = []
    for i in range(len(photos)):
        cells = [photos[i].permute(1, 2, 0).numpy()]
        if fed.given.views is not None:
            views = fed.given.views[i].float().cpu()
            cells += [_uint8(0.5 * (v.permute(1, 2, 0).numpy() + 1.0)) for v in views]
            names = ["photo", *(f"view {v + 1}" for v in range(len(views)))]
        cells += [p[i] for p in plasters] + [m[i] for m in maps]
        rows.append(np.concatenate([_cell(c) for c in cells], axis=1))
    names += ["3DMM fit", "network", "truth"]
    names += [f"{n}, 0-{ERROR_LIMIT_MM:g} mm" for n in ("fit's error", "network's error")]
    sheet = np.concatenate([_heads(names), *rows])
    write_bytes(path, encode_png(sheet))


def plaster_pictures(model: FaceModel, shapes_mm: Tensor) -> list[Array]:
    """Draw shapes (B, n, 3) white, lit from the camera; (CELL, CELL, 3) uint8 each."""
    seen = _Portraits(model, shapes_mm)
    shade = interpolate_batch(seen.triangle, seen.barycentric, seen.triangles, seen.shade)
    pictures = (0.12 + 0.88 * shade.clamp(0, 1)) * 255.0
    pictures = pictures.where((seen.triangle >= 0)[..., None], 255.0)
    return [_halved(p.expand(-1, -1, 3).numpy()) for p in pictures]


def error_pictures(
    model: FaceModel, shapes_mm: Tensor, values: Tensor, limit: float
) -> list[Array]:
    """Draw values (B, n) on shapes (B, n, 3), blue for 0 to red for `limit`, NaN grey."""
    seen = _Portraits(model, shapes_mm)
    known = torch.isfinite(values)
    both = torch.stack([values.where(known, 0.0), known.to(values.dtype)], dim=-1)
    drawn = interpolate_batch(seen.triangle, seen.barycentric, seen.triangles, both)
    pictures = []
    for picture, triangle in zip(drawn.numpy(), seen.triangle.numpy(), strict=True):
        level = np.rint(255 * np.clip(picture[..., 0] / limit, 0, 1)).astype(np.uint8)
        colour = cv2.applyColorMap(level, cv2.COLORMAP_TURBO)[..., ::-1].astype(np.float64)
        colour[picture[..., 1] < 1.0 - 1e-5] = _NO_VALUE
        colour[triangle < 0] = 255
        pictures.append(_halved(colour))
    return pictures


def save_error_maps(path: Path, model: FaceModel, maps_mm: dict[str, Array]) -> None:
    """Draw maps (n,) of mean errors, mm, beside each other on the mean face (Fig. 11).

    All have one scale, see `scale_end_mm`.
    """
    limit = scale_end_mm(maps_mm.values())
    mean = torch.from_numpy(model.mean).float().expand(len(maps_mm), -1, -1)
    values = torch.from_numpy(np.stack(list(maps_mm.values()))).float()
    cells = [_cell(p) for p in error_pictures(model, mean, values, limit)]
    names = [f"{n}: mean {np.nanmean(v):.2f} mm" for n, v in maps_mm.items()]
    faces = np.concatenate(cells, axis=1)
    sheet = np.concatenate([_heads(names), faces, _scale(faces.shape[1], limit)])
    write_bytes(path, encode_png(sheet))


def scale_end_mm(maps_mm: Iterable[Array]) -> float:
    """Return where a scale of maps ends: a half of a millimetre, or several, above most of them."""
    values = np.concatenate(list(maps_mm))
    known = values[np.isfinite(values)]
    return 0.5 * max(1, math.ceil(np.percentile(known, 98) / 0.5)) if len(known) else 0.5


class _Portraits:
    """Fragments of shapes seen from the front and a side, at twice the size of a cell."""

    def __init__(self, model: FaceModel, shapes_mm: Tensor) -> None:
        pitch, yaw = PORTRAIT_DEG
        rotation = torch.from_numpy(rotation_from_angles(pitch, yaw, 0.0)).float()
        low, high = model.mean.min(axis=0), model.mean.max(axis=0)
        middle = torch.from_numpy((low + high) / 2).float()
        points = (shapes_mm - middle) @ rotation.T
        points[..., 2] += DISTANCE_MM
        self.triangles = torch.from_numpy(np.asarray(model.triangles)).long()
        size = 2 * CELL
        focal = 0.95 * size * DISTANCE_MM / float(np.max((high - low)[:2]))
        centre = (size - 1) / 2
        camera = torch.tensor([[focal, 0, centre], [0, focal, centre], [0, 0, 1.0]])
        seen = rasterize_batch(points, self.triangles, camera, size, size)
        self.triangle, self.barycentric = seen.triangle, seen.barycentric
        self.shade = -vertex_normals_batch(points, self.triangles)[..., 2:]


def _heads(names: list[str]) -> Array:
    strip = np.full((22, CELL * len(names), 3), 255, dtype=np.uint8)
    for i, name in enumerate(names):
        at = (CELL * i + 4, 15)
        cv2.putText(strip, name, at, cv2.FONT_HERSHEY_SIMPLEX, 0.42, (30, 30, 30), 1, cv2.LINE_AA)
    return strip


def _scale(width: int, limit_mm: float) -> Array:
    """Draw a bar of the colours of `error_pictures` with its numbers, in mm."""
    strip = np.full((44, width, 3), 255, dtype=np.uint8)
    left, right = 20, width - 50
    level = np.rint(np.linspace(0, 255, right - left)).astype(np.uint8)[None]
    strip[6:18, left:right] = cv2.applyColorMap(level, cv2.COLORMAP_TURBO)[..., ::-1]
    steps = 5
    for i in range(steps + 1):
        x = left + round(i * (right - left - 1) / steps)
        strip[18:23, x] = 60
        text = f"{limit_mm * i / steps:.2g}" + (" mm +" if i == steps else "")
        at = (x - (4 if i == steps else 8), 36)
        cv2.putText(strip, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.38, (30, 30, 30), 1, cv2.LINE_AA)
    return strip


def _cell(picture: Array) -> Array:
    return np.asarray(cv2.resize(picture, (CELL, CELL), interpolation=cv2.INTER_AREA))


def _halved(picture: Array) -> Array:
    return _uint8(cv2.resize(picture / 255.0, (CELL, CELL), interpolation=cv2.INTER_AREA))


def _uint8(picture: Array) -> Array:
    return np.rint(255 * np.clip(picture, 0, 1)).astype(np.uint8)
