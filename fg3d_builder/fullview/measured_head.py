"""Which pixels of a capture show the head, which of them the registered face, and how deep.

The head is what was measured at about the face's depth and touches it: hair, ears, neck and
shoulders with it. Where nothing was measured the colour tells: a pixel that looks like the
background around it is background, any other near the head is hair or skin whose depth the
sensor lost.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numba
import numpy as np

from fg3d_builder.config import FullViewConfig
from fg3d_builder.fullview.continuation import continued
from fg3d_builder.fullview.mixed_pixels import (
    inside_px,
    mixed_with_background,
    steps_inwards,
)
from fg3d_builder.geometry.camera import px_from_cam, px_of_other_grid
from fg3d_builder.records import Array, Capture
from fg3d_builder.rendering.depth_surface import MAX_SLOPE, DepthSurface
from fg3d_builder.rendering.image_samples import on_other_grid
from fg3d_builder.rendering.measured_surface import measured_surface
from fg3d_builder.rendering.rasterizer import rasterize

AROUND = 0.75
"""Extents of the face that are looked at on each side of it: what a turned crop can show."""

BEYOND = 0.5
"""Extents of the face over which a head that the picture cuts off goes on beyond it."""

BEFORE_MM, BEHIND_MM = 120.0, 110.0
"""What is measured at most so far before the face's nearest point, or behind the sheet's
farthest, belongs to the head: hair, ears, neck and shoulders do, a wall does not."""

NOISE = 3.0
"""Standard deviations of the depth's noise within which a measurement is the face's."""

LEAST_PIXELS = 30
"""Smaller separate parts are specks in the air."""

APART = 0.12
"""Extents of the face from the head beyond which what has no depth is background."""

RIM = 0.08
"""Extents of the face along the head's end within which the colour tells where it is."""

JUMP_MM = 8.0
"""Step of the depth within a head from which one part hides another; lids and lips hide nothing
that a turned view shows."""

NEAR = 0.2
"""Extents of the face within which background is near: what is surely it begins farther away."""

LIKELY, SURELY = 1.3, 2.0
"""A pixel without depth is the head's where it is so many times nearer to its colour than to
the background's; a measured one at the head's end is background where it is so many times
nearer to that."""

PLATE_PX = 100
"""Extent of the face in the images that colours are continued over."""

UNLIKE_LEVELS = 30.0
"""Grey levels from the background's from which hair is told where a head is expected; between
both sides of a jump, from which it is an edge in the picture."""

MIXED_PX = 1.0
"""Pixels next to the head in which its colours are mixed with the background's."""


class MeasuredHead(NamedTuple):
    """Images (h, w) of what a capture shows of a head.

    Attributes
    ----------
    depth_mm : float64
        Smoothed by its own noise; NaN where none was measured or it is not the head's.
    noise_mm : float32
    normals_cam : (h, w, 3) float32
        Towards the camera; NaN where none could be fitted.
    head : bool
        Shows the head: face, what is before it and what is around it.
    face : bool
        Shows the registered face.
    before : bool
        Shows something before the registered face.
    lost : bool
        Shows the head by its colour, without depth; a part of `head`.
    background : bool
        Shows what is behind the head.
    pure : bool
        Shows the head, and nothing of what is behind it, or before the face, in the same pixel;
        nor of another part of the head, of another colour, that it ends before.
    rim : bool
        Shows the head's end, mixed with what is behind it.
    inwards : (h, w, 2) float32
        Steps from pixels that are mixed, or beside such, to where the head's own colour is; 0
        elsewhere, and where it is nowhere near. See `steps_inwards`.
    rgb : (h, w, 3) uint8
        The picture on this grid.
    intrinsics : (3, 3) float64
        Pinhole matrix of these images. They are cut from the picture or go on beyond it, and
        are perhaps coarser.
    """

    depth_mm: Array
    noise_mm: Array
    normals_cam: Array
    head: Array
    face: Array
    before: Array
    lost: Array
    background: Array
    pure: Array
    rim: Array
    inwards: Array
    rgb: Array
    intrinsics: Array


def measured_head(
    capture: Capture,
    vertices_cam_mm: Array,
    triangles: Array,
    config: FullViewConfig,
    expected: tuple[Array, Array] | None = None,
) -> MeasuredHead:
    """Tell the head from the background, and the registered face from the rest of the head.

    Parameters
    ----------
    capture : Capture
    vertices_cam_mm : (n, 3) float
        The registered face.
    triangles : (m, 3) int
    config : FullViewConfig
    expected : (vertices, triangles), optional
        The head around the face as the model expects it, camera frame: where it is, what is
        unlike the background and has no depth is hair, whatever its colour.
    """
    surface, extent = _surface_around(capture, vertices_cam_mm, config)
    depth, noise = _smoothed(surface)
    camera = surface.intrinsics
    height, width = depth.shape
    sheet = rasterize(vertices_cam_mm, triangles, camera, height, width).depth_mm
    on_sheet = np.isfinite(sheet)
    known = np.isfinite(depth)
    head, behind = _at_heads_depth(depth, on_sheet, vertices_cam_mm[:, 2], APART * extent)
    reach = config.face_mm + NOISE * noise
    with np.errstate(invalid="ignore"):
        face = on_sheet & head & (np.abs(depth - sheet) <= reach)
        before = head & (depth < sheet - reach)
    color = on_other_grid(capture.rgb, capture.intrinsics, camera, (height, width), cv2.INTER_AREA)
    to_back, to_head = _differences(color, head | on_sheet, behind, extent)
    hole = ~known & ~_open(known)
    # One between the head and what was measured behind it may be a sensor's shadow on that. (A gap
    # that is open to the border may be hair that the sensor lost before a wall as dark.)
    shadow = _touching(hole, behind)
    if shadow.any():
        shadow &= SURELY * _off_things(color, shadow, behind & ~on_sheet, extent) < to_head
    lost = ~known & ((LIKELY * to_head <= to_back) | hole)
    if expected is not None:
        there = rasterize(*expected, camera, height, width).triangle >= 0
        lost |= ~known & there & (to_back > UNLIKE_LEVELS)
    lost &= _touching(lost & ~shadow, head)
    # Depth and colour are never aligned to the pixel: the head ends where its colour does.
    rim = (head | lost) & (inside_px(head | lost) <= RIM * extent)
    rim &= SURELY * to_back < to_head
    rim &= _touching(rim, ~(head | lost))
    apart = float(rim.sum()) / max(int(_edge(head | lost).sum()), 1)
    head, lost = head & ~rim, lost & ~rim
    # Within the head, too, one part ends before another of other colours: a chin before a collar.
    torn = _colored_jumps(depth, noise, color, head, float(camera[0, 0])).astype(np.uint8)
    torn = cv2.dilate(torn, np.ones((2 * round(apart) + 1,) * 2, np.uint8))
    inside = inside_px(head | lost)
    mixed = mixed_with_background(color, head | lost)
    end = (head | lost) & ((inside <= MIXED_PX + apart) | mixed)
    # A picture's pixels are sampled from their neighbours too.
    beside = cv2.dilate(mixed.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    face = (face | (lost & on_sheet)) & ~rim
    before &= ~rim
    found = MeasuredHead(
        depth_mm=np.where(head, depth, np.nan),
        noise_mm=noise.astype(np.float32),
        normals_cam=surface.normals_cam.astype(np.float32),
        head=head | lost,
        face=face,
        before=before,
        lost=lost,
        background=~(head | lost),
        pure=(np.minimum(inside, inside_px(~before)) > MIXED_PX + apart) & (torn == 0) & ~beside,
        rim=end,
        inwards=steps_inwards(
            head | lost, end, depth, JUMP_MM, 1.5 * MAX_SLOPE / float(camera[0, 0])
        ),
        rgb=color,
        intrinsics=camera,
    )
    cut_off = _cut_off(capture, surface, found.head)
    return _continued_beyond(found, round(BEYOND * extent), cut_off)


def _continued_beyond(
    measured: MeasuredHead, width_px: int, sides: tuple[bool, bool, bool, bool]
) -> MeasuredHead:
    """Let the images go on as they end, on the sides on which the picture cuts the head off."""
    left, top, right, bottom = (width_px * side for side in sides)
    camera = measured.intrinsics.copy()
    camera[:2, 2] += [left, top]
    sides_px = (top, bottom, left, right)
    names = [name for name in MeasuredHead._fields if name != "intrinsics"]
    images = {name: _framed(getattr(measured, name), *sides_px) for name in names}
    return measured._replace(intrinsics=camera, **images)


def _framed(image: Array, top: int, bottom: int, left: int, right: int) -> Array:
    """An image (h, w, ...) with its border continued by so many pixels."""
    plain = image.view(np.uint8) if image.dtype == bool else image
    framed = cv2.copyMakeBorder(plain, top, bottom, left, right, cv2.BORDER_REPLICATE)
    return np.asarray(framed).view(image.dtype)


def _surface_around(
    capture: Capture, vertices_cam_mm: Array, config: FullViewConfig
) -> tuple[DepthSurface, float]:
    """The measured surface in a window around the face, and the face's extent in its pixels."""
    px = px_from_cam(vertices_cam_mm, capture.intrinsics)
    low, high = px.min(axis=0), px.max(axis=0)
    extent = float((high - low).max())
    height, width = capture.depth_mm.shape
    last = np.array([width - 1, height - 1])
    first = np.clip(np.floor(low - AROUND * extent), 0, last).astype(int)
    end = np.clip(np.ceil(high + AROUND * extent), first, last).astype(int) + 1
    camera = np.array(capture.intrinsics, dtype=np.float64)
    camera[:2, 2] -= first
    depth = capture.depth_mm[first[1] : end[1], first[0] : end[0]]
    z = vertices_cam_mm[:, 2]
    near = (float(z.min()) - BEFORE_MM, float(z.max()) + BEHIND_MM)
    surface = measured_surface(depth, camera, extent, config.canvas_px, near)
    return surface, extent * float(surface.intrinsics[0, 0] / camera[0, 0])


def _cut_off(capture: Capture, surface: DepthSurface, head: Array) -> tuple[bool, bool, bool, bool]:
    """Whether the head (h, w) ends because the picture does: left, top, right, bottom."""
    height, width = surface.valid.shape
    corners = np.array([[0.0, 0.0], [width - 1.0, height - 1.0]])
    first, last = px_of_other_grid(corners, surface.intrinsics, capture.intrinsics)
    rows, columns = capture.depth_mm.shape
    step = capture.intrinsics[0, 0] / surface.intrinsics[0, 0]
    return (
        bool(first[0] < step and head[:, 0].any()),
        bool(first[1] < step and head[0].any()),
        bool(last[0] > columns - 1 - step and head[:, -1].any()),
        bool(last[1] > rows - 1 - step and head[-1].any()),
    )


def _smoothed(surface: DepthSurface) -> tuple[Array, Array]:
    """Depth with the noise averaged out, and its noise before; NaN where nothing is."""
    noise = np.nan_to_num(surface.noise_mm)
    return _nearer(surface.points_cam_mm, surface.fitted_cam_mm, noise), noise


@numba.njit(cache=True)
def _nearer(raw, fitted, noise):  # type: ignore[no-untyped-def]
    """Depths (h, w) of fitted points (h, w, 3), or of the raw ones where the fit left them.

    A plane fitted across a rough place may; then the measurement itself is better.
    """
    rows, columns = noise.shape
    out = np.empty((rows, columns))
    for i in range(rows):
        for j in range(columns):
            off = abs(fitted[i, j, 2] - raw[i, j, 2])
            # NaN, no plane, fails the comparison.
            good = off <= NOISE * noise[i, j] + 0.5
            out[i, j] = fitted[i, j, 2] if good else raw[i, j, 2]
    return out


def _at_heads_depth(
    depth_mm: Array, on_sheet: Array, z: Array, apart_px: float
) -> tuple[Array, Array]:
    """Pixels at a head's depth in parts that touch the face, and pixels behind that depth.

    Around ears and below chins sensors measure nothing. What is at the head's depth beyond
    such a gap, and no farther than `apart_px`, touches the face as well.
    """
    last = z.max() + BEHIND_MM
    with np.errstate(invalid="ignore"):
        near = (depth_mm > z.min() - BEFORE_MM) & (depth_mm < last)
        behind = depth_mm >= last
    label, large = _labelled(near, LEAST_PIXELS)
    touched = np.zeros_like(large)
    touched[label[near & on_sheet]] = True
    near, face = large[label], (large & touched)[label]
    away = cv2.distanceTransform((~face).astype(np.uint8), cv2.DIST_L2, 5)
    gap = np.isnan(depth_mm) & (away <= apart_px)
    return near & _parts(near | gap, face, LEAST_PIXELS), behind


def _labelled(mask: Array, least: int) -> tuple[Array, Array]:
    """Connected parts of a mask as labels (h, w), and which labels have at least so many pixels."""
    image = mask.astype(np.uint8)
    _, label, figures, _ = cv2.connectedComponentsWithStats(image, connectivity=8)
    large = figures[:, cv2.CC_STAT_AREA] >= least
    large[0] = False
    return label, large


def _parts(mask: Array, seed: Array, least: int) -> Array:
    """Connected parts of a mask that have pixels of the seed, and at least so many."""
    label, large = _labelled(mask, least)
    touched = np.zeros_like(large)
    touched[label[mask & seed]] = True
    return np.asarray((large & touched)[label])


def _touching(mask: Array, head: Array) -> Array:
    """Parts of a mask that touch the head."""
    around = cv2.dilate(head.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    return _parts(mask, around, 1)


def _edge(mask: Array) -> Array:
    """Pixels of a mask next to others, along a row, a column or a diagonal."""
    inner = cv2.erode(
        mask.astype(np.uint8), np.ones((3, 3), np.uint8), borderType=cv2.BORDER_REPLICATE
    )
    return np.asarray(mask & (inner == 0))


@numba.njit(cache=True, nogil=True)
def _colored_jumps(depth, noise, color, head, focal):  # type: ignore[no-untyped-def]
    """Pixels (h, w) on either side of jumps of the head's depth that are edges in the picture.

    Colours are those beyond the jump's two pixels, which are mixed themselves.
    """
    height, width = depth.shape
    out = np.zeros((height, width), np.bool_)
    for row in range(height):
        for column in range(width):
            if not head[row, column]:
                continue
            here = depth[row, column]
            for down in range(2):
                r, c = row + down, column + 1 - down
                # Two pixels on: that far colours are one side's or the other's.
                i, j, k, m = row - down, column - 1 + down, r + down, c + 1 - down
                if i < 0 or j < 0 or k >= height or m >= width or not head[r, c]:
                    continue
                there = depth[r, c]
                slope = 1.5 * MAX_SLOPE * min(here, there) / focal
                step = max(JUMP_MM, slope) + 4.0 * noise[row, column]
                # NaN, no depth, fails the comparison.
                if not abs(here - there) > step:
                    continue
                most = 0.0
                for channel in range(3):
                    difference = float(color[i, j, channel]) - float(color[k, m, channel])
                    most = max(most, abs(difference))
                if most > UNLIKE_LEVELS:
                    out[row, column] = True
                    out[r, c] = True
    return out


def _open(known: Array) -> Array:
    """Pixels without depth in parts that reach the image's border: not holes, but the end."""
    hole = ~known
    framed = np.pad(hole.astype(np.uint8), 1, constant_values=1)
    label = cv2.connectedComponents(framed, connectivity=4)[1]
    return np.asarray(hole & (label == label[0, 0])[1:-1, 1:-1])


def _differences(color: Array, head: Array, behind: Array, extent: float) -> tuple[Array, Array]:
    """Grey levels (h, w) by which pixels differ from the background, and from the head, near them.

    Both are continued from where they are sure: well outside of the head or measured behind it,
    and well inside of it.
    """
    shrink = max(1, int(extent / PLATE_PX))
    size = tuple(max(1, n // shrink) for n in color.shape[1::-1])

    def reduced(image: Array, method: int) -> Array:
        return np.asarray(cv2.resize(image, size, interpolation=method))

    small, extent = reduced(color, cv2.INTER_AREA), extent / shrink
    inner = reduced(head.astype(np.uint8), cv2.INTER_NEAREST) > 0
    away = cv2.distanceTransform((~inner).astype(np.uint8), cv2.DIST_L2, 5)
    back = reduced(behind.astype(np.uint8), cv2.INTER_NEAREST) > 0
    sure = (
        (back & (away > 2.0 * MIXED_PX)) | (away > APART * extent),
        inside_px(inner) > RIM * extent,
    )
    out = []
    for known in sure:
        plate = cv2.resize(continued(small, known), color.shape[1::-1])
        out.append(cv2.GaussianBlur(_largest_difference(color, plate), (0, 0), 1.0))
    return out[0], out[1]


@numba.njit(cache=True)
def _largest_difference(color, other):  # type: ignore[no-untyped-def]
    """Grey levels (h, w) float32 between two pictures, in the channel that differs most."""
    rows, columns, channels = color.shape
    out = np.zeros((rows, columns), np.float32)
    for i in range(rows):
        for j in range(columns):
            most = np.int32(0)
            for k in range(channels):
                off = np.int32(color[i, j, k]) - np.int32(other[i, j, k])
                most = max(most, off, -off)
            out[i, j] = most
    return out


def _off_things(color: Array, asked: Array, behind: Array, extent: float) -> Array:
    """Grey levels (h, w) by which asked pixels differ from what is most alike behind the head.

    Of what was measured there, within `NEAR`: a room is full of things.
    """
    shrink = max(1, int(extent / PLATE_PX))
    size = tuple(max(1, n // shrink) for n in color.shape[1::-1])
    small = cv2.resize(color, size, interpolation=cv2.INTER_AREA)
    known, wanted = (
        cv2.resize(mask.astype(np.uint8), size, interpolation=method) > 0
        for mask, method in ((behind, cv2.INTER_NEAREST), (asked, cv2.INTER_AREA))
    )
    off = _least_differences(small, known, wanted, round(NEAR * extent / shrink))
    return np.asarray(cv2.resize(off, color.shape[1::-1], interpolation=cv2.INTER_NEAREST))


@numba.njit(cache=True, nogil=True)
def _least_differences(image, known, asked, reach):  # type: ignore[no-untyped-def]
    """Least difference (h, w) float32 of each asked pixel to known ones within reach; 255 if none.

    The largest of the three colours' counts; every second pixel is looked at.
    """
    height, width, _ = image.shape
    out = np.full((height, width), np.float32(255.0))
    for row in range(height):
        for column in range(width):
            if not asked[row, column]:
                continue
            for i in range(max(row - reach, 0), min(row + reach + 1, height), 2):
                for j in range(max(column - reach, 0), min(column + reach + 1, width), 2):
                    if not known[i, j]:
                        continue
                    most = 0.0
                    for k in range(3):
                        off = float(image[row, column, k]) - float(image[i, j, k])
                        most = max(most, abs(off))
                    out[row, column] = min(out[row, column], np.float32(most))
    return out
