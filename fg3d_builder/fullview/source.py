"""What all views of a capture share: its picture, and the layers that are drawn with it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from scipy.spatial import cKDTree

from fg3d_builder.config import FullViewConfig
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.fullview.backdrop import without_head
from fg3d_builder.fullview.captured_surface import captured_surface
from fg3d_builder.fullview.head_hull import expected_surround, head_hull, with_lost_depth
from fg3d_builder.fullview.head_texture import HeadTexture, head_texture
from fg3d_builder.fullview.image_mesh import ImageMesh
from fg3d_builder.fullview.measured_head import MeasuredHead, measured_head
from fg3d_builder.fullview.sampling import PicturePyramid
from fg3d_builder.fullview.texture_fit import TextureFit
from fg3d_builder.geometry.camera import scaled_intrinsics
from fg3d_builder.geometry.meshes import vertex_normals
from fg3d_builder.records import Array, Capture, Registration
from fg3d_builder.rendering.image_samples import on_other_grid
from fg3d_builder.rendering.rasterizer import rasterize

FULL_VIEW, FACE_PROFILING = "full_view", "face_profiling"
"""Methods: with the depth channel, layers and inpainting, or the baseline without."""

EAR_MM = 5.0
"""Distance from an ear of the surround, which was fitted to it, up to which what the camera
measured is that ear."""

SHADOW_SIZE_PX = 512
"""Side of the face in the depth image that tells which points hide others."""

OFF_PX = 3.0
"""Pixels off the head in the picture from which there is nothing of it: outlines are no more
exact than that."""


@dataclass(frozen=True)
class Source:
    """What all views of a capture share.

    Attributes
    ----------
    mesh : ImageMesh
    vertices_cam_mm : (v, 3) float64
        Those of the mesh, of the captured surface and of the surround. The sheet's outer parts
        are where the head's outside is, not where they were registered.
    triangles : (m, 3) int32
        Those of the mesh, of the captured surface and of the surround.
    captured, surround : (t,), (k,) int64
        Numbers of the triangles of the captured surface and of the surround.
    first_captured : int
        Number of the captured surface's first vertex.
    slopes_cam : (w, 3) float64
        Normals of the captured surface's vertices.
    carried, edge : (w,) bool
        Vertices of the captured surface that lie beyond an edge, and those where colours are
        mixed with what is behind.
    before : (w,) bool
        Vertices of the captured surface before the face: hair, glasses, a hand.
    explained : (w,) int8
        1 or 2 for vertices of the captured surface that lie on one ear of the surround or on the
        other, 0 for all others.
    head : MeasuredHead or None
        What the camera saw of the head; None for face profiling.
    around : HeadTexture or None
        Colours of the head all around; None without a surround.
    picture : PicturePyramid
    backdrop : PicturePyramid
        The picture without the head; what was behind it continues what is around it.
    normals_cam : (n, 3) float64
        Normals of the model's vertices, in the capture's frame.
    first_mm : (h, w) float32
        Depth of the face alone over the picture, the farthest within a pixel's neighbours;
        infinite where the face is not.
    shown : (h, w) float32
        In [0, 1]: 0 where the camera saw something before the face, or what is behind the head.
    first_intrinsics : (3, 3) float64
        Pinhole matrix of these images: the picture's, or coarser where the face is large.
    """

    mesh: ImageMesh
    vertices_cam_mm: Array
    triangles: Array
    captured: Array
    surround: Array
    first_captured: int
    slopes_cam: Array
    carried: Array
    edge: Array
    before: Array
    explained: Array
    head: MeasuredHead | None
    around: HeadTexture | None
    picture: PicturePyramid
    backdrop: PicturePyramid
    normals_cam: Array
    first_mm: Array
    shown: Array
    first_intrinsics: Array

    @cached_property
    def off_head(self) -> Array:
        """Pixels of `head` (h, w) bool, well off the head: nothing of it can be there."""
        if self.head is None:
            return np.zeros((1, 1), dtype=bool)
        behind = self.head.background.astype(np.uint8)
        return np.asarray(cv2.distanceTransform(behind, cv2.DIST_L2, 5) > OFF_PX)

    @property
    def behind(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """First triangle and count of what is drawn behind the head: background, lining."""
        start, count = self.mesh.face_triangle_count, self.mesh.background_triangle_count
        lining = start + count
        return (start, count), (lining, len(self.mesh.triangles) - lining)

    @classmethod
    def of(
        cls,
        model: FaceModel,
        capture: Capture,
        registration: Registration,
        mesh: ImageMesh,
        texture: TextureFit | None,
        config: FullViewConfig,
        solver: str = "cholmod",
    ) -> Source:
        """Prepare a capture for rendering.

        Parameters
        ----------
        model : FaceModel
        capture : Capture
        registration : Registration
        mesh : ImageMesh
            The capture's picture as a mesh; see `view_mesh`.
        texture : TextureFit or None
            Gives the light that colours of what is unseen are continued in.
        config : FullViewConfig
        solver : str
            Sparse backend, see `fg3d_builder.numerics.sparse_solver.analyze`.
        """
        face = mesh.vertices_cam_mm[: mesh.face_vertex_count]
        height, width = mesh.image_size
        extent = float(np.max(np.ptp(mesh.source_px[mesh.outline], axis=0)))
        factor = min(1.0, SHADOW_SIZE_PX / extent)
        camera = scaled_intrinsics(mesh.intrinsics, factor)
        size = (int(np.ceil(height * factor)), int(np.ceil(width * factor)))
        layers = _Layers(mesh)
        picture = backdrop = PicturePyramid.of(capture.rgb)
        shown = np.ones(size, np.float32)
        if config.method == FULL_VIEW:
            layers.add_head(model, capture, registration, texture, config, solver)
            assert layers.head is not None
            backdrop = PicturePyramid.of(without_head(capture.rgb, layers.head, mesh.intrinsics))
            shown = on_other_grid(
                (layers.head.pure & ~layers.head.before).astype(np.float32),
                layers.head.intrinsics,
                camera,
                size,
                cv2.INTER_NEAREST,
                outside=1.0,
            )
        vertices = np.concatenate(layers.vertices)
        first = rasterize(vertices[: len(face)], mesh.face_triangles, camera, *size).depth_mm
        farthest = cv2.dilate(np.nan_to_num(first, nan=np.inf), np.ones((3, 3), np.uint8))
        return cls(
            mesh=mesh,
            vertices_cam_mm=vertices,
            triangles=np.concatenate(layers.triangles),
            captured=layers.captured,
            surround=layers.surround,
            first_captured=len(mesh.vertices_cam_mm),
            slopes_cam=layers.slopes,
            carried=layers.carried,
            edge=layers.edge,
            before=layers.before,
            explained=layers.explained,
            head=layers.head,
            around=layers.around,
            picture=picture,
            backdrop=backdrop,
            normals_cam=vertex_normals(vertices[: len(face)], mesh.face_triangles),
            first_mm=farthest,
            shown=shown,
            first_intrinsics=camera,
        )


class _Layers:
    """Meshes one after the other, and what belongs to each."""

    def __init__(self, mesh: ImageMesh) -> None:
        self.vertices = [mesh.vertices_cam_mm]
        self.triangles = [mesh.triangles]
        self.captured = self.surround = np.zeros(0, dtype=np.int64)
        self.slopes = np.zeros((0, 3))
        self.carried = self.edge = self.before = np.zeros(0, dtype=bool)
        self.explained = np.zeros(0, dtype=np.int8)
        self.head: MeasuredHead | None = None
        self.around: HeadTexture | None = None
        self._count = (len(mesh.vertices_cam_mm), len(mesh.triangles))

    def add_head(
        self,
        model: FaceModel,
        capture: Capture,
        registration: Registration,
        texture: TextureFit | None,
        config: FullViewConfig,
        solver: str,
    ) -> None:
        """Add what surrounds the face: as it was captured, and as the model has it."""
        face = registration.vertices_cam_mm
        expected = expected_surround(model, registration, solver)
        outside = None
        if expected is not None and model.surround is not None:
            outside = (expected, model.surround.triangles)
        head = measured_head(capture, face, model.triangles, config, outside)
        hull = head_hull(model, registration, head, solver, expected)
        head = with_lost_depth(model, face, hull, head)
        captured = captured_surface(head)
        self.captured = self._added(captured.vertices_cam_mm, captured.triangles)
        self.slopes, self.head = captured.normals_cam, head
        self.carried, self.edge, self.before = captured.carried, captured.edge, captured.before
        self.explained = np.zeros(len(self.edge), dtype=np.int8)
        if hull is None:
            return
        for number, ear in enumerate(hull.ears, start=1):
            near = _near(captured.vertices_cam_mm, hull.surround_cam_mm[ear], EAR_MM)
            self.explained[near] = number
        self.surround = self._added(hull.surround_cam_mm, hull.triangles)
        self.vertices[0] = np.concatenate([hull.face_cam_mm, self.vertices[0][len(face) :]])
        self.around = head_texture(
            model, capture, registration, head, hull, None if texture is None else texture.light
        )

    def _added(self, vertices: Array, triangles: Array) -> Array:
        """Append a mesh; return the numbers of its triangles."""
        first, start = self._count
        self.vertices.append(vertices)
        self.triangles.append((triangles + first).astype(np.int32))
        self._count = (first + len(vertices), start + len(triangles))
        return np.arange(start, start + len(triangles))


def _near(points: Array, others: Array, reach_mm: float) -> Array:
    """Tell which of points (k, 3) have one of others (l, 3) within reach."""
    if not len(others):
        return np.zeros(len(points), dtype=bool)
    low, high = others.min(axis=0) - reach_mm, others.max(axis=0) + reach_mm
    near = np.ones(len(points), dtype=bool)
    for axis in range(3):
        near &= (points[:, axis] >= low[axis]) & (points[:, axis] <= high[axis])
    distance, _ = cKDTree(others).query(points[near], distance_upper_bound=reach_mm)
    near[near] = np.isfinite(distance)
    return near
