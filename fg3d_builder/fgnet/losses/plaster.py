"""The plaster sculpture descriptor (Sec. 5.1): white shapes under light along the view.

Five cameras look at both shapes from 100 m through a lens that shows one scale at any depth to
0.1 %: the paper's renderer rotates and drops the depth. White under orthogonal light means that
a vertex is as bright as the cosine between its normal and the view; pixels interpolate that.

Where registration has no confidence there is nothing to compare. Triangles with a vertex of
confidence 0 hide what is behind them, but a pixel that shows one, in either shape, counts for
nothing (left out of the mesh, they would tear holes whose rims look like errors), and normals are
made without them. Other pixels are weighted by the confidence of what they show.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from fg3d_builder.fgnet.view_geometry import vertex_normals_batch
from fg3d_builder.geometry.pose import rotation_from_angles
from fg3d_builder.records import Array
from fg3d_builder.rendering.rasterizer_torch import (
    BatchFragments,
    interpolate_batch,
    perspective_barycentric,
    rasterize_batch,
)

PLASTER_VIEWS_DEG = ((0.0, 0.0), (0.0, 90.0), (0.0, -90.0), (30.0, 0.0), (-30.0, 0.0))
"""(pitch, yaw) of Eq. 7."""
CAMERA_DISTANCE_MM = 1e5
WINDOW = 1.15
"""Side of the picture in units of the mean shape's diameter around its centre: room for larger
heads."""
SHARP = 1e-4
"""Below this root mean square brightness the root in Eq. 7 is rounded off: its slope at 0 is
infinite."""


class PlasterPictures(NamedTuple):
    """Plaster pictures of B shapes from V views.

    Attributes
    ----------
    shade : (B, V, H, W) float
        In [0, 1], 0 on the background; differentiable in the vertices.
    triangle : (B, V, H, W) int64
        -1 on the background and where nothing is known.
    barycentric : (B, V, H, W, 3) float, detached
    known : (B, V, H, W) bool
        False where a triangle shows that has a vertex of confidence 0.
    """

    shade: Tensor
    triangle: Tensor
    barycentric: Tensor
    known: Tensor


class PlasterViews(nn.Module):
    """The cameras and the renderer of Eq. 7 for one face model.

    Parameters
    ----------
    mean : (n, 3) float
        The model's mean shape, object frame, mm; the cameras look at its centre.
    triangles : (m, 3) int
    size_px : int
        Side of the square pictures.
    on_grid : bool
        Gradients with corners on the rasteriser's grid; off for finite differences.
    """

    triangles: Tensor
    _rotation: Tensor
    _translation: Tensor
    _intrinsics: Tensor

    def __init__(self, mean: Array, triangles: Array, size_px: int, on_grid: bool = True) -> None:
        super().__init__()
        self.size_px = size_px
        self.on_grid = on_grid
        centre = (mean.min(axis=0) + mean.max(axis=0)) / 2
        diameter = 2.0 * np.linalg.norm(mean - centre, axis=1).max()
        rotation = np.stack([rotation_from_angles(p, y, 0.0) for p, y in PLASTER_VIEWS_DEG])
        focal = CAMERA_DISTANCE_MM * size_px / (WINDOW * diameter)
        middle = (size_px - 1) / 2
        intrinsics = np.array([[focal, 0, middle], [0, focal, middle], [0, 0, 1.0]])
        for name, value in (
            ("triangles", np.asarray(triangles, dtype=np.int64)),
            ("_rotation", rotation),
            ("_translation", np.array([0, 0, CAMERA_DISTANCE_MM]) - rotation @ centre),
            ("_intrinsics", intrinsics),
        ):
            self.register_buffer(name, torch.from_numpy(value), persistent=False)

    def forward(
        self, shape_mm: Tensor, confidence: Tensor, differentiable: bool = True
    ) -> PlasterPictures:
        """Picture shapes (B, n, 3) with confidence (B, n), V views each.

        Computed in float64: at the cameras' distance float32 is coarser than a hundredth mm.
        Without gradients, the rasteriser's own coordinates serve: float32, on its grid.
        """
        batch, views, size = len(shape_mm), len(self._rotation), self.size_px
        shape = shape_mm.double()
        in_cameras = self.in_cameras(shape)
        sure = (confidence[:, self.triangles] > 0).all(dim=-1)
        shade = self.shades(vertex_normals_batch(shape, self.triangles, sure))
        seen = self.drawn(in_cameras)
        shown = seen.triangle
        mesh = torch.arange(batch, device=sure.device).repeat_interleave(views)[:, None, None]
        known = sure[mesh, shown.clamp(min=0)] | (shown < 0)
        triangle = shown.where(known, -1)
        where = seen.barycentric.double()
        if differentiable:
            where = perspective_barycentric(
                in_cameras, self.triangles, self._intrinsics, triangle, on_grid=self.on_grid
            )
        spread = shade.flatten(0, 1)[..., None]
        picture = interpolate_batch(triangle, where, self.triangles, spread)
        return PlasterPictures(
            picture[..., 0].view(batch, views, size, size),
            triangle.view(batch, views, size, size),
            where.detach().view(batch, views, size, size, 3),
            known.view(batch, views, size, size),
        )

    def in_cameras(self, shape_mm: Tensor) -> Tensor:
        """Shapes (B, n, 3) float64 in the frames of the V cameras, (B V, n, 3)."""
        turned = torch.einsum("vij,bnj->bvni", self._rotation, shape_mm)
        return (turned + self._translation[:, None]).flatten(0, 1)

    def shades(self, normals: Tensor) -> Tensor:
        """How bright (B, V, n) vertices with normals (B, n, 3) are."""
        # Cameras look along +z, so what faces them has a normal with z < 0.
        return functional.relu(-torch.einsum("vj,bnj->bvn", self._rotation[:, 2], normals))

    def drawn(self, in_cameras: Tensor) -> BatchFragments:
        """What the cameras see of shapes (B V, n, 3) in their frames; no gradients."""
        size = self.size_px
        shapes = in_cameras.detach()
        return rasterize_batch(shapes, self.triangles, self._intrinsics, size, size)

    def confidence_picture(self, pictures: PlasterPictures, confidence: Tensor) -> Tensor:
        """Spread confidence (B, n) -> (B, V, H, W); 1 on the background, 0 where unknown."""
        batch, views = pictures.triangle.shape[:2]
        spread = confidence.double()[:, None, :, None].expand(-1, views, -1, -1).flatten(0, 1)
        picture = interpolate_batch(
            pictures.triangle.flatten(0, 1),
            pictures.barycentric.flatten(0, 1),
            self.triangles,
            spread,
        )[..., 0].view(batch, views, self.size_px, self.size_px)
        return picture.where(pictures.triangle >= 0, pictures.known.double())


class PlasterErrors(NamedTuple):
    """Both shapes' pictures and how they differ.

    Attributes
    ----------
    difference : (B, V, H, W) float
        ``predicted - target``, in units of full brightness.
    weight : (B, V, H, W) float
        Confidence in [0, 1] of what the pixel shows: the smaller of both shapes', 1 where both
        show the background.
    """

    predicted: PlasterPictures
    target: PlasterPictures
    difference: Tensor
    weight: Tensor


def plaster_errors(
    cameras: PlasterViews,
    predicted_mm: Tensor,
    target_mm: Tensor,
    confidence: Tensor,
    differentiable: bool = True,
) -> PlasterErrors:
    """Picture both shapes (B, n, 3), confidence (B, n), and subtract.

    Only `difference` and the predicted shade carry gradients, to `predicted_mm`.

    Without `differentiable` no gradients are kept at all.
    """
    # Both by the same arithmetic: equal shapes must not differ.
    predicted = cameras(predicted_mm, confidence, differentiable)
    with torch.no_grad():
        target = cameras(target_mm, confidence, differentiable)
    return compare_pictures(cameras, predicted, target, confidence)


def compare_pictures(
    cameras: PlasterViews, predicted: PlasterPictures, target: PlasterPictures, confidence: Tensor
) -> PlasterErrors:
    """Subtract pictures that `cameras` made of shapes with the same confidence (B, n)."""
    with torch.no_grad():
        weight = torch.minimum(
            cameras.confidence_picture(predicted, confidence),
            cameras.confidence_picture(target, confidence),
        )
    return PlasterErrors(predicted, target, predicted.shade - target.shade, weight)


def plaster_distance(errors: PlasterErrors) -> Tensor:
    """PSD (Eq. 7) per face: the views' weighted root mean square differences, summed.

    The mean is over the pixels that show the target, so that the number (B,), in units of full
    brightness, does not depend on the pictures' size and the prediction cannot lower it by growing.
    """
    shown = (errors.target.triangle >= 0) * errors.weight
    pixels = shown.sum(dim=(-2, -1)).clamp(min=1.0)
    squared = (errors.weight * errors.difference.square()).sum(dim=(-2, -1)) / pixels
    return (torch.sqrt(squared + SHARP**2) - SHARP).sum(dim=-1)
