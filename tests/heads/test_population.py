import numpy as np
import pytest
from scipy.ndimage import binary_fill_holes

from fg3d_builder.facemodel.patches import border_loops
from fg3d_builder.geometry.camera import intrinsics_matrix
from fg3d_builder.geometry.meshes import vertex_normals
from fg3d_builder.geometry.pose import rotation_from_angles
from fg3d_builder.heads.identity import local_axes
from fg3d_builder.heads.population import rigid_between
from fg3d_builder.heads.relief import smooth_fields
from fg3d_builder.landmarks.mediapipe_detector import MediaPipeDetector
from fg3d_builder.rendering.rasterizer import interpolate, rasterize


def whole(population, head, weights=None):
    face = head.shape(weights)
    vertices = np.concatenate([face, head.context_vertices_obj_mm])
    triangles = np.concatenate(
        [population.head.sheet_triangles, head.context_triangles + len(face)]
    )
    return vertices, triangles


def test_same_seed_same_person(population):
    one, other = population.subject(5), population.subject(5)
    for name in ("neutral_obj_mm", "expression_offsets", "albedo", "context_albedo"):
        assert np.array_equal(getattr(one, name), getattr(other, name))
    assert np.abs(population.subject(6).neutral_obj_mm - one.neutral_obj_mm).max() > 2


def test_shares_the_models_topology(population, default):
    head = population.subject(1)
    assert np.array_equal(population.head.sheet_triangles, default.triangles)
    assert population.action_names == default.exp_names
    assert head.neutral_obj_mm.shape == default.mean.shape
    assert head.expression_offsets.shape == default.exp_basis.shape


def test_shape_is_linear_in_activations(population):
    head = population.subject(2)
    weights = np.zeros(len(population.action_names))
    weights[3] = 0.5
    offset = head.shape(weights) - head.neutral_obj_mm
    assert np.allclose(offset, 0.5 * head.expression_offsets[:, :, 3], atol=1e-5)


def test_people_differ_like_people(population):
    eyes = []
    for seed in range(30):
        face = population.neutral(seed)[1]
        left = (population.head.eye == 1) & (population.head.eye_blend > 0)
        right = (population.head.eye == 2) & (population.head.eye_blend > 0)
        eyes.append(face[left, 0].max() - face[right, 0].min())
    assert 80 < np.mean(eyes) < 95
    assert 2 < np.std(eyes) < 8


def test_people_are_built_about_the_mean_of_real_faces(population, default):
    """Phenotypes and local axes together have the models' mean, and no side is larger."""
    faces = np.array([population.neutral(70_000 + seed)[1] for seed in range(120)])
    apart = np.linalg.norm(faces.mean(axis=0) - default.mean, axis=1)
    own = np.sqrt(((faces - faces.mean(axis=0)) ** 2).sum(axis=2).mean(axis=0))
    # The mean of 120 people is off by their deviation over the root of 120.
    assert np.median(apart / own) < 2.5 / np.sqrt(120)
    left = default.mean[:, 0] > 20
    right = default.mean[:, 0] < -20
    assert np.median(own[left]) == pytest.approx(np.median(own[right]), rel=0.1)


def test_relief_is_real_but_small_and_keeps_the_border(population):
    border = border_loops(population.head.sheet_triangles)[0]
    for seed in (3, 4):
        smooth = population.neutral(seed)[1]
        relief = np.linalg.norm(population.subject(seed).neutral_obj_mm - smooth, axis=1)
        assert np.abs(relief[border]).max() < 1e-9
        assert 0.2 < np.sqrt((relief**2).mean()) < 1.6
        assert relief.max() < 6


@pytest.mark.parametrize("seed", [0, 5, 9])
def test_no_gap_and_nothing_in_front_of_the_face(population, seed):
    head = population.subject(seed)
    weights = np.random.default_rng(seed).uniform(0, 0.4, len(population.action_names))
    vertices, triangles = whole(population, head, weights)
    faces = len(population.head.sheet_triangles)
    camera = intrinsics_matrix(1200, 1200, 239.5, 239.5)
    for pitch, yaw in ((0, 0), (0, 35), (20, -20)):
        posed = vertices @ rotation_from_angles(pitch, yaw, 0).T + [0, 0, 800]
        together = rasterize(posed, triangles, camera, 480, 480)
        alone = rasterize(posed[: len(head.albedo)], triangles[:faces], camera, 480, 480)
        covered = together.triangle >= 0
        assert not np.any(binary_fill_holes(covered) & ~covered)
        hidden = (alone.triangle >= 0) & (together.triangle >= faces)
        assert hidden.sum() <= 0.001 * (alone.triangle >= 0).sum()


def test_a_detector_sees_faces(population):
    detector = MediaPipeDetector()
    camera = intrinsics_matrix(800, 800, 319.5, 239.5)
    found, looked = 0, 0
    for seed in range(20, 26):
        head = population.subject(seed)
        vertices, triangles = whole(population, head)
        colours = np.concatenate([head.albedo, head.context_albedo])
        for yaw in (0, 28):
            posed = vertices @ rotation_from_angles(0, yaw, 0).T + [0, 0, 640]
            normals = vertex_normals(posed, triangles)
            light = 0.35 + 0.75 * np.clip(normals @ np.array([0.2, -0.35, -0.92]), 0, None)
            fragments = rasterize(posed, triangles, camera, 480, 640)
            linear = interpolate(fragments, triangles, colours * light[:, None])
            linear[fragments.triangle < 0] = 0.2
            image = (np.clip(linear, 0, 1) ** (1 / 2.2) * 255).astype(np.uint8)
            looked += 1
            found += detector.detect_image(image) is not None
    assert found == looked


def test_local_axes_pair_opposites_and_sides():
    names = ["nose/nose-hump-decr", "nose/nose-hump-incr", "head/head-oval"]
    names += [f"eyes/{s}-eye-trans-{d}" for s in "lr" for d in ("in", "out")]
    axes = local_axes(names, {"nose": 0.1, "head": 0.2, "eyes": 0.3}, ["head/head-o*"])
    assert [(a.plus, a.minus) for a in axes] == [
        (
            ("eyes/l-eye-trans-in", "eyes/r-eye-trans-in"),
            ("eyes/l-eye-trans-out", "eyes/r-eye-trans-out"),
        ),
        (("nose/nose-hump-decr",), ("nose/nose-hump-incr",)),
    ]


def test_rigid_alignment_recovers_a_motion():
    random = np.random.default_rng(0)
    points = random.normal(size=(50, 3))
    turn = rotation_from_angles(10, 20, 30)
    rotation, shift = rigid_between(points, points @ turn.T + [1, 2, 3])
    assert np.allclose(rotation, turn)
    assert np.allclose(shift, [1, 2, 3])
    assert np.linalg.det(rotation) == pytest.approx(1)


def test_smooth_fields_have_their_scale(population):
    face, triangles = population.average_mm, population.head.sheet_triangles
    random = np.random.default_rng(0)
    pairs = random.integers(len(face), size=(200_000, 2))
    apart = np.linalg.norm(face[pairs[:, 0]] - face[pairs[:, 1]], axis=1)
    for length in (10.0, 30.0):
        fields = smooth_fields(face, triangles, length, 12, random)
        product = (fields[:, pairs[:, 0]] * fields[:, pairs[:, 1]]).mean(axis=0)
        near = product[apart < 0.2 * length].mean()
        far = product[(apart > 3.5 * length) & (apart < 5 * length)].mean()
        assert near > 0.6
        assert abs(far) < 0.3
