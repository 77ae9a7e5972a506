"""Pictures of captures and registrations: images in, images out, nothing read or written.

Every picture is an RGB uint8 array. Pictures of one capture show the same `Window` (a box of
the image at one magnification), so that they can be compared side by side; meshes are drawn
at the picture's resolution, not at the camera's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from fg3d_builder.geometry.camera import intrinsics_matrix
from fg3d_builder.geometry.meshes import normalized, vertex_normals
from fg3d_builder.geometry.pose import rotation_from_angles
from fg3d_builder.records import Array, Capture, Landmarks
from fg3d_builder.rendering.rasterizer import interpolate, rasterize
from fg3d_builder.report.paper import INK, PAPER, Colour, labelled, mixed, with_legend

PICTURE_HEIGHT = 480
"""Height in pixels of the pictures of one capture where a caller asks for no other."""

SKIN = (206, 196, 186)
UNSEEN = (120, 150, 200)
NO_VALUE = (128, 128, 132)
POINT = (255, 214, 10)
TARGET = (0, 200, 255)
OUTSIDE = (60, 60, 60)
MESH_OPACITY = 0.6
MAX_ERROR_MM = 3.0
"""End of the colour scale of distances to the depth."""

WIDEST = 4.0
"""Larger side of the picture of a whole image over the smaller one, whatever strip it is."""

DISTANCE = 10.0
"""Distance of the camera in sizes of the mesh, where a mesh is shown from its sides."""


@dataclass(frozen=True)
class Window:
    """A box of a capture's image, magnified.

    Attributes
    ----------
    left, top : float
        Image coordinates (pixels) of the box's outer corner, which is half a pixel before the
        centre of its first pixel.
    factor : float
        Picture pixels per image pixel.
    height, width : int
        Size of the picture in pixels.
    """

    left: float
    top: float
    factor: float
    height: int
    width: int

    @property
    def step(self) -> int:
        """Only every so many rows and columns of the image have room in the picture."""
        return max(1, int(1 / self.factor))

    def of_every(self, step: int) -> Window:
        """Return the window of the image of which every so many rows and columns are left."""
        if step == 1:
            return self
        left, top = self.left / step, self.top / step
        return Window(left, top, self.factor * step, self.height, self.width)

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


def whole_view(capture: Capture, height: int = PICTURE_HEIGHT) -> Window:
    """Show the whole image at a height of `height` pixels, or the middle of a long strip."""
    rows, columns = capture.rgb.shape[:2]
    if max(rows / columns, columns / rows) <= WIDEST:
        factor = height / rows
        return Window(-0.5, -0.5, factor, height, round(columns * factor))
    # A picture's pixel for a row and a column at least, and room for the whole where that allows.
    factor = max(height / max(rows, columns / WIDEST), 1.0 / min(rows, columns))
    width = round(height * (WIDEST if columns > rows else 1.0 / WIDEST))
    left, top = (columns - width / factor) / 2, (rows - height / factor) / 2
    return Window(left - 0.5, top - 0.5, factor, height, width)


def view_of_points(points_px: Array, margin: float = 1.5, height: int = PICTURE_HEIGHT) -> Window:
    """Show the square around (k, 2) points, enlarged by `margin`; NaN points are ignored."""
    points = points_px[np.all(np.isfinite(points_px), axis=1)]
    if len(points) == 0:
        raise ValueError("view_of_points: no finite point")
    low, high = points.min(axis=0), points.max(axis=0)
    side = max(float(np.max(high - low)) * margin, 8.0)
    left, top = (low + high) / 2 - side / 2
    return Window(float(left), float(top), height / side, height, height)


def image_picture(capture: Capture, view: Window | None = None) -> Array:
    """Show the colour image."""
    return (view or whole_view(capture)).image(capture.rgb)


def depth_picture(
    depth_mm: Array,
    view: Window | None = None,
    range_mm: tuple[float, float] | None = None,
) -> Array:
    """Show depth as colour (near is red, far is blue) with relief shading and a legend in mm.

    Parameters
    ----------
    depth_mm : (H, W) float
        NaN is drawn dark grey.
    view : Window, optional
        The image at its own size when left out.
    range_mm : (near, far), optional
        Left out: the nearest percentile, and 150 mm behind it or the 98th percentile.
    """
    rows, columns = depth_mm.shape
    view = view or Window(-0.5, -0.5, 1.0, rows, columns)
    # Pixels that the picture has no room for are not worth their colours.
    depth_mm, view = depth_mm[:: view.step, :: view.step], view.of_every(view.step)
    known = np.isfinite(depth_mm)
    if not known.any():
        return labelled(np.full((view.height, view.width, 3), 60, np.uint8), "no depth at all")
    near, far = range_mm or _depth_range(depth_mm[known])
    depth = np.nan_to_num(depth_mm, nan=far)
    level = 1.0 - (depth - near) / max(far - near, 1e-6)
    colour = _turbo(0.05 + 0.9 * np.clip(level, 0, 1)).astype(np.float64)
    smooth = cv2.GaussianBlur(depth.astype(np.float32), (0, 0), 1.0)
    across, down = (cv2.Sobel(smooth, cv2.CV_32F, x, 1 - x, ksize=3) / 8.0 for x in (1, 0))
    slope = np.clip((across + down) / 2.5, -1, 1)
    slope[depth >= far] = 0.0  # noise of a far wall is no relief
    colour = np.clip(colour * (0.8 - 0.35 * slope[..., None]), 0, 255).astype(np.uint8)
    colour[~known] = OUTSIDE
    picture = view.image(colour, smooth=False)
    scale = _turbo(np.linspace(0.95, 0.05, 64))
    return with_legend(picture, f"{near:.0f}", f"{far:.0f} mm", scale)


def landmark_picture(capture: Capture, landmarks: Landmarks, view: Window | None = None) -> Array:
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
    return labelled(picture, f"{landmarks.detector}: {used} of {len(landmarks.points_px)} points")


def overlay_picture(
    capture: Capture,
    vertices_cam_mm: Array,
    triangles: Array,
    *,
    view: Window | None = None,
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
    view : Window, optional
    points_px, targets_px : (k, 2) float, optional
        Points of the mesh (yellow) and where they should be (cyan), joined by a line.
    """
    view = view or whole_view(capture)
    picture = view.image(capture.rgb)
    intrinsics = view.view_from_px @ capture.intrinsics
    colours = _skin(np.ones(len(vertices_cam_mm)))
    mesh, covered = _shaded(vertices_cam_mm, triangles, intrinsics, view, colours)
    picture[covered] = mixed(picture[covered], mesh[covered], MESH_OPACITY)
    if points_px is not None and targets_px is not None:
        for point, target in zip(view.points(points_px), view.points(targets_px), strict=True):
            if np.all(np.isfinite(point)) and np.all(np.isfinite(target)):
                cv2.line(picture, _int(point), _int(target), (255, 60, 60), 1, cv2.LINE_AA)
    for points, colour in ((targets_px, TARGET), (points_px, POINT)):
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
    view: Window | None = None,
    max_mm: float = MAX_ERROR_MM,
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
    picture = error_overlay(capture, vertices_cam_mm, triangles, surface_error_mm, view, max_mm)
    known = surface_error_mm[np.isfinite(surface_error_mm)]
    if len(known):
        text = f"all shown: mean {known.mean():.2f}  median {np.median(known):.2f}  "
        picture = labelled(picture, text + f"95% {np.percentile(known, 95):.2f} mm")
    return with_legend(picture, "0", f"{max_mm:g} mm", _turbo(np.linspace(0.05, 0.95, 64)))


def error_overlay(
    capture: Capture,
    vertices_cam_mm: Array,
    triangles: Array,
    surface_error_mm: Array,
    view: Window,
    max_mm: float,
) -> Array:
    """Show what `error_picture` shows, without its figures and legend: for small pictures.

    `surface_error_mm` (n,) and `max_mm` are as there.
    """
    picture = (0.35 * view.image(capture.rgb)).astype(np.uint8)
    intrinsics = view.view_from_px @ capture.intrinsics
    colours = error_colours(surface_error_mm, max_mm)
    mesh, covered = _shaded(vertices_cam_mm, triangles, intrinsics, view, colours)
    picture[covered] = mesh[covered]
    return picture


def side_picture(
    vertices_obj_mm: Array,
    triangles: Array,
    *,
    yaws_deg: Sequence[float] = (0.0, 45.0, 90.0),
    height: int = PICTURE_HEIGHT,
    seen: Array | None = None,
    error_mm: Array | None = None,
    max_mm: float = MAX_ERROR_MM,
) -> Array:
    """Show a mesh from several sides, shaded, all at one scale.

    Parameters
    ----------
    vertices_obj_mm : (n, 3) float
        Object frame.
    yaws_deg : sequence of float
        One picture each, left to right; 90 shows the profile.
    seen : (n,) bool or float, optional
        Confidence; the less, the bluer the mesh is drawn.
    error_mm : (n,) float, optional
        Colours the mesh as in `error_picture` instead.
    max_mm : float
        Upper end of these colours.
    """
    view = Window(-0.5, -0.5, 1.0, height, height)
    if error_mm is not None:
        colours = error_colours(error_mm, max_mm)
    else:
        colours = _skin(np.ones(len(vertices_obj_mm)) if seen is None else seen)
    pictures = []
    for yaw in yaws_deg:
        vertices_cam, intrinsics = turned_to_camera(vertices_obj_mm, yaw, height)
        mesh, covered = _shaded(vertices_cam, triangles, intrinsics, view, colours)
        picture = np.full((height, height, 3), PAPER, np.uint8)
        picture[covered] = mesh[covered]
        pictures.append(labelled(picture, f"yaw {yaw:g}"))
    return np.concatenate(pictures, axis=1)


def turned_to_camera(vertices_obj_mm: Array, yaw_deg: float, size: int) -> tuple[Array, Array]:
    """Place a mesh (n, 3), turned by a yaw, so far away that every side has one scale.

    Returns
    -------
    (n, 3) float64, (3, 3) float64
        Vertices in the camera frame, and the intrinsics of a picture of `size` x `size` pixels.
    """
    centre = (vertices_obj_mm.min(axis=0) + vertices_obj_mm.max(axis=0)) / 2
    extent = float(np.max(np.ptp(vertices_obj_mm, axis=0)))
    distance = DISTANCE * extent
    focal = 0.92 * size * (distance - extent / 2) / extent
    rotation = rotation_from_angles(0.0, yaw_deg, 0.0)
    vertices_cam = (vertices_obj_mm - centre) @ rotation.T + [0, 0, distance]
    return vertices_cam, intrinsics_matrix(focal, focal, (size - 1) / 2, (size - 1) / 2)


def _shaded(
    vertices_cam_mm: Array, triangles: Array, intrinsics: Array, view: Window, colours: Array
) -> tuple[Array, Array]:
    """Render with a lamp above the camera's left shoulder -> (uint8 image, covered mask)."""
    fragments = rasterize(vertices_cam_mm, triangles, intrinsics, view.height, view.width)
    covered = fragments.triangle >= 0
    normals = vertex_normals(vertices_cam_mm, triangles)
    attributes = np.concatenate([normals, colours], axis=1, dtype=np.float32)
    pixels = interpolate(fragments, triangles, attributes, np.float32)[covered]
    lamp = np.array([-0.45, -0.5, -0.74])
    towards = normalized(pixels[:, :3]) @ (lamp / np.linalg.norm(lamp))
    light = (0.30 + 0.75 * np.clip(towards, 0, 1)).astype(np.float32)
    image = np.zeros((*covered.shape, 3), np.uint8)
    image[covered] = np.clip(pixels[:, 3:] * light[:, None], 0, 255).astype(np.uint8)
    return image, covered


def _skin(seen: Array) -> Array:
    """(n, 3) colours of skin, the bluer the less is `seen` (n,), in [0, 1]."""
    share = np.clip(np.asarray(seen, dtype=float), 0, 1)[:, None]
    return share * np.array(SKIN, float) + (1 - share) * np.array(UNSEEN, float)


def error_colours(error_mm: Array, max_mm: float) -> Array:
    """Return the (n, 3) colours of distances (n,), 0 to 255: blue is 0, red `max_mm`, NaN grey."""
    known = np.isfinite(error_mm)
    level = np.clip(np.nan_to_num(error_mm) / max_mm, 0, 1)
    colours = _turbo(0.05 + 0.9 * level).astype(float)
    colours[~known] = NO_VALUE
    return colours


def _turbo(level: Array) -> Array:
    """Colour map, 0 (blue) to 1 (red) -> (..., 3) RGB uint8."""
    grey = np.rint(255 * np.asarray(level)).astype(np.uint8)
    bgr = cv2.applyColorMap(grey.reshape(-1, 1), cv2.COLORMAP_TURBO)
    return np.ascontiguousarray(bgr[:, 0, ::-1]).reshape(*grey.shape, 3)


def _depth_range(known_mm: Array) -> tuple[float, float]:
    near, far = np.percentile(known_mm, [1, 98])
    return float(near), float(max(min(far, near + 150.0), near + 1.0))


def _dot(picture: Array, point: Array, colour: Colour, radius: float) -> None:
    centre = (round(float(point[0]) * 8), round(float(point[1]) * 8))
    cv2.circle(picture, centre, round(radius * 8) + 6, INK, -1, cv2.LINE_AA, 3)
    cv2.circle(picture, centre, round(radius * 8), colour, -1, cv2.LINE_AA, 3)


def _int(point: Array) -> tuple[int, int]:
    return round(float(point[0])), round(float(point[1]))
