"""The tables of points against MediaPipe's own connections."""

from __future__ import annotations

import numpy as np
import pytest

from fg3d_builder.landmarks.edges import (
    IBUG,
    MEDIAPIPE,
    MEDIAPIPE_CURVES,
    MEDIAPIPE_IRISES,
    MEDIAPIPE_NOSE,
    MEDIAPIPE_OF_IBUG,
    MEDIAPIPE_OVAL,
    Curve,
    edge_points,
    mediapipe_mirror,
)

connections = pytest.importorskip("mediapipe.python.solutions.face_mesh_connections")


def segments(*curves: Curve) -> set[frozenset[int]]:
    out = set()
    for points, closed in curves:
        following = points[1:] + points[:1] if closed else points[1:]
        out |= {frozenset(pair) for pair in zip(points, following, strict=False)}
    return out


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("FACEMESH_LIPS", ["outer_lips", "inner_lips"]),
        ("FACEMESH_RIGHT_EYE", ["right_eye"]),
        ("FACEMESH_LEFT_EYE", ["left_eye"]),
        ("FACEMESH_RIGHT_EYEBROW", ["right_brow_upper", "right_brow_lower"]),
        ("FACEMESH_LEFT_EYEBROW", ["left_brow_upper", "left_brow_lower"]),
    ],
)
def test_curves_are_the_canonical_ones(theirs: str, ours: list[str]) -> None:
    canonical = {frozenset(edge) for edge in getattr(connections, theirs)}
    assert segments(*(MEDIAPIPE_CURVES[name] for name in ours)) == canonical


def test_oval_is_the_canonical_one() -> None:
    canonical = {frozenset(edge) for edge in connections.FACEMESH_FACE_OVAL}
    assert segments(MEDIAPIPE_OVAL) == canonical


def test_nose_points_are_of_the_nose() -> None:
    known = {point for edge in connections.FACEMESH_NOSE for point in edge}
    assert set(MEDIAPIPE_NOSE) <= known


def test_mirror_is_a_symmetry_of_the_mesh() -> None:
    mirror = mediapipe_mirror()
    assert np.array_equal(mirror[mirror], np.arange(478))
    edges = {frozenset(edge) for edge in connections.FACEMESH_TESSELATION}
    mirrored = {frozenset(int(mirror[i]) for i in edge) for edge in edges}
    # Six quads of the mesh are cut along different diagonals left and right.
    assert len(edges - mirrored) == 6
    for name, curve in MEDIAPIPE_CURVES.items():
        if name.startswith("right"):
            other = MEDIAPIPE_CURVES[name.replace("right", "left")]
            assert tuple(mirror[list(curve.points)]) == other.points


def test_correspondence_with_ibug_is_symmetric() -> None:
    ibug_mirror = np.array(
        [
            *range(16, -1, -1),
            *range(26, 16, -1),
            *(27, 28, 29, 30, 35, 34, 33, 32, 31),
            *(45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40),
            *(54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55),
            *(64, 63, 62, 61, 60, 67, 66, 65),
        ]
    )
    ours = np.array(MEDIAPIPE_OF_IBUG)
    assert len(set(MEDIAPIPE_OF_IBUG)) == 68
    assert np.array_equal(mediapipe_mirror()[ours], ours[ibug_mirror])


def test_edge_points_leave_out_irises_and_outline() -> None:
    points = set(edge_points(MEDIAPIPE).tolist())
    assert not points & set(MEDIAPIPE_IRISES)
    assert not points & set(MEDIAPIPE_OVAL.points)
    assert edge_points(IBUG).tolist() == list(range(17, 68))
    with pytest.raises(ValueError, match="unknown landmark scheme 'aflw'"):
        edge_points("aflw")
