"""What can be checked of the sheets of shape transformation without looking."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from toy_models import toy_model
from toy_views import views

from fg3d_builder.files.encoding import encode_png
from fg3d_builder.report.transform_sheet import HEIGHT, MAX_MOVED_MM, plaster, stored_pictures
from fg3d_builder.shards.schema import SampleImage


def grey_views(yaws: list[float]) -> list[SampleImage]:
    """Views of even grey: each picture is as bright as its number in the set times 20."""
    return [
        replace(
            view,
            name=f"view+00{yaw:+03.0f}",
            image=encode_png(np.full((32, 32, 3), 20 * i, np.uint8)),
            view_deg=np.array([0.0, yaw]),
        )
        for i, (yaw, view) in enumerate(zip(yaws, views(len(yaws)).views, strict=True))
    ]


@pytest.mark.parametrize(
    ("yaws", "shown"),
    [
        ([0.0, 15.0, 30.0, -15.0, -45.0], [0, 4, 2]),
        ([0.0, 15.0, 40.0], [0, 2]),
        ([0.0], [0]),
    ],
)
def test_the_furthest_view_of_either_side_is_shown(yaws: list[float], shown: list[int]) -> None:
    pictures = stored_pictures(grey_views(yaws))
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
