"""Features warped to the UV plane land where the grid says, at every scale."""

from __future__ import annotations

import torch
from torch import Tensor

from fg3d_builder.fgnet.networks.warping import halved_grids, warp_to_uv


def _positions(size: int) -> Tensor:
    """A feature map (1, 2, s, s) that holds its own position in grid coordinates."""
    middle = (torch.arange(size) + 0.5) * 2 / size - 1
    y, x = torch.meshgrid(middle, middle, indexing="ij")
    return torch.stack([x, y])[None]


def _bent_grid(size: int) -> Tensor:
    """A smooth map of the plane into the image, (1, S, S, 2)."""
    x, y = _positions(size)[0]
    return torch.stack([0.7 * x + 0.1 * y * y, 0.8 * y - 0.1 * x], dim=-1)[None]


def test_features_that_say_where_they_are_give_the_grid_back_at_every_scale() -> None:
    size, levels = 64, 3
    grid = _bent_grid(size)
    pyramid = halved_grids(grid, torch.ones(1, 1, size, size), levels)
    assert [g.shape[1] for g, _ in pyramid] == [64, 32, 16, 8]
    for level, (place, seen) in enumerate(pyramid):
        assert torch.all(seen == 1)
        warped = warp_to_uv(_positions(size >> level), place, seen)
        torch.testing.assert_close(warped.permute(0, 2, 3, 1), place, atol=1e-5, rtol=0)
        # A coarse texel points to the middle of what it covers: the map at its own centre, up
        # to the map's curvature across the texel.
        torch.testing.assert_close(place, _bent_grid(size >> level), atol=6e-3, rtol=0)


def test_hidden_texels_pull_no_coarse_place_and_count_by_their_share() -> None:
    size = 8
    grid = _bent_grid(size)
    visible = torch.ones(1, 1, size, size)
    visible[..., :3] = 0
    misplaced = grid.clone()
    misplaced[:, :, :3] = 1e3
    (_, _), (place, seen) = halved_grids(misplaced, visible, 1)
    (_, _), (truth, _) = halved_grids(grid, visible, 1)
    torch.testing.assert_close(place[:, :, 1:], truth[:, :, 1:])
    torch.testing.assert_close(seen[0, 0, 0], torch.tensor([0.0, 0.5, 1.0, 1.0]))
    torch.testing.assert_close(place[:, :, 1], grid[:, :, 3].reshape(1, 4, 2, 2).mean(dim=2))


def test_what_is_hidden_or_outside_of_the_image_is_zero() -> None:
    grid = torch.tensor([[[[0.0, 0.0], [3.0, 0.0]]]])
    warped = warp_to_uv(torch.ones(1, 1, 4, 4), grid, torch.ones(1, 1, 1, 2))
    torch.testing.assert_close(warped, torch.tensor([[[[1.0, 0.0]]]]))
    hidden = warp_to_uv(torch.ones(1, 1, 4, 4), grid, torch.zeros(1, 1, 1, 2))
    assert not hidden.any()
