"""Which point of a reconstruction belongs to which point of the ground truth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fg3d_builder.records import Array

if TYPE_CHECKING:
    from fg3d_builder.facemodel.model import FaceModel

OUTER_EYE_CORNERS = (36, 45)
"""iBUG's numbers of the outer corners of the right and the left eye."""


@dataclass(frozen=True)
class Places:
    """Points that are fixed to a mesh: each is a mean of up to three of its vertices.

    Attributes
    ----------
    corners : (k, 3) int64
        Vertices; one of them three times for a place at a vertex.
    barycentric : (k, 3) float64
        Non-negative, rows sum to 1.
    vertex_count : int
        Vertices of the mesh; places of one topology are meaningless on another.
    """

    corners: Array
    barycentric: Array
    vertex_count: int

    def __post_init__(self) -> None:
        k = len(self.corners)
        if self.corners.shape != (k, 3) or self.barycentric.shape != (k, 3):
            raise ValueError(
                f"places: wanted (k, 3) corners and barycentric coordinates, got "
                f"{self.corners.shape} and {self.barycentric.shape}"
            )
        if k and (self.corners.min() < 0 or self.corners.max() >= self.vertex_count):
            raise ValueError(
                f"places: vertices {self.corners.min()} to {self.corners.max()} on a mesh of "
                f"{self.vertex_count} vertices"
            )
        sums = self.barycentric.sum(axis=1)
        # The comparisons are false for NaN, which is refused with the rest.
        if not (np.all(self.barycentric >= -1e-6) and np.all(np.abs(sums - 1.0) <= 1e-6)):
            raise ValueError("places: barycentric coordinates must be >= 0 and sum to 1")

    @classmethod
    def at_vertices(cls, index: Array, vertex_count: int) -> Places:
        """Place points at the vertices `index` (k,) int of a mesh."""
        number = np.asarray(index)
        if number.ndim != 1 or not np.issubdtype(number.dtype, np.integer):
            raise ValueError(f"places: wanted a list of vertex numbers, got {number.dtype} array")
        corners = np.repeat(number.astype(np.int64)[:, None], 3, axis=1)
        return cls(corners, np.tile([1.0, 0.0, 0.0], (len(number), 1)), vertex_count)

    @classmethod
    def on_triangles(
        cls, triangles: Array, triangle: Array, barycentric: Array, vertex_count: int
    ) -> Places:
        """Place points at `barycentric` (k, 3) on the rows `triangle` (k,) of `triangles`."""
        corners = np.asarray(triangles)[np.asarray(triangle)].astype(np.int64)
        return cls(corners, np.asarray(barycentric, dtype=np.float64), vertex_count)

    def __len__(self) -> int:
        return len(self.corners)

    @property
    def vertex_index(self) -> Array:
        """(k,) vertices that the points are at; ValueError where one is between vertices."""
        if not np.all(self.corners == self.corners[:, :1]):
            raise ValueError("places: some are between vertices, they have no vertex number")
        return np.asarray(self.corners[:, 0])

    def take(self, rows: Array) -> Places:
        """Return some of the places, by number or by one bool for each."""
        return Places(self.corners[rows], self.barycentric[rows], self.vertex_count)

    def points(self, vertices_mm: Array, what: str = "mesh") -> Array:
        """Return the (k, 3) float64 points on a mesh of (n, 3) vertices, in its frame.

        Raises
        ------
        ValueError
            Vertices of another count, or a point that is not finite; names `what`. Vertices
            that no place needs may be anything.
        """
        vertices = np.asarray(vertices_mm, dtype=np.float64)
        if vertices.shape != (self.vertex_count, 3):
            raise ValueError(
                f"{what}: vertices of shape {vertices.shape}, the correspondence is for "
                f"({self.vertex_count}, 3)"
            )
        points = np.einsum("kc,kcd->kd", self.barycentric, vertices[self.corners])
        broken = ~np.isfinite(points).all(axis=1)
        if broken.any():
            raise ValueError(f"{what}: {broken.sum()} of the points to compare are not finite")
        return np.asarray(points)


@dataclass(frozen=True)
class Correspondence:
    """The set C of Eq. 18-20: places k on the reconstruction, k^t on the ground truth.

    Attributes
    ----------
    source : Places
        On the reconstruction's mesh.
    target : Places
        On the ground truth's mesh, which may have another topology.
    weights : (k,) float64
        Non-negative; how much each pair counts in the alignment and in the mean. The paper
        knows only members and others: ones.
    """

    source: Places
    target: Places
    weights: Array

    def __post_init__(self) -> None:
        counts = {len(self.source), len(self.target), len(self.weights)}
        if len(counts) != 1:
            raise ValueError(
                f"correspondence: {len(self.source)} places on the reconstruction, "
                f"{len(self.target)} on the truth, {len(self.weights)} weights"
            )
        if not (np.all(np.isfinite(self.weights)) and np.all(self.weights >= 0)):
            raise ValueError("correspondence: weights must be finite and not negative")
        if not np.any(self.weights > 0):
            raise ValueError("correspondence: the set C is empty")

    @classmethod
    def of(cls, source: Places, target: Places, weights: Array | None = None) -> Correspondence:
        """Pair places in order; every pair weighs 1 where no weights are given."""
        if weights is None:
            weights = np.ones(len(source))
        return cls(source, target, np.asarray(weights, dtype=np.float64))

    @classmethod
    def same_topology(cls, members: Array) -> Correspondence:
        """Pair the `members` (n,) bool of a mesh's vertices with those of another shape of it."""
        members = np.asarray(members)
        if members.ndim != 1 or members.dtype != bool:
            raise ValueError("correspondence: wanted one boolean per vertex")
        places = Places.at_vertices(np.flatnonzero(members), len(members))
        return cls.of(places, places)


def outer_eye_corners(model: FaceModel) -> Places:
    """Return the places of the outer eye corners on a face model, by its iBUG points."""
    corners = model.embedded("ibug68", OUTER_EYE_CORNERS)
    return Places.on_triangles(
        model.triangles, corners.triangle, corners.barycentric, model.vertex_count
    )


def interocular_mm(truth_mm: Array, eye_corners: Places) -> float:
    """Return ``d`` of Eq. 19 and 20: the distance of the outer eye corners on (n, 3) vertices.

    Raises
    ------
    ValueError
        Not two corners, or a distance that is zero or not finite.
    """
    if len(eye_corners) != 2:
        raise ValueError(f"interocular distance: wanted two eye corners, got {len(eye_corners)}")
    right, left = eye_corners.points(truth_mm, "ground truth's eye corners")
    distance = float(np.linalg.norm(right - left))
    if distance == 0.0:
        raise ValueError("interocular distance: the eye corners coincide")
    return distance
