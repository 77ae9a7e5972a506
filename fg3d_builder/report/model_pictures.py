"""Pictures of a face model: its modes, colours, chart, and the head around it."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.geometry.meshes import triangle_areas
from fg3d_builder.records import Array
from fg3d_builder.rendering.rasterizer import interpolate, rasterize
from fg3d_builder.rendering.shading import srgb_from_linear
from fg3d_builder.report.paper import INK, PAPER, contact_sheet, labelled, mixed
from fg3d_builder.report.pictures import side_picture, turned_to_camera

SHOWN_SD = 3.0
"""Standard deviations by which a mode is shown to either side of the mean."""

_YAWS_DEG = (0.0, 50.0)
_HEIGHT = 260
_FULL_MM = 8.0
_CHECKS = 32
_FINER = 4
_AWAY_MM = 100.0


def mode_sheet(model: FaceModel, kind: str, count: int = 6) -> Array:
    """Show the first modes at three standard deviations below and above the mean.

    Beside them stands how far the mode moves each vertex. A coefficient that has bounds stops
    there.

    Parameters
    ----------
    model : FaceModel
    kind : str
        ``"identity"`` or ``"expression"``.
    count : int
        Modes to show; of expressions those that move most.
    """
    basis, sd = (model.id_basis, model.id_sd) if kind == "identity" else _expressions(model)
    if not len(sd):
        return contact_sheet([("the mean", _sides(model, model.mean))], title=f"no {kind} modes")
    names = model.exp_names if kind == "expression" else ()
    motion = np.linalg.norm(basis * sd, axis=1)
    order = np.arange(len(sd)) if kind == "identity" else np.argsort(-motion.mean(axis=0))
    tiles = []
    for mode in order[:count].tolist():
        low, high = _range(model, kind, mode, float(sd[mode]))
        label = names[mode] if names else f"{kind} mode {mode + 1}"
        moved = motion[:, mode] * SHOWN_SD
        tiles += [
            (f"{label} at {low / sd[mode]:+.1f} sd", _sides(model, _at(model, basis, mode, low))),
            (f"{label} at {high / sd[mode]:+.1f} sd", _sides(model, _at(model, basis, mode, high))),
            (
                f"moved by {SHOWN_SD:g} sd: up to {moved.max():.1f} mm",
                side_picture(
                    model.mean,
                    model.triangles,
                    yaws_deg=_YAWS_DEG[:1],
                    height=_HEIGHT,
                    error_mm=moved,
                    max_mm=_FULL_MM,
                ),
            ),
        ]
    title = f"{model.name}: {len(sd)} {kind} modes"
    return contact_sheet(tiles, title=title, columns=3, height=_HEIGHT)


def albedo_sheet(model: FaceModel, count: int = 3) -> Array:
    """Show the mean albedo, and its first modes at three standard deviations to either side."""
    tiles = [("mean albedo", _coloured(model, model.albedo()))]
    for mode in range(min(count, len(model.albedo_sd))):
        for sign in (-SHOWN_SD, SHOWN_SD):
            beta = np.zeros(len(model.albedo_sd))
            beta[mode] = sign * model.albedo_sd[mode]
            tiles.append(
                (f"mode {mode + 1} at {sign:+.0f} sd", _coloured(model, model.albedo(beta)))
            )
    title = f"{model.name}: albedo, {len(model.albedo_sd)} modes"
    return contact_sheet(tiles, title=title, columns=min(len(tiles), 4), height=_HEIGHT)


def chart_sheet(model: FaceModel, size: int = 256) -> Array:
    """Show the chart: the face laid out, its triangles' share of it, and checks on the face.

    Parameters
    ----------
    model : FaceModel
    size : int
        Side of the map whose texels are counted.
    """
    uv_mm = np.column_stack([model.uv, np.zeros(model.vertex_count)])
    texels = triangle_areas(uv_mm, model.triangles) * size**2
    area = triangle_areas(model.mean, model.triangles)
    step_mm = np.sqrt(area / np.maximum(texels, 1e-9))
    coarse = np.zeros(model.vertex_count)
    np.maximum.at(coarse, model.triangles.ravel(), np.repeat(step_mm, 3))
    checks = ((model.uv * _CHECKS).astype(int).sum(axis=1) % 2)[:, None]
    tiles = [
        ("the face in its chart", _laid_out(model, 2 * _HEIGHT)),
        (
            f"mm from texel to texel, {size} x {size}, up to {coarse.max():.1f}",
            side_picture(
                model.mean,
                model.triangles,
                yaws_deg=_YAWS_DEG,
                height=2 * _HEIGHT,
                error_mm=coarse,
                max_mm=4.0,
            ),
        ),
        (
            f"{_CHECKS} x {_CHECKS} checks",
            _coloured(model, np.where(checks, 0.55, 0.12) * np.ones(3), 2 * _HEIGHT),
        ),
    ]
    return contact_sheet(tiles, title=f"{model.name}: chart", height=2 * _HEIGHT)


def surround_sheet(model: FaceModel, people: int = 3, seed: int = 0) -> Array:
    """Show the head around the face, for the mean and some random identities.

    Parameters
    ----------
    people : int
        Random identities beside the mean.
    """
    around = model.surround
    if around is None:
        return contact_sheet([("no surround", _sides(model, model.mean))], title=model.name)
    random = np.random.default_rng(seed)
    triangles = np.concatenate([model.triangles, around.triangles + model.vertex_count])
    face = np.ones(model.vertex_count)
    tiles = []
    for person in range(people + 1):
        alpha = random.standard_normal(len(model.id_sd)) * model.id_sd * (person > 0)
        both = np.concatenate([model.shape(alpha), around.shape(alpha)])
        seen = np.concatenate([face, 0.35 * np.ones(around.vertex_count)])
        picture = side_picture(
            both, triangles, yaws_deg=(0.0, 45.0, 90.0, 180.0), height=_HEIGHT, seen=seen
        )
        tiles.append((f"identity {person}" if person else "mean", picture))
    title = f"{model.name}: the head around the face (blue)"
    return contact_sheet(tiles, title=title, columns=1, height=_HEIGHT)


def _expressions(model: FaceModel) -> tuple[Array, Array]:
    return model.exp_basis, model.exp_sd


def _range(model: FaceModel, kind: str, mode: int, sd: float) -> tuple[float, float]:
    low, high = -SHOWN_SD * sd, SHOWN_SD * sd
    if kind == "expression":
        low = max(low, float(model.exp_lower[mode]))
        high = min(high, float(model.exp_upper[mode]))
    return low, high


def _at(model: FaceModel, basis: Array, mode: int, coefficient: float) -> Array:
    return np.asarray(model.mean + coefficient * basis[:, :, mode])


def _sides(model: FaceModel, shape: Array, yaws_deg: Sequence[float] = _YAWS_DEG) -> Array:
    return side_picture(shape, model.triangles, yaws_deg=yaws_deg, height=_HEIGHT)


def _coloured(model: FaceModel, albedo: Array, height: int = _HEIGHT) -> Array:
    """Front and side of the mean in flat colours (n, 3), linear RGB."""
    pictures = []
    for yaw in _YAWS_DEG:
        posed, intrinsics = turned_to_camera(model.mean, yaw, height)
        seen = rasterize(posed, model.triangles, intrinsics, height, height)
        picture = srgb_from_linear(interpolate(seen, model.triangles, albedo))
        picture[seen.triangle < 0] = PAPER
        pictures.append(labelled(np.ascontiguousarray(picture), f"yaw {yaw:g}"))
    return np.concatenate(pictures, axis=1)


def _laid_out(model: FaceModel, side: int) -> Array:
    """The chart with the mean albedo and, faintly, the triangles' edges, v upwards."""
    fine = side * _FINER
    plane = np.column_stack([model.uv[:, 0], 1.0 - model.uv[:, 1], np.full(len(model.uv), 1.0)])
    camera = np.array([[fine - 1.0, 0, 0], [0, fine - 1.0, 0], [0, 0, 1.0]])
    seen = rasterize(_AWAY_MM * plane, model.triangles, camera, fine, fine)
    picture = srgb_from_linear(interpolate(seen, model.triangles, model.albedo()))
    picture[seen.triangle < 0] = PAPER
    lines = np.array(picture)
    places = np.rint(plane[:, :2][model.triangles] * (fine - 1) * 16).astype(np.int32)
    cv2.polylines(lines, list(places), True, INK, 1, cv2.LINE_AA, 4)
    both = mixed(picture, lines, 0.25)
    return np.asarray(cv2.resize(both, (side, side), interpolation=cv2.INTER_AREA))
