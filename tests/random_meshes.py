"""Random meshes and faces of points for the tests of the metrics."""

from __future__ import annotations

import numpy as np
import trimesh
from scipy.spatial.transform import Rotation

from fg3d_builder.records import Pose


def bumpy_sphere(seed: int, subdivisions: int = 3, radius_mm: float = 80.0) -> trimesh.Trimesh:
    """A sphere with smooth random bumps and shuffled vertices and triangles."""
    rng = np.random.default_rng(seed)
    mesh = trimesh.creation.icosphere(subdivisions, radius=radius_mm)
    waves = rng.normal(size=(6, 3)) * 0.04
    height = np.sin(mesh.vertices @ waves.T + rng.uniform(0, 6, 6)) @ rng.normal(size=6)
    vertices = mesh.vertices * (1 + 0.03 * height[:, None])
    order = rng.permutation(len(vertices))
    faces = np.argsort(order)[mesh.faces][rng.permutation(len(mesh.faces))]
    return trimesh.Trimesh(vertices[order], faces, process=False)


def random_pose(rng: np.random.Generator, scale: float | None = None) -> Pose:
    rotation = Rotation.random(rng=rng).as_matrix()
    if scale is None:
        scale = float(np.exp(rng.normal()))
    return Pose(scale, rotation, rng.normal(size=3) * 200)
