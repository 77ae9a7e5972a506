"""The head around a face that gets a new shape.

Hair, ears and neck are those of the captured head. They move as the picture does: what was
measured beside the face goes with the background that it is part of (Eq. 16), what stands before
it as `before_face` tells. The surround moves with the sheet of background and lining, which joins
the outline's two sides behind the face, and follows the new face where both are joined.
Colours of what nobody saw stay, each with its place on the head.
"""

from __future__ import annotations

from dataclasses import replace

import numba
import numpy as np

from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.fullview.head_layers import HeadLayers
from fg3d_builder.fullview.hull_graph import hull_graph
from fg3d_builder.fullview.image_mesh import ImageMesh
from fg3d_builder.geometry.camera import (
    cam_from_px,
    px_from_cam,
    px_of_other_grid,
    scaled_intrinsics,
)
from fg3d_builder.records import Array, Registration
from fg3d_builder.transform.before_face import BeforeFace, MovedThings
from fg3d_builder.transform.correspondence import put_places

COARSE = 0.5
"""Scale of the images that displacements are drawn in, which vary slowly."""


def moved_head(
    model: FaceModel,
    registration: Registration,
    head: HeadLayers,
    target_cam_mm: Array,
    still: ImageMesh,
    moved: ImageMesh,
    things: tuple[BeforeFace, MovedThings] | None,
    solver: str,
    captured_mesh: ImageMesh | None = None,
) -> HeadLayers:
    """Carry a captured head along with its picture; all but what is read off the new picture.

    Parameters
    ----------
    model : FaceModel
    registration : Registration
        The captured face's.
    head : HeadLayers
        The captured head.
    target_cam_mm : (n, 3) float
        The new face.
    still, moved : ImageMesh
        The picture's mesh before and after; see `moved_mesh`.
    things : (BeforeFace, MovedThings) or None
        What stands before the face, and where it went.
    solver : str
        Sparse backend, see `fg3d_builder.fullview.hull_graph.hull_graph`.
    captured_mesh : ImageMesh, optional
        What `still` is a copy of: it looks the same, and may have been drawn for another shape.
    """
    found, camera = head.found, still.intrinsics
    motion = _Motion(head, still, moved, captured_mesh or still)
    captured = found.captured
    px = px_from_cam(captured.vertices_cam_mm, camera)
    step = motion.of_picture(px)
    if things is not None:
        before, after = things
        own = captured.before
        step[own] = _interpolated(after.shift, px[own] - before.first_px)
    vertices = cam_from_px(px + step[:, :2], captured.vertices_cam_mm[:, 2] + step[:, 2], camera)
    surround = found.surround_cam_mm
    graph = hull_graph(model, solver)
    if graph is not None:
        px = px_from_cam(surround, camera)
        step = motion.of_sheet(px)
        around = cam_from_px(px + step[:, :2], surround[:, 2] + step[:, 2], camera)
        new, old = (
            graph.surround.attached(face, model.triangles)
            for face in (target_cam_mm, registration.vertices_cam_mm)
        )
        skirt = graph.surround.skirt
        surround = around + graph.followed(surround[skirt] + new - old - around[skirt])
    return replace(
        head,
        face_cam_mm=target_cam_mm + found.face_cam_mm - registration.vertices_cam_mm,
        captured=captured._replace(vertices_cam_mm=vertices),
        surround_cam_mm=surround,
        before=found,
    )


class _Motion:
    """How a picture's surface points move, in pixels and in depth, by where they were."""

    def __init__(
        self, head: HeadLayers, still: ImageMesh, moved: ImageMesh, drawn: ImageMesh
    ) -> None:
        grid = head.measured.intrinsics
        self._grid = scaled_intrinsics(grid, COARSE)
        self._picture = still.intrinsics
        height, width = (int(np.ceil(COARSE * n)) for n in head.measured.head.shape)
        corners = np.array([[0.0, 0.0], [width - 1.0, height - 1.0]])
        first, last = px_of_other_grid(corners, self._grid, self._picture)
        own = np.zeros((height, width, 3), np.float32)
        own[..., 0] = np.linspace(first[0], last[0], width)
        own[..., 1] = np.linspace(first[1], last[1], height)[:, None]
        places, steps = own.copy(), []
        was, now = still.vertices_cam_mm, moved.vertices_cam_mm
        for part, triangles in (("sheet", still.sheet_triangles), ("face", still.face_triangles)):
            found = drawn.drawn(part, self._grid, height, width)
            put_places(places, found, triangles, was, now, self._picture)
            steps.append(places - own)
        self._sheet, self._all = steps

    def of_sheet(self, px: Array) -> Array:
        """Steps (k, 3) of the sheet behind the face at pixels (k, 2) of the picture."""
        return self._at(self._sheet, px)

    def of_picture(self, px: Array) -> Array:
        """Steps (k, 3) of what the picture shows at pixels (k, 2): the face, or the sheet."""
        return self._at(self._all, px)

    def _at(self, steps: Array, px: Array) -> Array:
        at = px_of_other_grid(px, self._picture, self._grid)
        return np.asarray(_interpolated(steps, at))


@numba.njit(cache=True, nogil=True)
def _interpolated(image, px):  # type: ignore[no-untyped-def]
    """Interpolate an image (H, W, c) at places (k, 2) -> (k, c) float64; its border goes on."""
    rows, columns, channels = image.shape
    out = np.empty((len(px), channels))
    for k in range(len(px)):
        x = min(max(px[k, 0], 0.0), columns - 1.0)
        y = min(max(px[k, 1], 0.0), rows - 1.0)
        c, r = min(int(x), columns - 2), min(int(y), rows - 2)
        s, t = x - c, y - r
        for i in range(channels):
            top = (1.0 - s) * image[r, c, i] + s * image[r, c + 1, i]
            bottom = (1.0 - s) * image[r + 1, c, i] + s * image[r + 1, c + 1, i]
            out[k, i] = (1.0 - t) * top + t * bottom
    return out
