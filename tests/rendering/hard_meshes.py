"""Meshes that rasterisers get wrong, drawn by hypothesis, for parity tests."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st

from fg3d_builder.geometry.camera import cam_from_px, intrinsics_matrix
from fg3d_builder.records import Array


class Scene(NamedTuple):
    """Arguments of a rasteriser, but for culling."""

    vertices_cam_mm: Array
    triangles: Array
    intrinsics: Array
    height: int
    width: int


INTRINSICS = intrinsics_matrix(60.0, 63.0, 23.5, 17.25)
HEIGHT, WIDTH = 36, 48


def lifted(points_px: Array, depth_mm: Array) -> Array:
    """Vertices that project to these pixels."""
    return cam_from_px(points_px, depth_mm, INTRINSICS)


def soup(rng: np.random.Generator) -> tuple[Array, Array]:
    """Random triangles, some across the image's border, some behind the camera."""
    count = rng.integers(1, 30)
    centre = rng.uniform([-40, -30, -20], [40, 30, 150], size=(count, 1, 3))
    vertices = (centre + rng.normal(scale=12.0, size=(count, 3, 3))).reshape(-1, 3)
    return vertices, np.arange(3 * count).reshape(-1, 3)


def on_pixel_centres(rng: np.random.Generator) -> tuple[Array, Array]:
    """A grid whose edges run through pixel centres, with its triangles in random order."""
    x, y = np.meshgrid(np.arange(-4, 54, 3.0), np.arange(-4, 40, 3.0))
    px = np.stack([x.ravel(), y.ravel()], axis=1) + rng.integers(-1, 2, size=(x.size, 2))
    n = np.arange(x.size).reshape(x.shape)
    a, b, c, d = n[:-1, :-1].ravel(), n[:-1, 1:].ravel(), n[1:, :-1].ravel(), n[1:, 1:].ravel()
    triangles = np.concatenate([np.stack([a, c, b], 1), np.stack([b, c, d], 1)])
    return lifted(px, rng.uniform(90, 110, len(px))), rng.permutation(triangles)


def slivers(rng: np.random.Generator) -> tuple[Array, Array]:
    """Triangles down to one grid step thin, or without area, half of them along pixel centres."""
    count = rng.integers(1, 40)
    px = rng.integers(-10 * 256, 58 * 256, size=(count, 3, 2)) / 256.0
    px[::2, 0] = np.rint(px[::2, 0])
    px[::2, 1] = px[::2, 0] + 40 * rng.integers(-1, 2, size=px[::2, 0].shape)
    along = rng.uniform(-0.5, 1.5, size=(count, 1))
    px[:, 2] = px[:, 0] + along * (px[:, 1] - px[:, 0]) + rng.integers(-2, 3, (count, 2)) / 256.0
    vertices = lifted(px.reshape(-1, 2), rng.uniform(5, 200, 3 * count))
    return vertices, np.arange(3 * count).reshape(-1, 3)


def smaller_than_pixels(rng: np.random.Generator) -> tuple[Array, Array]:
    """Many triangles that hold one pixel centre or none, overlapping in depth."""
    count = 400
    px = rng.uniform([-2, -2], [50, 38], size=(count, 1, 2)) + rng.normal(
        scale=0.6, size=(count, 3, 2)
    )
    vertices = lifted(px.reshape(-1, 2), rng.uniform(80, 120, 3 * count))
    return vertices, np.arange(3 * count).reshape(-1, 3)


def huge(rng: np.random.Generator) -> tuple[Array, Array]:
    """Triangles that reach far outside the image, up to where integers would overflow."""
    count = rng.integers(1, 12)
    reach = 10.0 ** rng.uniform(1, 22, size=(count, 1, 1))
    px = 20 + rng.normal(size=(count, 3, 2)) * reach
    vertices = lifted(px.reshape(-1, 2), rng.uniform(2, 200, 3 * count))
    return vertices, np.arange(3 * count).reshape(-1, 3)


def without_projection(rng: np.random.Generator) -> tuple[Array, Array]:
    """Corners behind the camera, just at the near plane, at infinity, or not a number."""
    vertices, triangles = soup(rng)
    strange = np.array([0.0, -5.0, 1.0, np.nextafter(1.0, 2.0), np.inf, -np.inf, np.nan, 1e-300])
    chosen = rng.random(len(vertices)) < 0.2
    vertices[chosen, rng.integers(0, 3, chosen.sum())] = rng.choice(strange, chosen.sum())
    return vertices, triangles


def at_one_depth(rng: np.random.Generator) -> tuple[Array, Array]:
    """The same triangles several times: only their order decides."""
    vertices, triangles = on_pixel_centres(rng)
    copies = np.concatenate([triangles, triangles[:, [1, 2, 0]], triangles[:, ::-1], triangles])
    return vertices, rng.permutation(copies)


def scene(kind: str, seed: int) -> Scene:
    """One of `KINDS`, by name."""
    vertices, triangles = KINDS[kind](np.random.default_rng(seed))
    return Scene(vertices, triangles, INTRINSICS, HEIGHT, WIDTH)


KINDS = {
    make.__name__: make
    for make in (
        soup,
        on_pixel_centres,
        slivers,
        smaller_than_pixels,
        huge,
        without_projection,
        at_one_depth,
    )
}
kinds_and_seeds = st.tuples(st.sampled_from(list(KINDS)), st.integers(0, 100_000))
