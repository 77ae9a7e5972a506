"""A wall behind a face tells depth along the ray; nothing else is taken for one."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from seen_faces import ray_length, seen_faces

from fg3d_builder.config import SensorConfig, SourceConfig
from fg3d_builder.errors import CaptureError
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.landmarks.background_plane import check_depth_along_z, wall_shares
from fg3d_builder.records import Capture, Landmarks

Seen = tuple[Capture, Landmarks]


@pytest.fixture(
    scope="module",
    params=[((320, 240), 450.0, "none"), ((200, 260), 240.0, "structured_light")],
)
def seen(request: pytest.FixtureRequest, default: FaceModel) -> list[Seen]:
    size, focal, sensor = request.param
    config = SourceConfig(
        subjects=8,
        captures_per_subject=1,
        seed=5,
        image_size=size,
        focal_px=focal,
        sensor=SensorConfig(sensor, 1.0, 3),
    )
    return seen_faces(default, "mediapipe478", config)


def with_wall(capture: Capture, bend_mm: float = 0.0) -> Capture:
    """Put a slanted wall, or one that bends, behind a head."""
    height, width = capture.depth_mm.shape
    x, y = np.meshgrid(np.linspace(-1, 1, width), np.linspace(-1, 1, height))
    wall = 1.0 / (1.0 / 1800.0 + 6e-5 * x - 2e-5 * y) + bend_mm * np.cos(4.0 * x)
    near = np.nan_to_num(capture.depth_mm, nan=np.inf) < 900.0
    depth = np.where(near, capture.depth_mm, wall).astype(np.float32)
    return dataclasses.replace(capture, depth_mm=depth)


def test_a_wall_tells_depth_along_the_ray(seen: list[Seen]) -> None:
    for capture, landmarks in seen:
        right = with_wall(capture)
        shares = wall_shares(right, landmarks)
        assert shares is not None
        assert shares.along_z > 0.95
        assert not shares.is_along_ray
        check_depth_along_z(right, landmarks)
        wrong = dataclasses.replace(right, depth_mm=right.depth_mm * ray_length(capture))
        with pytest.raises(CaptureError, match=f"{capture.capture_id}.*ray") as caught:
            check_depth_along_z(wrong, landmarks)
        assert caught.value.code == "depth_along_ray"


def test_captures_as_they_are_raise_no_alarm(seen: list[Seen]) -> None:
    for capture, landmarks in seen:
        check_depth_along_z(capture, landmarks)


def test_what_is_no_plane_says_nothing(seen: list[Seen]) -> None:
    for capture, landmarks in seen:
        bent = with_wall(capture, bend_mm=150.0)
        check_depth_along_z(bent, landmarks)
        along = dataclasses.replace(bent, depth_mm=bent.depth_mm * ray_length(capture))
        check_depth_along_z(along, landmarks)


def test_without_a_background_nothing_can_be_told(seen: list[Seen]) -> None:
    capture, landmarks = seen[0]
    near = np.where(capture.depth_mm < 900.0, capture.depth_mm, np.nan).astype(np.float32)
    assert wall_shares(dataclasses.replace(capture, depth_mm=near), landmarks) is None


@pytest.mark.data
def test_real_rooms_raise_no_alarm(shared_data: object) -> None:
    from pathlib import Path

    from fg3d_builder.captures.folder import read_capture

    for folder in sorted(Path(str(shared_data)).glob("captures/sven-0*")):
        capture = read_capture(folder)
        middle = np.array(capture.rgb.shape[1::-1]) / 2 + np.array([[0, 0], [9, 0], [0, 9]])
        points = Landmarks("mediapipe478", middle, np.ones(3), "middle")
        shares = wall_shares(capture, points)
        assert shares is not None
        # Cluttered: no plane has a fifth of it by either reading.
        assert max(shares) < 0.25
