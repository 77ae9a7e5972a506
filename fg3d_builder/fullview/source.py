"""What all views of a capture share: its picture, and the layers that are drawn with it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import cv2
import numpy as np

from fg3d_builder.config import FullViewConfig
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.fullview.head_layers import HeadLayers
from fg3d_builder.fullview.head_texture import HeadTexture
from fg3d_builder.fullview.image_mesh import ImageMesh
from fg3d_builder.fullview.sampling import PicturePyramid
from fg3d_builder.fullview.texture_fit import TextureFit
from fg3d_builder.geometry.camera import scaled_intrinsics
from fg3d_builder.geometry.meshes import vertex_normals
from fg3d_builder.records import Array, Capture, Registration
from fg3d_builder.rendering.image_samples import on_other_grid
from fg3d_builder.rendering.rasterizer import rasterize

FULL_VIEW, FACE_PROFILING = "full_view", "face_profiling"
"""Methods: with the depth channel, layers and inpainting, or the baseline without."""

SHADOW_SIZE_PX = 512
"""Side of the face in the depth image that tells which points hide others."""


class Part(NamedTuple):
    """Some triangles of a source.

    Attributes
    ----------
    low, end : int
        Their vertices are from the first of these to before the second.
    triangles : (t, 3) int32
        Counted from `low`.
    number : (t,) int32
        Their numbers in the source.
    """

    low: int
    end: int
    triangles: Array
    number: Array


@dataclass(frozen=True)
class Source:
    """What all views of a capture share.

    Attributes
    ----------
    mesh : ImageMesh
    vertices_cam_mm : (v, 3) float64
        Those of the mesh, of the captured surface and of the surround. The sheet's outer parts
        are where the head's outside is, not where they were registered.
    places_cam_mm : (v, 3) float64
        Where those of the head were in the picture that the head was found in: another one's
        where the face got a new shape.
    triangles : (m, 3) int32
        Those of the mesh, of the captured surface and of the surround.
    captured, surround : (t,), (k,) int64
        Numbers of the triangles of the captured surface and of the surround.
    first_captured : int
        Number of the captured surface's first vertex.
    head : HeadLayers or None
        None for face profiling.
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
    places_cam_mm: Array
    triangles: Array
    captured: Array
    surround: Array
    first_captured: int
    head: HeadLayers | None
    picture: PicturePyramid
    backdrop: PicturePyramid
    normals_cam: Array
    first_mm: Array
    shown: Array
    first_intrinsics: Array

    @property
    def around(self) -> HeadTexture | None:
        """Colours of the head all around; None without a surround."""
        return None if self.head is None else self.head.around

    @property
    def behind(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """First triangle and count of what is drawn behind the head: background, lining."""
        start, count = self.mesh.face_triangle_count, self.mesh.background_triangle_count
        lining = start + count
        return (start, count), (lining, len(self.mesh.triangles) - lining)

    @cached_property
    def _parts(self) -> dict[tuple[int, int], Part]:
        return {}

    def part(self, first: int, count: int) -> Part:
        """Return so many triangles from a first one, drawn as a mesh of their own."""
        key = (first, count)
        if key not in self._parts:
            pieces = self.triangles[first : first + count]
            low, end = (int(pieces.min()), int(pieces.max()) + 1) if count else (0, 0)
            number = np.arange(first, first + count, dtype=np.int32)
            self._parts[key] = Part(low, end, pieces - np.int32(low), number)
        return self._parts[key]

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
        head: HeadLayers | None = None,
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
        head : HeadLayers, optional
            Where the caller has it; it is found in the picture otherwise. Not for face profiling.
        """
        face = mesh.vertices_cam_mm[: mesh.face_vertex_count]
        height, width = mesh.image_size
        extent = float(np.max(np.ptp(mesh.source_px[mesh.outline], axis=0)))
        factor = min(1.0, SHADOW_SIZE_PX / extent)
        camera = scaled_intrinsics(mesh.intrinsics, factor)
        size = (int(np.ceil(height * factor)), int(np.ceil(width * factor)))
        meshes, places = (_Meshes(mesh.vertices_cam_mm, mesh.triangles) for _ in range(2))
        captured = surround = np.zeros(0, dtype=np.int64)
        picture = backdrop = PicturePyramid.of(capture.rgb)
        shown = np.ones(size, np.float32)
        if config.method == FULL_VIEW:
            if head is None:
                light = None if texture is None else texture.light
                head = HeadLayers.of(model, capture, registration, light, config, solver)
            captured, surround = _added(meshes, head)
            _added(places, head.found)
            backdrop = PicturePyramid.of(head.backdrop)
            shown = on_other_grid(
                head.shown.astype(np.float32),
                head.shown_intrinsics,
                camera,
                size,
                cv2.INTER_NEAREST,
                outside=1.0,
            )
        vertices = np.concatenate(meshes.vertices)
        first = rasterize(vertices[: len(face)], mesh.face_triangles, camera, *size).depth_mm
        beyond = np.where(np.isnan(first), np.float32(np.inf), first)
        farthest = cv2.dilate(beyond, np.ones((3, 3), np.uint8))
        return cls(
            mesh=mesh,
            vertices_cam_mm=vertices,
            places_cam_mm=np.concatenate(places.vertices),
            triangles=np.concatenate(meshes.triangles),
            captured=captured,
            surround=surround,
            first_captured=len(mesh.vertices_cam_mm),
            head=head,
            picture=picture,
            backdrop=backdrop,
            normals_cam=vertex_normals(vertices[: len(face)], mesh.face_triangles),
            first_mm=farthest,
            shown=shown,
            first_intrinsics=camera,
        )


def _added(meshes: _Meshes, head: HeadLayers) -> tuple[Array, Array]:
    """Add a head's layers to the mesh of its picture; return the numbers of their triangles."""
    n = len(head.face_cam_mm)
    meshes.vertices[0] = np.concatenate([head.face_cam_mm, meshes.vertices[0][n:]])
    captured = meshes.add(head.captured.vertices_cam_mm, head.captured.triangles)
    return captured, meshes.add(head.surround_cam_mm, head.surround_triangles)


class _Meshes:
    """Meshes one after the other."""

    def __init__(self, vertices: Array, triangles: Array) -> None:
        self.vertices, self.triangles = [vertices], [triangles]
        self._count = (len(vertices), len(triangles))

    def add(self, vertices: Array, triangles: Array) -> Array:
        """Append a mesh; return the numbers of its triangles."""
        first, start = self._count
        self.vertices.append(vertices)
        self.triangles.append((triangles + first).astype(np.int32))
        self._count = (first + len(vertices), start + len(triangles))
        return np.arange(start, start + len(triangles))
