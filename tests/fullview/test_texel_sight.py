from __future__ import annotations

import numpy as np
from head_scene import bare_head

from fg3d_builder.fullview.texel_sight import NEAR_MM, at_large, log_shade, seen_texels
from fg3d_builder.geometry.camera import intrinsics_matrix
from fg3d_builder.records import Array, Capture
from fg3d_builder.rendering.shading import Light

PLAIN = np.ones((30, 40), dtype=bool)


def bump() -> Array:
    """Unit normals (30, 40, 3) of a surface that bulges towards the camera, -z."""
    y, x = np.mgrid[-0.7:0.7:30j, -0.7:0.7:40j]
    return np.stack([x, y, -np.sqrt(1.0 - x * x - y * y)], axis=2).astype(np.float32)


def lamp(x: float, z: float) -> Light:
    return Light(np.full(3, 0.5), np.full(3, 0.4), np.array([x, 0.0, z]) / np.hypot(x, z))


def test_the_light_on_even_skin_is_all_of_its_brightness() -> None:
    normals, light = bump(), lamp(1.0, -1.0)
    lit = 0.5 + 0.4 * np.maximum(normals @ light.direction, 0.0)
    log_color = np.log(0.3 * np.repeat(lit[..., None], 3, axis=2)).astype(np.float32)
    off = (log_color - log_shade(light, normals, log_color, PLAIN))[..., 0]
    assert log_color.std() > 0.1
    # `DARK` is added to light.
    assert np.ptp(off) < 0.02


def test_light_that_the_picture_does_not_show_does_not_count() -> None:
    """Against its shades, or behind the head, where none of what is seen is lit."""
    normals = bump()
    log_color = np.repeat(-normals[..., :1], 3, axis=2)
    assert not log_shade(lamp(1.0, -1.0), normals, log_color, PLAIN).any()
    assert not log_shade(lamp(0.0, 1.0), normals, log_color, PLAIN).any()


def test_what_hangs_before_a_surface_that_faces_the_camera_hides_it() -> None:
    """Nearer by more than the surface may be off; neither the face before a neck is a curtain,
    nor is a head's front before its back."""
    size = (12, 12)
    none = np.zeros(size, dtype=bool)
    depth = np.full(size, 500.0)
    depth[0] = np.nan
    measured = bare_head(depth, intrinsics_matrix(100.0, 100.0, 5.5, 5.5))
    capture = Capture("c", "s", "x", measured.rgb, depth.astype(np.float32), measured.intrinsics)
    rows = np.array([6.0, 6.0, 6.0, 0.0])
    z = np.array([500.0 + NEAR_MM - 1, 500.0 + NEAR_MM + 1, 600.0, 600.0])
    points = np.stack([np.zeros(4), (rows - 5.5) / 100.0 * z, z], axis=1)[None]
    hides = [False, True, True, False]
    for towards, shown, wanted in (
        (-1.0, none, hides),
        (1.0, none, [False] * 4),
        (-1.0, ~none, [False] * 4),
    ):
        normals = np.tile([0.0, 0.0, towards], (1, 4, 1))
        head = measured._replace(face=shown)
        seen = seen_texels(capture, head, np.ones((1, 4), bool), points, normals)
        assert seen.hidden[0].tolist() == wanted
        assert (seen.trust[0, 1:] == 0.0).all()


def test_light_goes_on_no_farther_than_skin_in_sight_shows_it() -> None:
    """Only the half that faces the lamp is seen: what lies beyond is as dark as its end."""
    normals, light = bump(), lamp(1.0, -1.0)
    plain = PLAIN & (normals[..., 0] > 0.1)
    lit = 0.5 + 0.4 * np.maximum(normals @ light.direction, 0.0)
    log_color = np.log(0.3 * np.repeat(lit[..., None], 3, axis=2)).astype(np.float32)
    shade = log_shade(light, normals, log_color, plain)
    assert shade[~plain].min() >= shade[plain].min() - 1e-6
    everywhere = log_shade(light, normals, log_color, PLAIN)
    assert everywhere[~plain].min() < shade[plain].min() - 0.1
    np.testing.assert_allclose(shade[plain], everywhere[plain], atol=0.03)


def test_an_ear_is_lit_as_the_head_at_large() -> None:
    """On a ball an ear's texels show now its front and now its back."""
    rows, columns = 288, 448
    azimuth = np.linspace(-np.pi, np.pi, columns, endpoint=False)
    height = np.linspace(0.6, -0.6, rows)
    ball = np.stack(
        [
            np.broadcast_to(np.sin(azimuth), (rows, columns)),
            np.broadcast_to(height[:, None], (rows, columns)),
            np.broadcast_to(np.cos(azimuth), (rows, columns)),
        ],
        axis=2,
    )
    ball = (ball / np.linalg.norm(ball, axis=2, keepdims=True)).astype(np.float32)
    inside = (slice(10, -10), slice(10, -10))
    np.testing.assert_allclose(at_large(ball)[inside], ball[inside], atol=0.05)
    eared = ball.copy()
    ear = (slice(120, 150), slice(330, 345))
    flip = np.random.default_rng(1).choice([-1.0, 1.0], (30, 15, 1))
    eared[ear] = np.concatenate([flip * 0.8, 0.0 * flip, 0.6 + 0.0 * flip], axis=2)
    off = np.degrees(np.arccos(np.clip((at_large(eared) * ball).sum(axis=2), -1.0, 1.0)))
    assert off.max() < 35.0
    jump = np.abs(np.diff(at_large(eared)[ear], axis=1)).max()
    assert jump < 0.1 * np.abs(np.diff(eared[ear], axis=1)).max()
    # Where nothing is nothing becomes of it.
    assert not at_large(np.zeros((40, 60, 3), np.float32)).any()
