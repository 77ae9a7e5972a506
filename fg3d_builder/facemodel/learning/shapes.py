"""What a face model is learnt from: registered shapes, first by capture, then by subject."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree

from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.geometry.meshes import vertex_areas
from fg3d_builder.records import Array

PATCH_MM2 = 100.0
"""Area over which the errors of a registered face are correlated: a face is as many independent
measurements as it has such patches, not as it has vertices."""

OWN_MM = 0.5
"""Standard deviation per coordinate of what a 3DMM does not explain of a registered face."""

_MIRROR_TOLERANCE_MM = 0.5


class CapturedShape(NamedTuple):
    """A registered shape.

    Attributes
    ----------
    subject_id : str
    expression : str
        Free tag; `fg3d_builder.facemodel.learning.neutral.NEUTRAL` says that there is none.
    shape_obj_mm : (n, 3) float
        ``S*``.
    confidence : (n,) float
        In [0, 1]; where it is 0 the shape takes no part.
    """

    subject_id: str
    expression: str
    shape_obj_mm: Array
    confidence: Array


class Identities(NamedTuple):
    """One neutral shape for each subject, of whatever field: shapes in mm, or albedos.

    Attributes
    ----------
    subjects : tuple of str
    values : (s, n, 3) float32
    confidence : (s, n) float32
    """

    subjects: tuple[str, ...]
    values: Array
    confidence: Array

    def subset(self, rows: Array) -> Identities:
        """Keep the subjects at `rows`, numbers or mask."""
        names = np.array(self.subjects, dtype=object)[rows]
        return Identities(tuple(names), self.values[rows], self.confidence[rows])

    def at(self, vertices: Array) -> Identities:
        """Keep the vertices with the given numbers."""
        return self._replace(
            values=self.values[:, vertices], confidence=self.confidence[:, vertices]
        )


def measurements(model: FaceModel) -> Array:
    """Return the (n,) independent measurements that each vertex stands for, by its area."""
    return np.asarray(vertex_areas(model.mean, model.triangles) / PATCH_MM2)


def mirror_partners(model: FaceModel) -> Array | None:
    """Return the (n,) vertices on the other side, None where the sheet is not symmetric."""
    distance, partner = cKDTree(model.mean).query(model.mean * [-1.0, 1.0, 1.0])
    paired = np.array_equal(partner[partner], np.arange(model.vertex_count))
    return partner if paired and distance.max() < _MIRROR_TOLERANCE_MM else None


def with_mirrored(identities: Identities, partners: Array, flips_x: bool = True) -> Identities:
    """Return the subjects, and behind them their mirror images.

    Parameters
    ----------
    identities : Identities
    partners : (n,) int
    flips_x : bool
        The values are places, whose x changes its sign; albedos only change sides.
    """
    sign = np.array([-1.0 if flips_x else 1.0, 1.0, 1.0], dtype=identities.values.dtype)
    return Identities(
        identities.subjects + tuple(f"{name} mirrored" for name in identities.subjects),
        np.concatenate([identities.values, identities.values[:, partners] * sign]),
        np.concatenate([identities.confidence, identities.confidence[:, partners]]),
    )
