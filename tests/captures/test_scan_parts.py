"""Debris is left out, triangles that face both ways are seen, and whole scans stay as they are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import trimesh

from fg3d_builder.captures.scan_parts import (
    inconsistent_share,
    turned_outward,
    with_both_sides,
    without_debris,
)
from fg3d_builder.files.mesh_io import TexturedMesh, mesh_with_colors
from fg3d_builder.geometry.camera import intrinsics_matrix
from fg3d_builder.records import Array
from fg3d_builder.rendering.rasterizer import rasterize


def ball(center: tuple[float, float, float], radius: float, subdivisions: int) -> TexturedMesh:
    made = trimesh.creation.icosphere(subdivisions=subdivisions)
    points = np.asarray(made.vertices) * radius + np.array(center)
    grey = np.full((len(points), 3), 128, np.uint8)
    return mesh_with_colors(points, np.asarray(made.faces), grey)


def together(*meshes: TexturedMesh) -> TexturedMesh:
    first = np.cumsum([0, *(len(m.vertices) for m in meshes)])
    return mesh_with_colors(
        np.concatenate([m.vertices for m in meshes]),
        np.concatenate([m.triangles + n for m, n in zip(meshes, first, strict=False)]),
        np.full((int(first[-1]), 3), 128, np.uint8),
    )


def stray(count: int, reach: float, size: float, seed: int) -> TexturedMesh:
    """Triangles of about a size, anywhere in a cube."""
    rng = np.random.default_rng(seed)
    corners = rng.uniform(-reach, reach, (count, 1, 3)) + rng.normal(0, size, (count, 3, 3))
    return mesh_with_colors(corners.reshape(-1, 3), np.arange(3 * count).reshape(-1, 3))


HEAD = ball((0.0, 0.0, 0.0), 100.0, 4)


@pytest.mark.parametrize("scale", [0.001, 1.0, 30.0])
@pytest.mark.parametrize(
    "debris",
    [
        stray(100, 1000.0, 600.0, 1),  # across all of the space, through the head as well
        stray(150, 1500.0, 3.0, 2),
        together(ball((900.0, 300.0, -700.0), 15.0, 2), ball((0.0, -600.0, 0.0), 30.0, 2)),
        stray(2, 0.0, 2000.0, 3),  # a floor
    ],
)
def test_debris_is_left_out(debris: TexturedMesh, scale: float) -> None:
    mesh = together(HEAD, debris)
    mesh = replace(mesh, vertices=mesh.vertices * scale)
    clean = without_debris(mesh)
    count = len(HEAD.triangles)
    # A small piece may happen to float beside the head, where it is part of it.
    assert count <= len(clean.triangles) <= count + 3
    np.testing.assert_array_equal(clean.triangles[:count], HEAD.triangles)
    np.testing.assert_array_equal(clean.vertices, mesh.vertices)
    assert len(clean.uv_triangles) == len(clean.triangle_texture) == len(clean.triangles)


@pytest.mark.parametrize(
    "more",
    [
        together(ball((0.0, 20.0, 60.0), 12.0, 2), ball((-30.0, 20.0, 60.0), 12.0, 2)),  # eyes
        ball((0.0, 60.0, -20.0), 80.0, 3),  # hair
        ball((0.0, -190.0, 0.0), 85.0, 4),  # shoulders, a little below
        ball((500.0, 0.0, 0.0), 100.0, 4),  # another head: nobody knows which is meant
    ],
)
def test_parts_of_a_scan_stay(more: TexturedMesh) -> None:
    mesh = together(HEAD, more)
    assert without_debris(mesh) is mesh


def test_pieces_that_share_only_places_are_one() -> None:
    soup = mesh_with_colors(
        HEAD.vertices[HEAD.triangles].reshape(-1, 3),
        np.arange(3 * len(HEAD.triangles)).reshape(-1, 3),
    )
    assert without_debris(soup) is soup
    assert inconsistent_share(soup) == 0.0
    lone = together(soup, stray(40, 2000.0, 3.0, 4))
    assert len(without_debris(lone).triangles) == len(soup.triangles)


def seen(mesh: TexturedMesh) -> Array:
    camera = intrinsics_matrix(200.0, 200.0, 49.5, 49.5)
    vertices = mesh.vertices * [1.0, -1.0, -1.0] + [0.0, 0.0, 500.0]
    return np.asarray(rasterize(vertices, mesh.triangles, camera, 100, 100).depth_mm)


@pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
def test_triangles_that_face_both_ways_are_all_seen(share: float) -> None:
    turned = np.random.default_rng(9).uniform(size=len(HEAD.triangles)) < share
    triangles = np.where(turned[:, None], HEAD.triangles[:, ::-1], HEAD.triangles)
    mixed = replace(HEAD, triangles=triangles)
    assert inconsistent_share(mixed) == pytest.approx(2 * share * (1 - share), abs=0.04)
    mended = with_both_sides(turned_outward(mixed))
    assert len(mended.triangles) == 2 * len(HEAD.triangles)
    np.testing.assert_allclose(seen(mended), seen(HEAD), atol=1e-3)
    assert np.isfinite(seen(mended)).sum() > np.isfinite(seen(turned_outward(mixed))).sum()


def test_consistent_meshes_stay_one_sided() -> None:
    for mesh in (HEAD, replace(HEAD, triangles=HEAD.triangles[:, ::-1])):
        assert with_both_sides(mesh) is mesh
    # A few that were turned when holes were filled.
    few = HEAD.triangles.copy()
    few[::200] = few[::200, ::-1]
    patched = replace(HEAD, triangles=few)
    assert with_both_sides(patched) is patched
