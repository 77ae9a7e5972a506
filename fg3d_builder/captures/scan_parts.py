"""Mends what scans come with: debris around the head, and triangles that face both ways."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import scipy.sparse as sp
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

from fg3d_builder.files.mesh_io import TexturedMesh
from fg3d_builder.geometry.meshes import triangle_normals
from fg3d_builder.records import Array

_GAP_SHARE = 0.1
"""Pieces that are nearer to each other than this share of the largest belong together: hair, eyes
and teeth are within it."""

_SHEET_SHARE = 0.3
"""Pieces of which every triangle is larger than this share of the largest piece are none of it,
wherever they are: triangles across all of the space, a floor, a backdrop."""

_DEBRIS_SHARE = 0.2
"""Share of the triangles up to which pieces elsewhere are debris; more was scanned on purpose."""

_MIXED_SHARE = 0.02
"""Share of inner edges whose triangles face opposite ways, from which a mesh counts as mixed:
whole scans have up to 0.0003."""


def mended(mesh: TexturedMesh) -> TexturedMesh:
    """Return a mesh as scans are rendered: without debris, and with its outside outside.

    One that is inside out gets its triangles turned; one whose triangles face both ways gets the
    back of each as well.
    """
    return with_both_sides(turned_outward(without_debris(mesh)))


def without_debris(mesh: TexturedMesh) -> TexturedMesh:
    """Leave out triangles that float far from the part of a mesh with the most triangles.

    Where that is less than most of the mesh nobody knows what is debris, and all is kept. Vertices
    stay, with their numbers.
    """
    kept = _main_part(mesh)
    if kept.all() or np.count_nonzero(kept) < (1.0 - _DEBRIS_SHARE) * len(kept):
        return mesh
    return _with_triangles(mesh, np.flatnonzero(kept), False)


def turned_outward(mesh: TexturedMesh) -> TexturedMesh:
    """Turn all triangles of a mesh whose normals point to its middle rather than away from it."""
    normals = triangle_normals(mesh.vertices, mesh.triangles)
    centers = mesh.vertices[mesh.triangles].mean(axis=1)
    if np.einsum("md,md->", normals, centers - centers.mean(axis=0)) >= 0:
        return mesh
    return replace(mesh, triangles=mesh.triangles[:, ::-1], uv_triangles=mesh.uv_triangles[:, ::-1])


def with_both_sides(mesh: TexturedMesh) -> TexturedMesh:
    """Add the back of every triangle to a mesh whose triangles face both ways at random.

    One side of each is visible from anywhere, so nothing of the surface is missing. Meshes of
    which neighbours agree are left alone: there a back that shows is the inside of a head.
    """
    if inconsistent_share(mesh) < _MIXED_SHARE:
        return mesh
    every = np.arange(len(mesh.triangles))
    return _with_triangles(mesh, every, True)


def inconsistent_share(mesh: TexturedMesh) -> float:
    """Return the share of a mesh's inner edges whose two triangles face opposite ways."""
    corner = _places(mesh.vertices)[mesh.triangles]
    a, b, c = corner.T
    corner = corner[(a != b) & (b != c) & (c != a)]
    start, end = corner.ravel(), np.roll(corner, -1, axis=1).ravel()
    key = np.minimum(start, end) * (int(corner.max(initial=0)) + 1) + np.maximum(start, end)
    _, number, count = np.unique(key, return_inverse=True, return_counts=True)
    # Two triangles that face the same way run along their edge in opposite directions.
    forward = np.bincount(number, weights=start < end)
    inner = count == 2
    wrong = int(np.count_nonzero(inner & (forward != 1)))
    return wrong / max(int(np.count_nonzero(inner)), 1)


def pieces(mesh: TexturedMesh) -> Array:
    """Return the (m,) number of the piece that each triangle belongs to; edges join triangles."""
    corner = _places(mesh.vertices)[mesh.triangles]
    ends = np.concatenate([corner[:, :2], corner[:, 1:]])
    return _components(int(corner.max(initial=0)) + 1, *ends.T)[corner[:, 0]]


def with_triangles(mesh: TexturedMesh, kept: Array) -> TexturedMesh:
    """Return a mesh of the triangles that are marked (m,); vertices stay, with their numbers."""
    return _with_triangles(mesh, np.flatnonzero(kept), False)


def _main_part(mesh: TexturedMesh) -> Array:
    """Mark the triangles (m,) of the largest piece and of all pieces that are not far from it."""
    piece = pieces(mesh)
    largest = piece == np.bincount(piece).argmax()
    reach = np.ptp(mesh.vertices[np.unique(mesh.triangles[largest])], axis=0).max()
    longest = np.ptp(mesh.vertices[mesh.triangles], axis=1).max(axis=1)
    sheet = np.full(int(piece.max(initial=0)) + 1, np.inf)
    np.minimum.at(sheet, piece, longest)
    stray = (sheet > _SHEET_SHARE * reach)[piece] & ~largest
    # Pieces of a surface and places in space: every corner joins its own two.
    near = np.flatnonzero(~stray)
    vertex, row = np.unique(mesh.triangles[near], return_inverse=True)
    cell = _cells(mesh.vertices[vertex], _GAP_SHARE * max(float(reach), 1e-12))
    offset = int(piece.max(initial=0)) + 1
    part = _components(
        offset + int(cell.max(initial=0)) + 1,
        np.repeat(piece[near], 3),
        offset + cell[row.ravel()],
    )
    kept = np.zeros(len(piece), dtype=bool)
    kept[near] = part[piece[near]] == part[piece[largest][0]]
    return kept


def _cells(points: Array, size: float) -> Array:
    """Return numbers (k,) of groups of cells of a grid; cells that touch are one group."""
    place, cell = np.unique(np.floor(points / size), axis=0, return_inverse=True)
    touching = KDTree(place).query_pairs(1.8, output_type="ndarray")
    return _components(len(place), *touching.T)[cell.ravel()]


def _components(count: int, one: Array, other: Array) -> Array:
    """Return the (count,) component of each node of a graph with the given edges."""
    graph = sp.coo_matrix((np.ones(len(one), dtype=bool), (one, other)), shape=(count, count))
    return np.asarray(connected_components(graph, directed=False)[1])


def _places(vertices: Array) -> Array:
    """Return the (n,) number of each vertex's place; at seams several vertices share one."""
    order = np.lexsort(vertices.T)
    new = np.ones(len(vertices), dtype=bool)
    new[1:] = (np.diff(vertices[order], axis=0) != 0).any(axis=1)
    number = np.empty(len(vertices), dtype=np.int64)
    number[order] = np.cumsum(new) - 1
    return number


def _with_triangles(mesh: TexturedMesh, kept: Array, backs: bool) -> TexturedMesh:
    """Return a mesh of some of its triangles, with the back of each if wanted."""
    triangles, uv, texture = (
        values[kept] for values in (mesh.triangles, mesh.uv_triangles, mesh.triangle_texture)
    )
    if backs:
        triangles, uv = (np.concatenate([t, t[:, ::-1]]) for t in (triangles, uv))
        texture = np.concatenate([texture, texture])
    return replace(mesh, triangles=triangles, uv_triangles=uv, triangle_texture=texture)
