"""A view of a capture, painted with the picture's own pixels.

For each pixel of the view the surface point is taken back to the captured picture exactly: its
colour there is averaged over the pixel's footprint, and its depth, its slope and the measured
depth tell whether the picture shows that point at all. What it does not show of the head beyond
the face takes the colours of the unrolled head; the face is painted afterwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numba
import numpy as np

from fg3d_builder.config import FullViewConfig
from fg3d_builder.fullview.layers import FARTHER, Layers, is_same, layers_of
from fg3d_builder.fullview.sampling import PicturePyramid
from fg3d_builder.fullview.source import Source
from fg3d_builder.fullview.tracing import TRUSTED_SHARE, pixels_for_one, places_where, traced
from fg3d_builder.fullview.views import ViewCamera
from fg3d_builder.geometry.camera import at_nearest_pixel, px_from_cam
from fg3d_builder.records import Array
from fg3d_builder.rendering.fragments import Fragments
from fg3d_builder.rendering.shading import srgb_from_linear

NEAR_DOUBT = 10.0 / 256
"""Distance, as a part of the view's side, over which painting is blended: more than it takes."""


@dataclass(frozen=True)
class RenderedView:
    """A view painted with the picture's pixels, and what is known of each.

    Attributes
    ----------
    rgb : (S, S, 3) uint8
    face : (S, S) bool
        The face model's surface, seen from its front.
    captured : (S, S) bool
        What the camera measured beside or before the face.
    surround : (S, S) bool
        The head beyond the face where the camera measured nothing.
    around_linear : (S, S, 3) float32
        Colours of the unrolled head, linear light: at the pixels of the surround, and at those
        of the face that are not trusted fully, or are within `NEAR_DOUBT` of the view's side of
        such; none where the view is the picture itself.
    face_unseen : (S, S) bool
        Face pixels that the picture does not show: turned away from the camera, seen so
        obliquely that they are stretched too far, behind another part of the face, or not
        what the camera measured there.
    trust : (S, S) float32
        For face pixels, in [0, 1]: 0 where unseen, 1 where hardly stretched.
    covered : (S, S) bool
        Anything at all is there; false only beyond the margin.
    depth_mm : (S, S) float32
        In the view's camera frame; NaN where not covered.
    source_px : (S, S, 2) float32
        Where each pixel comes from; NaN where not covered.
    jacobian : (S, S, 2, 2) float32
        Derivatives of that by the view's column and row.
    unit : float
        Pixels of the unturned crop for one of the picture.
    picture_size : tuple of int
        Height and width of the picture.
    fragments : Fragments
        The face alone, by triangles of the model.
    """

    rgb: Array
    face: Array
    captured: Array
    surround: Array
    around_linear: Array
    face_unseen: Array
    trust: Array
    covered: Array
    depth_mm: Array
    source_px: Array
    jacobian: Array
    unit: float
    picture_size: tuple[int, int]
    fragments: Fragments

    @property
    def stretch(self) -> Array:
        """Pixels of the view that share one pixel of the picture, (S, S) float32.

        In the direction in which they are most; times the scale between both, so that 1 is what
        the unturned crop has. 0 where nothing is.
        """
        return np.asarray(pixels_for_one(self.jacobian, self.unit))

    @property
    def beyond(self) -> Array:
        """Pixels (S, S) bool painted with what continues the picture beyond its border."""
        height, width = self.picture_size
        x, y = np.moveaxis(self.source_px, 2, 0)
        return (x < -0.5) | (y < -0.5) | (x > width - 0.5) | (y > height - 0.5)


def render_view(source: Source, camera: ViewCamera, config: FullViewConfig) -> RenderedView:
    """Render a view of a capture with image pixels."""
    mesh = source.mesh
    vertices_view = camera.view_from_cam(source.vertices_cam_mm)
    unit = float(camera.px_crop_from_px[0, 0])
    layers = layers_of(source, vertices_view, camera, config)
    covered = layers.triangle >= 0
    source_px, jacobian, depth, trust = traced(
        layers.triangle,
        layers.barycentric,
        source.triangles,
        mesh.face_triangle_count,
        source.vertices_cam_mm,
        vertices_view,
        camera.rotation,
        camera.intrinsics,
        mesh.intrinsics,
        source.normals_cam,
        source.first_mm,
        source.shown,
        source.first_intrinsics,
        unit,
        config.max_stretch,
    )
    if source.head is not None and is_same(camera):
        # Whatever is drawn here was seen here.
        trust[:] = 1.0
        rgb = _sampled(((source.picture, covered),), source_px, jacobian)
        around = np.zeros((*covered.shape, 3), np.float32)
    else:
        head = layers.face | layers.captured | layers.surround
        pyramids = ((source.picture, head), (source.backdrop, covered & ~head))
        rgb = _sampled(pyramids, _own_colors_px(source, layers, source_px), jacobian)
        most = FARTHER * config.max_stretch
        kept = _kept(layers.captured, layers.surround, layers.stretch, most)
        wanted = (kept < 1.0) | (layers.face & _near(layers.face & (trust < 1.0)))
        around = _around(source, layers, wanted)
        if source.around is not None:
            _blend(rgb, srgb_from_linear(around), kept)
    return RenderedView(
        rgb=rgb,
        face=layers.face,
        captured=layers.captured,
        surround=layers.surround,
        around_linear=around,
        face_unseen=layers.face & (trust <= 0),
        trust=np.where(layers.face, trust, np.float32(0.0)),
        covered=covered,
        depth_mm=depth,
        source_px=source_px,
        jacobian=jacobian,
        unit=unit,
        picture_size=mesh.image_size,
        fragments=layers.sheet,
    )


@numba.njit(cache=True, nogil=True, error_model="numpy")
def _kept(captured, surround, stretch, most):  # type: ignore[no-untyped-def]
    """How far pixels (S, S) keep the picture's colours, float32: not at all in the surround, less
    where the captured surface is drawn out by nearly the most that it may be."""
    out = np.ones(stretch.shape, np.float32)
    for row in range(stretch.shape[0]):
        for column in range(stretch.shape[1]):
            if surround[row, column]:
                out[row, column] = 0.0
            elif captured[row, column]:
                share = np.float32(most) / stretch[row, column] - np.float32(1.0)
                share /= np.float32(TRUSTED_SHARE - 1.0)
                if share < 1.0:
                    out[row, column] = share
    return out


def _own_colors_px(source: Source, layers: Layers, source_px: Array) -> Array:
    """Places (S, S, 2) in the picture at which pixels find the colours of what they show.

    Those of the captured surface's end, which are mixed with what is behind it, beside it.
    """
    if source.head is None or not layers.captured.any():
        return source_px
    measured = source.head.measured
    points = places_where(
        layers.captured,
        source.places_cam_mm,
        source.triangles,
        layers.triangle,
        layers.barycentric,
    )
    # Steps are of the images that the head was found in.
    px = px_from_cam(points, measured.intrinsics)
    steps = [at_nearest_pixel(measured.inwards[..., axis], px, 0.0) for axis in range(2)]
    scale = source.mesh.intrinsics[0, 0] / measured.intrinsics[0, 0]
    found = source_px.copy()
    found[layers.captured] += scale * np.stack(steps, axis=1)
    return found


def _near(doubt: Array) -> Array:
    """Pixels (S, S) that are so near to doubtful ones that painting may need their colours."""
    side = 2 * int(np.ceil(NEAR_DOUBT * doubt.shape[0])) + 1
    return cv2.dilate(doubt.astype(np.uint8), np.ones((side, side), np.uint8)) > 0


def _sampled(
    pyramids: Sequence[tuple[PicturePyramid, Array]], source_px: Array, jacobian: Array
) -> Array:
    """Colours (S, S, 3) uint8 by pictures, of each at pixels (S, S) of its own; black off them."""
    rgb = np.zeros((*source_px.shape[:2], 3), np.uint8)
    places, slopes = source_px.reshape(-1, 2), jacobian.reshape(-1, 2, 2)
    for pyramid, own in pyramids:
        pyramid.sample_some(places, slopes, own.ravel(), rgb.reshape(-1, 3))
    return rgb


def _around(source: Source, layers: Layers, wanted: Array) -> Array:
    """Colours (S, S, 3) of the unrolled head at the wanted pixels, linear light; 0 elsewhere."""
    color = np.zeros((*wanted.shape, 3), np.float32)
    if source.around is not None and wanted.any():
        points = places_where(
            wanted, source.places_cam_mm, source.triangles, layers.triangle, layers.barycentric
        )
        color.reshape(-1, 3)[np.flatnonzero(wanted)] = source.around.at(points)
    return color


@numba.njit(cache=True, nogil=True)
def _blend(rgb, other, share):  # type: ignore[no-untyped-def]
    """Mix colours (S, S, 3) with others, of which they keep a share (S, S), cut to [0, 1]."""
    for row in range(rgb.shape[0]):
        for column in range(rgb.shape[1]):
            own = min(max(share[row, column], 0.0), 1.0)
            if own == 1.0:
                continue
            for k in range(3):
                mixed = own * rgb[row, column, k] + (1.0 - own) * other[row, column, k]
                rgb[row, column, k] = np.uint8(np.rint(mixed))
