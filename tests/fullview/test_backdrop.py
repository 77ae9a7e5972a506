"""The picture behind a head."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from head_scene import CLOTHES, HAIR, INTRINSICS, SKIN, WALL, Look, head_scene

from fg3d_builder.fullview.backdrop import without_head


@pytest.mark.parametrize("look", [Look(701, 0.0, 10.0), Look(702, 20.0, 0.0, False, 60.0)])
def test_nothing_of_the_head_is_left(look: Look) -> None:
    scene = head_scene(look)
    behind = without_head(scene.capture.rgb, scene.measured(), INTRINSICS)
    head, _, strip = scene.parts
    # At the lower border shoulders fill the picture; nothing tells what is behind them.
    upper = np.arange(len(head)) < len(head) - 25
    for color in (SKIN, HAIR, CLOTHES):
        off = np.abs(behind.astype(int) - color).max(axis=2)
        assert off[upper].min() > 25
    # A plain wall goes on as it is.
    assert np.abs(behind.astype(int) - WALL)[(head | strip) & upper[:, None]].max() <= 2
    far = cv2.dilate((head | strip).astype(np.uint8), np.ones((11, 11), np.uint8)) == 0
    np.testing.assert_array_equal(behind[far], scene.capture.rgb[far])


def test_what_is_behind_goes_on_from_beside() -> None:
    scene = head_scene(Look())
    head, _, _ = scene.parts
    across = np.linspace(40, 200, head.shape[1])[None, :, None]
    room = np.broadcast_to(across, scene.capture.rgb.shape)
    rgb = np.where(head[..., None], 255, room).astype(np.uint8)
    behind = without_head(rgb, scene.measured(), INTRINSICS)
    upper = head & (np.arange(len(head)) < 200)[:, None]
    assert np.abs(behind - room)[upper].mean() < 8.0
