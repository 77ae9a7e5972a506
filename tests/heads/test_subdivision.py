import numpy as np
import pytest

from fg3d_builder.geometry.meshes import border_edges, undirected_edges
from fg3d_builder.heads.refinement import cut_along, refine
from fg3d_builder.heads.subdivision import loop_step, split_triangles


def grid(size):
    """Triangulated square in the plane with `size` x `size` vertices."""
    x, y = np.meshgrid(np.arange(size), np.arange(size))
    points = np.column_stack([x.ravel(), y.ravel(), np.zeros(size * size)]).astype(float)
    index = np.arange(size * size).reshape(size, size)
    a, b, c, d = (
        i.ravel() for i in (index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1])
    )
    return points, np.concatenate([np.column_stack([a, b, c]), np.column_stack([a, c, d])])


def octahedron():
    points = np.array([[1, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, -1]], float)
    triangles = np.array(
        [[0, 2, 4], [2, 1, 4], [1, 3, 4], [3, 0, 4], [2, 0, 5], [1, 2, 5], [3, 1, 5], [0, 3, 5]]
    )
    return points, triangles


def all_split(points, triangles):
    matrix, edges, triangle_edges = loop_step(triangles, len(points))
    middle = len(points) + np.arange(len(edges))
    split = np.ones(len(edges), bool)
    return matrix, split_triangles(triangles, triangle_edges, split, middle, np.ones(len(edges)))


def euler(triangles):
    return len(np.unique(triangles)) - len(undirected_edges(triangles)) + len(triangles)


def test_rows_are_affine_combinations():
    points, triangles = grid(5)
    matrix, _, _ = loop_step(triangles, len(points))
    assert np.allclose(matrix.sum(axis=1), 1)
    assert matrix.min() >= 0


def test_reproduces_linear_functions_inside():
    # Loop's scheme on a regular grid keeps every affine function.
    points, triangles = grid(7)
    matrix, _ = all_split(points, triangles)
    new = matrix @ points
    inner = np.all((points[:, :2] > 1.5) & (points[:, :2] < 4.5), axis=1)
    assert np.allclose(new[: len(points)][inner], points[inner])


def test_octahedron_vertex_rule():
    # Valence 4, Warren's weight 3/32 per neighbour: the pole moves to 1 - 4 * 3/32.
    points, triangles = octahedron()
    matrix, _, _ = loop_step(triangles, 6)
    assert np.allclose((matrix @ points)[0], [0.625, 0, 0])


def test_full_split_keeps_topology_and_orientation():
    points, triangles = octahedron()
    matrix, fine = all_split(points, triangles)
    assert len(fine) == 32
    assert euler(fine) == 2
    new = matrix @ points
    normal = np.cross(new[fine[:, 1]] - new[fine[:, 0]], new[fine[:, 2]] - new[fine[:, 0]])
    assert np.all(np.einsum("md,md->m", normal, new[fine].mean(axis=1)) > 0)


def test_partial_split_has_no_cracks():
    points, triangles = grid(6)
    random = np.random.default_rng(3)
    _, edges, triangle_edges = loop_step(triangles, len(points))
    for share in (0.1, 0.5, 0.9):
        split = random.random(len(edges)) < share
        middle = len(points) + np.arange(len(edges))
        length = random.random(len(edges))
        out = split_triangles(triangles, triangle_edges, split, middle, length)
        flat = np.concatenate([points, points[edges].mean(axis=1)])
        area = np.cross(flat[out[:, 1]] - flat[out[:, 0]], flat[out[:, 2]] - flat[out[:, 0]])[:, 2]
        assert area.min() > 0
        assert area.sum() / 2 == pytest.approx(25)
        assert euler(out) == 1


def test_refine_splits_long_edges_only():
    points, triangles = grid(6)
    points[:, 0] *= np.where(points[:, 0] > 2.5, 4.0, 1.0)
    refined = refine(triangles, points, 2.0, np.full(len(points), np.inf))
    assert euler(refined.triangles) == 1
    kept = refined.origin[refined.origin >= 0]
    assert np.array_equal(kept, np.arange(len(points)))
    assert len(points) < len(refined.origin) < 4 * len(points)


def test_non_manifold_mesh_is_refused():
    fan = np.array([[0, 1, 2], [1, 0, 3], [0, 1, 4]])
    with pytest.raises(ValueError, match="manifold"):
        loop_step(fan, 5)


def test_cut_follows_the_line():
    points, triangles = grid(12)
    field = np.linalg.norm(points[:, :2] - 5.4, axis=1) - 3.7
    cut = cut_along(triangles, field, points, 0.3)
    new = cut.matrix @ points
    radius = np.linalg.norm(new[:, :2] - 5.4, axis=1)
    inside = radius[cut.triangles].mean(axis=1) < 3.7
    sheet = cut.triangles[inside]
    border = np.unique(border_edges(sheet))
    # Linear interpolation of the field along edges of length 1: off by its curvature only.
    assert np.abs(radius[border] - 3.7).max() < 0.05
    assert euler(sheet) == 1
