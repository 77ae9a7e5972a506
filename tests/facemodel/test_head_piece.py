"""Which piece of a mesh is the skin, what of it is outside, where the detector's points are."""

from __future__ import annotations

import dataclasses

import numpy as np
import open3d
import pytest
from known_heads import bent_mm, bent_source

from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.facemodel.sources.source import ModelSource
from fg3d_builder.facemodel.transfer.head_piece import head_piece, seen_from_around
from fg3d_builder.landmarks.edges import MEDIAPIPE
from fg3d_builder.records import Array


def ball(radius: float, centre: Array) -> tuple[Array, Array]:
    mesh = open3d.geometry.TriangleMesh.create_sphere(radius, 20)
    return np.asarray(mesh.vertices) + centre, np.asarray(mesh.triangles)


def with_piece(source: ModelSource, points: Array, corners: Array) -> ModelSource:
    n, more = len(source.mean), len(points)
    assert source.albedo_mean is not None
    return dataclasses.replace(
        source,
        mean=np.vstack([source.mean, points]),
        polygons=np.vstack([source.polygons, corners + n]).astype(np.int32),
        id_basis=np.concatenate([source.id_basis, np.zeros((more, 3, 2))]),
        exp_basis=np.concatenate([source.exp_basis, np.zeros((more, 3, 1))]),
        albedo_mean=np.vstack([source.albedo_mean, np.full((more, 3), 0.1)]),
        albedo_basis=np.zeros((n + more, 3, 0)),
    )


def test_insides_are_not_seen() -> None:
    outer, corners = ball(50.0, np.zeros(3))
    inner, more = ball(20.0, np.zeros(3))
    seen = seen_from_around(np.vstack([outer, inner]), np.vstack([corners, more + len(outer)]))
    assert seen[: len(corners)].all()
    assert not seen[len(corners) :].any()


def test_skin_is_found_beside_larger_pieces(default: FaceModel) -> None:
    plain = bent_source(default, 12000)
    behind, corners = ball(260.0, np.array([0.0, 0.0, -420.0]))
    source = with_piece(plain, behind, corners)
    piece = head_piece(source, np.zeros(len(source.mean), dtype=bool))
    # Neither the eyeballs nor what is behind.
    assert piece.triangles.max() < plain.groups["eyes"].min()
    known = default.embeddings[MEDIAPIPE]
    truth = bent_mm(known.points(default.mean, default.triangles))
    error = np.linalg.norm(piece.points_mm[known.point_index] - truth, axis=1)
    assert np.isfinite(error).mean() > 0.9
    assert np.nanmean(error) < 2.5


def test_without_a_face_the_files_own_points_say_where_it_is(default: FaceModel) -> None:
    source = bent_source(default, 12000)
    upside_down = dataclasses.replace(source, mean=source.mean * [-1.0, -1.0, 1.0])
    nobody = np.zeros(len(source.mean), dtype=bool)
    with pytest.raises(ValueError, match=r"no face is found.*\+y up.*its unit"):
        head_piece(upside_down, nobody)
    named = dataclasses.replace(upside_down, landmarks68=np.arange(68, dtype=np.int32))
    piece = head_piece(named, nobody)
    assert piece.triangles.max() < source.groups["eyes"].min()
    assert not np.isfinite(piece.points_mm).any()
