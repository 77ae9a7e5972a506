"""What can be checked of the sheets of shape transformation without looking."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from toy_models import toy_model

from fg3d_builder.records import ViewSet
from fg3d_builder.report.transform_sheet import HEIGHT, MAX_MOVED_MM, plaster, stored_pictures


def view_set(yaws: list[float]) -> ViewSet:
    """Views of even grey: each picture is as bright as its number in the set times 20."""
    data = [
        cv2.imencode(".png", np.full((32, 32, 3), 20 * i, np.uint8))[1].ravel()
        for i in range(len(yaws))
    ]
    count, none = len(yaws), np.zeros((len(yaws), 0))
    eye = np.tile(np.eye(3), (count, 1, 1))
    return ViewSet(
        view_names=" ".join(f"view+00{yaw:+03.0f}" for yaw in yaws),
        view_deg=np.array([[0.0, yaw] for yaw in yaws]),
        image_bytes=np.concatenate(data),
        image_offset=np.concatenate([[0], np.cumsum([len(d) for d in data])]),
        px_crop_from_px=eye,
        intrinsics=eye,
        scale=np.ones(count),
        rotation=eye,
        translation_mm=np.zeros((count, 3)),
        visible=np.zeros((count, 1), np.uint8),
        initial_alpha_id=none,
        initial_alpha_exp=none,
        initial_scale=np.ones(count),
        initial_rotation=eye,
        initial_translation_mm=np.zeros((count, 3)),
        initial_source=np.zeros(count, np.uint8),
        painted=np.zeros(count),
    )


@pytest.mark.parametrize(
    ("yaws", "shown"),
    [
        ([0.0, 15.0, 30.0, -15.0, -45.0], [0, 4, 2]),
        ([0.0, 15.0, 40.0], [0, 2]),
        ([0.0], [0]),
    ],
)
def test_the_furthest_view_of_either_side_is_shown(yaws: list[float], shown: list[int]) -> None:
    pictures = stored_pictures(view_set(yaws))
    assert [int(picture.mean()) for _, picture in pictures] == [20 * i for i in shown]
    for (label, picture), i in zip(pictures, shown, strict=True):
        assert label == f"stored view+00{yaws[i]:+03.0f}"
        assert picture.shape == (HEIGHT, HEIGHT, 3)


def test_what_moved_is_coloured_and_what_did_not_is_blue() -> None:
    model = toy_model()
    moved = np.where(model.mean[:, 0] > 0, MAX_MOVED_MM, 0.0)
    picture = plaster(model, model.mean, moved)
    height, width = picture.shape[:2]
    left, right = picture[height // 2, width // 4], picture[height // 2, 3 * width // 4]
    assert left[2] > 2 * left[0]
    assert right[0] > 2 * right[2]
