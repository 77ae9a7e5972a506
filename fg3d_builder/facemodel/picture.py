"""One page that shows everything a face model holds."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from fg3d_builder.facemodel.model import PARTS, FaceModel
from fg3d_builder.geometry.camera import intrinsics_matrix, px_from_cam
from fg3d_builder.geometry.meshes import vertex_normals
from fg3d_builder.geometry.pose import rotation_from_angles
from fg3d_builder.records import Array
from fg3d_builder.rendering.rasterizer import interpolate, rasterize

_TILE = 360
_DISTANCE_MM = 1200.0
_CLAY = np.array([0.55, 0.53, 0.50])
_PART_COLOURS = np.array(
    [
        [0.35, 0.35, 0.35],
        [0.15, 0.35, 0.75],
        [0.75, 0.6, 0.1],
        [0.7, 0.12, 0.15],
        [0.15, 0.55, 0.25],
    ]
)
_COLUMNS = 6
_EXPRESSIONS = 12


def model_sheet(model: FaceModel) -> Array:
    """Draw a model: shape, albedo, regions, landmarks, contour lines, chart, components.

    Returns
    -------
    (H, W, 3) uint8
    """
    page = _Page(model)
    clay = np.tile(_CLAY, (model.vertex_count, 1))
    mean, albedo = model.mean, model.albedo_mean
    page.add("mean", page.render(mean, clay))
    page.add("mean, yaw 45", page.render(mean, clay, yaw_deg=45))
    page.add("mean, pitch 30", page.render(mean, clay, pitch_deg=30))
    page.add("albedo", page.render(mean, albedo))
    page.add("albedo, yaw -45", page.render(mean, albedo, yaw_deg=-45))
    page.add("chart", _chart(model))
    page.add("parts: " + ", ".join(PARTS[1:]), page.render(mean, _PART_COLOURS[model.parts]))
    page.add("rigid", page.render(mean, _marked(model.rigid)))
    page.add("reliable", page.render(mean, _marked(model.reliable)))
    for scheme in sorted(model.embeddings):
        page.add(scheme, page.landmarks(scheme))
    for yaw in (30.0, 75.0):
        page.add(f"contour lines, yaw {yaw:.0f}", page.lines(yaw))
    page.add("wire", page.wire())
    page.end_row()
    for i in range(min(6, len(model.id_sd))):
        alpha = np.zeros(i + 1)
        for sign in (2, -2):
            alpha[i] = sign * model.id_sd[i]
            page.add(f"identity {i + 1}, {sign:+d} sd", page.render(model.shape(alpha), clay, 25))
    page.end_row()
    for i in range(min(3, len(model.albedo_sd))):
        beta = np.zeros(i + 1)
        for sign in (2, -2):
            beta[i] = sign * model.albedo_sd[i]
            page.add(f"albedo {i + 1}, {sign:+d} sd", page.render(mean, model.albedo(beta)))
    page.end_row()
    for i in _telling_expressions(model):
        alpha = np.zeros(len(model.exp_sd))
        alpha[i] = model.exp_upper[i] if np.isfinite(model.exp_upper[i]) else 2 * model.exp_sd[i]
        name = model.exp_names[i] if model.exp_names else f"expression {i + 1}"
        page.add(name, page.render(model.shape(None, alpha), albedo, 20))
    return page.image()


class _Page:
    def __init__(self, model: FaceModel) -> None:
        self.model = model
        self.tiles: list[Array] = []
        low, high = model.mean.min(axis=0), model.mean.max(axis=0)
        self.centre = (low + high) / 2
        focal = 0.88 * _TILE * _DISTANCE_MM / float((high - low)[:2].max())
        self.camera = intrinsics_matrix(focal, focal, (_TILE - 1) / 2, (_TILE - 1) / 2)

    def posed(self, shape: Array, yaw_deg: float, pitch_deg: float = 0.0) -> Array:
        rotation = rotation_from_angles(pitch_deg, yaw_deg, 0.0)
        return np.asarray((shape - self.centre) @ rotation.T + [0.0, 0.0, _DISTANCE_MM])

    def render(
        self, shape: Array, colours: Array, yaw_deg: float = 0.0, pitch_deg: float = 0.0
    ) -> Array:
        triangles = self.model.triangles
        posed = self.posed(shape, yaw_deg, pitch_deg)
        fragments = rasterize(posed, triangles, self.camera, _TILE, _TILE)
        lamp = np.array([-0.4, -0.5, -0.77])
        light = 0.3 + 0.8 * np.clip(vertex_normals(posed, triangles) @ lamp, 0.0, None)
        linear = interpolate(fragments, triangles, colours * light[:, None])
        linear[fragments.triangle < 0] = 0.02
        return np.asarray((np.clip(linear, 0, 1) ** (1 / 2.2) * 255).astype(np.uint8))

    def landmarks(self, scheme: str) -> Array:
        model = self.model
        embedding = model.embeddings[scheme]
        points = embedding.points(model.mean, model.triangles)
        tile = self.render(model.mean, np.tile(_CLAY, (model.vertex_count, 1)))
        edge = np.isin(embedding.point_index, model.edge_points.get(scheme, np.zeros(0)))
        pixels = px_from_cam(self.posed(points, 0.0), self.camera)
        for pixel, on_edge in zip(pixels, edge, strict=True):
            _dot(tile, pixel, (255, 60, 40) if on_edge else (40, 220, 80))
        return tile

    def lines(self, yaw_deg: float) -> Array:
        model = self.model
        tile = self.render(model.mean, np.tile(_CLAY, (model.vertex_count, 1)), yaw_deg)
        pixels = px_from_cam(self.posed(model.mean, yaw_deg), self.camera)
        for line in model.contour_lines:
            _polyline(tile, pixels[line], (255, 200, 0), closed=False)
            _dot(tile, pixels[line[0]], (255, 60, 40))
        return tile

    def wire(self) -> Array:
        model = self.model
        posed = self.posed(model.mean, 0.0)
        pixels = px_from_cam(posed, self.camera)
        facing = vertex_normals(posed, model.triangles)[:, 2] < -0.05
        tile = np.full((_TILE, _TILE, 3), 235, np.uint8)
        for triangle in model.triangles[facing[model.triangles].all(axis=1)]:
            _polyline(tile, pixels[triangle], (90, 90, 90), closed=True)
        return tile

    def add(self, title: str, tile: Array) -> None:
        canvas = np.ascontiguousarray(tile)
        font = cv2.FONT_HERSHEY_SIMPLEX
        cv2.putText(canvas, title, (6, 14), font, 0.42, (128, 170, 255), 1, cv2.LINE_AA)
        self.tiles.append(canvas)

    def end_row(self) -> None:
        while len(self.tiles) % _COLUMNS:
            self.tiles.append(np.zeros((_TILE, _TILE, 3), np.uint8))

    def image(self) -> Array:
        self.end_row()
        rows = [self.tiles[i : i + _COLUMNS] for i in range(0, len(self.tiles), _COLUMNS)]
        return np.vstack([np.hstack(row) for row in rows])


def _telling_expressions(model: FaceModel) -> list[int]:
    """The expressions that move most; of a left and a right one only the left."""
    size = (model.exp_basis**2).sum(axis=(0, 1)) * model.exp_sd**2
    order = [int(i) for i in np.argsort(-size, kind="stable")]
    if model.exp_names:
        order = [i for i in order if not model.exp_names[i].endswith("Right")]
    return sorted(order[:_EXPRESSIONS])


def _marked(mask: Array) -> Array:
    return np.where(mask[:, None], [0.2, 0.5, 0.75], [0.3, 0.29, 0.28])


def _chart(model: FaceModel) -> Array:
    tile = np.zeros((_TILE, _TILE, 3), np.uint8)
    pixels = model.uv * [1.0, -1.0] + [0.0, 1.0]
    pixels = pixels * (_TILE - 1)
    colours = (np.clip(model.albedo_mean[model.triangles].mean(axis=1), 0, 1) ** (1 / 2.2)) * 255
    draw: Callable[..., object] = cv2.fillConvexPoly
    for corners, colour in zip(pixels[model.triangles], colours, strict=True):
        draw(tile, _fixed(corners), tuple(float(c) for c in colour), cv2.LINE_8, 4)
    return tile


def _fixed(pixels: Array) -> Array:
    """Pixels in the sixteenths that OpenCV's drawing calls take with ``shift=4``."""
    return np.rint(pixels * 16).astype(np.int32)


def _dot(tile: Array, pixel: Array, colour: tuple[int, int, int]) -> None:
    x, y = (int(v) for v in _fixed(pixel))
    cv2.circle(tile, (x, y), 22, colour, -1, cv2.LINE_AA, 4)


def _polyline(tile: Array, pixels: Array, colour: tuple[int, int, int], closed: bool) -> None:
    cv2.polylines(tile, [_fixed(pixels)], closed, colour, 1, cv2.LINE_AA, 4)
