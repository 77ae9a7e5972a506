"""A toy face, and the same with its personalized shape, as the losses' tests compare them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.fgnet.losses.plaster import PlasterViews
from tests.toy_models import toy_model

SIZE = 48


class Pair(NamedTuple):
    """Two shapes (1, n, 3) float64 of a model, confidence (1, n), and cameras that see them."""

    model: FaceModel
    predicted: Tensor
    target: Tensor
    confidence: Tensor
    cameras: PlasterViews


def pair() -> Pair:
    """Shapes some 3 mm apart; a disc without confidence on one cheek."""
    model = toy_model()
    rng = np.random.default_rng(103)
    target = model.shape(model.id_sd * rng.standard_normal(len(model.id_sd)))
    confidence = rng.uniform(0.3, 1.0, len(target))
    confidence[np.linalg.norm(model.mean - [45.0, -20.0, 60.0], axis=1) < 25.0] = 0.0
    return Pair(
        model,
        torch.from_numpy(model.mean)[None],
        torch.from_numpy(target)[None],
        torch.from_numpy(confidence)[None],
        PlasterViews(model.mean, model.triangles, SIZE, on_grid=False),
    )
