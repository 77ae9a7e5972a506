"""What writers of face models share: charts and colours as files have them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fg3d_builder.facemodel.sources.source import ModelSource
from fg3d_builder.records import Array


def chart_points(source: ModelSource) -> tuple[Array, Array]:
    """Points of the chart, each once, and the corners' numbers in them."""
    assert source.uv is not None
    points, corners = np.unique(source.uv.reshape(-1, 2), axis=0, return_inverse=True)
    return points, corners.reshape(-1, 3)


def vertex_chart(source: ModelSource) -> Array:
    """One place in the chart for each vertex; that of its last corner."""
    assert source.uv is not None
    points = np.zeros((len(source.mean), 2))
    points[source.triangles.ravel()] = source.uv.reshape(-1, 2)
    return points


def without_seams(source: ModelSource) -> ModelSource:
    """The same with a chart that a file of one place a vertex can hold."""
    return replace(source, uv=vertex_chart(source)[source.triangles])


def srgb_albedo(mean: Array, basis: Array) -> tuple[Array, Array]:
    """The sRGB model that has a linear one as its first order."""
    dark = mean <= 0.0031308
    root = np.where(dark, 1.0, mean)
    srgb = np.where(dark, 12.92 * mean, 1.055 * root ** (1 / 2.4) - 0.055)
    slope = np.where(dark, 12.92, 1.055 / 2.4 * root ** (1 / 2.4 - 1))
    return srgb, slope[..., None] * basis
