"""PSD as a measure (Eq. 7): how much a reconstruction and the truth differ to the eye.

What the loss of the same name minimises, computed as NME and DACE are: after the alignment of
Eq. 18, and of the set C alone. It sees shading, that is normals, and outlines, and hardly sees what
slides along the skin.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch

from fg3d_builder.fgnet.losses.plaster import PlasterViews, compare_pictures, plaster_distance
from fg3d_builder.records import Array

METRIC_SIZE_PX = 128
"""Side of the pictures. On faces 1.7 mm apart the mean of several is within 0.4 % of that at 512
pixels, a single face's within 1.7 %, for an eighth of the time (`python -m benchmarks.plaster`)."""


class PlasterMetric:
    """Measures shapes of one face model, on the CPU.

    Parameters
    ----------
    mean : (n, 3) float
        The face model's mean shape, object frame, mm: places the cameras.
    triangles : (m, 3) int
    size_px : int
    """

    def __init__(self, mean: Array, triangles: Array, size_px: int = METRIC_SIZE_PX) -> None:
        self._cameras = PlasterViews(mean, triangles, size_px)

    @torch.no_grad()
    def __call__(self, shapes_mm: Iterable[Array], truth_mm: Array, members: Array) -> list[float]:
        """Return the PSD of each shape, a sum over five views in units of full brightness.

        Parameters
        ----------
        shapes_mm : iterable of (n, 3) float
            Aligned with the truth.
        truth_mm : (n, 3) float
            Object frame.
        members : (n,) bool
            The set C. Pixels that show anything else, in the shape or in the truth, do not count.
        """
        known = torch.from_numpy(np.asarray(members, dtype=np.float64))[None]
        truth = self._cameras(_batch(truth_mm), known, differentiable=False)
        found = []
        for shape in shapes_mm:
            pictures = self._cameras(_batch(shape), known, differentiable=False)
            errors = compare_pictures(self._cameras, pictures, truth, known)
            found.append(float(plaster_distance(errors)[0]))
        return found


def _batch(shape_mm: Array) -> torch.Tensor:
    return torch.from_numpy(np.asarray(shape_mm, dtype=np.float64))[None]
