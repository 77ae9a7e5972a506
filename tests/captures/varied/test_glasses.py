"""Glasses sit before the eyes, off the skin; dark ones hide the eyes, clear ones do not."""

from __future__ import annotations

import numpy as np
import pytest

from fg3d_builder.captures.synthetic import Subject, draw_subject, whole_head
from fg3d_builder.captures.varied.glasses import Glasses, draw_glasses
from fg3d_builder.captures.varied.worn import HeadSurface, tube


@pytest.fixture(scope="module")
def subject() -> Subject:
    return draw_subject(11)


def pairs(subject: Subject, count: int) -> list[Glasses]:
    vertices, triangles, _ = whole_head(subject, subject.head.neutral_obj_mm)
    surface = HeadSurface(vertices, triangles)
    eyes = np.stack([subject.head.neutral_obj_mm[own].mean(axis=0) for own in subject.eyes])
    return [draw_glasses(surface, eyes, np.random.default_rng(seed)) for seed in range(count)]


def test_glasses_are_before_the_skin_and_around_the_eyes(subject: Subject) -> None:
    vertices, triangles, _ = whole_head(subject, subject.head.neutral_obj_mm)
    surface = HeadSurface(vertices, triangles)
    for glasses in pairs(subject, 30):
        for lens in glasses.lenses:
            skin = surface.front_z(lens.vertices_mm[:, :2])
            assert (lens.vertices_mm[:, 2] > skin).all()
            # No further from the eye than glasses are worn.
            assert lens.vertices_mm[0, 2] - skin[0] < 45.0
        frame = glasses.frame.vertices_mm
        assert frame[:, 2].min() > -15.0
        assert np.abs(frame[:, 0]).max() < 130.0
        assert np.ptp(frame[:, 0]) > 120.0


def test_every_sixth_pair_is_dark(subject: Subject) -> None:
    drawn = pairs(subject, 90)
    dark = [glasses for glasses in drawn if not glasses.lenses]
    assert 6 <= len(dark) <= 26
    assert all(lens.transmission.min() > 0.5 for g in drawn for lens in g.lenses)


def test_a_tube_faces_outwards() -> None:
    line = np.stack([np.linspace(0.0, 40.0, 9), np.zeros(9), np.zeros(9)], axis=1)
    solid = tube(line, 2.0, np.full(3, 0.5), closed=False)
    corners = solid.vertices_mm[solid.triangles]
    normal = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    outward = corners.mean(axis=1) * [0.0, 1.0, 1.0]
    assert (np.einsum("md,md->m", normal, outward) > 0).all()
    np.testing.assert_allclose(np.linalg.norm(solid.vertices_mm[:, 1:], axis=1), 2.0)
