"""Multiview simulation (Sec. 4.1): a photo and its 3DMM fit, seen from constant poses.

The same code runs at training and at prediction, on CPU and CUDA, with batches.

Where it departs from the paper, and why:

* The virtual cameras see the fit in the object frame, from a constant place: neither pose, nor
  size, nor place in the photo is left in the views. The crop of the photo has its own, which is
  what the paper's networks see.
* Eq. 4 scores a vertex by its angle alone. A vertex that is hidden in the photo, or beyond its
  border, gets the least score here: else the cheek behind a nose would show the nose.
* Eq. 5 compares scores as they are: of a head that is turned by 20 degrees, nearly all of the
  farther half would be replaced, though the photo shows it, and where both are background, the
  comparison decides by noise. Here nothing is replaced that the photo shows at
  `SimulationConfig.trusted_cosine` or better (1: Eq. 5 as written), and background only where
  there is none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from fg3d_builder.config.constraints import Within, one_of
from fg3d_builder.config.quantities import DistanceMm, Part
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.fgnet.data.background_sheet import background_sheet
from fg3d_builder.fgnet.data.fits import FitBatch
from fg3d_builder.fgnet.data.uv import UVMap
from fg3d_builder.fgnet.networks.architectures import NetworkInput
from fg3d_builder.fgnet.view_geometry import (
    facing,
    grid_from_px,
    is_shown,
    px_from_cam_batch,
    vertex_normals_batch,
)
from fg3d_builder.fgnet.view_sets import VIEW_SETS
from fg3d_builder.geometry.closest_points import ScanSurface
from fg3d_builder.geometry.pose import rotation_from_angles
from fg3d_builder.records import Array
from fg3d_builder.rendering.rasterizer_torch import (
    BatchFragments,
    interpolate_batch,
    rasterize_batch,
)

FACE_BONUS = 2.0
"""What Eq. 4 adds to the score of face vertices."""

HIDDEN_COSINE = -1.0
"""Score, before the bonus, of what the photo does not show."""

LEAST_COSINE = 0.05
"""Texels that are seen more obliquely count as not visible."""

UNDRAWN_SCORE = -4.0
"""Score of pixels that no mesh covers; below any other."""


@dataclass(frozen=True)
class SimulationConfig:
    """Virtual views.

    view_set: name in `fg3d_builder.fgnet.view_sets.VIEW_SETS`.
    views_by_pose: yaws are of the sign of the fit's yaw, so that views turn to the side of the
        face that the photo shows, and a mirrored photo has mirrored views. Sec. 4.1 names yaws of
        one sign; Sec. 8.2.2 calls the other sign "inverse to the original pose", which suggests
        this. A head at yaw 0 is turned as the set says, to either side with its fit's noise.
    size: side length in pixels of views, PNCC and UV maps.
    camera_distance_mm: from the middle of the face to the virtual cameras.
    margin: the view's side over the larger side of the mean face's reliable region.
    sheet_step_px: distance of the background sheet's nodes in pixels of the photo.
    falloff_px: width of the fall-off from the outline's depth to the mean depth.
    flip_weight: brightness of what is filled in from the mirrored photo (Eq. 5).
    trusted_cosine: the mirrored photo replaces nothing that the photo shows at this cosine
        between normal and viewing ray, or better.
    """

    view_set: Annotated[str, one_of(*VIEW_SETS)] = "5"
    views_by_pose: bool = False
    size: Annotated[int, Within(8, 4096)] = 256
    camera_distance_mm: DistanceMm = 1000.0
    margin: Annotated[float, Within(1, 10)] = 1.25
    sheet_step_px: Annotated[int, Within(1, 1000)] = 4
    falloff_px: Annotated[float, Within(0, 10_000)] = 24.0
    flip_weight: Part = 0.5
    trusted_cosine: Part = 0.35


class Simulated(NamedTuple):
    """Simulated views; V views of S pixels.

    Attributes
    ----------
    given : NetworkInput
        Views and where they show each texel. Filled-in pixels are darkened, background that
        nothing covers is black.
    score : (B, V, S, S) float32
        Eq. 4 after the choice of Eq. 5; `UNDRAWN_SCORE` where there is nothing.
    mirrored : (B, V, S, S) bool
        Pixels taken from the mirrored photo.
    """

    given: NetworkInput
    score: Tensor
    mirrored: Tensor


class Mesh(NamedTuple):
    """One of the four meshes that views are rendered from.

    Attributes
    ----------
    obj_mm : (B, n, 3)
        Where it is, object frame.
    photo : (B, n, 4)
        Where in the photo's camera frame its colours are, in mm, and the score of Eq. 4.
    triangles : (m, 3) or (B, m, 3) int
    """

    obj_mm: Tensor
    photo: Tensor
    triangles: Tensor


class MultiviewSimulator(nn.Module):
    """Renders `Simulated` views; has buffers that follow ``.to(device)`` and no parameters."""

    triangles: Tensor
    mean_mm: Tensor
    pncc_code: Tensor
    twin_corner: Tensor
    twin_weight: Tensor
    view_rotation: Tensor
    view_intrinsics: Tensor
    middle_mm: Tensor

    def __init__(self, model: FaceModel, config: SimulationConfig) -> None:
        super().__init__()
        if config.view_set not in VIEW_SETS:
            known = ", ".join(VIEW_SETS)
            raise ValueError(f"view_set: unknown '{config.view_set}'; known are {known}")
        self.config = config
        self.uv_map = UVMap(model.uv, model.triangles, config.size)
        corner, weight = mirror_twins(model.mean, model.triangles)
        face = model.mean[model.reliable] if model.reliable.any() else model.mean
        low, high = face.min(axis=0), face.max(axis=0)
        poses = VIEW_SETS[config.view_set]
        rotations = [rotation_from_angles(pitch, yaw, 0.0) for pitch, yaw in poses]
        focal = config.size * config.camera_distance_mm / (config.margin * np.max((high - low)[:2]))
        centre = (config.size - 1) / 2.0
        camera = np.array([[focal, 0.0, centre], [0.0, focal, centre], [0.0, 0.0, 1.0]])
        self._buffer("triangles", np.asarray(model.triangles, dtype=np.int64))
        self._buffer("mean_mm", model.mean.astype(np.float32))
        self._buffer("pncc_code", normalized_coordinates(model.mean).astype(np.float32))
        self._buffer("twin_corner", corner)
        self._buffer("twin_weight", weight.astype(np.float32))
        self._buffer("view_rotation", np.reshape(rotations, (-1, 3, 3)).astype(np.float32))
        self._buffer("view_intrinsics", camera.astype(np.float32)[None])
        self._buffer("middle_mm", ((low + high) / 2).astype(np.float32))

    def _buffer(self, name: str, values: Array) -> None:
        self.register_buffer(name, torch.from_numpy(np.ascontiguousarray(values)), persistent=False)

    @torch.no_grad()
    def forward(self, fit: FitBatch) -> Simulated:
        """Simulate the configured views; for the view set ``"source"`` the photo is the view."""
        if not len(self.view_rotation):
            photo = self.photo_input(fit)
            known = (photo.image, photo.uv_from_image, photo.image_visible)
            shown, grid, visible = (value[:, None] for value in known if value is not None)
            given = NetworkInput(views=shown, uv_from_view=grid, view_visible=visible)
            undrawn = torch.zeros_like(shown[:, :, 0])
            return Simulated(given, undrawn, undrawn > 0)
        normals = vertex_normals_batch(fit.shape_obj_mm, self.triangles)
        face, flipped, sheet, turned = self.meshes(fit, normals)
        turn = self.turns(fit.rotation)
        face_seen = self._rasterized(face, turn)
        on_face = face_seen.triangle >= 0
        both = torch.cat([face.photo, flipped.photo], dim=-1)
        front = interpolate_batch(face_seen.triangle, face_seen.barycentric, face.triangles, both)
        # Whatever the sheet's depth, a face hides the background.
        behind, on_sheet = self._seen_of(sheet, turn, ~on_face)
        drawn = on_face | on_sheet
        beyond, on_turned = self._seen_of(turned, turn, ~drawn)
        # Zero wherever the mesh is not seen.
        seen, other = front[..., :4] + behind, front[..., 4:] + beyond
        score = seen[..., 3].where(drawn, UNDRAWN_SCORE)
        other_score = other[..., 3].where(on_face | on_turned, UNDRAWN_SCORE)
        # Eq. 5
        is_poor = ~drawn | (on_face & (score < FACE_BONUS + self.config.trusted_cosine))
        mirrored = is_poor & (other_score > score)
        places = other[..., :3].where(mirrored[..., None], seen[..., :3])
        brightness = drawn.float().masked_fill(mirrored, self.config.flip_weight)
        colour = self._colours(fit, places) * brightness[:, None]
        score = score.where(~mirrored, other_score)
        grid, visible = self._uv_grids(fit.shape_obj_mm, normals, face_seen, turn)
        by_view = (len(fit.image), len(self.view_rotation))
        shown = 2.0 * colour.unflatten(0, by_view) - 1.0
        return Simulated(
            NetworkInput(views=shown, uv_from_view=grid, view_visible=visible),
            score.unflatten(0, by_view),
            mirrored.unflatten(0, by_view),
        )

    def network_input(self, fit: FitBatch, needs: frozenset[str]) -> NetworkInput:
        """Make the fields of `NetworkInput` that a network `needs`, and no others."""
        parts = [self(fit).given] if "views" in needs else []
        if needs & {"image", "pncc", "uv_from_image", "image_visible"}:
            parts.append(self.photo_input(fit))
        if "shape_map" in needs:
            parts.append(NetworkInput(shape_map=self.shape_map(fit.shape_obj_mm)))
        given = {
            name: value
            for part in parts
            for name, value in part._asdict().items()
            if value is not None and name in needs
        }
        return NetworkInput(**given)

    @torch.no_grad()
    def photo_input(self, fit: FitBatch) -> NetworkInput:
        """Make what CVN and MVN are given: photo, PNCC, and the map from texels to the photo."""
        size = self.config.size
        height, width = fit.image.shape[2:]
        face_cam = fit.cam_from_obj(fit.shape_obj_mm)
        resized = torch.diag(fit.intrinsics.new_tensor([size / width, size / height, 1.0]))
        # Pixel centres are at integers, hence the half-pixel shift.
        resized[:2, 2] = (resized.diagonal()[:2] - 1.0) / 2.0
        seen = rasterize_batch(face_cam, self.triangles, resized @ fit.intrinsics, size, size)
        pncc = interpolate_batch(seen.triangle, seen.barycentric, self.triangles, self.pncc_code)
        normals = vertex_normals_batch(fit.shape_obj_mm, self.triangles)
        points, normals = self._texels(fit.shape_obj_mm, normals)
        grid, visible = self._texel_places(
            fit.cam_from_obj(points),
            normals @ fit.rotation.transpose(1, 2),
            resized @ fit.intrinsics,
            seen.depth_mm,
        )
        image = functional.interpolate(fit.image.float() / 255.0, (size, size), mode="area")
        return NetworkInput(
            image=2.0 * image - 1.0,
            pncc=2.0 * pncc.permute(0, 3, 1, 2) - 1.0,
            uv_from_image=grid,
            image_visible=visible,
        )

    def shape_map(self, shape_obj_mm: Tensor) -> Tensor:
        """UV map (B, 3, S, S) of shapes (B, n, 3) less the model's mean shape, mm."""
        return self.uv_map.uv_map_from_vertices(shape_obj_mm - self.mean_mm)

    def meshes(self, fit: FitBatch, normals_obj: Tensor) -> tuple[Mesh, Mesh, Mesh, Mesh]:
        """The face, the face with its mirrored texture, the sheet, and its mirror image.

        `normals_obj` (B, n, 3) are those of the fit's shape.
        """
        height, width = fit.image.shape[2:]
        face_cam = fit.cam_from_obj(fit.shape_obj_mm)
        seen = rasterize_batch(face_cam, self.triangles, fit.intrinsics, height, width)
        normals = normals_obj @ fit.rotation.transpose(1, 2)
        px = px_from_cam_batch(face_cam, fit.intrinsics)
        shown = is_shown(face_cam, px, seen.depth_mm)
        cosine = facing(face_cam, normals).where(shown, HIDDEN_COSINE)
        score = cosine + FACE_BONUS
        photo = torch.cat([face_cam, score[..., None]], dim=-1)
        face = Mesh(fit.shape_obj_mm, photo, self.triangles)
        flipped = Mesh(fit.shape_obj_mm, self._at_twins(photo), self.triangles)
        sheet_cam, normals, faces, kept = background_sheet(
            seen,
            px_step=self.config.sheet_step_px,
            falloff_px=self.config.falloff_px,
            intrinsics=fit.intrinsics,
        )
        sheet_obj = fit.obj_from_cam(sheet_cam)
        photo = torch.cat([sheet_cam, facing(sheet_cam, normals)[..., None]], dim=-1)
        # Cells that are left out become points, which nothing draws.
        drawn = faces * kept[..., None]
        mirror = sheet_obj.new_tensor([-1.0, 1.0, 1.0])
        sheet = Mesh(sheet_obj, photo, drawn)
        turned = Mesh(sheet_obj * mirror, photo, drawn[..., [0, 2, 1]])
        return face, flipped, sheet, turned

    def _at_twins(self, values: Tensor) -> Tensor:
        """Values (B, n, c) at the places that a mirror brings to the vertices."""
        parts = [values[:, self.twin_corner[:, k]] * self.twin_weight[:, k, None] for k in range(3)]
        return parts[0] + parts[1] + parts[2]

    def turns(self, rotation: Tensor) -> Tensor:
        """Rotations (B, V, 3, 3) of the views' cameras, for fits whose pose is (B, 3, 3)."""
        turns = self.view_rotation.expand(len(rotation), -1, -1, -1)
        if not self.config.views_by_pose:
            return turns
        # The face looks along the object frame's z: to the image's left at a negative yaw.
        looks_left = rotation[:, 0, 2] < 0
        across = turns.new_tensor([-1.0, 1.0, 1.0])
        mirrored = across[:, None] * turns * across
        return mirrored.where(looks_left[:, None, None, None], turns)

    def _view_cam(self, points_obj_mm: Tensor, turn: Tensor) -> Tensor:
        """Object-frame points (B, n, 3) in the views' cameras (B * V, n, 3)."""
        turned = torch.einsum("bvij,bnj->bvni", turn, points_obj_mm - self.middle_mm)
        turned[..., 2] += self.config.camera_distance_mm
        return turned.flatten(0, 1)

    def _rasterized(self, mesh: Mesh, turn: Tensor, wanted: Tensor | None = None) -> BatchFragments:
        size, points = self.config.size, self._view_cam(mesh.obj_mm, turn)
        return rasterize_batch(
            points, mesh.triangles, self.view_intrinsics, size, size, wanted=wanted
        )

    def _seen_of(self, mesh: Mesh, turn: Tensor, wanted: Tensor) -> tuple[Tensor, Tensor]:
        """`Mesh.photo` (B * V, S, S, 4) at the `wanted` pixels, and which show the mesh."""
        seen = self._rasterized(mesh, turn, wanted)
        values = interpolate_batch(seen.triangle, seen.barycentric, mesh.triangles, mesh.photo)
        return values, seen.triangle >= 0

    def _photo_at_size(self, image: Tensor) -> Tensor:
        """The photo (B, 3, h, w) in [0, 1], not much finer than the views."""
        photo = image.float() / 255.0
        factor = image.shape[-1] // self.config.size
        return functional.avg_pool2d(photo, factor) if factor > 1 else photo

    def _colours(self, fit: FitBatch, places: Tensor) -> Tensor:
        """What the photo shows (B * V, 3, S, S) at places (B * V, S, S, 3) in its camera frame."""
        photo = self._photo_at_size(fit.image)
        batch, views, size = len(photo), len(self.view_rotation), self.config.size
        px = px_from_cam_batch(places.reshape(batch, -1, 3), fit.intrinsics)
        grid = grid_from_px(px, *fit.image.shape[2:])
        colour = functional.grid_sample(
            photo, grid[:, None], padding_mode="border", align_corners=False
        )
        return colour.view(batch, 3, views, size, size).transpose(1, 2).flatten(0, 1)

    def _uv_grids(
        self, shape_obj_mm: Tensor, normals_obj: Tensor, face_seen: BatchFragments, turn: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Places (B, V, S, S, 2) of the texels in the views, and visibility (B, V, 1, S, S)."""
        points, normals = self._texels(shape_obj_mm, normals_obj)
        turned = torch.einsum("bvij,bnj->bvni", turn, normals).flatten(0, 1)
        camera = self.view_intrinsics.expand(len(turned), 3, 3)
        grid, visible = self._texel_places(
            self._view_cam(points, turn), turned, camera, face_seen.depth_mm
        )
        lead = (len(shape_obj_mm), -1)
        return grid.view(*lead, *grid.shape[1:]), visible.view(*lead, *visible.shape[1:])

    def _texels(self, shape_obj_mm: Tensor, normals_obj: Tensor) -> tuple[Tensor, Tensor]:
        """Places and unit normals of a shape's texels, (B, S * S, 3) each, object frame."""
        both = self.uv_map.uv_map_from_vertices(torch.cat([shape_obj_mm, normals_obj], dim=-1))
        texels = both.flatten(2).transpose(1, 2)
        return texels[..., :3], functional.normalize(texels[..., 3:], dim=-1)

    def _texel_places(
        self, points_cam: Tensor, normals_cam: Tensor, intrinsics: Tensor, depth_mm: Tensor
    ) -> tuple[Tensor, Tensor]:
        """`grid_sample` places (N, S, S, 2) of texels (N, S * S, 3), and if they show (N, 1, S, S).

        Texels beyond the chart's border have a place, as they are read at the border, but never
        show.
        """
        size = self.config.size
        px = px_from_cam_batch(points_cam, intrinsics)
        shown = is_shown(points_cam, px, depth_mm)
        shown &= facing(points_cam, normals_cam) > LEAST_COSINE
        shown &= self.uv_map.inside.flatten()
        grid = grid_from_px(px, *depth_mm.shape[1:])
        return grid.view(-1, size, size, 2), shown.float().view(-1, 1, size, size)


def mirror_twins(mean_mm: Array, triangles: Array) -> tuple[Array, Array]:
    """Find where on the mean face (n, 3) each vertex is when left and right are swapped (x = 0).

    The face need not have mirrored vertices.

    Returns
    -------
    corner : (n, 3) int64
    weight : (n, 3) float64
        Barycentric.
    """
    found = ScanSurface(mean_mm, triangles).closest(mean_mm * [-1.0, 1.0, 1.0])
    return found.corners, found.barycentric


def normalized_coordinates(mean_mm: Array) -> Array:
    """Normalized Coordinate Code (n, 3): the mean face's coordinates scaled to [0, 1]."""
    low, high = mean_mm.min(axis=0), mean_mm.max(axis=0)
    return np.asarray((mean_mm - low) / (high - low))
