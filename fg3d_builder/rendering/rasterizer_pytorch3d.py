"""PyTorch3D's rasteriser behind our conventions, used where it is installed.

PyTorch3D's normalised device coordinates have x to the left and y up; the shorter side of the
image spans [-1, 1], the longer one as much more as it is longer, and pixels are areas. Ours are
in pixels, x right and y down, with centres at integers.

Its inside test is in float32 and leaves out edges, and it skips triangles of less than about
1e-8 of that unit's area: pixels whose centre is on or next to an edge may show the other
triangle, or a pinhole. Everything else agrees with our own rasterisers.
"""

from __future__ import annotations

import torch
from torch import Tensor

from fg3d_builder.errors import MissingDependencyError
from fg3d_builder.rendering.rasterizer_torch import BatchFragments, drawn_triangles, grid_corners


def ndc_from_px(points_px: Tensor, height: int, width: int) -> Tensor:
    """PyTorch3D's coordinates (..., 2) of our pixels (..., 2) in an image of this size."""
    last = torch.tensor([width - 1, height - 1], dtype=points_px.dtype, device=points_px.device)
    return (last - 2 * points_px) / min(height, width)


def px_from_ndc(points_ndc: Tensor, height: int, width: int) -> Tensor:
    """Our pixels (..., 2) of PyTorch3D's coordinates (..., 2) in an image of this size."""
    last = torch.tensor([width - 1, height - 1], dtype=points_ndc.dtype, device=points_ndc.device)
    return (last - points_ndc * min(height, width)) / 2


@torch.no_grad()
def rasterize_by_pytorch3d(
    vertices_cam_mm: Tensor,
    triangles: Tensor,
    intrinsics: Tensor,
    height: int,
    width: int,
    cull_back_faces: bool = True,
) -> BatchFragments:
    """Render a batch of meshes; arguments and result as those of `rasterize_batch`.

    Raises MissingDependencyError where PyTorch3D is absent.

    `cull_back_faces` leaves out triangles that are seen from behind.
    """
    try:
        from pytorch3d.renderer.mesh.rasterize_meshes import rasterize_meshes
        from pytorch3d.structures import Meshes
    except ImportError as error:
        raise MissingDependencyError(
            "PyTorch3D is on no package index; see its INSTALL.md for how to build it"
        ) from error

    batch = len(vertices_cam_mm)
    corners_px, corner_z = grid_corners(vertices_cam_mm, triangles, intrinsics)
    drawn = drawn_triangles(corners_px, cull_back_faces)
    mesh, face = torch.nonzero(drawn, as_tuple=True)
    if len(face) == 0:
        return _without_triangles(batch, height, width, vertices_cam_mm.device)
    ndc = ndc_from_px(corners_px[mesh, face], height, width)
    # Each triangle has corners of its own: those of one left out may have no projection.
    soup = torch.cat([ndc, corner_z[mesh, face][..., None]], dim=-1).float()
    counts = drawn.sum(dim=1).tolist()
    vertices = [part.reshape(-1, 3) for part in soup.split(counts)]
    faces = [torch.arange(3 * n, device=soup.device).reshape(-1, 3) for n in counts]
    packed, depth, barycentric, _distance = rasterize_meshes(
        Meshes(vertices, faces),
        image_size=(height, width),
        blur_radius=0.0,
        faces_per_pixel=1,
        # More triangles than this in a tile would be dropped.
        max_faces_per_bin=max(counts),
        perspective_correct=True,
    )
    return _in_our_numbers(packed[..., 0], depth[..., 0], barycentric[..., 0, :], face)


def _in_our_numbers(
    packed: Tensor, depth_mm: Tensor, barycentric: Tensor, face: Tensor
) -> BatchFragments:
    """Fragments from PyTorch3D's, whose triangles count through the batch; `face` has ours."""
    seen = packed >= 0
    triangle = torch.where(seen, face[packed.clamp(min=0)], -1)
    return BatchFragments(
        triangle,
        torch.where(seen[..., None], barycentric, 0.0),
        torch.where(seen, depth_mm, torch.nan),
    )


def _without_triangles(batch: int, height: int, width: int, device: torch.device) -> BatchFragments:
    """Nothing but background."""
    return BatchFragments(
        torch.full((batch, height, width), -1, device=device),
        torch.zeros((batch, height, width, 3), device=device),
        torch.full((batch, height, width), torch.nan, device=device),
    )
