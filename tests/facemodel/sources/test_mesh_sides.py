"""Sides and parts of meshes are told from the meshes."""

from __future__ import annotations

import numpy as np
import pytest

from fg3d_builder.facemodel.sources.mesh_sides import faces_outwards, loose_parts, turned_outwards
from tests.facemodel.sources.toy_head import toy_head


@pytest.mark.parametrize("mask", [False, True])
def test_outwards(mask: bool) -> None:
    head = toy_head()
    triangles = head.polygons
    if mask:  # only what is at the front, as models of faces have it
        triangles = triangles[(head.mean[triangles, 2] > 30.0).all(axis=1)]
    used = np.unique(triangles)
    vertices = head.mean + np.array([500.0, -80.0, 3000.0])  # wherever the origin is
    vertices[np.setdiff1d(np.arange(len(vertices)), used)] = vertices[used].mean(axis=0)
    assert faces_outwards(vertices, triangles)
    assert not faces_outwards(vertices, triangles[:, [0, 2, 1]])
    assert not faces_outwards(vertices * [-1, 1, 1], triangles)
    assert head.uv is not None
    uv = head.uv[: len(triangles)]
    same = turned_outwards(vertices, triangles, uv)
    assert same[0] is triangles
    assert same[1] is uv
    turned, chart = turned_outwards(vertices, triangles[:, ::-1], uv[:, ::-1])
    np.testing.assert_array_equal(turned, triangles)
    assert chart is not None
    np.testing.assert_array_equal(chart, uv)
    assert turned_outwards(vertices, triangles)[1] is None


def test_loose_parts() -> None:
    head = toy_head()
    part = loose_parts(head.polygons, len(head.mean) + 1)
    assert len(np.unique(part)) == 5  # head, two eyes, teeth, and a vertex of nothing
    assert len(np.unique(part[head.groups["eyes"]])) == 2
    assert not np.isin(part[head.groups["eyes"]], part[head.groups["teeth"]]).any()
