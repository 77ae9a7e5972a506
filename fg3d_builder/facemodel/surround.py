"""The head beyond the face: ears, scalp, neck and shoulders around a model's sheet.

It is for rendering turned heads; nothing is trained on it and no expression moves it. Its
skirt lies under the outer rings of the sheet, so that no crack opens between the two.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree

from fg3d_builder.geometry.meshes import normalized, surface_points
from fg3d_builder.records import Array


class Beyond(NamedTuple):
    """What a model knows of the head beyond its sheet, in a topology of its own.

    Attributes
    ----------
    vertices_mm : (h, 3) float64
    triangles : (t, 3) int32
        Over the model's n vertices and these, one after the other; counter-clockwise from
        outside.
    id_basis : (h, 3, k) float64
    """

    vertices_mm: Array
    triangles: Array
    id_basis: Array


@dataclass(frozen=True)
class Surround:
    """Ears, scalp, neck and shoulders; object frame, mm.

    One connected mesh with a hole where the face is and borders where the body is cut off;
    closed everywhere else. The sheet's border is a ring of its vertices, and from there it
    goes on inwards below the sheet: its skirt.

    Attributes
    ----------
    mean : (c, 3) float64
        Around the model's mean face.
    triangles : (k, 3) int32
        Counter-clockwise from outside.
    id_basis : (c, 3, k) float64
        Displacements per unit of the model's ``alpha_id``.
    skirt : (s,) int32
        Vertices that are tied to the sheet.
    skirt_triangle : (s,) int32
        Index into the model's triangles.
    skirt_barycentric : (s, 3) float64
        Non-negative, rows sum to 1.
    skirt_depth_mm : (s,) float64
        Depth below the sheet: 0 on its border, growing inwards.
    ear : (c,) float64
        1 on the ears, 0 elsewhere, smooth in between.
    scalp : (c,) float64
        Prior probability that hair grows there on a person who has hair.
    neck : (c,) float64
        1 on neck and shoulders.
    mirror : (c,) int32
        The vertex on the other side; itself in the middle.
    """

    mean: Array
    triangles: Array
    id_basis: Array
    skirt: Array
    skirt_triangle: Array
    skirt_barycentric: Array
    skirt_depth_mm: Array
    ear: Array
    scalp: Array
    neck: Array
    mirror: Array

    @property
    def vertex_count(self) -> int:
        """Number of vertices ``c``."""
        return len(self.mean)

    def shape(self, alpha_id: Array | None = None) -> Array:
        """Return the (c, 3) shape expected around a face of the given identity, object frame, mm.

        Parameters
        ----------
        alpha_id : (j,) float64, optional
            The first coefficients of the model's identity; all others are 0.
        """
        shape = self.mean.copy()
        if alpha_id is not None:
            shape += self.id_basis[:, :, : len(alpha_id)] @ alpha_id
        return shape

    def attached(self, face_vertices: Array, triangles: Array) -> Array:
        """Return the (s, 3) places of the skirt under a face shape, in the shape's frame.

        Parameters
        ----------
        face_vertices : (n, 3) float64
            Any shape of the model, in any rigid frame, mm.
        triangles : (m, 3) int32
            The model's.
        """
        return tucked_points(
            face_vertices,
            triangles,
            self.skirt_triangle,
            self.skirt_barycentric,
            self.skirt_depth_mm,
        )


def tucked_points(
    vertices: Array, triangles: Array, index: Array, barycentric: Array, depth_mm: Array
) -> Array:
    """Return (k, 3) points at `depth_mm` (k,) below places of a surface, along smooth normals.

    The places are on the triangles `index` (k,).
    """
    # Compiled by numba, which machines that only train do without.
    from fg3d_builder.geometry.smoothing import smooth_normals

    normals = smooth_normals(vertices, triangles)
    at = surface_points(vertices, triangles, index, barycentric)
    inwards = normalized(surface_points(normals, triangles, index, barycentric))
    return np.asarray(at - depth_mm[:, None] * inwards)


def mirror_vertices(vertices_mm: Array) -> Array:
    """Return the (n,) partners of all vertices on the other side of a symmetric mesh.

    Raises
    ------
    ValueError
        The mesh is not its own mirror image.
    """
    _, partner = cKDTree(vertices_mm).query(vertices_mm * [-1.0, 1.0, 1.0])
    if not np.array_equal(partner[partner], np.arange(len(vertices_mm))):
        raise ValueError("the mesh is not symmetric")
    return np.asarray(partner)


def check_surround(
    surround: Surround,
    face_triangle_count: int,
    identities: int,
    expect: Callable[[bool, str, str], None],
) -> None:
    """Report contradictions within a surround, and with its model, to `expect`.

    Parameters
    ----------
    surround : Surround
    face_triangle_count, identities : int
        Of the model.
    expect : callable
        Takes whether all is well, the field and the problem.
    """
    c, s = surround.vertex_count, len(surround.skirt)
    for name, shape in (
        ("mean", (c, 3)),
        ("id_basis", (c, 3, identities)),
        ("skirt_triangle", (s,)),
        ("skirt_barycentric", (s, 3)),
        ("skirt_depth_mm", (s,)),
        ("ear", (c,)),
        ("scalp", (c,)),
        ("neck", (c,)),
        ("mirror", (c,)),
    ):
        array = getattr(surround, name)
        expect(array.shape == shape, f"surround.{name}", f"shape {array.shape}, wanted {shape}")
        expect(bool(np.all(np.isfinite(array))), f"surround.{name}", "not finite")
    for name, count in (
        ("triangles", c),
        ("skirt", c),
        ("mirror", c),
        ("skirt_triangle", face_triangle_count),
    ):
        index = getattr(surround, name)
        expect(bool(np.all((index >= 0) & (index < count))), f"surround.{name}", "out of range")
    sums = surround.skirt_barycentric.sum(axis=1)
    expect(bool(np.allclose(sums, 1, atol=1e-6)), "surround.skirt_barycentric", "sums are not 1")
    expect(bool(np.all(surround.skirt_depth_mm >= 0)), "surround.skirt_depth_mm", "negative")
    for name in ("ear", "scalp", "neck"):
        values = getattr(surround, name)
        expect(bool(np.all((values >= 0) & (values <= 1))), f"surround.{name}", "not in [0, 1]")
    back = surround.mirror[surround.mirror]
    expect(np.array_equal(back, np.arange(c)), "surround.mirror", "not its own inverse")
