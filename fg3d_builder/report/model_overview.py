"""All that a face model says of its mean, as one picture for a person to approve."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from fg3d_builder.facemodel.model import PARTS, FaceModel
from fg3d_builder.geometry.camera import intrinsics_matrix, px_from_cam
from fg3d_builder.geometry.meshes import border_edges, undirected_edges, vertex_normals
from fg3d_builder.geometry.pose import rotation_from_angles
from fg3d_builder.landmarks.edges import IBUG, IBUG_CURVES, MEDIAPIPE, MEDIAPIPE_CURVES, Curve
from fg3d_builder.records import Array
from fg3d_builder.rendering.rasterizer import interpolate, rasterize
from fg3d_builder.rendering.shading import srgb_from_linear
from fg3d_builder.report.paper import contact_sheet

_SIZE_PX = 640
_DISTANCE_MM = 3000.0
_CLAY = (205, 184, 172)
_BACKGROUND = 42
_SIDE_DEG = 55.0
_PART_COLOURS = np.array(
    [(170, 170, 170), (90, 150, 230), (235, 170, 60), (220, 80, 90), (110, 190, 110)], float
)
_YES, _NO = (110, 190, 120), (176, 166, 160)
_GREEN, _RED, _BLUE, _YELLOW = (40, 230, 60), (255, 60, 50), (70, 120, 255), (255, 220, 40)
_MARGIN_MM = 8.0


class _View(NamedTuple):
    """A camera far away from a turned head."""

    yaw_deg: float
    centre_mm: Array
    camera: Array

    def posed(self, points_mm: Array) -> Array:
        turned = (points_mm - self.centre_mm) @ rotation_from_angles(0.0, self.yaw_deg, 0.0).T
        return np.asarray(turned + np.array([0.0, 0.0, _DISTANCE_MM]))

    def pixels(self, points_mm: Array) -> Array:
        return px_from_cam(self.posed(points_mm), self.camera)

    def picture(self, vertices_mm: Array, triangles: Array, colours: Array) -> Array:
        """Shaded (H, W, 3) uint8 of a mesh with sRGB colours (n, 3) at its vertices."""
        posed = self.posed(vertices_mm)
        seen = rasterize(posed, triangles, self.camera, _SIZE_PX, _SIZE_PX)
        both = np.hstack([vertex_normals(posed, triangles), colours])
        values = interpolate(seen, triangles, both)
        toward = values[..., :3] @ np.array([-0.35, -0.35, -0.87])
        shade = 0.35 + 0.65 * np.clip(toward, 0.0, 1.0)
        out = np.clip(values[..., 3:] * shade[..., None], 0, 255).astype(np.uint8)
        out[seen.triangle < 0] = _BACKGROUND
        return np.ascontiguousarray(out)


def model_overview(model: FaceModel) -> Array:
    """Draw a model's mean with all that is known of it -> (H, W, 3) uint8.

    Mean in its colours from the front and from the side, the wire frame, the 68 points, the
    dense ones with those on feature edges in yellow, edge curves, contour lines, parts, masks,
    the surround in blue, and the chart.
    """
    front, side = _view(model, 0.0), _view(model, _SIDE_DEG)
    clay = np.tile(np.array(_CLAY, float), (model.vertex_count, 1))
    skin = srgb_from_linear(model.albedo()).astype(float)
    tiles = [
        (f"{model.vertex_count} vertices", front.picture(model.mean, model.triangles, skin)),
        ("from the side", side.picture(model.mean, model.triangles, skin)),
        ("triangles", _wired(model, front)),
        ("ibug68", _with_points(model, front, IBUG)),
        ("ibug68", _with_points(model, side, IBUG)),
        ("mediapipe478, edge points yellow", _with_points(model, front, MEDIAPIPE)),
        ("edge curves", _with_curves(model, front)),
        (f"{len(model.contour_lines)} contour lines", _with_lines(model, side)),
        (", ".join(PARTS), front.picture(model.mean, model.triangles, _PART_COLOURS[model.parts])),
        ("rigid", front.picture(model.mean, model.triangles, _mask(model.rigid))),
        ("reliable", front.picture(model.mean, model.triangles, _mask(model.reliable))),
        ("reliable", side.picture(model.mean, model.triangles, _mask(model.reliable))),
        ("with its surround", _with_surround(model, 0.0, clay)),
        ("with its surround", _with_surround(model, 90.0, clay)),
        ("chart", _chart(model, skin)),
    ]
    title = f"{model.name}   topology {model.topology_hash}"
    return contact_sheet(tiles, title=title, columns=5, height=460)


def model_strip(model: FaceModel, height: int = 300) -> Array:
    """Draw the most telling parts of `model_overview` in one row -> (H, W, 3) uint8."""
    front, side = _view(model, 0.0), _view(model, _SIDE_DEG)
    clay = np.tile(np.array(_CLAY, float), (model.vertex_count, 1))
    skin = srgb_from_linear(model.albedo()).astype(float)
    tiles = [
        (model.name, front.picture(model.mean, model.triangles, skin)),
        (f"{model.vertex_count} vertices", _wired(model, front)),
        ("ibug68", _with_points(model, front, IBUG)),
        (f"{len(model.contour_lines)} contour lines", _with_lines(model, side)),
        (", ".join(PARTS), front.picture(model.mean, model.triangles, _PART_COLOURS[model.parts])),
        ("with its surround", _with_surround(model, 60.0, clay)),
    ]
    return contact_sheet(tiles, height=height)


def _view(model: FaceModel, yaw_deg: float, whole: bool = False) -> _View:
    points = model.mean
    if whole and model.surround is not None:
        points = np.vstack([points, model.surround.mean])
    low, high = points.min(axis=0), points.max(axis=0)
    reach = float((high - low).max()) / 2 + _MARGIN_MM
    focal = 0.5 * _SIZE_PX * _DISTANCE_MM / reach
    middle = (_SIZE_PX - 1) / 2
    return _View(yaw_deg, (low + high) / 2, intrinsics_matrix(focal, focal, middle, middle))


def _clay(model: FaceModel, view: _View) -> Array:
    colours = np.tile(np.array(_CLAY, float), (model.vertex_count, 1))
    return view.picture(model.mean, model.triangles, colours)


def _mask(chosen: Array) -> Array:
    return np.where(chosen[:, None], np.array(_YES, float), np.array(_NO, float))


def _with_points(model: FaceModel, view: _View, scheme: str) -> Array:
    picture = _clay(model, view)
    embedding = model.embeddings.get(scheme)
    if embedding is None:
        return picture
    edge = np.isin(embedding.point_index, model.edge_points.get(scheme, np.zeros(0, int)))
    places = view.pixels(embedding.points(model.mean, model.triangles))
    for place, on_edge in zip(places, edge, strict=True):
        _dot(picture, place, _YELLOW if on_edge else _GREEN)
    return picture


def _with_curves(model: FaceModel, view: _View) -> Array:
    picture = _clay(model, view)
    curves: tuple[tuple[str, dict[str, Curve], tuple[int, int, int]], ...] = (
        (MEDIAPIPE, MEDIAPIPE_CURVES, _YELLOW),
        (IBUG, IBUG_CURVES, _GREEN),
    )
    for scheme, of_scheme, colour in curves:
        embedding = model.embeddings.get(scheme)
        for curve in of_scheme.values() if embedding is not None else ():
            assert embedding is not None
            if not set(curve.points) <= set(embedding.point_index.tolist()):
                continue
            known = model.embedded(scheme, curve.points)
            _polyline(
                picture,
                view.pixels(known.points(model.mean, model.triangles)),
                colour,
                curve.closed,
            )
    return picture


def _with_lines(model: FaceModel, view: _View) -> Array:
    picture = _clay(model, view)
    for line in model.contour_lines:
        places = view.pixels(model.mean[line])
        _polyline(picture, places, _BLUE, False)
        _dot(picture, places[0], _GREEN)
        _dot(picture, places[-1], _RED)
    return picture


def _wired(model: FaceModel, view: _View) -> Array:
    picture = _clay(model, view)
    facing = vertex_normals(model.mean, model.triangles)[:, 2] > 0
    edges = undirected_edges(model.triangles)
    edges = edges[facing[edges].all(axis=1)]
    places = view.pixels(model.mean)
    lines = np.round(places[edges] * 8).astype(np.int32)
    cv2.polylines(picture, list(lines), False, (96, 84, 80), 1, cv2.LINE_AA, 3)
    rim = np.round(places[border_edges(model.triangles)] * 8).astype(np.int32)
    cv2.polylines(picture, list(rim), False, _RED, 1, cv2.LINE_AA, 3)
    return picture


def _with_surround(model: FaceModel, yaw_deg: float, clay: Array) -> Array:
    view = _view(model, yaw_deg, whole=True)
    around = model.surround
    if around is None:
        return view.picture(model.mean, model.triangles, clay)
    colours = np.tile([120.0, 145.0, 205.0], (around.vertex_count, 1))
    colours += around.ear[:, None] * [60.0, -20.0, -60.0]
    return view.picture(
        np.vstack([model.mean, around.mean]),
        np.vstack([model.triangles, around.triangles + model.vertex_count]),
        np.vstack([clay, colours]),
    )


def _chart(model: FaceModel, colours: Array) -> Array:
    size = _SIZE_PX
    flat = np.column_stack([model.uv[:, 0], 1.0 - model.uv[:, 1]]) * (size - 1)
    # Seen flat by a camera at a distance of one: no perspective.
    posed = np.column_stack([flat * 2.0, np.full(len(flat), 2.0)])
    seen = rasterize(posed, model.triangles, np.eye(3), size, size, False)
    picture = interpolate(seen, model.triangles, colours).astype(np.uint8)
    picture[seen.triangle < 0] = _BACKGROUND
    picture = np.ascontiguousarray(picture)
    edges = np.round(flat[undirected_edges(model.triangles)] * 8).astype(np.int32)
    cv2.polylines(picture, list(edges), False, (96, 84, 80), 1, cv2.LINE_AA, 3)
    return picture


def _polyline(picture: Array, places: Array, colour: tuple[int, int, int], closed: bool) -> None:
    points = np.round(places * 8).astype(np.int32)
    cv2.polylines(picture, [points], closed, colour, 2, cv2.LINE_AA, 3)


def _dot(picture: Array, place: Array, colour: tuple[int, int, int]) -> None:
    centre = (round(float(place[0]) * 8), round(float(place[1]) * 8))
    cv2.circle(picture, centre, 24, colour, -1, cv2.LINE_AA, 3)
