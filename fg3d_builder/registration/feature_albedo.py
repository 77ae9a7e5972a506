"""How bright a face is around its features: of each model, or carried onto it.

A model whose albedo has no modes is painted, or grey: where its brows and lips end is a guess. The
brightness of the embedded model around eyes, brows, lips and nose is therefore kept in
``feature_albedo.json`` beside the places of MediaPipe's points, which every model has: a thin plate
spline that takes one model's points to the other's carries it over.

``python -m benchmarks.quality --calibrate`` writes the file.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.interpolate import RBFInterpolator
from scipy.spatial import KDTree

from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.landmarks.edges import MEDIAPIPE
from fg3d_builder.numerics.remembered import remembered
from fg3d_builder.records import Array

TEMPLATE_FILE = Path(__file__).with_name("feature_albedo.json")

DARKEST = 0.01
"""Added to reflectances before their logarithm is taken."""

GRID_MM = 2.0
"""The template has one vertex in each cube of this size: the image is blurred by half of it."""

_NEIGHBOURS, _NEAR_MM = 3, 0.3
_SMOOTHING = 1.0
_LEAST_POINTS = 50


class FeatureTemplate(NamedTuple):
    """Brightness around the features of a face whose MediaPipe points are known.

    Attributes
    ----------
    numbers : (p,) int64
        Of MediaPipe's points.
    points_mm : (p, 3) float64
    places_mm : (k, 3) float64
        On the skin around the features, in the frame of the points.
    log_albedo : (k,) float64
    """

    numbers: Array
    points_mm: Array
    places_mm: Array
    log_albedo: Array


def log_albedo(model: FaceModel) -> Array:
    """Return the (n,) log brightness of a model's mean, as the model itself has it."""
    return np.asarray(np.log(model.albedo_mean.mean(axis=1) + DARKEST))


def template_table(model: FaceModel, vertices: Array) -> dict[str, Any]:
    """Return what `TEMPLATE_FILE` keeps of a model with a measured albedo.

    Parameters
    ----------
    model : FaceModel
        With MediaPipe's points.
    vertices : (k,) int
        Those around the features.
    """
    embedding = model.embeddings[MEDIAPIPE]
    cubes = np.floor(model.mean[vertices] / GRID_MM).astype(np.int64)
    _, first = np.unique(cubes, axis=0, return_index=True)
    kept = vertices[np.sort(first)]
    return {
        "model": model.name,
        "numbers": embedding.point_index.tolist(),
        "points_mm": np.round(embedding.points(model.mean, model.triangles), 1).tolist(),
        "places_mm": np.round(model.mean[kept], 1).tolist(),
        "log_albedo": np.round(log_albedo(model)[kept], 2).tolist(),
    }


@lru_cache(maxsize=1)
def _template() -> FeatureTemplate:
    table = json.loads(TEMPLATE_FILE.read_text(encoding="utf-8"))
    return FeatureTemplate(*(np.array(table[name]) for name in FeatureTemplate._fields))


@remembered(
    lambda model: (
        model.mean,
        model.triangles,
        model.albedo_mean,
        model.albedo_sd,
        *(() if MEDIAPIPE not in model.embeddings else vars(model.embeddings[MEDIAPIPE]).values()),
    )
)
def feature_albedo(model: FaceModel) -> Array | None:
    """Return (n,) how bright a model's vertices are around the features, as a logarithm.

    The model's own mean where it has modes of albedo, else the template's; None for a model that
    has neither those nor enough of MediaPipe's points. Away from the features the values mean
    nothing.
    """
    if len(model.albedo_sd):
        return log_albedo(model)
    embedding, template = model.embeddings.get(MEDIAPIPE), _template()
    if embedding is None:
        return None
    _, ours, theirs = np.intersect1d(embedding.point_index, template.numbers, return_indices=True)
    points = embedding.points(model.mean, model.triangles)[ours]
    # Points at one place would leave the spline undetermined.
    _, apart = np.unique(np.round(points, 3), axis=0, return_index=True)
    if len(apart) < _LEAST_POINTS:
        return None
    warp = RBFInterpolator(points[apart], template.points_mm[theirs][apart], smoothing=_SMOOTHING)
    distance, nearest = KDTree(template.places_mm).query(warp(model.mean), k=_NEIGHBOURS)
    weight = 1.0 / (distance + _NEAR_MM)
    weight /= weight.sum(axis=1, keepdims=True)
    return np.asarray((weight * template.log_albedo[nearest]).sum(axis=1))
