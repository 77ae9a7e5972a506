"""The texture of a registered face."""

from __future__ import annotations

import dataclasses

import numpy as np
from toy_build import HEIGHT, INTRINSICS, WIDTH, build_model, toy_capture

from fg3d_builder.files.mesh_io import colors_at_vertices, mesh_with_texture
from fg3d_builder.geometry.camera import px_from_cam
from fg3d_builder.geometry.meshes import vertex_normals
from fg3d_builder.geometry.pose import rotation_from_angles
from fg3d_builder.records import Pose, Registration
from fg3d_builder.rendering.rasterizer import rasterize, visible_vertices
from fg3d_builder.report.texture import texture_from_image


def test_texture_shows_the_image_where_the_camera_sees_it() -> None:
    """A colour gradient over the image comes back at the vertices, within two grey levels."""
    model = build_model()
    pose = Pose(1.0, rotation_from_angles(0, 10, 0), np.array([0.0, 0.0, 550.0]))
    vertices = pose.cam_from_obj(model.mean)
    x, y = np.meshgrid(np.arange(WIDTH), np.arange(HEIGHT))
    rgb = np.stack([x * 200 / WIDTH, y * 200 / HEIGHT, 0 * x + 90], axis=-1).astype(np.uint8)
    depth = rasterize(vertices, model.triangles, INTRINSICS, HEIGHT, WIDTH).depth_mm
    # Something else stands before a corner of the forehead: its colour is not the face's.
    rgb[60:90, 120:150] = 255
    depth[60:90, 120:150] = 300
    capture = dataclasses.replace(toy_capture(model, 0, 0), rgb=rgb, depth_mm=depth)
    normals = vertex_normals(vertices, model.triangles)
    visible = visible_vertices(vertices, model.triangles, normals, INTRINSICS, HEIGHT, WIDTH)
    n = model.vertex_count
    registration = Registration(
        topology_hash=model.topology_hash,
        vertices_cam_mm=vertices,
        pose=pose,
        shape_obj_mm=model.mean,
        coarse_obj_mm=model.mean,
        alpha_id=np.zeros(1),
        alpha_exp=np.zeros(1),
        visible=visible,
        confidence=visible.astype(float),
        surface_error_mm=np.zeros(n),
        landmark_error_px=0.0,
        quality=1.0,
        converged=True,
    )
    texture = texture_from_image(model, capture, registration, size=512)
    mesh = mesh_with_texture(model.mean, model.triangles, model.uv, texture)
    colours = colors_at_vertices(mesh).astype(float)
    facing = -np.einsum("nd,nd->n", normals, vertices) / np.linalg.norm(vertices, axis=1)
    pixels = px_from_cam(vertices, INTRINSICS)
    wanted = np.stack([pixels[:, 0] * 200 / WIDTH, pixels[:, 1] * 200 / HEIGHT], axis=1)
    away = np.abs(pixels - [134.5, 74.5]).max(axis=1)  # from the covered corner's middle
    front = visible & (facing > 0.6) & (away > 24)
    assert front.sum() > 300
    assert np.abs(colours[front, :2] - wanted[front]).max() < 2.5
    assert np.abs(colours[front, 2] - 90).max() < 2
    assert np.sum(away < 14) > 10
    assert colours[away < 14].max() < 200
    # What is not seen takes an even colour near the mean of what is.
    hidden = ~visible & (facing < 0)
    assert hidden.sum() > 100
    assert np.ptp(colours[hidden], axis=0).max() < 40
