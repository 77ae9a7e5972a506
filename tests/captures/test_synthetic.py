"""Synthetic captures: the ground truth is true, the pictures are repeatable."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import open3d
import pytest

from fg3d_builder.captures.opening import open_source
from fg3d_builder.captures.scan import camera_of
from fg3d_builder.captures.synthetic import (
    EXPRESSIONS,
    Subject,
    SyntheticSource,
    draw_scene,
    draw_subject,
    render_capture,
    seamless_normals,
    shaded,
    whole_head,
)
from fg3d_builder.config import SensorConfig, SourceConfig
from fg3d_builder.errors import ConfigError
from fg3d_builder.geometry.camera import cam_from_depth, px_from_cam
from fg3d_builder.geometry.meshes import vertex_normals
from fg3d_builder.geometry.pose import angles_from_rotation
from fg3d_builder.heads.library import head_population
from fg3d_builder.records import Capture
from fg3d_builder.rendering.shading import linear_from_srgb

CONFIG = SourceConfig(image_size=(320, 240), focal_px=450.0, subjects=2, captures_per_subject=3)


@pytest.fixture(scope="module")
def captures() -> list[Capture]:
    source = open_source(CONFIG)
    return [source.load(e) for e in source.entries()]


@pytest.fixture(scope="module")
def subject() -> Subject:
    return draw_subject(11)


def face_mesh(capture: Capture, triangles: np.ndarray) -> open3d.t.geometry.RaycastingScene:
    assert capture.truth is not None
    scene = open3d.t.geometry.RaycastingScene()
    scene.add_triangles(capture.truth.vertices_cam_mm, triangles.astype(np.uint32))
    return scene


def test_sex_is_that_of_the_phenotype(captures: list[Capture]) -> None:
    by_subject = {
        c.subject_id: {o.sex for o in captures if o.subject_id == c.subject_id} for c in captures
    }
    assert all(len(found) == 1 for found in by_subject.values())
    people = head_population()
    for seed in range(8):
        gender = people.sampler.draw_macro(np.random.default_rng([seed, 0])).gender
        assert draw_subject(seed).sex == ("female" if gender < 0.5 else "male")


def test_entries_and_ids() -> None:
    entries = SyntheticSource(replace(CONFIG, seed=4)).entries()
    assert [e.capture_id for e in entries[:4]] == [
        "synthetic-4-00000-00",
        "synthetic-4-00000-01",
        "synthetic-4-00000-02",
        "synthetic-4-00001-00",
    ]
    assert [e.subject_id for e in entries[:4]] == ["synthetic-4-00000"] * 3 + ["synthetic-4-00001"]


def test_depth_on_the_face_lies_on_the_true_surface(
    captures: list[Capture], subject: Subject
) -> None:
    for capture in captures:
        assert capture.truth is not None
        scene = face_mesh(capture, subject.triangles)
        points = cam_from_depth(capture.depth_mm, capture.intrinsics)
        rays = np.concatenate([np.zeros_like(points), points / points[..., 2:]], axis=-1)
        rays[~np.isfinite(rays)] = 1.0
        hit = scene.cast_rays(rays.astype(np.float32))["t_hit"].numpy()
        # Pixels whose ray meets the face, with no ear or nose of the context before it.
        on_face = np.isfinite(hit) & np.isfinite(capture.depth_mm)
        on_face &= np.abs(hit - capture.depth_mm) < 3.0
        assert on_face.sum() > 5000
        distance = scene.compute_distance(points[on_face].astype(np.float32)).numpy()
        assert np.percentile(distance, 99) < 0.05
        assert np.median(distance) < 2e-3


def test_truth_is_one_shape_in_two_frames(captures: list[Capture], subject: Subject) -> None:
    for capture in captures:
        truth = capture.truth
        assert truth is not None
        assert truth.topology_hash == subject.topology_hash
        np.testing.assert_allclose(
            truth.pose.cam_from_obj(truth.shape_obj_mm), truth.vertices_cam_mm, atol=1e-3
        )
        assert np.linalg.det(truth.pose.rotation) == pytest.approx(1.0)
        assert truth.pose.scale == 1.0


def test_visible_vertices_are_those_that_nothing_hides(
    captures: list[Capture], subject: Subject
) -> None:
    for capture in captures:
        truth = capture.truth
        assert truth is not None
        column, row = np.rint(px_from_cam(truth.vertices_cam_mm, capture.intrinsics)).astype(int).T
        behind = truth.vertices_cam_mm[:, 2] - capture.depth_mm[row, column]
        # Visible vertices are on the picture's surface; steep parts change too much
        # within a pixel, which is 1.2 mm wide, to tell.
        normals = vertex_normals(truth.vertices_cam_mm, subject.triangles)
        flat = truth.visible & (normals[:, 2] < -0.6)
        assert np.mean(np.abs(behind[flat]) < 2.0) > 0.99
        # Nothing counts as seen that the face hides; what nothing hides counts as seen.
        rays = np.concatenate([np.zeros_like(truth.vertices_cam_mm), truth.vertices_cam_mm], axis=1)
        first = face_mesh(capture, subject.triangles).cast_rays(rays)["t_hit"].numpy()
        hidden_by_face = first < 1.0 - 0.5 / truth.vertices_cam_mm[:, 2]
        assert not truth.visible[hidden_by_face].any()
        assert truth.visible[~hidden_by_face & (behind < 1.0)].mean() > 0.95
        assert 0.7 < truth.visible.mean() < 0.99


def test_captures_of_a_subject_share_the_head_and_differ_in_the_rest(
    captures: list[Capture],
) -> None:
    first, second, third, other = captures[:4]
    assert first.expression == "neutral"
    assert {second.expression, third.expression} <= set(EXPRESSIONS)
    shapes = [c.truth.shape_obj_mm for c in (first, second, other)]  # type: ignore[union-attr]
    moved = np.linalg.norm(shapes[1] - shapes[0], axis=1)
    different = np.linalg.norm(shapes[2] - shapes[0], axis=1)
    # An expression moves a part of the face, another person differs everywhere.
    assert np.percentile(moved, 20) < 0.3
    assert moved.max() > 2.0
    assert np.median(different) > 1.0


def test_poses_stay_in_the_configured_range(subject: Subject) -> None:
    config = replace(CONFIG, max_yaw_deg=30.0, max_pitch_deg=5.0)
    rng = np.random.default_rng(0)
    angles = []
    for _ in range(60):
        scene = draw_scene(config, subject, 0, rng)
        angles.append(angles_from_rotation(scene.pose.rotation))
        face = scene.pose.cam_from_obj(subject.head.neutral_obj_mm)
        x, y = px_from_cam(face, camera_of(config)).mean(axis=0)
        assert 40 < x < 200
        assert 50 < y < 270
    pitch, yaw, roll = np.abs(angles).T
    assert pitch.max() <= 5.0
    assert 25.0 < yaw.max() <= 30.0
    assert 2.0 < roll.std() < 6.0


def test_two_runs_give_the_same_bits_in_any_order(captures: list[Capture]) -> None:
    again = SyntheticSource(CONFIG)
    for entry, capture in list(zip(again.entries(), captures, strict=True))[::-2]:
        found = again.load(entry)
        np.testing.assert_array_equal(found.rgb, capture.rgb)
        np.testing.assert_array_equal(found.depth_mm, capture.depth_mm)
        assert found.truth is not None
        assert capture.truth is not None
        np.testing.assert_array_equal(found.truth.vertices_cam_mm, capture.truth.vertices_cam_mm)


def test_subjects_do_not_depend_on_how_many_there_are(captures: list[Capture]) -> None:
    source = SyntheticSource(replace(CONFIG, subjects=50, captures_per_subject=7))
    entry = next(e for e in source.entries() if e.capture_id == captures[4].capture_id)
    np.testing.assert_array_equal(source.load(entry).rgb, captures[4].rgb)


def test_sensor_noise_changes_the_depth_alone(captures: list[Capture]) -> None:
    config = replace(CONFIG, sensor=SensorConfig("structured_light"))
    source = SyntheticSource(config)
    noisy = source.load(source.entries()[1])
    np.testing.assert_array_equal(noisy.rgb, captures[1].rgb)
    error = noisy.depth_mm - captures[1].depth_mm
    near = captures[1].depth_mm < 560.0
    assert 0.3 < np.nanmedian(np.abs(error[near])) < 1.0
    assert np.isfinite(error[near]).mean() > 0.9


def test_picture_is_lit_by_equation_14(subject: Subject) -> None:
    scene = draw_scene(CONFIG, subject, 0, np.random.default_rng(5))
    dark = replace(scene.light, ambient=np.zeros(3), directional=np.zeros(3))
    quiet = replace(scene, light=dark, image_noise=0.0)
    black = render_capture(CONFIG, subject, quiet, "a", "b")
    bright = render_capture(CONFIG, subject, replace(scene, image_noise=0.0), "a", "b")
    twice = replace(
        scene.light, ambient=0.5 * scene.light.ambient, directional=0.5 * scene.light.directional
    )
    half = render_capture(CONFIG, subject, replace(quiet, light=twice), "a", "b")
    assert black.truth is not None
    # The middle of the face: no background shines through at the outline.
    x, y, _ = black.truth.shape_obj_mm.T
    inner = black.truth.visible & (np.abs(x) < 30) & (y > -50)
    pixels = np.rint(px_from_cam(black.truth.vertices_cam_mm, black.intrinsics)).astype(int)
    column, row = pixels[inner].T
    assert not black.rgb[row, column].any()
    unclipped = bright.rgb[row, column].max(axis=1) < 250
    ratio = (
        linear_from_srgb(half.rgb[row, column])[unclipped].sum()
        / linear_from_srgb(bright.rgb[row, column])[unclipped].sum()
    )
    assert ratio == pytest.approx(0.5, abs=0.01)


def test_expressions_use_actions_that_exist(subject: Subject) -> None:
    for weights in EXPRESSIONS.values():
        assert set(weights) <= set(subject.action_names)
    scene = draw_scene(CONFIG, subject, 0, np.random.default_rng(0))
    with pytest.raises(ValueError, match="wiggleEars"):
        render_capture(CONFIG, subject, replace(scene, weights={"wiggleEars": 1.0}), "a", "b")


def test_a_first_capture_is_neutral_unless_it_need_not_be(subject: Subject) -> None:
    def first(config: SourceConfig) -> set[str]:
        rngs = (np.random.default_rng(seed) for seed in range(40))
        return {draw_scene(config, subject, 0, rng).expression for rng in rngs}

    assert first(CONFIG) == {"neutral"}
    expressive = replace(CONFIG, neutral_first=False)
    assert first(expressive) == set(EXPRESSIONS)
    assert first(replace(expressive, expressions=False)) == {"neutral"}
    assert {entry.expression for entry in open_source(expressive).entries()} == {""}


@pytest.mark.parametrize("field", ["subjects", "captures_per_subject"])
def test_an_empty_population_is_a_configuration_error(field: str) -> None:
    with pytest.raises(ConfigError, match=rf"sources\.{field}"):
        open_source(replace(CONFIG, **{field: 0}))


def test_a_part_of_a_picture_shows_what_the_whole_shows_there(subject: Subject) -> None:
    """Whether the head is whole in it, cut off, or not in it at all."""
    size, camera = (120, 160), camera_of(replace(CONFIG, image_size=(160, 120), focal_px=225.0))
    scene = draw_scene(CONFIG, subject, 0, np.random.default_rng(3))
    shape = subject.head.shape(np.zeros(len(subject.action_names)))
    vertices, triangles, albedo = whole_head(subject, shape)
    normals = seamless_normals(vertices, triangles) @ scene.pose.rotation.T
    mesh = scene.pose.cam_from_obj(vertices), triangles, albedo, normals
    whole, covered = shaded(*mesh, camera, scene.light, size)
    assert 0.1 < covered.mean() < 0.9
    for top, left in ((10, 20), (50, 70), (0, 130)):
        part = camera - [[0, 0, left], [0, 0, top], [0, 0, 0]]
        color, coverage = shaded(*mesh, part, scene.light, (70, 30))
        np.testing.assert_allclose(coverage, covered[top : top + 70, left : left + 30], atol=1e-9)
        np.testing.assert_allclose(color, whole[top : top + 70, left : left + 30], atol=1e-5)


def test_normals_are_equal_where_vertices_are_in_one_place() -> None:
    corners = np.array(
        [[0, 0, 0], [10, 0, 0], [0, 10, 0], [10, 0, 4e-4], [0, 10, -4e-4], [9, 9, 5]]
    )
    normals = seamless_normals(corners, np.array([[0, 1, 2], [3, 5, 4]]))
    np.testing.assert_array_equal(normals[[1, 2]], normals[[3, 4]])
    assert not np.allclose(normals[0], normals[1])
