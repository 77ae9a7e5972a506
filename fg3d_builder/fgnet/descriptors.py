"""Oriented gradients of pictures: what a linear regression can learn shapes from.

How bright and of which colour a face is says little of its shape; where its edges are, beside
where the fit would have them, says much. So pictures are described by how strong their gradients
are in each direction, cell by cell, relative to those around: exposure, colour and contrast drop
out, and small shifts become small changes of many numbers.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

PICTURE_PX = 64
"""Larger and smaller pictures are resized to this side."""
CELLS, DIRECTIONS = 32, 8
"""Cells along a side, and signed directions of gradients, 45 degrees apart."""
AROUND = 11
"""Cells along a side of the square whose mean strength a cell's is relative to."""
DARKEST = 0.02
"""Added to brightness in [0, 1] before its root is taken: noise of dark pixels is no edge."""
FAINT = 0.01
"""Gradients that are weak against this are not blown up."""


def described(pictures: Tensor) -> Tensor:
    """Descriptors (B, V * CELLS * CELLS * DIRECTIONS) of pictures (B, V, 3, S, S) in [-1, 1]."""
    flat = pictures.flatten(0, 1).float()
    if flat.shape[-1] != PICTURE_PX:
        flat = functional.interpolate(flat, (PICTURE_PX, PICTURE_PX), mode="area")
    brightness = torch.sqrt((flat.mean(dim=1, keepdim=True) + 1.0) / 2.0 + DARKEST)
    cells = _strengths(_gradients(brightness))
    margin = (AROUND // 2,) * 4
    around = functional.pad(cells.sum(dim=1, keepdim=True), margin, mode="replicate")
    relative = cells / (functional.avg_pool2d(around, AROUND, stride=1) + FAINT)
    # A root: a doubled strength is less of a difference than strength where there was none.
    return torch.sqrt(relative + 1e-4).reshape(len(pictures), -1)


def _gradients(brightness: Tensor) -> Tensor:
    """Sobel gradients (N, 2, S, S), x and y, of brightness (N, 1, S, S) per pixel."""
    across = brightness.new_tensor([[-1.0, 0.0, 1.0], [-2.0, 0.0, 2.0], [-1.0, 0.0, 1.0]]) / 8.0
    kernels = torch.stack([across, across.T])[:, None]
    return functional.conv2d(functional.pad(brightness, (1, 1, 1, 1), mode="replicate"), kernels)


def _strengths(gradients: Tensor) -> Tensor:
    """Mean strength by direction in overlapping cells, (N, DIRECTIONS, CELLS, CELLS)."""
    size = gradients.norm(dim=1, keepdim=True)
    angle = torch.atan2(gradients[:, 1:], gradients[:, :1])
    towards = torch.arange(DIRECTIONS, device=gradients.device) * (2.0 * math.pi / DIRECTIONS)
    share = torch.cos(angle - towards[None, :, None, None]).clamp(min=0.0).square()
    cell = PICTURE_PX // CELLS
    padded = functional.pad(share * size, (cell // 2,) * 4)
    return functional.avg_pool2d(padded, 2 * cell, stride=cell)
