"""What a model's shapes lose on their way through a UV map, as the networks see them."""

from __future__ import annotations

import numpy as np
import torch

from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.fgnet.data.uv import UVMap
from fg3d_builder.records import Array

MOST_MM = 0.1
"""The 95th percentile over the reliable face that a chart may lose."""


def chart_loss_mm(model: FaceModel, size: int = 256, people: int = 8, seed: int = 0) -> Array:
    """Return how far vertices are from themselves after a map of `size` x `size` texels.

    What is carried is what networks predict: displacements from the mean, of random identities
    with random expressions of the model.

    Returns
    -------
    (people, n) float64
        mm.
    """
    random = np.random.default_rng(seed)
    uv_map = UVMap(model.uv, model.triangles, size)
    losses = []
    for _ in range(people):
        alpha_id = model.id_sd * random.standard_normal(len(model.id_sd))
        alpha_exp = model.exp_sd * random.standard_normal(len(model.exp_sd))
        alpha_exp = np.clip(alpha_exp, model.exp_lower, model.exp_upper)
        moved = torch.from_numpy(model.shape(alpha_id, alpha_exp) - model.mean)[None]
        back = uv_map.vertices_from_uv_map(uv_map.uv_map_from_vertices(moved))
        losses.append(torch.linalg.vector_norm(back - moved, dim=2)[0].numpy())
    return np.array(losses)
