"""Robust losses of squared residuals, and the weights that reweighted least squares gives them.

A kernel turns a squared residual ``s`` into a loss ``rho(s)`` with ``rho(s) = s`` near 0. Least
squares with the weight ``d rho / d s`` of each residual, renewed until nothing moves, minimises
the sum of the losses.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np

from fg3d_builder.records import Array


class Kernel(Protocol):
    """A robust loss with its weight."""

    def loss(self, squared: Array) -> Array:
        """Return ``rho`` of squared residuals of any shape."""
        ...

    def weight(self, squared: Array) -> Array:
        """Return ``d rho / d s`` of squared residuals, in [0, 1]."""
        ...


class Huber(NamedTuple):
    """Huber's convex loss: the square up to the width, from there a straight line.

    `squared` are squares of residuals, of any shape.

    Attributes
    ----------
    width : float
        In the unit of the residuals.
    """

    width: float

    def loss(self, squared: Array) -> Array:
        """Return ``s`` up to ``c^2``, then ``2 c sqrt(s) - c^2``."""
        c2 = self.width**2
        root = np.sqrt(np.maximum(squared, 1e-300))
        return np.where(squared <= c2, squared, 2.0 * self.width * root - c2)

    def weight(self, squared: Array) -> Array:
        """Return ``min(1, c / sqrt(s))``."""
        return np.minimum(1.0, self.width / np.sqrt(np.maximum(squared, 1e-300)))


class GemanMcClure(NamedTuple):
    """Geman and McClure's loss, which is bounded: outliers stop pulling.

    `squared` are squares of residuals, of any shape.

    Attributes
    ----------
    width : float or array
        Residual that keeps a quarter of its weight; an array gives each residual its own.
    """

    width: float | Array

    def loss(self, squared: Array) -> Array:
        """Return ``c^2 s / (c^2 + s)``."""
        c2 = self.width**2
        return np.asarray(c2 * squared / (c2 + squared))

    def weight(self, squared: Array) -> Array:
        """Return ``(c^2 / (c^2 + s))^2``."""
        c2 = self.width**2
        return np.asarray((c2 / (c2 + squared)) ** 2)
