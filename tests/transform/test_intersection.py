from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from fg3d_builder.transform.intersection import intersecting_pairs


def reference(vertices: np.ndarray, triangles: np.ndarray) -> set[tuple[int, int]]:
    """Every pair, every edge: solve for the point where the edge meets the plane."""
    found = set()
    for a in range(len(triangles)):
        for b in range(a + 1, len(triangles)):
            if set(triangles[a]) & set(triangles[b]):
                continue
            for edges, other in ((a, b), (b, a)):
                p, q, r = vertices[triangles[other]]
                for i in range(3):
                    start = vertices[triangles[edges][i]]
                    end = vertices[triangles[edges][(i + 1) % 3]]
                    system = np.stack([start - end, q - p, r - p], axis=1)
                    if abs(np.linalg.det(system)) < 1e-12:
                        continue
                    t, u, v = np.linalg.solve(system, start - p)
                    if 0 < t < 1 and u > 0 and v > 0 and u + v < 1:
                        found.add((a, b))
    return found


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_agrees_with_every_pair_solved(seed: int) -> None:
    rng = np.random.default_rng(seed)
    vertices = rng.normal(size=(30, 3))
    triangles = np.array([rng.choice(30, 3, replace=False) for _ in range(24)])
    pairs = intersecting_pairs(vertices, triangles)
    expected = reference(vertices, triangles)
    assert {tuple(pair) for pair in pairs} == expected
    chosen = rng.random(len(triangles)) < 0.3
    some = intersecting_pairs(vertices, triangles, chosen)
    assert {tuple(pair) for pair in some} == {p for p in expected if chosen[list(p)].any()}


def test_neighbours_and_touching_triangles_do_not_count() -> None:
    vertices = np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 1], [0.2, 0.2, 0], [0.2, 0.2, 1]])
    assert len(intersecting_pairs(vertices, np.array([[0, 1, 2], [1, 2, 3]]))) == 0
    assert len(intersecting_pairs(vertices, np.array([[0, 1, 2], [4, 5, 3]]))) == 0
