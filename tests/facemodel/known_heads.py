"""Published meshes whose truth is known: the donor's own head, bent and meshed anew."""

from __future__ import annotations

import numpy as np
import open3d

from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.facemodel.showing import nearest_on_surface
from fg3d_builder.facemodel.sources.source import ModelSource
from fg3d_builder.facemodel.surround_transfer import whole_head
from fg3d_builder.facemodel.transfer.bending import open_regions
from fg3d_builder.records import Array


def bent_mm(points_mm: Array) -> Array:
    """Another person's head, smoothly: 5 percent larger, up to 5 mm of waves of 250 mm."""
    wave = 2 * np.pi / 250.0 * points_mm
    moved = 1.05 * points_mm
    moved[..., 0] += 2.5 * np.sin(wave[..., 1] + 0.4)
    moved[..., 1] += 4.0 * np.sin(wave[..., 2] + 1.0)
    moved[..., 2] += 5.0 * np.sin(wave[..., 1] - 0.7)
    return np.asarray(moved)


def bent_source(donor: FaceModel, triangle_count: int = 24000) -> ModelSource:
    """Return the donor's head, cut open at eyes and mouth, thinned, bent, with eyeballs behind.

    Thinning makes triangles of its own; two modes of identity and one of expression are fields
    over space.
    """
    head = whole_head(donor)
    is_open = np.zeros(len(head.vertices_mm), dtype=bool)
    is_open[: donor.vertex_count] = open_regions(donor)
    triangles = head.triangles[~is_open[head.triangles].all(axis=1)]
    mesh = open3d.geometry.TriangleMesh(
        open3d.utility.Vector3dVector(head.vertices_mm),
        open3d.utility.Vector3iVector(triangles.astype(np.int32)),
    )
    mesh = mesh.simplify_quadric_decimation(triangle_count)
    mesh.remove_unreferenced_vertices()
    plain, corners = np.asarray(mesh.vertices), np.asarray(mesh.triangles).astype(np.int32)
    everywhere = np.ones(len(donor.triangles), dtype=bool)
    spots = nearest_on_surface(plain, donor.mean, donor.triangles, everywhere)
    albedo = np.einsum(
        "kc,kcd->kd", spots.barycentric, donor.albedo_mean[donor.triangles[spots.triangle]]
    )
    ball = open3d.geometry.TriangleMesh.create_sphere(10.0, 10)
    ball_points, ball_corners = np.asarray(ball.vertices), np.asarray(ball.triangles)
    groups = []
    for x in (-32.0, 32.0):
        eye = donor.mean[open_regions(donor) & (np.sign(x) * donor.mean[:, 0] > 15)]
        centre = eye.mean(axis=0) - [0.0, 0.0, 11.0]
        groups.append(len(plain) + np.arange(len(ball_points)))
        corners = np.vstack([corners, ball_corners + len(plain)])
        plain = np.vstack([plain, ball_points + centre])
        albedo = np.vstack([albedo, np.full((len(ball_points), 3), 0.6)])
    points = bent_mm(plain)
    wave = points / 60.0
    basis = np.stack([np.sin(wave), np.cos(wave[:, [1, 2, 0]])], axis=2)
    opening = np.where(points[:, 1] < -60.0, 1.0, 0.0)[:, None] * [0.0, -1.0, 0.0]
    return ModelSource(
        layout="test",
        name="bent",
        licence="",
        mean=points,
        polygons=corners.astype(np.int32),
        id_basis=basis,
        id_sd=np.array([2.0, 1.0]),
        exp_basis=opening[:, :, None],
        exp_sd=np.ones(1),
        exp_names=("down",),
        exp_lower=np.zeros(1),
        exp_upper=np.ones(1),
        albedo_mean=albedo,
        albedo_basis=np.zeros((len(points), 3, 0)),
        albedo_sd=np.zeros(0),
        groups={"eyes": np.concatenate(groups).astype(np.int32)},
    )
