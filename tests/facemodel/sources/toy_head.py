"""A small head as published models have it: closed, with eyeballs, teeth and a cut chart."""

from __future__ import annotations

import numpy as np
import trimesh

from fg3d_builder.facemodel.sources.source import ModelSource, check_source
from fg3d_builder.geometry.meshes import triangle_normals
from fg3d_builder.records import Array

IDENTITIES, EXPRESSIONS, COLOURS = 6, 4, 3


def toy_head(seed: int = 0) -> ModelSource:
    """Return a model of 768 vertices in the object frame, mm."""
    rng = np.random.default_rng(seed)
    parts = [_ball(3, [70.0, 115.0, 95.0], [0.0, 0.0, 0.0])]
    parts += [_ball(1, [12.0, 12.0, 12.0], [side * 32.0, 30.0, 84.0]) for side in (1.0, -1.0)]
    parts.append(_ball(1, [20.0, 8.0, 10.0], [0.0, -45.0, 70.0]))
    sizes = [len(vertices) for vertices, _ in parts]
    starts = np.cumsum([0, *sizes[:-1]])
    mean = np.concatenate([vertices for vertices, _ in parts])
    triangles = np.concatenate([t + s for (_, t), s in zip(parts, starts, strict=True)])
    triangles = triangles.astype(np.int32)
    count = len(mean)
    id_basis = np.stack([_field(mean, rng, 1.0) for _ in range(IDENTITIES)], axis=2)
    mouth = np.exp(-(((mean - [0.0, -45.0, 80.0]) / 40.0) ** 2).sum(axis=1))[:, None]
    exp_basis = np.stack([8.0 * mouth * _field(mean, rng, 1.0) for _ in range(EXPRESSIONS)], axis=2)
    albedo_basis = np.stack([0.05 * _field(mean, rng, 1.0) for _ in range(COLOURS)], axis=2)
    roles = dict(
        zip(
            ("skin", "left_eye", "right_eye", "teeth"),
            np.split(np.arange(count), starts[1:]),
            strict=True,
        )
    )
    source = ModelSource(
        layout="toy",
        name="toy",
        licence="CC0",
        mean=mean,
        polygons=triangles,
        id_basis=id_basis,
        id_sd=np.linspace(3.0, 0.5, IDENTITIES),
        exp_basis=exp_basis,
        exp_sd=np.full(EXPRESSIONS, 0.3),
        exp_names=tuple(f"shape_{i}" for i in range(EXPRESSIONS)),
        exp_lower=np.zeros(EXPRESSIONS),
        exp_upper=np.ones(EXPRESSIONS),
        albedo_mean=0.4 + 0.2 * np.sin(mean / 40.0),
        albedo_basis=albedo_basis,
        albedo_sd=np.linspace(1.0, 0.2, COLOURS),
        uv=_chart(mean, triangles),
        landmarks68=rng.permutation(sizes[0])[:68].astype(np.int32),
        groups={
            "eyes": np.concatenate([roles["left_eye"], roles["right_eye"]]).astype(np.int32),
            "teeth": roles["teeth"].astype(np.int32),
        },
    )
    check_source(source)
    return source


def at_unit_deviation(basis: Array, sd: Array) -> Array:
    """Directions for coefficients of variance 1: what two models of other scaling share."""
    return np.asarray(basis * sd)


def _ball(subdivisions: int, radii: list[float], centre: list[float]) -> tuple[Array, Array]:
    ball = trimesh.creation.icosphere(subdivisions=subdivisions)
    vertices = np.asarray(ball.vertices) * radii + centre
    triangles = np.asarray(ball.faces)
    outwards = triangle_normals(vertices, triangles) * (vertices[triangles].mean(axis=1) - centre)
    assert (outwards.sum(axis=1) > 0).all()
    return vertices, triangles


def _field(points: Array, rng: np.random.Generator, size: float) -> Array:
    """A smooth vector field, so that nothing folds."""
    waves = rng.normal(size=(3, 3)) / 60.0
    return size * np.sin(points @ waves + rng.uniform(0, 6.0, 3))


def _chart(mean: Array, triangles: Array) -> Array:
    """Chart coordinates of corners, cut behind the head, so that a vertex there has two."""
    corners = mean[triangles]
    angle = np.arctan2(corners[..., 0], corners[..., 2]) / (2 * np.pi) + 0.5
    wraps = np.ptp(angle, axis=1) > 0.5
    angle = np.where(wraps[:, None] & (angle < 0.5), angle + 1.0, angle) / 1.2
    height = (corners[..., 1] + 130.0) / 260.0
    return np.stack([angle, height], axis=-1)
