"""What stands before the face, and how it moves where the face gets a new shape.

Hair, glasses or a hand hide a part of the face. They are no part of it: where the face moves, they
keep to the background that they reach into (Eq. 16), and carry its displacement on over the face
as a membrane does. What reaches into nothing rests on the face and goes along as a whole.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from fg3d_builder.config import FullViewConfig
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.fullview.continuation import spread_out
from fg3d_builder.fullview.image_mesh import ImageMesh
from fg3d_builder.fullview.measured_head import MeasuredHead, measured_head
from fg3d_builder.fullview.poisson import membrane
from fg3d_builder.geometry.camera import cam_from_px, px_of_other_grid
from fg3d_builder.geometry.meshes import vertex_normals
from fg3d_builder.records import Array, Capture, Registration
from fg3d_builder.rendering.image_samples import on_other_grid
from fg3d_builder.rendering.rasterizer import interpolate, rasterize

LEAST_MM2 = 50.0
"""Area of plain skin that a thing must hide: less is an error of the registered face."""

MIXED_PX = 2
"""Pixels around a thing in which its colour is mixed with the skin's."""

SOFT_SIGMA_PX = 0.7
"""Blur of a thing's border, as a camera's pixels have it."""

REACH_MM = 20.0
"""How far things are followed beyond the captured face: no new shape reaches farther."""

FLAT_MM = 1000.0
"""Any depth will do for what is looked at in the picture alone."""

ROUNDS = 4
"""Fixed-point steps from a pixel to where its thing was; each shrinks the error at least by the
displacement's gradient, a few percent."""


class BeforeFace(NamedTuple):
    """Images (h, w) of what hides a face, in a window of a capture's picture.

    Attributes
    ----------
    weight : float32
        In [0, 1]; 0 where the face, or what is beside it, shows.
    thing : bool
        Shows something before the face.
    gap_mm : float32
        How far it is before the face, by the measured depth; 0 elsewhere.
    face : bool
        Pixels within the outline of the registered face.
    first_px : (2,) int
        Column and row of the window's first pixel in the picture.
    """

    weight: Array
    thing: Array
    gap_mm: Array
    face: Array
    first_px: Array

    @property
    def window(self) -> tuple[slice, slice]:
        """Rows and columns of the window in the picture."""
        (column, row), (height, width) = self.first_px, self.thing.shape
        return slice(row, row + height), slice(column, column + width)

    def intrinsics(self, picture: Array) -> Array:
        """Pinhole matrix (3, 3) of the window, given the picture's."""
        out = np.array(picture, dtype=np.float64)
        out[:2, 2] -= self.first_px
        return out

    def hides(self, points_px: Array) -> Array:
        """Tell which points (k, 2) of the picture something hides, (k,) bool."""
        px = np.rint(points_px - self.first_px).astype(int)
        height, width = self.thing.shape
        inside = ((px >= 0) & (px < [width, height])).all(axis=1)
        column, row = np.clip(px, 0, [width - 1, height - 1]).T
        return np.asarray(inside & (self.weight[row, column] > 0))


class MovedThings(NamedTuple):
    """The things of a `BeforeFace` in its window, after the face got a new shape.

    Attributes
    ----------
    rgb : (h, w, 3) uint8
    weight : (h, w) float32
    depth_mm : (h, w) float32
        NaN where none was measured.
    gap_mm : (h, w) float32
        How far the thing was before the captured face.
    shift : (h, w, 3) float32
        Where what was at a pixel went: pixels, and mm of depth.
    """

    rgb: Array
    weight: Array
    depth_mm: Array
    gap_mm: Array
    shift: Array


def before_face(
    model: FaceModel,
    capture: Capture,
    registration: Registration,
    config: FullViewConfig,
    measured: MeasuredHead | None = None,
) -> BeforeFace | None:
    """Find what stands before a registered face.

    Parts that hide next to no reliable skin are left out: the neck before the sheet's end
    under the chin, and slivers along the outline, where the line of sight grazes the face.

    Parameters
    ----------
    model : FaceModel
    capture : Capture
    registration : Registration
    config : FullViewConfig
    measured : MeasuredHead, optional
        Of the capture, where the caller has it.

    Returns
    -------
    BeforeFace or None
        None where nothing does.
    """
    vertices = registration.vertices_cam_mm
    head = measured or measured_head(capture, vertices, model.triangles, config)
    found = _things(model, vertices, head, config.face_mm)
    if not found.any():
        return None
    found = _beyond_outline(found, model, vertices, head, config.face_mm)
    around = round(REACH_MM * capture.intrinsics[0, 0] / float(vertices[:, 2].mean()))
    height, width = capture.depth_mm.shape
    rows, columns = np.nonzero(found)
    corners = np.array([[columns.min(), rows.min()], [columns.max(), rows.max()]], dtype=float)
    low, high = px_of_other_grid(corners, head.intrinsics, capture.intrinsics)
    last = np.array([width - 1, height - 1])
    first = np.clip(np.floor(low) - around, 0, last).astype(int)
    end = np.clip(np.ceil(high) + around, 0, last).astype(int) + 1
    camera = np.array(capture.intrinsics, dtype=np.float64)
    camera[:2, 2] -= first
    size = (int(end[1] - first[1]), int(end[0] - first[0]))
    share = on_other_grid(
        found.astype(np.float32), head.intrinsics, camera, size, cv2.INTER_LINEAR, outside=0.0
    )
    thing = share > 0.5
    sheet = rasterize(vertices, model.triangles, camera, *size).depth_mm
    depth = capture.depth_mm[first[1] : end[1], first[0] : end[0]]
    gap = np.where(thing, np.nan_to_num(sheet - depth), 0.0).astype(np.float32)
    disc = np.ones((2 * MIXED_PX + 1, 2 * MIXED_PX + 1), np.uint8)
    wide = cv2.dilate(thing.astype(np.float32), disc)
    weight = np.where(thing, 1.0, cv2.GaussianBlur(wide, (0, 0), SOFT_SIGMA_PX))
    weight[weight < 1e-3] = 0.0
    return BeforeFace(
        weight=weight.astype(np.float32),
        thing=thing,
        gap_mm=np.maximum(gap, 0.0),
        face=np.isfinite(sheet),
        first_px=first,
    )


def _things(model: FaceModel, vertices: Array, head: MeasuredHead, face_mm: float) -> Array:
    """Pixels (h, w) of a measured head whose connected parts hide reliable skin."""
    if not head.before.any():
        return head.before
    seen = rasterize(vertices, model.triangles, head.intrinsics, *head.before.shape)
    normals = vertex_normals(vertices, model.triangles)
    sight = vertices / np.linalg.norm(vertices, axis=1, keepdims=True)
    facing = -np.einsum("nd,nd->n", normals, sight)
    both = np.stack([facing, model.reliable.astype(float)], axis=1).astype(np.float32)
    cosine, reliable = np.moveaxis(interpolate(seen, model.triangles, both, np.float32), -1, 0)
    with np.errstate(invalid="ignore"):
        away_mm = (seen.depth_mm - head.depth_mm) * cosine
        plain = head.before & (reliable > 0.5) & (away_mm > face_mm)
        area_mm2 = np.where(plain, (seen.depth_mm / head.intrinsics[0, 0]) ** 2, 0.0)
    count, label = cv2.connectedComponents(head.before.astype(np.uint8), connectivity=8)
    hidden = np.bincount(label.ravel(), area_mm2.ravel(), count) >= LEAST_MM2
    hidden[0] = False
    return np.asarray(hidden[label])


def _beyond_outline(
    found: Array, model: FaceModel, vertices: Array, head: MeasuredHead, face_mm: float
) -> Array:
    """Follow things (h, w) that go on beyond the face's outline, nearer than the outline is.

    A new face that reaches there is behind them as well. They end where depth jumps.
    """
    sheet = rasterize(vertices, model.triangles, head.intrinsics, *found.shape).depth_mm
    off_face = ~np.isfinite(sheet)
    _, label = cv2.distanceTransformWithLabels(
        off_face.astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    of_label = np.zeros(label.max() + 1)
    of_label[label[~off_face]] = sheet[~off_face]
    depth = np.nan_to_num(head.depth_mm, nan=1e9)
    square = np.ones((3, 3), np.uint8)
    whole = cv2.dilate(depth, square) - cv2.erode(depth, square) < face_mm
    near = off_face & head.head & whole & (depth < of_label[label] - face_mm)
    allowed = (near | found).astype(np.uint8)
    reach = REACH_MM * head.intrinsics[0, 0] / float(vertices[:, 2].mean())
    grown = found.astype(np.uint8)
    for _ in range(round(reach)):
        grown = cv2.dilate(grown, square) & allowed
    return np.asarray(grown > 0)


def moved_things(
    before: BeforeFace, capture: Capture, still: ImageMesh, moved: ImageMesh
) -> MovedThings:
    """Fetch what stands before the face from where it was.

    Parameters
    ----------
    before : BeforeFace
    capture : Capture
    still, moved : ImageMesh
        The capture's mesh before and after the face got its new shape; see `moved_mesh`.
    """
    shift = _displacement(before, still, moved)
    height, width = before.thing.shape
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    from_x, from_y = x.copy(), y.copy()
    for _ in range(ROUNDS):
        here = cv2.remap(shift, from_x, from_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        from_x, from_y = x - here[..., 0], y - here[..., 1]

    def fetched(image: Array, method: int, border: int = cv2.BORDER_REPLICATE) -> Array:
        return np.asarray(cv2.remap(image, from_x, from_y, method, borderMode=border))

    here = fetched(shift, cv2.INTER_LINEAR)
    depth = fetched(np.ascontiguousarray(capture.depth_mm[before.window]), cv2.INTER_NEAREST)
    return MovedThings(
        rgb=fetched(np.ascontiguousarray(capture.rgb[before.window]), cv2.INTER_CUBIC),
        weight=fetched(before.weight, cv2.INTER_LINEAR, cv2.BORDER_CONSTANT),
        depth_mm=depth + here[..., 2],
        gap_mm=fetched(before.gap_mm, cv2.INTER_NEAREST),
        shift=shift,
    )


def _displacement(before: BeforeFace, still: ImageMesh, moved: ImageMesh) -> Array:
    """Where the things move, (h, w, 3) float32: in pixels, and in mm of depth."""
    camera = before.intrinsics(still.intrinsics)
    height, width = before.thing.shape
    motion = np.concatenate(
        [
            moved.source_px - still.source_px,
            (moved.vertices_cam_mm - still.vertices_cam_mm)[:, 2:],
        ],
        axis=1,
    ).astype(np.float32)
    # The sheet's places in the picture alone count here, so that it is drawn as a plane.
    flat = cam_from_px(still.source_px, np.full(len(motion), FLAT_MM), still.intrinsics)
    behind = rasterize(flat, still.background_triangles, camera, height, width, False)
    border = (behind.triangle >= 0) & ~before.face
    shift = interpolate(behind, still.background_triangles, motion, dtype=np.float32)
    part_count, part = cv2.connectedComponents(before.thing.astype(np.uint8), connectivity=4)
    beside = cv2.dilate(border.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    attached = np.zeros(part_count, dtype=bool)
    attached[part[beside & before.thing]] = True
    unknown = before.thing & ~border
    solved = membrane(shift, unknown, border)
    shift[unknown] = solved[unknown]
    face = rasterize(still.vertices_cam_mm, still.face_triangles, camera, height, width)
    of_face = interpolate(face, still.face_triangles, motion, dtype=np.float32)
    for number in np.flatnonzero(~attached)[1:]:
        resting = part == number
        shift[resting] = of_face[resting].mean(axis=0)
    known = (before.thing | border).astype(np.float32)
    return np.asarray(spread_out(shift, known), dtype=np.float32)
