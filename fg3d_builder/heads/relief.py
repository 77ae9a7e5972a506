"""Fine relief of a skin surface: smooth random bumps on several scales, and folds.

The identity basis does not span it, so that a synthetic head has a personalized shape beyond
its coarse shape.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import scipy.sparse as sp
import scipy.sparse.linalg

from fg3d_builder.geometry.meshes import triangle_areas, undirected_edges
from fg3d_builder.heads.anatomy import Anatomy
from fg3d_builder.records import Array


def smooth_fields(
    vertices_mm: Array, triangles: Array, length_mm: float, count: int, rng: np.random.Generator
) -> Array:
    """Make random fields with the given correlation length on a surface.

    White noise diffused twice by an implicit step (mass matrix plus a graph Laplacian whose
    edge weights make its continuous limit the surface's), each of zero mean and unit RMS.

    `length_mm` is the correlation length.

    Returns
    -------
    (count, n) float32
    """
    n = len(vertices_mm)
    area = triangle_areas(vertices_mm, triangles) / 3
    mass = np.zeros(n)
    for corner in range(3):
        mass += np.bincount(triangles[:, corner], weights=area, minlength=n)
    edges = undirected_edges(triangles)
    length = np.linalg.norm(vertices_mm[edges[:, 0]] - vertices_mm[edges[:, 1]], axis=1)
    weight = (mass[edges].mean(axis=1) / 3.0) / length**2
    off = sp.coo_matrix((weight, (edges[:, 0], edges[:, 1])), shape=(n, n))
    off = off + off.T
    laplacian = sp.diags(np.asarray(off.sum(axis=1)).ravel()) - off
    solve = scipy.sparse.linalg.factorized((sp.diags(mass) + length_mm**2 / 4 * laplacian).tocsc())
    fields = np.empty((count, n), dtype=np.float32)
    for i in range(count):
        field = solve(rng.standard_normal(n) * np.sqrt(mass))
        field = solve(mass * field)
        field -= np.average(field, weights=mass)
        fields[i] = field / np.sqrt(np.average(field**2, weights=mass))
    return fields


def draw_relief(
    banks: list[Array],
    anatomy: Anatomy,
    calm: Array,
    age: float,
    recipe: Mapping[str, Any],
    rng: np.random.Generator,
) -> Array:
    """Draw a (n,) displacement along the normals, mm.

    Parameters
    ----------
    banks : list of (count, n) float
        `smooth_fields` per scale.
    calm : (n,) float
        Factor that is 0 on the border, which stays where it is.
    age : float
        From 0 (young) to 1 (old); deepens the folds.
    recipe : mapping
        The table ``relief``.
    """
    strength = rng.uniform(*recipe["strength"])
    relief = np.zeros(len(calm))
    for bank, rms in zip(banks, recipe["rms_mm"], strict=True):
        mix = rng.standard_normal(len(bank)) / np.sqrt(len(bank))
        relief += strength * rms * (mix.astype(np.float32) @ bank)
    depth = recipe["fold_mm"] * (0.15 + 0.85 * age)
    for name in sorted(anatomy.wrinkles):
        relief += depth * rng.uniform(0.0, 1.0) * anatomy.wrinkles[name]
    skin = (1 - anatomy.white) * (1 - np.clip(anatomy.seam * 2, 0, 1)) * (1 - anatomy.nostril)
    skin *= np.clip(anatomy.lash_mm / 3.0, 0.0, 1.0)
    return np.asarray(relief * skin * calm)
