"""A picture as one mesh: the registered face and, around it, the background on anchors.

Towards the camera the mesh is closed: background and face share the vertices of the face's
outline. The polygon inside of the outline is triangulated as well (the *lining*): together
with the background it covers the whole picture in any view, so that no gap can open where
parts of the outline have different depths. It is drawn behind everything else.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from fg3d_builder.config import FullViewConfig
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.fullview.anchors import place_anchors
from fg3d_builder.fullview.depth_completion import (
    brought_near,
    complete_depth,
    depth_of_anchors,
)
from fg3d_builder.fullview.outline import face_outline
from fg3d_builder.fullview.triangulation import constrained_delaunay, split_by_edges
from fg3d_builder.geometry.camera import cam_from_px, px_from_cam
from fg3d_builder.geometry.meshes import compact_triangles, undirected_edges
from fg3d_builder.records import Array, Capture, Registration
from fg3d_builder.rendering.fragments import Fragments
from fg3d_builder.rendering.rasterizer import rasterize


@dataclass(frozen=True)
class ImageMesh:
    """A capture's picture as a mesh in the camera frame.

    Attributes
    ----------
    vertices_cam_mm : (v, 3) float64
        The n vertices of the face model, then crossings of the outline, then anchors.
    source_px : (v, 2) float64
        Projections of the vertices into the picture. Anchors of the margin are outside of it.
    triangles : (m, 3) int32
        Counter-clockwise seen from the camera: face, background, lining.
    face_triangle_count, background_triangle_count : int
        The lining is the rest.
    face_vertex_count : int
        ``n``.
    outline : (k,) int64
        Vertices of the face's outline, a closed polygon.
    border : (v,) bool
        Anchors on the mesh's outer border.
    intrinsics : (3, 3) float64
        Pinhole matrix of the picture.
    image_size : tuple of int
        Height and width of the picture.
    """

    vertices_cam_mm: Array
    source_px: Array
    triangles: Array
    face_triangle_count: int
    background_triangle_count: int
    face_vertex_count: int
    outline: Array
    border: Array
    intrinsics: Array
    image_size: tuple[int, int]

    @cached_property
    def kept(self) -> dict[Hashable, Any]:
        """What follows from this mesh and was found before: all new shapes of a capture share it.

        A key names what it is and what else it follows from.
        """
        return {}

    @property
    def face_triangles(self) -> Array:
        """(f, 3) int32: all triangles of the face model, its far side too."""
        return self.triangles[: self.face_triangle_count]

    @property
    def background_triangles(self) -> Array:
        """(b, 3) int32: around the outline."""
        start = self.face_triangle_count
        return self.triangles[start : start + self.background_triangle_count]

    @property
    def sheet_triangles(self) -> Array:
        """(b + l, 3) int32: background and lining, a sheet that covers the whole picture."""
        return self.triangles[self.face_triangle_count :]

    def drawn(self, part: str, camera: Array, height: int, width: int) -> Fragments:
        """Draw the ``"face"``, or the ``"sheet"`` with its back too; it is kept for the next time.

        Parameters
        ----------
        part : str
        camera : (3, 3) float64
            Pinhole matrix of the image; the mesh's is that of its picture.
        height, width : int
        """
        key = ("drawn", part, camera.tobytes(), height, width)
        if key not in self.kept:
            face = part == "face"
            triangles = self.face_triangles if face else self.sheet_triangles
            self.kept[key] = rasterize(
                self.vertices_cam_mm, triangles, camera, height, width, cull_back_faces=face
            )
        found: Fragments = self.kept[key]
        return found

    def completed_depth(self, step: int = 1) -> Array:
        """Return the depth (H, W) float32, mm, that the mesh has over the picture.

        `step` > 1 leaves out all but every so many rows and columns.
        """
        height, width = (-(-length // step) for length in self.image_size)
        camera = self.intrinsics.copy()
        camera[:2] /= step
        behind = rasterize(
            self.vertices_cam_mm, self.sheet_triangles, camera, height, width, False
        ).depth_mm
        face = rasterize(self.vertices_cam_mm, self.face_triangles, camera, height, width).depth_mm
        return np.where(np.isfinite(face), face, behind)


@dataclass(frozen=True)
class FlatMesh:
    """The same mesh while only the face has depths.

    Attributes
    ----------
    points_px : (v, 2) float64
    depth_mm : (v,) float64
        NaN at anchors.
    background, lining : (b, 3), (l, 3) int32
        Counter-clockwise seen from the camera.
    outline : (k,) int64
    border : (v,) bool
    first_anchor : int
    spacing_px : float
        Spacing of the anchors next to the face.
    """

    points_px: Array
    depth_mm: Array
    background: Array
    lining: Array
    outline: Array
    border: Array
    first_anchor: int
    spacing_px: float


def image_mesh(
    model: FaceModel,
    capture: Capture,
    registration: Registration,
    config: FullViewConfig,
    solver: str = "cholmod",
) -> ImageMesh:
    """Complete a capture's depth channel (Eq. 12) and make a mesh of its picture.

    `solver` is the sparse backend, see `fg3d_builder.numerics.sparse_solver.analyze`.

    Raises
    ------
    CaptureError
        ``"no_outline"``: the registered face does not look at the camera.
    """
    flat = flat_mesh(model, capture, registration, config)
    measured = np.full(len(flat.points_px), np.nan)
    anchors = slice(flat.first_anchor, None)
    measured[anchors] = brought_near(
        depth_of_anchors(capture.depth_mm, flat.points_px[anchors], flat.spacing_px),
        flat.points_px[anchors],
        flat.points_px[flat.outline],
        flat.depth_mm[flat.outline],
        float(np.sqrt(capture.intrinsics[0, 0] * capture.intrinsics[1, 1])),
        config,
    )
    # Only the background takes part: model vertices off the outline are connected to none.
    used, triangles = compact_triangles(flat.background, len(flat.points_px))
    solved = complete_depth(
        undirected_edges(triangles), flat.depth_mm[used], measured[used], config, solver
    )
    depth = flat.depth_mm.copy()
    depth[used] = solved.depth_mm
    return lifted(model, capture, registration, flat, depth)


def flat_mesh(
    model: FaceModel, capture: Capture, registration: Registration, config: FullViewConfig
) -> FlatMesh:
    """Triangulate the picture around the registered face.

    Raises
    ------
    CaptureError
        ``"no_outline"``.
    """
    vertices = registration.vertices_cam_mm
    outline = face_outline(vertices, model.triangles, capture.intrinsics)
    height, width = capture.rgb.shape[:2]
    anchors = place_anchors(outline, height, width, config)
    crossing = outline.vertex < 0
    n, c = len(vertices), int(crossing.sum())
    corner = outline.vertex.copy()
    corner[crossing] = n + np.arange(c)
    points = np.concatenate(
        [px_from_cam(vertices, capture.intrinsics), outline.points_px[crossing], anchors.points_px]
    )
    depth = np.full(len(points), np.nan)
    depth[: n + c] = np.concatenate([vertices[:, 2], outline.depth_mm[crossing]])
    border = np.zeros(len(points), dtype=bool)
    border[n + c :] = anchors.border
    used = np.concatenate([corner, np.arange(n + c, len(points))])
    ring = np.arange(len(corner))
    walls = np.stack([ring, np.roll(ring, -1)], axis=1)
    triangles = constrained_delaunay(points[used], walls)
    part = split_by_edges(triangles, walls)
    outside = part == part[np.flatnonzero((triangles == len(used) - 1).any(axis=1))[0]]
    # Positive where y points down is clockwise to the eye.
    triangles = used[triangles[:, ::-1]].astype(np.int32)
    return FlatMesh(
        points_px=points,
        depth_mm=depth,
        background=triangles[outside],
        lining=triangles[~outside],
        outline=corner,
        border=border,
        first_anchor=n + c,
        spacing_px=anchors.spacing_px,
    )


def lifted(
    model: FaceModel,
    capture: Capture,
    registration: Registration,
    flat: FlatMesh,
    depth_mm: Array,
) -> ImageMesh:
    """Give every vertex of a flat mesh its depth (v,)."""
    n = model.vertex_count
    vertices = cam_from_px(flat.points_px, depth_mm, capture.intrinsics)
    vertices[:n] = registration.vertices_cam_mm
    return ImageMesh(
        vertices_cam_mm=vertices,
        source_px=flat.points_px,
        triangles=np.concatenate([model.triangles, flat.background, flat.lining]),
        face_triangle_count=len(model.triangles),
        background_triangle_count=len(flat.background),
        face_vertex_count=n,
        outline=flat.outline,
        border=flat.border,
        intrinsics=capture.intrinsics,
        image_size=(capture.rgb.shape[0], capture.rgb.shape[1]),
    )
