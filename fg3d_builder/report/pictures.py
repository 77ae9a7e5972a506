"""Pictures of captures and registrations: images in, images out, nothing read or written.

Every picture is an RGB uint8 array. Pictures of one capture show the same `View` (a box of
the image at one magnification), so that they can be compared side by side; meshes are drawn
at the picture's resolution, not at the camera's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from fg3d_builder.geometry.camera import intrinsics_matrix, px_from_cam
from fg3d_builder.geometry.meshes import normalized, signed_areas, undirected_edges, vertex_normals
from fg3d_builder.geometry.pose import rotation_from_angles
from fg3d_builder.records import Array, Capture, Landmarks
from fg3d_builder.rendering.rasterizer import interpolate, rasterize

PICTURE_HEIGHT = 480
"""Height in pixels of the pictures of one capture, unless told otherwise."""

INK = (32, 32, 36)
PAPER = (250, 250, 250)
SKIN = (206, 196, 186)
UNSEEN = (120, 150, 200)
NO_VALUE = (128, 128, 132)
CURVE = (255, 214, 10)
TARGET = (0, 200, 255)
WIRE = (20, 20, 60)
OUTSIDE = (60, 60, 60)


@dataclass(frozen=True)
class View:
    """A box of a capture's image, magnified.

    Attributes
    ----------
    left, top : float
        Image coordinates (pixels) of the box's outer corner, which is half a pixel before the
        centre of its first pixel.
    factor : float
        Picture pixels per image pixel.
    height, width : int
        Of the picture, in pixels.
    """

    left: float
    top: float
    factor: float
    height: int
    width: int

    @property
    def view_from_px(self) -> Array:
        """(3, 3) matrix from image pixels to picture pixels (centres at integers)."""
        shift_x = -self.factor * self.left - 0.5
        shift_y = -self.factor * self.top - 0.5
        return np.array([[self.factor, 0, shift_x], [0, self.factor, shift_y], [0, 0, 1.0]])

    def points(self, points_px: Array) -> Array:
        """Map (..., 2) image pixels to picture pixels."""
        matrix = self.view_from_px
        return np.asarray(points_px @ matrix[:2, :2].T + matrix[:2, 2])

    def image(self, image: Array, smooth: bool = True) -> Array:
        """Resample an image (H, W[, 3]) into the picture."""
        if smooth:
            how = cv2.INTER_AREA if self.factor < 1 else cv2.INTER_CUBIC
        else:
            how = cv2.INTER_NEAREST
        matrix = self.view_from_px[:2]
        size = (self.width, self.height)
        if smooth and self.factor < 1:  # warpAffine does not average: shrink first
            small = cv2.resize(image, None, fx=self.factor, fy=self.factor, interpolation=how)
            shift = np.array([[1, 0, matrix[0, 2]], [0, 1, matrix[1, 2]]])
            shift[:, 2] += 0.5 * (1 - self.factor)
            return cv2.warpAffine(small, shift, size, flags=cv2.INTER_LINEAR, borderValue=OUTSIDE)
        return cv2.warpAffine(image, matrix, size, flags=how, borderValue=OUTSIDE)


def whole_view(capture: Capture, height: int = PICTURE_HEIGHT) -> View:
    """Show the whole image at a height of `height` pixels."""
    rows, columns = capture.rgb.shape[:2]
    factor = height / rows
    return View(-0.5, -0.5, factor, height, round(columns * factor))


def view_of_points(points_px: Array, margin: float = 1.5, height: int = PICTURE_HEIGHT) -> View:
    """Show the square around (k, 2) points, enlarged by `margin`; NaN points are ignored."""
    points = points_px[np.all(np.isfinite(points_px), axis=1)]
    if len(points) == 0:
        raise ValueError("view_of_points: no finite point")
    low, high = points.min(axis=0), points.max(axis=0)
    side = max(float(np.max(high - low)) * margin, 8.0)
    left, top = (low + high) / 2 - side / 2
    return View(float(left), float(top), height / side, height, height)


def image_picture(capture: Capture, view: View | None = None) -> Array:
    """Show the colour image."""
    return (view or whole_view(capture)).image(capture.rgb)


def depth_picture(
    depth_mm: Array,
    view: View | None = None,
    range_mm: tuple[float, float] | None = None,
) -> Array:
    """Show depth as colour (near is red, far is blue) with relief shading and a legend in mm.

    Parameters
    ----------
    depth_mm : (H, W) float
        NaN is drawn dark grey.
    view : View, optional
        The image at its own size when left out.
    range_mm : (near, far), optional
        Left out: the nearest percentile, and 150 mm behind it or the 98th percentile.
    """
    rows, columns = depth_mm.shape
    view = view or View(-0.5, -0.5, 1.0, rows, columns)
    known = np.isfinite(depth_mm)
    if not known.any():
        return _labelled(np.full((view.height, view.width, 3), 60, np.uint8), "no depth at all")
    near, far = range_mm or _depth_range(depth_mm[known])
    level = 1.0 - (np.nan_to_num(depth_mm, nan=far) - near) / max(far - near, 1e-6)
    colour = _turbo(0.05 + 0.9 * np.clip(level, 0, 1)).astype(np.float64)
    filled = cv2.GaussianBlur(np.nan_to_num(depth_mm, nan=far).astype(np.float32), (0, 0), 1.0)
    slope = np.clip((_slope(filled, 1, 0) + _slope(filled, 0, 1)) / 2.5, -1, 1)
    slope[np.nan_to_num(depth_mm, nan=far) >= far] = 0.0  # noise of a far wall is no relief
    colour = np.clip(colour * (0.8 - 0.35 * slope[..., None]), 0, 255).astype(np.uint8)
    colour[~known] = (60, 60, 60)
    picture = view.image(colour, smooth=False)
    return _with_legend(
        picture, f"{near:.0f}", f"{far:.0f} mm", _turbo(np.linspace(0.95, 0.05, 64))
    )


def landmark_picture(capture: Capture, landmarks: Landmarks, view: View | None = None) -> Array:
    """Show detected landmarks on the image: green is certain, red is doubtful, unused crossed."""
    view = view or whole_view(capture)
    picture = view.image(capture.rgb)
    radius = max(1.5, view.height / 240)
    for point, confidence in zip(
        view.points(landmarks.points_px), landmarks.confidence, strict=True
    ):
        if not np.all(np.isfinite(point)):
            continue
        if confidence <= 0:
            cv2.drawMarker(picture, _int(point), (150, 150, 150), cv2.MARKER_TILTED_CROSS, 5)
            continue
        share = float(np.clip(confidence, 0, 1))
        _dot(picture, point, (int(255 * (1 - share)), int(230 * share), 60), radius)
    used = int(np.sum(landmarks.confidence > 0))
    return _labelled(picture, f"{landmarks.detector}: {used} of {len(landmarks.points_px)} points")


def overlay_picture(
    capture: Capture,
    vertices_cam_mm: Array,
    triangles: Array,
    *,
    view: View | None = None,
    opacity: float = 0.6,
    seen: Array | None = None,
    wire: bool = False,
    curves_cam_mm: Sequence[Array] = (),
    points_px: Array | None = None,
    targets_px: Array | None = None,
) -> Array:
    """Blend the shaded mesh over the image.

    Parameters
    ----------
    capture : Capture
    vertices_cam_mm : (n, 3) float
        Camera frame.
    triangles : (m, 3) int
    view : View, optional
    opacity : float
        Of the mesh over the image.
    seen : (n,) bool or float in [0, 1], optional
        Confidence; the less, the bluer the mesh is drawn.
    wire : bool
        Draw the mesh's edges as well.
    curves_cam_mm : sequence of (k, 3) float
        Polylines on the mesh (feature curves), yellow.
    points_px, targets_px : (k, 2) float, optional
        Points of the mesh (yellow) and where they should lie (cyan), joined by a line.
    """
    view = view or whole_view(capture)
    picture = view.image(capture.rgb)
    intrinsics = view.view_from_px @ capture.intrinsics
    colours = np.tile(np.array(SKIN, float), (len(vertices_cam_mm), 1))
    if seen is not None:
        share = np.clip(np.asarray(seen, dtype=float), 0, 1)[:, None]
        colours = share * colours + (1 - share) * np.array(UNSEEN, float)
    mesh, covered = _shaded(vertices_cam_mm, triangles, intrinsics, view, colours)
    picture[covered] = _mix(picture[covered], mesh[covered], opacity)
    if wire:
        _draw_wire(picture, vertices_cam_mm, triangles, intrinsics)
    for curve in curves_cam_mm:
        line = np.rint(8 * px_from_cam(curve, intrinsics)).astype(np.int32)
        cv2.polylines(picture, [line], False, CURVE, 1, cv2.LINE_AA, 3)
    if points_px is not None and targets_px is not None:
        for point, target in zip(view.points(points_px), view.points(targets_px), strict=True):
            if np.all(np.isfinite(point)) and np.all(np.isfinite(target)):
                cv2.line(picture, _int(point), _int(target), (255, 60, 60), 1, cv2.LINE_AA)
    for points, colour in ((targets_px, TARGET), (points_px, CURVE)):
        for point in view.points(points) if points is not None else ():
            if np.all(np.isfinite(point)):
                _dot(picture, point, colour, max(1.2, view.height / 320))
    return picture


def error_picture(
    capture: Capture,
    vertices_cam_mm: Array,
    triangles: Array,
    surface_error_mm: Array,
    *,
    view: View | None = None,
    max_mm: float = 3.0,
) -> Array:
    """Show a per-vertex error as colour on the mesh, over the dimmed image, with its legend.

    Parameters
    ----------
    surface_error_mm : (n,) float
        Unsigned, mm; NaN (nothing to compare with) is drawn grey.
    max_mm : float
        Upper end of the colour scale; larger errors take its colour.
    """
    view = view or whole_view(capture)
    picture = (0.35 * view.image(capture.rgb)).astype(np.uint8)
    intrinsics = view.view_from_px @ capture.intrinsics
    colours = _error_colours(surface_error_mm, max_mm)
    mesh, covered = _shaded(vertices_cam_mm, triangles, intrinsics, view, colours)
    picture[covered] = mesh[covered]
    known = surface_error_mm[np.isfinite(surface_error_mm)]
    if len(known):
        text = f"mean {known.mean():.2f}  median {np.median(known):.2f}  "
        picture = _labelled(picture, text + f"95% {np.percentile(known, 95):.2f} mm")
    return _with_legend(picture, "0", f"{max_mm:g} mm", _turbo(np.linspace(0.05, 0.95, 64)))


def side_picture(
    vertices_obj_mm: Array,
    triangles: Array,
    *,
    yaws_deg: Sequence[float] = (0.0, 45.0, 90.0),
    height: int = PICTURE_HEIGHT,
    seen: Array | None = None,
    error_mm: Array | None = None,
    max_mm: float = 3.0,
) -> Array:
    """Show a mesh from several sides, shaded, all at one scale.

    Parameters
    ----------
    vertices_obj_mm : (n, 3) float
        Object frame.
    yaws_deg : sequence of float
        One picture each, left to right; 90 shows the profile.
    seen : (n,) bool or float, optional
        As in `overlay_picture`.
    error_mm : (n,) float, optional
        Colours the mesh as in `error_picture` instead.
    """
    centre = (vertices_obj_mm.min(axis=0) + vertices_obj_mm.max(axis=0)) / 2
    extent = float(np.max(np.ptp(vertices_obj_mm, axis=0)))
    distance = 10 * extent
    focal = 0.92 * height * (distance - extent / 2) / extent
    intrinsics = intrinsics_matrix(focal, focal, (height - 1) / 2, (height - 1) / 2)
    view = View(-0.5, -0.5, 1.0, height, height)
    colours = np.tile(np.array(SKIN, float), (len(vertices_obj_mm), 1))
    if error_mm is not None:
        colours = _error_colours(error_mm, max_mm)
    elif seen is not None:
        share = np.clip(np.asarray(seen, dtype=float), 0, 1)[:, None]
        colours = share * colours + (1 - share) * np.array(UNSEEN, float)
    pictures = []
    for yaw in yaws_deg:
        rotation = rotation_from_angles(0.0, yaw, 0.0)
        vertices_cam = (vertices_obj_mm - centre) @ rotation.T + [0, 0, distance]
        mesh, covered = _shaded(vertices_cam, triangles, intrinsics, view, colours)
        picture = np.full((height, height, 3), PAPER, np.uint8)
        picture[covered] = mesh[covered]
        pictures.append(_labelled(picture, f"yaw {yaw:g}"))
    return np.concatenate(pictures, axis=1)


def contact_sheet(
    images: Sequence[tuple[str, Array]],
    *,
    title: str = "",
    columns: int | None = None,
    height: int = 360,
) -> Array:
    """Put labelled pictures side by side on white paper.

    Parameters
    ----------
    images : sequence of (label, (H, W, 3) uint8)
        Each is resized to `height`, keeping its proportions.
    columns : int, optional
        Pictures per row; all in one row when left out.
    """
    if not images:
        raise ValueError("contact_sheet: no images")
    tiles = [_tile(label, image, height) for label, image in images]
    columns = columns or len(tiles)
    rows = [_joined(tiles[i : i + columns], axis=1) for i in range(0, len(tiles), columns)]
    sheet = _joined(rows, axis=0)
    if title:
        header = np.full((34, sheet.shape[1], 3), PAPER, np.uint8)
        _text(header, title, (8, 24), 0.7, INK)
        sheet = np.concatenate([header, sheet])
    return sheet


def on_paper(sheet: Array, width: int) -> Array:
    """Widen a sheet with paper on its right."""
    missing = width - sheet.shape[1]
    return _padded(sheet, [(0, 0), (0, missing), (0, 0)])


def message_card(lines: Sequence[str], height: int = 360, width: int = 480) -> Array:
    """Show text where there is no image to show; long lines are wrapped."""
    card = np.full((height, width, 3), (244, 236, 232), np.uint8)
    y = 34
    for line in lines:
        for piece in _wrapped(line, 0.5, width - 32):
            _text(card, piece, (16, y), 0.5, INK)
            y += 22
        y += 8
    return card


def _shaded(
    vertices_cam_mm: Array, triangles: Array, intrinsics: Array, view: View, colours: Array
) -> tuple[Array, Array]:
    """Render with a lamp above the camera's left shoulder -> (uint8 image, covered mask)."""
    fragments = rasterize(vertices_cam_mm, triangles, intrinsics, view.height, view.width)
    normals = vertex_normals(vertices_cam_mm, triangles)
    attributes = np.concatenate([normals, colours], axis=1)
    pixels = interpolate(fragments, triangles, attributes)
    normal = normalized(pixels[..., :3])
    lamp = np.array([-0.45, -0.5, -0.74])
    light = 0.30 + 0.75 * np.clip(normal @ (lamp / np.linalg.norm(lamp)), 0, 1)
    image = np.clip(pixels[..., 3:] * light[..., None], 0, 255).astype(np.uint8)
    return image, fragments.triangle >= 0


def _draw_wire(picture: Array, vertices_cam_mm: Array, triangles: Array, intrinsics: Array) -> None:
    """Draw the edges of triangles that face the camera, at half opacity."""
    points = px_from_cam(vertices_cam_mm, intrinsics)
    edges = undirected_edges(triangles[signed_areas(points[triangles]) < 0])
    lines = np.rint(8 * points[edges]).astype(np.int32)
    drawn = picture.copy()
    cv2.polylines(drawn, list(lines), False, WIRE, 1, cv2.LINE_AA, 3)
    picture[:] = _mix(picture, drawn, 0.5)


def _error_colours(error_mm: Array, max_mm: float) -> Array:
    known = np.isfinite(error_mm)
    level = np.clip(np.nan_to_num(error_mm) / max_mm, 0, 1)
    colours = _turbo(0.05 + 0.9 * level).astype(float)
    colours[~known] = NO_VALUE
    return colours


def _slope(image: Array, x: int, y: int) -> Array:
    """First derivative along x or y, per pixel."""
    return cv2.Sobel(image, cv2.CV_32F, x, y, ksize=3) / 8.0


def _turbo(level: Array) -> Array:
    """Colour map, 0 (blue) to 1 (red) -> (..., 3) RGB uint8."""
    grey = np.rint(255 * np.asarray(level)).astype(np.uint8)
    bgr = cv2.applyColorMap(grey.reshape(-1, 1), cv2.COLORMAP_TURBO)
    return np.ascontiguousarray(bgr[:, 0, ::-1]).reshape(*grey.shape, 3)


def _depth_range(known_mm: Array) -> tuple[float, float]:
    near, far = np.percentile(known_mm, [1, 98])
    return float(near), float(max(min(far, near + 150.0), near + 1.0))


def _mix(below: Array, above: Array, opacity: float) -> Array:
    return np.rint((1 - opacity) * below + opacity * above).astype(np.uint8)


def _int(point: Array) -> tuple[int, int]:
    return round(float(point[0])), round(float(point[1]))


def _dot(picture: Array, point: Array, colour: tuple[int, int, int], radius: float) -> None:
    centre = (round(float(point[0]) * 8), round(float(point[1]) * 8))
    cv2.circle(picture, centre, round(radius * 8) + 6, INK, -1, cv2.LINE_AA, 3)
    cv2.circle(picture, centre, round(radius * 8), colour, -1, cv2.LINE_AA, 3)


def _with_legend(picture: Array, low: str, high: str, colours: Array) -> Array:
    """Draw a colour bar with its two ends named along the picture's lower border."""
    height, width = picture.shape[:2]
    bar_width = min(160, width // 3)
    x0, y0 = 10, height - 24
    bar = cv2.resize(colours[None], (bar_width, 12), interpolation=cv2.INTER_LINEAR)
    _plate(picture, x0 - 6, y0 - 6, bar_width + _width(low) + _width(high) + 28, 26)
    _text(picture, low, (x0, y0 + 11), 0.45, PAPER)
    x1 = x0 + _width(low) + 6
    picture[y0 : y0 + 12, x1 : x1 + bar_width] = bar[:, : max(0, width - x1)]
    _text(picture, high, (x1 + bar_width + 6, y0 + 11), 0.45, PAPER)
    return picture


def _labelled(picture: Array, text: str) -> Array:
    """Write one line on a dark plate into the picture's upper left corner."""
    _plate(picture, 4, 4, _width(text) + 14, 22)
    _text(picture, text, (10, 19), 0.45, PAPER)
    return picture


def _plate(picture: Array, x: int, y: int, width: int, height: int) -> None:
    region = picture[max(y, 0) : y + height, max(x, 0) : x + width]
    region[:] = _mix(region, np.full_like(region, INK), 0.7)


def _text(
    picture: Array, text: str, origin: tuple[int, int], size: float, colour: tuple[int, int, int]
) -> None:
    cv2.putText(picture, text, origin, cv2.FONT_HERSHEY_SIMPLEX, size, colour, 1, cv2.LINE_AA)


def _width(text: str, size: float = 0.45) -> int:
    return int(cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, 1)[0][0])


def _wrapped(line: str, size: float, width: int) -> list[str]:
    pieces, current = [], ""
    for word in line.split():
        while _width(word, size) > width:  # a path or an identifier without spaces
            cut = max(1, int(len(word) * width / _width(word, size)) - 1)
            pieces += [current] if current else []
            pieces.append(word[:cut])
            current, word = "", word[cut:]
        joined = f"{current} {word}".strip()
        if current and _width(joined, size) > width:
            pieces.append(current)
            joined = word
        current = joined
    return [*pieces, current] if current else pieces


def _tile(label: str, image: Array, height: int) -> Array:
    width = max(1, round(image.shape[1] * height / image.shape[0]))
    how = cv2.INTER_AREA if height < image.shape[0] else cv2.INTER_LINEAR
    resized = cv2.resize(np.ascontiguousarray(image), (width, height), interpolation=how)
    strip = np.full((26, width, 3), PAPER, np.uint8)
    _text(strip, label, (4, 18), 0.5, INK)
    return np.concatenate([strip, resized])


def _joined(tiles: Sequence[Array], axis: int, gap: int = 6) -> Array:
    """Concatenate with gaps, padding the other axis with paper."""
    other = 1 - axis
    size = max(tile.shape[other] for tile in tiles)
    pieces: list[Array] = []
    for tile in tiles:
        pad = [(0, 0), (0, 0), (0, 0)]
        pad[other] = (0, size - tile.shape[other])
        pieces.append(_padded(tile, pad))
        space = list(pieces[-1].shape)
        space[axis] = gap
        pieces.append(np.full(space, PAPER, np.uint8))
    return np.concatenate(pieces[:-1], axis=axis)


def _padded(tile: Array, pad: list[tuple[int, int]]) -> Array:
    return np.stack(
        [np.pad(tile[..., c], pad[:2], constant_values=PAPER[c]) for c in range(3)], axis=-1
    )
