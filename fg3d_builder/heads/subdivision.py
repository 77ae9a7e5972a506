"""Loop subdivision as a sparse matrix, and its restriction to the edges worth splitting."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from fg3d_builder.records import Array


def numbered_edges(triangles: Array) -> tuple[Array, Array]:
    """Return a mesh's edges and which of them each triangle has.

    Returns
    -------
    edges : (k, 2) int
        Smaller index first, sorted.
    triangle_edges : (m, 3) int64
        Numbers of edges; edge j of a triangle joins its corners j and j + 1.
    """
    directed = np.stack([triangles, np.roll(triangles, -1, axis=1)], axis=-1).reshape(-1, 2)
    edges, number = np.unique(np.sort(directed, axis=1), axis=0, return_inverse=True)
    return edges, number.reshape(-1, 3)


def loop_step(triangles: Array, vertex_count: int) -> tuple[sp.csr_matrix, Array, Array]:
    """Make one step of Loop's scheme (C. Loop, 1987), with Warren's vertex weights.

    Parameters
    ----------
    triangles : (m, 3) int
        Manifold, oriented; borders are allowed and are subdivided as cubic splines.
    vertex_count : int

    Returns
    -------
    matrix : (n + k, n) csr_matrix
        New vertices from old ones: rows 0..n-1 are the moved old vertices, rows n.. the new
        vertices of the k edges.
    edges, triangle_edges
        See `numbered_edges`; edges are in the order of their new vertices.
    """
    n = vertex_count
    edges, triangle_edges = numbered_edges(triangles)
    inverse = triangle_edges.reshape(-1)
    k = len(edges)
    uses = np.bincount(inverse, minlength=k)
    if uses.max() > 2:
        raise ValueError("Loop subdivision needs a manifold mesh; an edge has three triangles")
    border = uses == 1
    opposite = np.roll(triangles, -2, axis=1).reshape(-1)

    inner_half = ~border[inverse]
    rows = [np.arange(k), np.arange(k), inverse[inner_half]]
    columns = [edges[:, 0], edges[:, 1], opposite[inner_half]]
    ends = np.where(border, 0.5, 3 / 8)
    values = [ends, ends, np.full(int(inner_half.sum()), 1 / 8)]
    odd = _coo(rows, columns, values, (k, n))

    on_border = np.zeros(n, dtype=bool)
    on_border[edges[border]] = True
    both = np.concatenate([edges, edges[:, ::-1]])
    valence = np.bincount(both[:, 0], minlength=n)
    beta = np.where(valence == 3, 3 / 16, 3 / (8 * np.maximum(valence, 1)))
    inner_pair = ~on_border[both[:, 0]]
    border_pair = np.concatenate([border, border])
    unused = valence == 0
    own = np.where(on_border, 3 / 4, np.where(unused, 1.0, 1 - valence * beta))
    rows = [np.arange(n), both[inner_pair, 0], both[border_pair, 0]]
    columns = [np.arange(n), both[inner_pair, 1], both[border_pair, 1]]
    values = [own, beta[both[inner_pair, 0]], np.full(int(border_pair.sum()), 1 / 8)]
    even = _coo(rows, columns, values, (n, n))
    return sp.vstack([even, odd]).tocsr(), edges, triangle_edges


def split_triangles(
    triangles: Array,
    triangle_edges: Array,
    split: Array,
    edge_vertex: Array,
    edge_length: Array,
) -> Array:
    """Split every triangle at its marked edges into one to four triangles.

    Parameters
    ----------
    triangles, triangle_edges : (m, 3) int
        Triangles and the numbers of their edges, see `numbered_edges`.
    split : (k,) bool
        Edges that receive a vertex. Neighbours see the same mark, so no crack can open.
    edge_vertex : (k,) int
        Index of each edge's new vertex.
    edge_length : (k,) float
        Where a triangle has two marked edges, the longer one is joined to the opposite corner.

    Returns
    -------
    (p, 3) int64
    """
    out = []
    marked = split[triangle_edges]
    count = marked.sum(axis=1)
    out.append(triangles[count == 0])

    one = count == 1
    t, e = _rotated(triangles[one], triangle_edges[one], np.argmax(marked[one], axis=1))
    mid = edge_vertex[e[:, 0]]
    out += [_stack(t[:, 0], mid, t[:, 2]), _stack(mid, t[:, 1], t[:, 2])]

    two = count == 2
    # Turn the triangle so that edges 0 and 1 are marked, edge 2 is not.
    t, e = _rotated(triangles[two], triangle_edges[two], (np.argmin(marked[two], axis=1) + 1) % 3)
    p, q = edge_vertex[e[:, 0]], edge_vertex[e[:, 1]]
    out.append(_stack(p, t[:, 1], q))
    first = (edge_length[e[:, 0]] > edge_length[e[:, 1]])[:, None]
    a, c = t[:, 0], t[:, 2]
    out.append(np.where(first, _stack(a, p, c), _stack(a, p, q)))
    out.append(np.where(first, _stack(p, q, c), _stack(a, q, c)))

    three = count == 3
    t, m = triangles[three], edge_vertex[triangle_edges[three]]
    for j in range(3):
        out.append(_stack(t[:, j], m[:, j], m[:, j - 1]))
    out.append(m)
    return np.concatenate(out)


def _coo(rows: list[Array], columns: list[Array], values: list[Array], shape) -> sp.csr_matrix:  # type: ignore[no-untyped-def]
    index = (np.concatenate(rows), np.concatenate(columns))
    return sp.coo_matrix((np.concatenate(values), index), shape=shape).tocsr()


def _rotated(triangles: Array, triangle_edges: Array, start: Array) -> tuple[Array, Array]:
    order = (start[:, None] + np.arange(3)) % 3
    return np.take_along_axis(triangles, order, 1), np.take_along_axis(triangle_edges, order, 1)


def _stack(a: Array, b: Array, c: Array) -> Array:
    return np.stack([a, b, c], axis=1)
