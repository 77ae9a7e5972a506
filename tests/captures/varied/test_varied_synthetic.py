"""Varied synthetic captures: cameras and faces go together, and the truth stays the truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import map_coordinates, maximum_filter

from fg3d_builder.captures.synthetic import (
    Subject,
    SyntheticSource,
    draw_scene,
    draw_subject,
    varied,
)
from fg3d_builder.captures.varied.framing import FACE_MM, draw_framing, reachable_distances_mm
from fg3d_builder.config import SourceConfig, VarietyConfig, digest
from fg3d_builder.errors import ConfigError
from fg3d_builder.geometry.camera import px_from_cam
from fg3d_builder.geometry.meshes import vertex_normals
from fg3d_builder.records import Capture

PHONES = VarietyConfig("phones")
CONFIG = SourceConfig(subjects=1, captures_per_subject=3, seed=6, variety=PHONES)


def loaded(config: SourceConfig, number: int = 0) -> Capture:
    source = SyntheticSource(config)
    return source.load(source.entries()[number])


@pytest.fixture(scope="module")
def subject() -> Subject:
    return draw_subject(11)


@pytest.fixture(scope="module")
def worn() -> list[Capture]:
    """Captures with hair and glasses before the face."""
    config = replace(CONFIG, variety=replace(PHONES, hair=1.0, glasses=1.0))
    return [loaded(config, number) for number in range(3)]


@pytest.fixture(scope="module")
def bare() -> list[Capture]:
    """The same without them."""
    config = replace(CONFIG, variety=replace(PHONES, hair=0.0, glasses=0.0))
    return [loaded(config, number) for number in range(3)]


def test_a_source_that_asks_for_no_variety_stays_as_it_was() -> None:
    plain = replace(CONFIG, variety=VarietyConfig())
    assert digest(plain) == digest(SourceConfig(subjects=1, captures_per_subject=3, seed=6))
    one = loaded(plain)
    other = loaded(replace(plain, variety=VarietyConfig(hair=1.0, glasses=1.0, lamps=0)))
    np.testing.assert_array_equal(one.rgb, other.rgb)
    np.testing.assert_array_equal(one.depth_mm, other.depth_mm)


def test_distances_and_focal_lengths_are_spread_over_their_ranges() -> None:
    rng = np.random.default_rng(0)
    framings = [draw_framing(CONFIG, rng) for _ in range(600)]
    distance = np.array([f.center_cam_mm[2] for f in framings])
    focal = np.array([f.intrinsics[0, 0] for f in framings])
    face_px = FACE_MM[0] * focal / distance
    nearest, farthest = reachable_distances_mm(CONFIG)
    assert (nearest, farthest) == (300.0, 1500.0)
    assert distance.min() >= nearest
    assert distance.max() <= farthest
    # Evenly in the logarithm: as many below the geometric mean as above it.
    assert np.median(distance) == pytest.approx(np.sqrt(nearest * farthest), rel=0.1)
    assert focal.min() >= 0.6 * 900 - 1e-6
    assert focal.max() <= 1.4 * 900 + 1e-6
    assert np.ptp(focal) > 0.7 * 900
    assert face_px.min() >= 90 - 1e-6
    assert face_px.max() <= 400 + 1e-6


def test_faces_are_whole_in_the_picture(subject: Subject) -> None:
    rng = np.random.default_rng(1)
    for _ in range(12):
        scene = varied(CONFIG, subject, draw_scene(CONFIG, subject, 1, rng), rng)
        face = scene.pose.cam_from_obj(subject.head.neutral_obj_mm)
        column, row = px_from_cam(face, scene.intrinsics).T
        assert column.min() > -10
        assert column.max() < 490
        assert row.min() > -10
        assert row.max() < 650


def test_small_pictures_hold_the_face_as_well() -> None:
    small = replace(CONFIG, image_size=(160, 120), focal_px=225.0)
    rng = np.random.default_rng(2)
    for _ in range(50):
        framing = draw_framing(small, rng)
        tall = FACE_MM[0] * framing.intrinsics[0, 0] / framing.center_cam_mm[2]
        assert 90 - 1e-6 <= tall <= 0.8 * 160 + 1e-6


def test_a_face_that_no_camera_can_show_is_a_configuration_error() -> None:
    far = replace(CONFIG, variety=replace(PHONES, distances_mm=(4000.0, 5000.0)))
    with pytest.raises(ConfigError, match=r"sources\.variety\.face_px.*4000 to 5000 mm"):
        SyntheticSource(far)


def test_rendered_depth_is_that_of_the_true_vertices(worn: list[Capture], subject: Subject) -> None:
    for capture in worn:
        truth = capture.truth
        assert truth is not None
        np.testing.assert_allclose(
            truth.pose.cam_from_obj(truth.shape_obj_mm), truth.vertices_cam_mm, atol=1e-3
        )
        column, row = px_from_cam(truth.vertices_cam_mm, capture.intrinsics).T
        flat = vertex_normals(truth.vertices_cam_mm, subject.triangles)[:, 2] < -0.85
        seen = np.flatnonzero(truth.visible & flat)
        assert len(seen) > 1000
        # Between four pixels, so that a slope is no difference.
        rendered = map_coordinates(capture.depth_mm, [row[seen], column[seen]], order=1)
        off = np.abs(rendered - truth.vertices_cam_mm[seen, 2])
        # A vertex beside a strand has the strand in its pixels.
        assert np.mean(off < 0.5) > 0.9
        assert np.median(off) < 0.05


def test_what_is_worn_hides_what_it_covers(worn: list[Capture], bare: list[Capture]) -> None:
    for with_it, without in zip(worn, bare, strict=True):
        assert with_it.truth is not None
        assert without.truth is not None
        np.testing.assert_array_equal(with_it.truth.vertices_cam_mm, without.truth.vertices_cam_mm)
        assert not (with_it.truth.visible & ~without.truth.visible).any()
        lost = without.truth.visible & ~with_it.truth.visible
        assert 20 < lost.sum() < 0.6 * len(lost)
        # Nothing is farther than before, and where vertices are lost, something is nearer.
        nearer = without.depth_mm - with_it.depth_mm
        assert not (nearer < -1e-3).any()
        column, row = (
            np.rint(px_from_cam(without.truth.vertices_cam_mm[lost], without.intrinsics))
            .astype(int)
            .T
        )
        # Strands are about as wide as a pixel, and need not cover its centre.
        around = maximum_filter(nearer, 3)
        assert np.mean(around[row, column] > 0.5) > 0.9


def test_the_same_capture_twice_in_any_order(worn: list[Capture]) -> None:
    config = replace(CONFIG, variety=replace(PHONES, hair=1.0, glasses=1.0), subjects=5)
    again = loaded(config, 2)
    np.testing.assert_array_equal(again.rgb, worn[2].rgb)
    np.testing.assert_array_equal(again.depth_mm, worn[2].depth_mm)
    assert again.truth is not None
    assert worn[2].truth is not None
    np.testing.assert_array_equal(again.truth.visible, worn[2].truth.visible)


def test_bald_heads_wear_no_hair(subject: Subject) -> None:
    rng = np.random.default_rng(3)
    config = replace(CONFIG, variety=replace(PHONES, hair=1.0, glasses=0.0))
    plain = draw_scene(config, subject, 0, rng)
    bald = varied(config, replace(subject, hair_albedo=None), plain, np.random.default_rng(4))
    haired = varied(config, subject, plain, np.random.default_rng(4))
    assert bald.look is not None
    assert haired.look is not None
    assert not bald.look.worn
    assert len(haired.look.worn) == 1
