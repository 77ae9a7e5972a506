from __future__ import annotations

import numpy as np

from fg3d_builder.fullview.measured_head import MeasuredHead
from fg3d_builder.fullview.texel_sight import NEAR_MM, log_shade, seen_texels
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
    measured = MeasuredHead(
        depth_mm=depth,
        noise_mm=np.zeros(size, np.float32),
        normals_cam=np.zeros((*size, 3), np.float32),
        head=~none,
        face=none,
        before=none,
        lost=none,
        background=none,
        pure=~none,
        rim=none,
        rgb=np.zeros((*size, 3), np.uint8),
        intrinsics=intrinsics_matrix(100.0, 100.0, 5.5, 5.5),
    )
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
